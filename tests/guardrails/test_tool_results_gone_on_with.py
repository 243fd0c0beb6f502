"""Results of runs that go on, and of calls without a run; and what stands between at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agno.models.message import Message
from agno.tools.function import Function, FunctionCall
from four_forms import STREAMED
from gathered import MASK, WORD, Mask, Whole, agent
from shown_tools import asks, find_tool, found_text

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Guard
from agno_portkey.guardrails.showing import Showing
from agno_portkey.guardrails.tool_results import shown
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture
def model(portkey_model: PortkeyModel) -> PortkeyModel:
    return portkey_model


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("made", [Mask, Whole])
def test_a_tool_that_somebody_confirmed(
    made: type[Guard], form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    model.guards = (made(on="input"),)
    asks(portkey_provider)
    portkey_provider.reply("It was found.")
    asked = agent(model, tools=[find_tool(found_text, requires_confirmation=True)])
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
    find = Function.from_callable(found_text, name="find")
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
    asks(portkey_provider)
    with pytest.raises(InputBlocked):
        _asked_directly(model, form)
    model.guards = (Mask(),)
    portkey_provider.reset()
    asks(portkey_provider)
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
