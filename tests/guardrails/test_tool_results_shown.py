"""What a tool gives back is shown to nobody before the guards that see it with the next call."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.run.agent import CustomEvent, RunContentEvent
from agno.run.team import RunContentEvent as TeamRunContentEvent
from agno.team import Team
from agno.tools import tool
from agno.tools.function import Function, FunctionCall, ToolResult
from four_forms import FORMS, STREAMED
from gathered import MASK, WORD, Beside, Mask, MaskPiecewise, Whole, agent, go, sent, stored
from pydantic import BaseModel

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Flag, Guard, Passage, raise_on_block
from agno_portkey.guardrails.showing import Showing
from agno_portkey.guardrails.tool_results import shown
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.verdict import Event


@pytest.fixture
def model(portkey_model: PortkeyModel) -> PortkeyModel:
    return portkey_model


class Bird(BaseModel):
    name: str = WORD


@dataclasses.dataclass
class Said(CustomEvent):
    said: str = ""


def _text() -> str:
    return f"Found the {WORD}."


def _json() -> str:
    return '{"found": "the blue\\u0062ird"}'


def _result() -> ToolResult:
    return ToolResult(content=_text())


def _pieces() -> Iterator[str]:
    yield "Found the blue"
    yield "bird."


def _events() -> Iterator[Any]:
    yield RunContentEvent(content="Found the blue")
    yield TeamRunContentEvent(content="bird.")


def _object() -> Iterator[Any]:
    yield RunContentEvent(content=Bird())


def _custom() -> Iterator[Any]:
    yield Said(said=f"the {WORD}")


def _calm() -> str:
    return "Nothing."


async def _atext() -> str:
    return _text()


async def _aevents() -> AsyncIterator[Any]:
    for event in _events():
        yield event


SYNC: list[Callable[[], Any]] = [_text, _json, _result, _pieces, _events, _object, _custom]
MADE = [(form, made) for form in STREAMED for made in SYNC]
MADE += [("astream", _atext), ("astream", _aevents)]


def _tool(made: Callable[[], Any], **settings: Any) -> Any:
    settings = {"name": "find", **settings}
    return tool(description="Find something.", **settings)(made)


def _asks(provider: EmbeddedProvider, *names: str) -> None:
    provider.reply(Reply(tool_calls=[ToolCall(name, {}) for name in names or ("find",)]))


def _told(seen: Any) -> list[str]:
    """The events, as they were shown."""
    return [told for told in seen.told if '"messages"' not in told]


def _done(seen: Any) -> list[str]:
    """The results that were shown, as they were shown."""
    return [told for told in _told(seen) if '"event": "ToolCallCompleted"' in told]


@pytest.mark.parametrize(("form", "made"), MADE)
def test_a_result_that_is_rewritten_is_shown_rewritten(
    form: str, made: Callable[[], Any], portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for guard in (Mask(), Mask(on="input"), Mask(on="input", keep_raw=True)):
        portkey_provider.reset()
        model.guards = (guard,)
        _asks(portkey_provider)
        portkey_provider.reply("It was found.")
        asked = agent(model, tools=[_tool(made)])
        seen = go(asked, form)
        assert not seen.failed
        told = "\n".join(_told(seen))
        assert WORD not in told
        assert "bird" not in told
        [done] = _done(seen)
        assert MASK in done
        assert seen.output.content == "It was found."
        assert WORD not in sent(portkey_provider)
        assert (WORD in stored(asked.db)) <= guard.keep_raw


@pytest.mark.parametrize(("form", "made"), MADE)
def test_a_result_that_is_blocked_is_shown_as_its_placeholder(
    form: str, made: Callable[[], Any], portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for guard in (Whole(), Whole(on="input"), Beside(on="input"), Whole(keep_raw=True)):
        portkey_provider.reset()
        model.guards = (guard,)
        _asks(portkey_provider)
        asked = agent(model, tools=[_tool(made)])
        seen = go(asked, form)
        assert seen.failed
        told = "\n".join(seen.told)
        assert WORD not in told
        assert "bird" not in told
        [done] = _done(seen)
        assert f"[blocked by {guard.name}]" in done
        assert len(portkey_provider.calls) == 1
        with pytest.raises(InputBlocked, match="a secret project is named"):
            raise_on_block(seen.last)
        assert guard.keep_raw or WORD not in stored(asked.db)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_stored_of_a_blocked_result_is_the_same_in_all_forms(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (Whole(),)
    _asks(portkey_provider)
    asked = agent(model, tools=[_tool(_text)])
    assert go(asked, form).failed
    [session] = asked.db.get_sessions()
    last = session.runs[0].messages[-1]
    assert (last.role, last.content) == ("tool", "[blocked by Whole]")


@pytest.mark.parametrize(("form", "made"), MADE)
def test_a_result_that_no_guard_minds_is_shown_as_it_is(
    form: str, made: Callable[[], Any], portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    seen = []
    for guards in ((), (Mask(mode="observe"),), (Whole(on="output"),), (Whole(name="Other"),)):
        portkey_provider.reset()
        model.guards = guards
        _asks(portkey_provider)
        portkey_provider.reply("It was found.")
        # Of the last one the tool says nothing that the guard minds.
        calm = bool(guards) and guards[0].name == "Other"
        seen.append(go(agent(model, tools=[_tool(_calm if calm else made)]), form))
        assert not seen[-1].failed
        kinds = [type(e).__name__ for e in seen[-1].events if "RunContent" not in type(e).__name__]
        assert kinds == [
            type(e).__name__ for e in seen[0].events if "RunContent" not in type(e).__name__
        ] or (calm and made is _custom)
    assert "Nothing." in _done(seen[-1])[0]
    first, *others = [each.output.tools[0].result for each in seen[:-1]]
    assert others == [first, first] or made is _custom


@pytest.mark.parametrize("form", STREAMED)
def test_of_tools_beside_each_other_each_has_its_own_verdict(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    def other() -> Iterator[Any]:
        yield RunContentEvent(content="nothing there")

    tools = [_tool(_events), _tool(other, name="other")]
    model.guards = (Mask(on="input"),)
    _asks(portkey_provider, "other", "find", "other")
    portkey_provider.reply("It was found.")
    seen = go(agent(model, tools=tools), form)
    said = ["nothing there", f"Found the {MASK}.", "nothing there"]
    assert [each.result for each in seen.output.tools] == said
    assert portkey_provider.calls[1].tool_results == said
    assert "bird" not in seen.everything
    assert seen.text.count("nothing there") == 2
    portkey_provider.reset()
    model.guards = (Whole(on="input"),)
    _asks(portkey_provider, "other", "find", "other")
    seen = go(agent(model, tools=tools), form)
    assert seen.failed
    assert "bird" not in seen.everything
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_shown_as_the_answer_and_read_on_is_looked_at_as_both(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for made in (_text, _pieces, _events):
        portkey_provider.reset()
        model.guards = (Mask(on="input"),)
        _asks(portkey_provider)
        portkey_provider.reply(" That is all.")
        seen = go(agent(model, tools=[_tool(made, show_result=True)]), form)
        assert seen.output.content == f"Found the {MASK}. That is all."
        assert "bird" not in seen.everything
        portkey_provider.reset()
        model.guards = (Whole(on="input"),)
        _asks(portkey_provider)
        seen = go(agent(model, tools=[_tool(made, show_result=True)]), form)
        assert seen.failed
        assert "bird" not in seen.everything


@pytest.mark.parametrize("form", STREAMED)
def test_a_tool_that_fails_half_way_has_shown_nothing(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    """What it said is in no result: no guard is asked about it."""

    def fails() -> Iterator[Any]:
        yield RunContentEvent(content=_text())
        raise ValueError("no more")

    model.guards = (Mask(on="input"),)
    _asks(portkey_provider)
    portkey_provider.reply("Well then.")
    seen = go(agent(model, tools=[_tool(fails)]), form)
    assert "no more" in seen.everything
    assert WORD not in seen.everything


@pytest.mark.parametrize("form", STREAMED)
def test_a_result_that_nobody_can_read_is_not_shown(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    def deep() -> str:
        return "[" * 100_000 + "\\ " + WORD

    model.guards = (Whole(on="input"),)
    _asks(portkey_provider)
    asked = agent(model, tools=[_tool(deep)])
    seen = go(asked, form)
    assert seen.failed
    assert WORD not in seen.everything + stored(asked.db)
    with pytest.raises(InputBlocked, match="Whole can't tell"):
        raise_on_block(seen.last)


# Who hears of it, and how often


class Notes(Guard):
    """Flags the word, or does what another guard does."""

    inline, rewrites = True, True

    def __init__(self, other: Guard | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._other = other

    def inspect(self, passage: Passage) -> Any:
        if self._other is not None:
            return self._other.inspect(passage)
        return Flag("seen") if WORD in passage.text else None


@pytest.mark.parametrize("form", FORMS)
def test_observers_are_told_of_a_result_once(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for other in (None, Mask(), Whole()):
        portkey_provider.reset()
        heard: list[Event] = []
        model.guards = (Notes(other, on="input", observers=[heard.append]),)
        _asks(portkey_provider)
        portkey_provider.reply("It was found.")
        go(agent(model, tools=[_tool(_text)]), form)
        told = [e for e in heard if e.verdict is not None and e.verdict.evidence.get("found")]
        assert len(told) == 1, other


# Members


def _team(leader: PortkeyModel, member: PortkeyModel, **settings: Any) -> Team:
    scout = Agent(name="Scout", model=member, **settings)
    return Team(members=[scout], model=leader, db=InMemoryDb(), store_events=True)  # type: ignore[no-untyped-call]


def _delegates(provider: EmbeddedProvider, said: str) -> None:
    task = {"member_id": "scout", "task": "find it"}
    provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
    provider.reply(Reply(said, chunk_size=4))
    provider.reply("It was found.")


@pytest.mark.parametrize("form", STREAMED)
def test_what_a_member_says_is_not_shown_before_its_leaders_guards(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    bare = dataclasses.replace(model)
    for guard in (Mask(), Mask(on="input"), Whole(), Whole(on="input")):
        portkey_provider.reset()
        model.guards = (guard,)
        team = _team(model, bare)
        _delegates(portkey_provider, f"I saw the {WORD} of us.")
        seen = go(team, form, "find it")
        assert seen.failed == isinstance(guard, Whole)
        assert "bird" not in "\n".join(seen.told)
        assert (MASK in "\n".join(seen.told)) != seen.failed
        assert WORD not in stored(team.db)


class Watches(MaskPiecewise):
    """Notes what had been shown whenever it was asked about a result."""

    def __init__(self, shown: list[Any]) -> None:
        super().__init__()
        self.shown, self.seen = shown, list[str]()

    def inspect(self, passage: Passage) -> Any:
        if passage.scene.stage == "tool" and passage.source == "tool":
            self.seen.append("".join(self.shown))
        return super().inspect(passage)


def _watch(team: Team, form: str, out: list[Any]) -> None:
    def note(event: Any) -> None:
        if type(event).__name__ == "RunContentEvent":
            out.append(event.content or "")

    if form == "stream":
        for event in team.run("find it", stream=True, stream_events=True):
            note(event)
        return

    async def run() -> None:
        async for event in team.arun("find it", stream=True, stream_events=True):
            note(event)

    asyncio.run(run())


@pytest.mark.parametrize("form", STREAMED)
def test_a_member_with_the_same_guards_is_heard_as_it_speaks(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    said = f"I saw the {WORD} of us."
    for has_it, settings, expected in (
        (True, {}, said.replace(WORD, MASK)),
        (False, {}, ""),
        (True, {"parser_model": True}, ""),
    ):
        portkey_provider.reset()
        out: list[Any] = []
        model.guards = (watches := Watches(out),)
        other = dataclasses.replace(model)
        other.guards = model.guards if has_it else ()
        given = {name: dataclasses.replace(model) for name in settings}
        team = _team(model, other, **given)
        _delegates(portkey_provider, said)
        _watch(team, form, out)
        assert watches.seen[0] == expected


@pytest.mark.parametrize("form", STREAMED)
def test_a_team_within_a_team_is_heard_if_all_have_the_guards(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for has_it in (True, False):
        portkey_provider.reset()
        out: list[Any] = []
        model.guards = (watches := Watches(out),)
        bare = dataclasses.replace(model)
        bare.guards = ()
        inner = Team(name="Inner", members=[Agent(name="Scout", model=model if has_it else bare)])
        inner.model = model
        team = Team(members=[inner], model=model)
        task = {"member_id": "inner", "task": "find it"}
        portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
        _delegates(portkey_provider, f"I saw the {WORD} of us.")
        portkey_provider.reply("All was found.")
        _watch(team, form, out)
        assert (MASK in "".join(watches.seen)) == has_it
        assert WORD not in "".join(out)


# Runs that go on, and calls without a run


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("made", [Mask, Whole])
def test_a_tool_that_somebody_confirmed(
    made: type[Guard], form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (made(on="input"),)
    _asks(portkey_provider)
    portkey_provider.reply("It was found.")
    asked = agent(model, tools=[_tool(_text, requires_confirmation=True)])
    run = asked.run("Hi")
    for needed in run.requirements or ():
        needed.confirm()
    options = {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "requirements": run.requirements,
        "stream": True,
        "stream_events": True,
    }
    told: list[str] = []

    async def goes_on() -> None:
        async for event in asked.acontinue_run(**options):
            told.append(str(event.to_dict()))

    if form == "stream":
        told += [str(event.to_dict()) for event in asked.continue_run(**options)]
    else:
        asyncio.run(goes_on())
    assert WORD not in "\n".join(told)
    assert ("[blocked by Whole]" if made is Whole else MASK) in "\n".join(told)
    assert ("RunError" in told[-1]) == (made is Whole)
    assert len(portkey_provider.calls) == (1 if made is Whole else 2)


def _asked_directly(model: PortkeyModel, form: str) -> list[Any]:
    find = Function.from_callable(_text, name="find")
    options: Any = {"messages": [Message(role="user", content="Hi")], "tools": [find]}
    if form == "stream":
        return [*model.response_stream(**options)]

    async def collected() -> list[Any]:
        return [event async for event in model.aresponse_stream(**options)]

    return asyncio.run(collected())


@pytest.mark.parametrize("form", STREAMED)
def test_a_call_that_belongs_to_no_run_is_refused_at_once(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (Whole(),)
    _asks(portkey_provider)
    with pytest.raises(InputBlocked):
        _asked_directly(model, form)
    model.guards = (Mask(),)
    portkey_provider.reset()
    _asks(portkey_provider)
    portkey_provider.reply("Well then.")
    assert WORD not in str(_asked_directly(model, form))


def test_where_no_guard_has_a_say_nothing_stands_between(model: PortkeyModel) -> None:
    calls = [FunctionCall(function=Function(name="find"), call_id="1")]
    events = iter(["one"])
    for guards in ((), (Mask(mode="observe"),), (Mask(mode="off"),), (Mask(on="output"),)):
        model.guards = guards
        assert shown(model, calls, events, []) is events
    model.guards = (Mask(),)
    assert shown(model, [], events, []) is events
    assert shown(model, calls, events, []) is not events


def test_what_a_run_shows_to_nobody_is_looked_at_once() -> None:
    showing = Showing()
    with showing.nothing("a"), showing.nothing(None):
        assert not showing.shows("a")
        assert showing.shows(None)
        assert showing.shows("b")
    assert showing.shows("a")


def test_refusals_that_nobody_raises_are_bounded() -> None:
    showing = Showing()
    errors = [ValueError(str(number)) for number in range(1_002)]
    results = [Message(role="tool", content=str(error)) for error in errors]
    for message, error in zip(results, errors, strict=True):
        showing.refuse([message], error)
    assert showing.refusal(results[:2]) is None
    assert showing.refusal(results[2:3]) is errors[2]
    assert showing.refusal(results[2:3]) is None
    assert showing.refusal([]) is None
