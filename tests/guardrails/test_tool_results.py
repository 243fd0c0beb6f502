"""Tools and members whose result is the answer: no model is asked again, guards still are."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.agent import RunOutput
from agno.team import Team, TeamMode
from agno.tools import tool
from agno.tools.function import ToolResult
from four_forms import FORMS, STREAMED
from gathered import MASK, WORD, Beside, Mask, Whole, agent, go, stored
from pydantic import BaseModel

from agno_portkey.errors import OutputBlocked
from agno_portkey.guardrails import Guard, Passage, Rewrite, raise_on_block
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@pytest.fixture
def model(portkey_model: PortkeyModel) -> PortkeyModel:
    return portkey_model


def _text() -> str:
    return f"Found the {WORD}."


def _pieces() -> Iterator[str]:
    yield "Found the blue"
    yield "bird."


async def _atext() -> str:
    return _text()


async def _apieces() -> AsyncIterator[str]:
    for piece in _pieces():
        yield piece


def _json() -> str:
    return '{"found": "the blue\\u0062ird"}'


def _result() -> ToolResult:
    return ToolResult(content=_text())


SYNC: list[Callable[[], Any]] = [_text, _pieces, _result]
ASYNC: list[Callable[[], Any]] = [*SYNC, _atext, _apieces]
TOOLS = [(form, made) for form in ("run", "stream") for made in SYNC]
TOOLS += [(form, made) for form in ("arun", "astream") for made in ASYNC]


def _tool(made: Callable[[], Any], **settings: Any) -> Any:
    return tool(name="find", description="Find something.", **settings)(made)


def _asks(provider: EmbeddedProvider, *names: str) -> None:
    provider.reply(Reply(tool_calls=[ToolCall(name, {}) for name in names or ("find",)]))


@pytest.mark.parametrize(("form", "made"), TOOLS)
def test_a_result_that_is_the_answer_can_be_blocked(
    form: str, made: Callable[[], Any], portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for guard in (Whole(), Beside()):
        model.guards = (guard,)
        _asks(portkey_provider)
        asked = agent(model, tools=[_tool(made, stop_after_tool_call=True)])
        seen = go(asked, form)
        assert seen.failed
        assert WORD not in seen.everything
        assert "bird" not in seen.everything.replace(WORD, "")
        assert WORD not in stored(asked.db)
        with pytest.raises(OutputBlocked, match="a secret project is named"):
            raise_on_block(seen.last)


@pytest.mark.parametrize(("form", "made"), TOOLS)
def test_a_result_that_is_the_answer_can_be_rewritten(
    form: str, made: Callable[[], Any], portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (Mask(),)
    _asks(portkey_provider)
    asked = agent(model, tools=[_tool(made, stop_after_tool_call=True)])
    seen = go(asked, form)
    assert not seen.failed
    assert seen.output.content == f"Found the {MASK}."
    assert WORD not in seen.everything
    assert WORD not in stored(asked.db)
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize(("form", "made"), TOOLS)
def test_a_result_that_no_guard_minds_is_shown_as_it_is(
    form: str, made: Callable[[], Any], portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    said = {}
    for guards in ((), (Whole(on="input"),), (Mask(mode="observe"),)):
        model.guards = guards
        _asks(portkey_provider)
        seen = go(agent(model, tools=[_tool(made, stop_after_tool_call=True)]), form)
        assert not seen.failed
        said[guards] = [
            (type(event).__name__, event.content)
            for event in seen.events
            if hasattr(event, "content")
        ]
        assert seen.output.content == f"Found the {WORD}."
    first, *others = [[each for each in shown if "Content" in each[0]] for shown in said.values()]
    assert all(other == first for other in others)


@pytest.mark.parametrize("form", FORMS)
def test_a_result_that_is_shown_and_read_on(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    """With `show_result` alone the model goes on with what was shown."""
    model.guards = (Mask(),)
    _asks(portkey_provider, "find", "find")
    portkey_provider.reply(" That is all.")
    seen = go(agent(model, tools=[_tool(_text, show_result=True)]), form)
    assert seen.output.content == f"Found the {MASK}." * 2 + " That is all."
    assert portkey_provider.calls[1].tool_results == [f"Found the {MASK}."] * 2


@pytest.mark.parametrize("form", FORMS)
def test_other_tools_are_as_they_were(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (Whole(on="output"),)
    _asks(portkey_provider)
    portkey_provider.reply("It was found.")
    seen = go(agent(model, tools=[_tool(_text)]), form)
    assert seen.output.content == "It was found."


@pytest.mark.parametrize("form", FORMS)
def test_escapes_in_a_result_hide_nothing(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (Mask(),)
    _asks(portkey_provider)
    seen = go(agent(model, tools=[_tool(_json, stop_after_tool_call=True)]), form)
    assert seen.output.content == f'{{"found": "the {MASK}"}}'


class Bird(BaseModel):
    name: str
    count: int = 1


@pytest.mark.parametrize("schema", [None, Bird], ids=["text", "object"])
@pytest.mark.parametrize("form", FORMS)
def test_a_member_whose_answer_is_the_teams(
    form: str, schema: type[Bird] | None, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    """Route mode: the leader has guards, its member has none."""
    bare = dataclasses.replace(model)
    said: Any = Bird(name=WORD) if schema else f"It is {WORD}."
    for guard in (Whole(), Mask()):
        model.guards = (guard,)
        member = Agent(name="Scout", model=bare, output_schema=schema)
        team = Team(
            members=[member],
            model=model,
            mode=TeamMode.route,
            db=InMemoryDb(),
            store_events=True,  # type: ignore[no-untyped-call]
        )
        task = {"member_id": "scout", "task": "find it"}
        portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
        portkey_provider.reply(said)
        seen = go(team, form, "find it")
        assert seen.failed == (type(guard) is Whole)
        assert WORD not in seen.text
        if not seen.failed:
            assert MASK in str(seen.output.content)
            assert WORD not in str(seen.output.content)
            # Nor in the member's own run, as the team keeps it.
            kept = [run.content for run in seen.output.member_responses]
            assert schema is not None or WORD not in str(kept)


@pytest.mark.parametrize("form", STREAMED)
def test_an_object_that_can_not_be_rewritten_is_not_shown(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    class NoNumbers(Guard):
        rewrites = True

        def inspect(self, passage: Passage) -> Rewrite | None:
            return Rewrite("many") if passage.text == "12345" else None

    bare = dataclasses.replace(model)
    model.guards = (NoNumbers(on="output"),)
    member = Agent(name="Scout", model=bare, output_schema=Bird)
    team = Team(members=[member], model=model, mode=TeamMode.route)
    task = {"member_id": "scout", "task": "find it"}
    portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
    portkey_provider.reply(Bird(name="x", count=12345))
    seen = go(team, form, "find it")
    assert seen.failed
    with pytest.raises(OutputBlocked, match="NoNumbers can't tell"):
        raise_on_block(seen.last)


@pytest.mark.parametrize("form", FORMS)
def test_a_result_beside_others_that_are_not_shown(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    def other() -> str:
        """Look elsewhere."""
        return "nothing there"

    model.guards = (Mask(on="output"),)
    _asks(portkey_provider, "other", "find", "other")
    seen = go(agent(model, tools=[_tool(_text, stop_after_tool_call=True), other]), form)
    assert seen.output.content == f"Found the {MASK}."
    assert [each.result for each in seen.output.tools] == [
        "nothing there",
        f"Found the {MASK}.",
        "nothing there",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_why_it_was_blocked_is_stored(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (Whole(),)
    _asks(portkey_provider)
    asked = agent(model, tools=[_tool(_text, stop_after_tool_call=True)])
    assert go(asked, form).failed
    [session] = asked.db.get_sessions()
    with pytest.raises(OutputBlocked, match="a secret project is named"):
        raise_on_block(RunOutput.from_dict(session.runs[0].to_dict()))
