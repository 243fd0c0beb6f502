"""What a tool gives back is shown to nobody before the guards that see it with the next call."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agno.run.agent import CustomEvent, RunContentEvent
from agno.run.team import RunContentEvent as TeamRunContentEvent
from agno.tools.function import ToolResult
from four_forms import FORMS, STREAMED
from gathered import MASK, WORD, Beside, Mask, Whole, agent, go, sent, stored
from pydantic import BaseModel
from shown_tools import asks, find_tool, found_text

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Flag, Guard, Passage, raise_on_block
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event


@pytest.fixture
def model(portkey_model: PortkeyModel) -> PortkeyModel:
    return portkey_model


class Bird(BaseModel):
    name: str = WORD


@dataclasses.dataclass
class Said(CustomEvent):
    said: str = ""


def _json() -> str:
    return '{"found": "the blue\\u0062ird"}'


def _result() -> ToolResult:
    return ToolResult(content=found_text())


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
    return found_text()


async def _aevents() -> AsyncIterator[Any]:
    for event in _events():
        yield event


SYNC: list[Callable[[], Any]] = [found_text, _json, _result, _pieces, _events, _object, _custom]
MADE = [(form, made) for form in STREAMED for made in SYNC]
MADE += [("astream", _atext), ("astream", _aevents)]


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
        asks(portkey_provider)
        portkey_provider.reply("It was found.")
        asked = agent(model, tools=[find_tool(made)])
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
        asks(portkey_provider)
        asked = agent(model, tools=[find_tool(made)])
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
    asks(portkey_provider)
    asked = agent(model, tools=[find_tool(found_text)])
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
        asks(portkey_provider)
        portkey_provider.reply("It was found.")
        # Of the last one the tool says nothing that the guard minds.
        calm = bool(guards) and guards[0].name == "Other"
        seen.append(go(agent(model, tools=[find_tool(_calm if calm else made)]), form))
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

    tools = [find_tool(_events), find_tool(other, name="other")]
    model.guards = (Mask(on="input"),)
    asks(portkey_provider, "other", "find", "other")
    portkey_provider.reply("It was found.")
    seen = go(agent(model, tools=tools), form)
    said = ["nothing there", f"Found the {MASK}.", "nothing there"]
    assert [each.result for each in seen.output.tools] == said
    assert portkey_provider.calls[1].tool_results == said
    assert "bird" not in seen.everything
    assert seen.text.count("nothing there") == 2
    portkey_provider.reset()
    model.guards = (Whole(on="input"),)
    asks(portkey_provider, "other", "find", "other")
    seen = go(agent(model, tools=tools), form)
    assert seen.failed
    assert "bird" not in seen.everything
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_shown_as_the_answer_and_read_on_is_looked_at_as_both(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for made in (found_text, _pieces, _events):
        portkey_provider.reset()
        model.guards = (Mask(on="input"),)
        asks(portkey_provider)
        portkey_provider.reply(" That is all.")
        seen = go(agent(model, tools=[find_tool(made, show_result=True)]), form)
        assert seen.output.content == f"Found the {MASK}. That is all."
        assert "bird" not in seen.everything
        portkey_provider.reset()
        model.guards = (Whole(on="input"),)
        asks(portkey_provider)
        seen = go(agent(model, tools=[find_tool(made, show_result=True)]), form)
        assert seen.failed
        assert "bird" not in seen.everything


@pytest.mark.parametrize("form", STREAMED)
def test_a_tool_that_fails_half_way_has_shown_nothing(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    """What it said is in no result: no guard is asked about it."""

    def fails() -> Iterator[Any]:
        yield RunContentEvent(content=found_text())
        raise ValueError("no more")

    model.guards = (Mask(on="input"),)
    asks(portkey_provider)
    portkey_provider.reply("Well then.")
    seen = go(agent(model, tools=[find_tool(fails)]), form)
    assert "no more" in seen.everything
    assert WORD not in seen.everything


@pytest.mark.parametrize("form", STREAMED)
def test_a_result_that_nobody_can_read_is_not_shown(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    def deep() -> str:
        return "[" * 100_000 + "\\ " + WORD

    model.guards = (Whole(on="input"),)
    asks(portkey_provider)
    asked = agent(model, tools=[find_tool(deep)])
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
        asks(portkey_provider)
        portkey_provider.reply("It was found.")
        go(agent(model, tools=[find_tool(found_text)]), form)
        told = [e for e in heard if e.verdict is not None and e.verdict.evidence.get("found")]
        assert len(told) == 1, other
