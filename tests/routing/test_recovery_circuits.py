"""Who keeps failing is left alone for a while, and who failed is told from who did not."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from recovering import TEXT, Make, Place, models_asked, two

from agno_portkey.errors import (
    CircuitOpen,
    ContentFiltered,
    ContextOverflow,
    GatewayUnauthorized,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.verdict import Event


@pytest.mark.parametrize("form", FORMS)
def test_a_circuit_opens_is_skipped_and_comes_back_by_a_probe(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    now = [0.0]
    heard: list[Event] = []
    circuits = Circuits(CircuitBreaker(failure_threshold=2, cooldown=30), clock=lambda: now[0])
    model = through(two(target), breaker=circuits, observers=[lambda event: heard.append(event)])
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    for _ in range(4):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert models_asked(portkey_provider) == [*["first", "second"] * 2, "second", "second"]
    [(key, state)] = circuits.states().items()
    assert (state.state, key.startswith("openai/first#")) == ("open", True)

    portkey_provider.clear_faults()
    now[0] = 30.0
    for _ in range(2):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert models_asked(portkey_provider)[6:] == ["first", "first"]
    changes = [event.data for event in heard if event.kind == "circuit"]
    assert [(each["before"], each["state"]) for each in changes] == [
        ("closed", "open"),
        ("half_open", "closed"),
    ]
    assert "503" in changes[0]["reason"]


@pytest.mark.parametrize("form", FORMS)
def test_when_all_circuits_are_open_nobody_is_asked_and_it_says_so(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    model = through(two(target), breaker=CircuitBreaker(failure_threshold=2))
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    asked = len(portkey_provider.calls)
    with pytest.raises(CircuitOpen, match=r"openai/first: UpstreamFailed 503.*openai/second"):
        ask(model, form)
    ended = play(Agent(model=model), form)
    assert (ended.status, "none was asked" in ended.content) == (RunStatus.error, True)
    assert len(portkey_provider.calls) == asked == 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "fault",
    [Fault.status(429), Fault.status(500), Fault.reset(), Fault.silence(), Fault.html()],
    ids=["429", "500", "reset", "silence", "html"],
)
def test_what_counts_against_a_target(
    fault: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault, times=None, model="first")
    circuits = Circuits(CircuitBreaker(failure_threshold=1))
    assert play(Agent(model=through(two(target), breaker=circuits)), form).content == "You said: Hi"
    assert [state.state for state in circuits.states().values()] == ["open"]


def test_a_key_that_was_never_sent_does_not_count() -> None:
    circuits = Circuits(CircuitBreaker(failure_threshold=1))
    model = PortkeyModel("@openai-prod/gpt-4o", breaker=circuits)
    for _ in range(2):
        with pytest.raises(GatewayUnauthorized, match="set PORTKEY_API_KEY"):
            ask(model, "run")
    assert circuits.states() == {}


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("fault", [Fault.cut(), Fault.stall()], ids=["cut", "stall"])
def test_a_stream_that_breaks_counts_against_its_target(
    fault: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, TEXT)
    portkey_provider.fault(fault, times=None, model="first")
    model = through(two(target), breaker=CircuitBreaker(failure_threshold=1))
    assert play(Agent(model=model), form).status == RunStatus.error
    assert play(Agent(model=model), form).content == TEXT
    assert models_asked(portkey_provider) == ["first", "second"]


def test_what_is_the_callers_fault_does_not_count(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    circuits = Circuits(CircuitBreaker(failure_threshold=1))
    model = through(target("first"), breaker=circuits)
    faults = (
        Fault.status(400),
        Fault.status(422),
        Fault.content_filter(),
        Fault.context_overflow(),
    )
    for fault in faults:
        portkey_provider.fault(fault)
        with pytest.raises((UpstreamFailed, ContentFiltered, ContextOverflow)):
            ask(model, "run")
    assert circuits.states() == {}
    portkey_provider.fault(Fault.status(401))
    with pytest.raises(GatewayUnauthorized):
        ask(model, "run")
    assert [state.state for state in circuits.states().values()] == ["open"]


def test_a_gateway_that_is_down_is_no_targets_fault(target: Place, closed_port: int) -> None:
    circuits = Circuits(CircuitBreaker(failure_threshold=1))
    model = PortkeyModel(
        base_url=f"http://127.0.0.1:{closed_port}/v1",
        config=two(target),
        breaker=circuits,
        recovery=Recovery(attempts=2, wait=0.01),
    )
    ended = play(Agent(model=model), "run")
    assert "nothing answers at" in ended.content
    assert circuits.states() == {}


@pytest.fixture
def closed_port() -> Any:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("form", FORMS)
def test_one_probe_at_a_time_and_a_caller_who_leaves_gives_it_back(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    now = [0.0]
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=5), clock=lambda: now[0])
    model = through(two(target), breaker=circuits)
    portkey_provider.fault(Fault.status(503), model="first")
    ask(model, form)
    now[0] = 5.0
    [key] = circuits.states()
    claim = circuits.claim(key)
    assert claim is not None
    ask(model, form)
    assert models_asked(portkey_provider)[2:] == ["second"]
    circuits.release(claim)
    # A refusal is no verdict on the target either: the next may probe.
    portkey_provider.fault(Fault.content_filter(), model="first")
    with pytest.raises(ContentFiltered):
        ask(model, form)
    ask(model, form)
    assert models_asked(portkey_provider)[3:] == ["first", "first"]
    assert circuits.states()[key].state == "closed"
