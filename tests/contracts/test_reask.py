"""An answer that does not fit is asked for again, with its errors, within bounds."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.metrics import MessageMetrics
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from verses import GOOD, WRONG, Verse

from agno_portkey.calls import Call
from agno_portkey.contracts import Contract, Problem, Repair
from agno_portkey.contracts.repair import Attempt, Ladder
from agno_portkey.contracts.schemas import Schema
from agno_portkey.errors import ConfigurationError, ContractError, GatewayError
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall, Usage
from agno_portkey.verdict import Event, Verdict


@pytest.fixture
def heard(portkey_model: PortkeyModel) -> list[Event]:
    """What observers hear of contracts."""
    told: list[Event] = []
    portkey_model.observers = [lambda event: told.append(event) if event.kind == "contract" else 0]
    return told


@pytest.mark.parametrize("form", FORMS)
def test_the_model_hears_what_was_wrong_and_answers_again(
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    heard: list[Event],
) -> None:
    portkey_provider.reply(Reply(WRONG, usage=Usage(10, 5), chunk_size=4))
    portkey_provider.reply(Reply(GOOD.model_dump_json(), usage=Usage(30, 6), chunk_size=4))

    ended = play(Agent(name="Poet", model=portkey_model, output_schema=Verse), form)

    assert (ended.status, ended.content) == (RunStatus.completed, GOOD)
    first, second = portkey_provider.calls
    assert second.messages[: len(first.messages)] == first.messages
    said, asked = second.messages[len(first.messages) :]
    assert said == {"role": "assistant", "content": WRONG}
    assert asked["role"] == "user"
    assert "lines: input should be greater than or equal to 1 (you gave 0)" in asked["content"]
    (event,) = heard
    assert event.verdict is not None
    assert event.verdict.passed
    figures = ("rung", "attempts", "tokens", "failed_tokens")
    assert {name: event.data[name] for name in figures} == {
        "rung": "reask",
        "attempts": 2,
        "tokens": 36,
        "failed_tokens": 15,
    }
    assert event.role == "Poet"


@pytest.mark.parametrize("form", FORMS)
def test_nothing_of_a_rejected_answer_is_shown_or_stored(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply('{"text": "rejected", "lines": 0}', chunk_size=3))
    portkey_provider.reply(GOOD)
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert ended.shown in ((), [GOOD])
    assert ended.output is not None
    assert "rejected" not in json.dumps(ended.output.to_dict(), default=str)
    assert [m.role for m in ended.output.messages or []] == ["user", "assistant"]


@pytest.mark.parametrize("form", FORMS)
def test_the_run_counts_the_tokens_of_all_attempts(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(WRONG, usage=Usage(10, 5)))
    portkey_provider.reply(Reply(GOOD.model_dump_json(), usage=Usage(30, 6)))
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert ended.output is not None
    assert ended.output.metrics is not None
    assert (ended.output.metrics.input_tokens, ended.output.metrics.output_tokens) == (40, 11)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reasks", [0, 1, 3])
def test_it_ends_with_every_attempt_when_asking_does_not_help(
    form: str,
    reasks: int,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    heard: list[Event],
) -> None:
    portkey_provider.when(lambda request: True, Reply(WRONG, usage=Usage(10, 5)))
    portkey_model.repair = Repair(reasks=reasks)

    with pytest.raises(ContractError) as caught:
        ask(portkey_model, form, response_format=Verse)

    assert len(portkey_provider.calls) == reasks + 1
    attempts = caught.value.verdict.evidence["attempts"]
    assert [attempt["tokens"] for attempt in attempts] == [15] * (reasks + 1)
    assert attempts[0]["problems"] == ["lines: Input should be greater than or equal to 1"]
    (event,) = heard
    assert event.verdict is not None
    assert not event.verdict.passed
    assert (event.data["attempts"], event.data["failed_tokens"]) == (reasks + 1, 15 * (reasks + 1))


def test_each_reask_tells_of_the_last_answer_alone(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(WRONG)
    portkey_provider.reply('{"text": null, "lines": 1}')
    portkey_provider.reply(GOOD)
    assert play(Agent(model=portkey_model, output_schema=Verse), "run").content == GOOD
    third = portkey_provider.calls[2].messages
    assert [message["role"] for message in third] == ["user", "assistant", "user"]
    assert "text: input should be a valid string (you gave null)" in third[2]["content"]
    assert "lines" not in third[2]["content"]


def test_an_empty_answer_is_asked_for_again(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply("")
    portkey_provider.reply(GOOD)
    assert play(Agent(model=portkey_model, output_schema=Verse), "run").content == GOOD
    # Some providers refuse an assistant message without content.
    assert [m["role"] for m in portkey_provider.calls[1].messages] == ["user", "user"]


def test_a_flood_is_not_sent_back_whole(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(json.dumps({"text": "x" * 200_000, "lines": 0}))
    portkey_provider.reply(GOOD)
    assert play(Agent(model=portkey_model, output_schema=Verse), "run").content == GOOD
    assert len(json.dumps(portkey_provider.calls[1].messages)) < 30_000


@pytest.mark.parametrize("form", FORMS)
def test_what_calls_a_tool_when_asked_again_is_no_answer_yet(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def look() -> str:
        """Look."""
        return "two lines"

    portkey_provider.reply(WRONG)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("look"),)))
    portkey_provider.reply(GOOD)
    ended = play(Agent(model=portkey_model, output_schema=Verse, tools=[look]), form)
    assert ended.content == GOOD
    # The host's own call begins anew: what was wrong before is no part of the run.
    assert [m["role"] for m in portkey_provider.calls[2].messages] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("form", FORMS)
def test_a_reask_is_guarded_like_every_call(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (PIIGuardrail(mode="pseudonymize", entities=["EMAIL_ADDRESS"]),)
    portkey_provider.reply(lambda request: json.dumps({"text": _word(request), "lines": 0}))
    portkey_provider.reply(lambda request: json.dumps({"text": _word(request), "lines": 1}))
    agent = Agent(model=portkey_model, output_schema=Verse)
    ended = play(agent, form, "Write to anna@example.org", session_id="s", user_id="u")
    assert ended.content == Verse(text="anna@example.org", lines=1)
    assert "anna@" not in json.dumps([call.messages for call in portkey_provider.calls])


def _word(request: Any) -> str:
    """The placeholder in the user's words."""
    return str(request.messages[0]["content"].split()[-1])


@pytest.mark.parametrize("form", FORMS)
def test_a_model_that_refuses_is_not_asked_again(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, Reply(refusal="I would rather not say bluebird."))
    with pytest.raises(ContractError, match="the model refuses to answer") as caught:
        ask(portkey_model, form, response_format=Verse)
    assert len(portkey_provider.calls) == 1
    # Its words are in no field that guards look at.
    assert "bluebird" not in str(caught.value.verdict.as_dict())


class Order(BaseModel):
    """All kinds of fields, and of what may be wrong with them."""

    item: str
    count: int
    price: float
    express: bool
    kind: Literal["tea", "coffee"]
    notes: list[str]
    to: dict[str, int]


ORDER = {
    "item": "tea",
    "count": 1,
    "price": 2.5,
    "express": True,
    "kind": "tea",
    "notes": ["hot"],
    "to": {"a": 1},
}
WRONG_ORDERS: list[dict[str, Any]] = [
    {},
    *({k: v for k, v in ORDER.items() if k != name} for name in ORDER),
    *({**ORDER, name: None} for name in ORDER),
    {**ORDER, "kind": "water", "count": 1.5, "price": "much", "notes": {"a": []}},
]


@pytest.mark.parametrize("mode", ["mask", "pseudonymize", "block"])
def test_our_own_words_are_nobodys_data(
    mode: Any, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (PIIGuardrail(mode=mode),)
    agent = Agent(model=portkey_model, output_schema=Order)
    for number, order in enumerate([*WRONG_ORDERS, "", "Here you are."]):
        portkey_provider.reset()
        portkey_provider.reply(order if isinstance(order, str) else json.dumps(order))
        portkey_provider.reply(json.dumps(ORDER))
        ended = play(agent, "run", "Order tea", session_id=f"{mode} {number}", user_id="u")
        assert (ended.status, ended.content) == (RunStatus.completed, Order(**ORDER)), order
        asked = portkey_provider.calls[1].messages[-1]["content"]
        assert "<" not in asked, asked


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_is_refused_counts_its_tokens(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, Reply(WRONG, usage=Usage(10, 5), chunk_size=3))
    agent = Agent(model=portkey_model, output_schema=Verse, db=InMemoryDb())
    assert play(agent, form, session_id="s").status == RunStatus.error
    session: Any = agent.get_session(session_id="s")
    metrics = session.runs[0].metrics
    assert (metrics.input_tokens, metrics.output_tokens) == (30, 15)
    (details,) = metrics.details["model"]
    assert (details.id, details.input_tokens) == ("gpt-4o-mini", 30)


# Bounds


@pytest.mark.parametrize(
    ("repair", "calls"),
    [
        (Repair(reasks=5, tokens=40), 3),
        (Repair(reasks=5, tokens=15), 1),
        (Repair(reasks=5, tokens=16), 2),
        (Repair(reasks=5, seconds=1e-9), 1),
    ],
)
def test_nobody_is_asked_beyond_the_bounds(
    repair: Repair, calls: int, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, Reply(WRONG, usage=Usage(10, 5)))
    portkey_model.repair = repair
    with pytest.raises(ContractError):
        ask(portkey_model, "run", response_format=Verse)
    assert len(portkey_provider.calls) == calls


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"reasks": -1}, "Repair.reasks"),
        ({"reasks": True}, "Repair.reasks"),
        ({"reasks": "2"}, "Repair.reasks"),
        ({"reasks": 11}, "Repair.reasks"),
        ({"seconds": 0}, "Repair.seconds"),
        ({"seconds": float("nan")}, "Repair.seconds"),
        ({"tokens": 0}, "Repair.tokens"),
        ({"cost": -1.0}, "Repair.cost"),
        ({"stronger": ""}, "Repair.stronger"),
        ({"retries": 1}, "Repair.retries: no such field"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Repair(**given_)


# Where asking again fails


@pytest.mark.parametrize("form", FORMS)
def test_an_outage_while_asking_again_ends_in_the_contracts_error(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def outage(request: Any) -> str:
        portkey_provider.fault(Fault.status(400), times=None)
        return WRONG

    portkey_provider.when(lambda request: True, outage)
    with pytest.raises(ContractError) as caught:
        ask(portkey_model, form, response_format=Verse)
    attempts = caught.value.verdict.evidence["attempts"]
    assert attempts[0]["problems"] == ["lines: Input should be greater than or equal to 1"]
    assert all("400" in attempt["problems"][0] for attempt in attempts[1:])


@pytest.mark.parametrize("form", FORMS)
def test_an_outage_of_the_first_call_is_no_matter_of_contracts(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.fault(Fault.status(400), times=None)
    with pytest.raises(GatewayError):
        ask(portkey_model, form, response_format=Verse)
    assert len(portkey_provider.calls) == 1


@given(reasks=st.integers(0, 10), bad=st.integers(0, 12))
def test_the_number_of_calls_is_that_of_broken_answers_up_to_the_bound(
    reasks: int, bad: int
) -> None:
    ladder = Ladder(Repair(reasks=reasks), Schema(Verse))
    call = Call([Message(role="user", content="Hi")], Message(role="assistant"))
    error = ContractError(Verdict(False, "contract Verse", ("lines: no",)))
    calls = 1
    for _ in range(bad):
        failed = Attempt("{}", (Problem(("lines",), "no", 0),))
        if ladder.again(call, failed, error) is None:
            break
        calls += 1
    assert calls == min(reasks, bad) + 1


@pytest.mark.parametrize(("cost", "asked"), [(0.03, True), (0.02, False), (None, True)])
def test_nobody_is_asked_beyond_the_cost(cost: float | None, asked: bool) -> None:
    """In dollars, as far as providers report them."""
    ladder = Ladder(Repair(cost=cost), Schema(Verse))
    call = Call([Message(role="user", content="Hi")], Message(role="assistant"))
    error = ContractError(Verdict(False, "contract Verse", ("lines: no",)))
    problems = (Problem(("lines",), "no", 0),)
    assert ladder.again(call, Attempt("{}", problems, MessageMetrics()), error) is not None
    again = ladder.again(call, Attempt("{}", problems, MessageMetrics(cost=0.02)), error)
    assert (again is not None) is asked


# Where it is said


def test_a_contracts_own_repair_goes_before_the_models(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, WRONG)
    portkey_model.repair = Repair(reasks=4)
    portkey_model.contracts = (Contract(Verse, repair=Repair(reasks=1)),)
    with pytest.raises(ContractError):
        ask(portkey_model, "run", response_format=Verse)
    assert len(portkey_provider.calls) == 2
