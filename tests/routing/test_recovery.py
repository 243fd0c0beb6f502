"""A call that fails is asked again where that helps, nowhere else, and not too often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from pydantic import BaseModel

from agno_portkey.errors import (
    CircuitOpen,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    GatewayConfigRejected,
    GatewayDeniedOutput,
    GatewayRateLimited,
    GatewayTimeout,
    GatewayUnauthorized,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.config.parts import GatewayCheck, Guardrail, Timeout
from agno_portkey.routing.config.query import metadata
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Target,
    When,
)
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall, Usage
from agno_portkey.verdict import Event

TEXT = "one two three four five six seven eight nine ten"

Make = Callable[..., PortkeyModel]
Place = Callable[..., Target]


def _models(provider: EmbeddedProvider) -> list[str | None]:
    return [request.model for request in provider.calls]


def _two(target: Place, **more: Any) -> Fallback:
    return Fallback(targets=[target("first"), target("second")], **more)


# Whom to ask next


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.status(status), id=str(status))
        for status in (401, 403, 404, 408, 409, 429, 500, 502, 503, 529)
    ]
    + [
        pytest.param(Fault.reset(), id="reset"),
        pytest.param(Fault.html(), id="html"),
        pytest.param(Fault.no_choices(), id="no choices"),
    ],
)
def test_the_next_target_answers_at_once(
    fault: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault, times=None, model="first")
    ended = play(Agent(model=through(_two(target), recovery=Recovery(wait=60, max_wait=60))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, "You said: Hi")
    assert _models(portkey_provider) == ["first", "second"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [400, 405, 413, 422])
def test_what_would_fail_anywhere_is_asked_once(
    status: int, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(status), times=None)
    with pytest.raises(UpstreamFailed, match=str(status)):
        ask(through(_two(target)), form)
    assert _models(portkey_provider) == ["first"]


@pytest.mark.parametrize("form", FORMS)
def test_a_policys_refusal_is_not_taken_to_another_provider(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.content_filter(), times=None)
    model = through(_two(target, on_status_codes=[400]))
    with pytest.raises(ContentFiltered, match="refused by the provider's content filter"):
        ask(model, form)
    assert _models(portkey_provider) == ["first"]


@pytest.mark.parametrize(
    "error",
    [
        {"code": "ResponsibleAIPolicyViolation"},
        {"code": "content_policy_violation"},
        {"code": 403, "metadata": {"flagged_input": "..."}},
        {"innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_refusal_is_told_by_its_code_whatever_the_status(
    status: int, error: dict[str, Any], portkey_provider: EmbeddedProvider
) -> None:
    import httpx
    import openai

    from agno_portkey.routing.failures import explain

    response = httpx.Response(
        status,
        json={"error": {"message": "no", **error}},
        request=httpx.Request("POST", "http://x"),
    )
    raised = openai.APIStatusError("no", response=response, body=None)
    assert type(explain(raised, model_id="m", base_url="u")) is ContentFiltered


@pytest.mark.parametrize("form", FORMS)
def test_a_fallback_falls_on_the_statuses_it_lists_and_on_no_others(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    model = through(_two(target, on_status_codes=[422]))
    portkey_provider.fault(Fault.status(422), model="first")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["first", "second"]

    portkey_provider.fault(Fault.status(503), model="first")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider)[2:] == ["first", "first"]


@pytest.mark.parametrize("form", FORMS)
def test_an_overflow_goes_to_another_model_and_not_to_one_known_to_be_smaller(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.context_overflow(), times=None, model="first")
    route = Fallback(
        targets=[
            target("first", context_window=8_000, name="a"),
            target("first", name="b"),
            target("small", context_window=4_000),
            target("large", context_window=100_000),
        ]
    )
    assert play(Agent(model=through(route)), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["first", "large"]

    portkey_provider.fault(Fault.context_overflow(), times=None, model="large")
    with pytest.raises(ContextOverflow):
        ask(through(route), form)


@pytest.mark.parametrize("form", FORMS)
def test_who_is_silent_is_left_and_not_asked_again(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), times=None, model="first")
    portkey_provider.fault(Fault.status(500), times=1, model="second")
    assert play(Agent(model=through(_two(target))), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["first", "second", "second"]


@pytest.mark.parametrize("form", FORMS)
def test_a_lone_target_that_is_silent_is_a_timeout(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), times=None)
    with pytest.raises(GatewayTimeout):
        ask(through(target("first")), form)
    assert _models(portkey_provider) == ["first"]


@pytest.mark.parametrize("form", STREAMED)
def test_who_has_nobody_else_to_ask_waits_longer_for_the_first_token(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.slow_first_token(0.6), times=None, model="first")
    recovery = Recovery(first_token_timeout=0.2, answer_timeout=10)
    assert (
        play(Agent(model=through(target("first"), recovery=recovery)), form).content
        == "You said: Hi"
    )
    assert _models(portkey_provider) == ["first"]
    assert (
        play(Agent(model=through(_two(target), recovery=recovery)), form).content == "You said: Hi"
    )
    assert _models(portkey_provider) == ["first", "first", "second"]
    # A limit of the target's own holds in any case.
    lone = target("first", timeout=Timeout(first_token=0.2))
    with pytest.raises(GatewayTimeout):
        ask(through(lone, recovery=recovery), form)


@pytest.mark.parametrize("form", FORMS)
def test_a_balanced_target_that_fails_is_replaced_by_the_others(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    route = LoadBalance(targets=[target("first", weight=0.999), target("second", weight=0.001)])
    portkey_provider.fault(Fault.silence(), times=None, model="first")
    model = through(route)
    for _ in range(3):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert set(_models(portkey_provider)) == {"first", "second"}


@pytest.mark.parametrize("form", FORMS)
def test_a_condition_is_not_bent_by_a_failure(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    route = Conditional(
        conditions=[When(query=metadata("region") == "eu", then="eu")],
        default="us",
        targets=[
            Fallback(name="eu", targets=[target("eu-1"), target("eu-2")]),
            target("us", name="us"),
        ],
    )
    model = through(route, tags={"region": "eu"}, breaker=CircuitBreaker(failure_threshold=2))
    portkey_provider.fault(Fault.status(503), times=None, model="eu-1")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["eu-1", "eu-2"]

    portkey_provider.fault(Fault.status(503), times=None, model="eu-2")
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    assert "us" not in _models(portkey_provider)
    # With both circuits open the gateway finds no target for the condition, and asks nobody.
    asked = len(portkey_provider.calls)
    for _ in range(3):
        with pytest.raises((CircuitOpen, UpstreamFailed)):
            ask(model, form)
    settled = len(portkey_provider.calls)
    with pytest.raises(CircuitOpen, match="eu"):
        ask(model, form)
    assert len(portkey_provider.calls) == settled
    assert settled - asked <= 2
    assert "us" not in _models(portkey_provider)


@pytest.mark.parametrize("form", FORMS)
def test_a_condition_whose_branch_is_open_leaves_the_call_to_the_fallback_above_it(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    route = Fallback(
        targets=[
            Conditional(
                conditions=[When(query=metadata("region") == "eu", then="eu")],
                default="us",
                targets=[target("eu", name="eu"), target("us", name="us")],
            ),
            target("spare"),
        ]
    )
    breaker = CircuitBreaker(failure_threshold=1)
    model = through(route, tags={"region": "eu"}, breaker=breaker)
    portkey_provider.fault(Fault.status(503), times=None, model="eu")
    first = play(Agent(model=model), form)
    assert first.output is not None
    # No request is spent on finding out that the other branch is not this call's.
    assert (first.output.model_provider_data or {})["portkey"]["attempts"] == 2
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["eu", "spare", "spare"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", [Fault.silence(), Fault.slow_first_token(5)])
def test_behind_a_condition_too_it_is_known_who_was_silent(
    fault: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    route = Conditional(
        conditions=[When(query=metadata("region") == "eu", then="eu")],
        default="us",
        targets=[
            Fallback(name="eu", targets=[target("eu-1"), target("eu-2")]),
            Fallback(name="us", targets=[target("us-1"), target("us-2")]),
        ],
    )
    circuits = Circuits()
    portkey_provider.fault(fault, times=None, model="us-1")
    assert play(Agent(model=through(route, breaker=circuits)), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["us-1", "us-2"]
    [key] = circuits.states()
    assert key.startswith("openai/us-1#")


# How often, and how long to wait


@pytest.mark.parametrize("form", FORMS)
def test_the_attempts_are_counted_over_all_targets(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    route = Fallback(targets=[target(f"m{number}") for number in range(3)])
    ended = play(Agent(model=through(route, recovery=Recovery(attempts=4, wait=0.01))), form)
    assert ended.status == RunStatus.error
    assert _models(portkey_provider) == ["m0", "m1", "m2", "m0"]


def test_no_call_makes_more_than_four_attempts_in_three_seconds(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None)
    route = Fallback(targets=[target(f"m{number}") for number in range(6)])
    with pytest.raises(UpstreamFailed):
        ask(through(route, recovery=Recovery(attempts=6, wait=0.01)), "run")
    at = [request.at for request in portkey_provider.calls]
    assert len(at) == 6
    assert all(later - earlier >= 3 for earlier, later in zip(at, at[4:], strict=False))


@pytest.mark.parametrize("form", FORMS)
def test_retry_after_is_waited_for(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=0.5))
    assert play(Agent(model=through(target("first"))), form).content == "You said: Hi"
    first, second = (request.at for request in portkey_provider.calls)
    assert second - first >= 0.5


@pytest.mark.parametrize("form", FORMS)
def test_a_retry_after_beyond_the_longest_wait_ends_the_call_with_it(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=60), times=None)
    with pytest.raises(GatewayRateLimited) as caught:
        ask(through(target("first")), form)
    assert caught.value.retry_after == 60
    assert _models(portkey_provider) == ["first"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_each_of_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    import httpx
    import openai

    from agno_portkey.routing.failures import explain

    response = httpx.Response(429, headers=headers, request=httpx.Request("POST", "http://x"))
    raised = openai.APIStatusError("no", response=response, body=None)
    error = explain(raised, model_id="m", base_url="u")
    assert isinstance(error, GatewayRateLimited)
    assert error.retry_after == seconds


def test_no_attempt_begins_after_the_budget(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    with pytest.raises(UpstreamFailed):
        ask(through(target("first"), recovery=Recovery(wait=1.0, budget=0.5)), "run")
    assert len(portkey_provider.calls) == 1


def test_a_model_without_a_typed_route_is_retried_as_well(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=1)
    assert ask(portkey_model, "run")[0].content == "You said: Hi"
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize("form", FORMS)
def test_where_the_gateway_retries_the_client_does_not(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    from agno_portkey.routing.config.parts import Retry

    retry = Retry(attempts=1, on_status_codes=[503])
    route = Fallback(targets=[target("first", retry=retry), target("second")])
    with pytest.raises(ConfigurationError, match="retry"):
        through(route)
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    model = through(route, recovery=None, retries="gateway")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider) == ["first", "first", "second"]

    portkey_provider.fault(Fault.status(503), times=None, model="second")
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    assert _models(portkey_provider)[3:] == ["first", "first", "second"]


def test_a_hosted_config_retries_at_portkey_unless_the_client_is_told_to(
    portkey_provider: EmbeddedProvider,
) -> None:
    # The provider stands in for hosted Portkey: it answers whatever the headers say.
    portkey_provider.fault(Fault.status(503), times=None)
    hosted = {"base_url": portkey_provider.url, "profile": "hosted", "config": "pc-1"}
    with pytest.raises(UpstreamFailed):
        ask(PortkeyModel(**hosted), "run")
    assert len(portkey_provider.calls) == 1
    with pytest.raises(UpstreamFailed):
        ask(PortkeyModel(**hosted, recovery=Recovery(attempts=2, wait=0.01)), "run")
    assert len(portkey_provider.calls) == 3


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"attempts": 7}, "Recovery.attempts"),
        ({"attempts": 0}, "Recovery.attempts"),
        ({"budget": 0}, "Recovery.budget"),
        ({"by": "both"}, "Recovery.by"),
        ({"tries": 3}, "Recovery.tries"),
    ],
)
def test_wrong_settings_are_refused_by_their_names(values: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        Recovery(**values)


# Circuits


@pytest.mark.parametrize("form", FORMS)
def test_a_circuit_opens_is_skipped_and_comes_back_by_a_probe(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    now = [0.0]
    heard: list[Event] = []
    circuits = Circuits(CircuitBreaker(failure_threshold=2, cooldown=30), clock=lambda: now[0])
    model = through(_two(target), breaker=circuits, observers=[lambda event: heard.append(event)])
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    for _ in range(4):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider) == [*["first", "second"] * 2, "second", "second"]
    [(key, state)] = circuits.states().items()
    assert (state.state, key.startswith("openai/first#")) == ("open", True)

    portkey_provider.clear_faults()
    now[0] = 30.0
    for _ in range(2):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert _models(portkey_provider)[6:] == ["first", "first"]
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
    model = through(_two(target), breaker=CircuitBreaker(failure_threshold=2))
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
    assert (
        play(Agent(model=through(_two(target), breaker=circuits)), form).content == "You said: Hi"
    )
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
    model = through(_two(target), breaker=CircuitBreaker(failure_threshold=1))
    assert play(Agent(model=model), form).status == RunStatus.error
    assert play(Agent(model=model), form).content == TEXT
    assert _models(portkey_provider) == ["first", "second"]


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
        config=_two(target),
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
    model = through(_two(target), breaker=circuits)
    portkey_provider.fault(Fault.status(503), model="first")
    ask(model, form)
    now[0] = 5.0
    [key] = circuits.states()
    claim = circuits.claim(key)
    assert claim is not None
    ask(model, form)
    assert _models(portkey_provider)[2:] == ["second"]
    circuits.release(claim)
    # A refusal is no verdict on the target either: the next may probe.
    portkey_provider.fault(Fault.content_filter(), model="first")
    with pytest.raises(ContentFiltered):
        ask(model, form)
    ask(model, form)
    assert _models(portkey_provider)[3:] == ["first", "first"]
    assert circuits.states()[key].state == "closed"


# Streams


def _continues(request: Request) -> str:
    """The rest of the text after what the request ends with, as a provider with prefill does."""
    last = request.messages[-1]
    begun = last["content"] if last["role"] == "assistant" else ""
    assert TEXT.startswith(begun)
    return TEXT[len(begun) :]


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("after", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 3, None], ids=["letters", "threes", "words"])
@pytest.mark.parametrize("kind", ["cut", "stall", "malformed_chunk", "error_chunk"])
def test_a_broken_stream_is_continued_where_it_broke(
    kind: str,
    size: int | None,
    after: float,
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
) -> None:
    def reply(request: Request) -> Reply:
        return Reply(_continues(request), chunk_size=size)

    portkey_provider.when(lambda request: True, reply)
    portkey_provider.fault(getattr(Fault, kind)(after), model="first")
    route = Fallback(targets=[target("first"), target("no"), target("second", prefill=True)])
    ended = play(Agent(model=through(route)), form)
    assert (ended.status, ended.content, ended.text_shown) == (RunStatus.completed, TEXT, TEXT)
    assert _models(portkey_provider) == ["first", "second"]
    last = portkey_provider.calls[-1].messages[-1]
    assert last["role"] == "assistant"
    assert last["content"] == last["content"].rstrip()


@pytest.mark.parametrize("form", STREAMED)
def test_a_target_that_starts_over_is_not_shown(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, TEXT)
    portkey_provider.fault(Fault.cut(), model="first")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    ended = play(Agent(model=through(route)), form)
    assert ended.status == RunStatus.error
    assert TEXT.startswith(ended.text_shown)
    assert "began the answer anew" in ended.content
    assert ended.errors[0].additional_data["verdict"]["evidence"]["partial"] == ended.text_shown


@pytest.mark.parametrize("form", STREAMED)
def test_the_partial_text_is_there_for_who_asks_again(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(503), times=1, model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    model = through(route, recovery=Recovery(attempts=2, wait=0.01))

    def run(user: str) -> Any:
        return play(Agent(model=model), form, session_id="s", user_id=user)

    broken = run("ann")
    assert broken.status == RunStatus.error
    asked = len(portkey_provider.calls)
    # Nobody else is given ann's text.
    assert run("bob").content == TEXT
    assert portkey_provider.calls[asked].messages[-1]["role"] == "user"
    again = run("ann")
    assert (again.status, again.content, again.text_shown) == (RunStatus.completed, TEXT, TEXT)
    begun = portkey_provider.calls[-1].messages[-1]
    assert (begun["role"], begun["content"]) == ("assistant", broken.text_shown.rstrip())
    # Once only.
    assert run("ann").content == TEXT
    assert portkey_provider.calls[-1].messages[-1]["role"] == "user"


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    "later",
    [Fault.status(400), Fault.status(503), Fault.cut(0.0)],
    ids=["refused", "down", "cut at once"],
)
def test_a_partial_text_that_nobody_goes_on_with_is_no_burden(
    later: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(503), times=3, model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    model = through(route)
    ids = {"session_id": "s", "user_id": "ann"}
    assert play(Agent(model=model), form, **ids).status == RunStatus.error
    portkey_provider.clear_faults()
    portkey_provider.fault(later, times=None, model="second")
    for _ in range(2):
        ended = play(Agent(model=model), form, **ids)
        assert (ended.status, ended.content, ended.text_shown) == (RunStatus.completed, TEXT, TEXT)


@pytest.mark.parametrize("form", STREAMED)
def test_who_refused_to_continue_is_not_asked_to_again(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    def reply(request: Request) -> str | Fault:
        return Fault.status(400) if request.messages[-1]["role"] == "assistant" else TEXT

    portkey_provider.when(lambda request: True, reply)
    portkey_provider.fault(Fault.cut(), model="first")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    model = through(route)
    broken = play(Agent(model=model), form, user_id="ann")
    assert broken.status == RunStatus.error
    assert "second UpstreamFailed 400" in broken.content
    assert play(Agent(model=model), form, user_id="ann").content == TEXT
    # Whole answers it still gives.
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    assert play(Agent(model=model), form, user_id="ann").content == TEXT


class Answer(BaseModel):
    """What is asked for."""

    text: str


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("fault", [Fault.cut(), Fault.stall(), Fault.malformed_chunk()])
def test_a_structured_output_is_begun_anew(
    fault: Fault, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Answer(text=TEXT))
    portkey_provider.fault(fault, model="first")
    ended = play(Agent(model=through(_two(target)), output_schema=Answer), form)
    assert (ended.status, ended.content) == (RunStatus.completed, Answer(text=TEXT))
    assert _models(portkey_provider) == ["first", "second"]


@pytest.mark.parametrize("form", STREAMED)
def test_a_tool_call_is_begun_anew_and_made_once(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    made: list[str] = []

    def deploy(place: str) -> str:
        """Deploy."""
        made.append(place)
        return "done"

    call = Reply(tool_calls=[ToolCall("deploy", {"place": "staging, and nowhere else"})])
    portkey_provider.when(lambda request: not request.tool_results, call)
    portkey_provider.fault(Fault.cut(0.7), model="first")
    ended = play(Agent(model=through(_two(target)), tools=[deploy]), form)
    assert ended.status == RunStatus.completed
    assert made == ["staging, and nowhere else"]
    assert _models(portkey_provider) == ["first", "second", "first"]


@pytest.mark.parametrize("form", STREAMED)
def test_thoughts_that_were_shown_are_not_thought_twice(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply(TEXT, reasoning="Let me see."))
    # The first event opens the message, the second is the thought.
    portkey_provider.fault(Fault.cut(2 / 12), model="first")
    ended = play(Agent(model=through(_two(target))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)
    assert ended.output is not None
    assert ended.output.reasoning_content == "Let me see."
    assert _models(portkey_provider) == ["first", "second"]


def test_an_answer_at_its_length_limit_is_warned_of(
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    portkey_provider.reply(Reply(TEXT, finish_reason="length"))
    assert ask(through(target("first")), "run")[0].content == TEXT
    assert "the answer of first ends at its length limit: raise max_tokens" in caplog.text


def test_the_gateways_short_answers_of_together_are_warned_of(
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = {"provider": "together-ai", "custom_host": portkey_provider.host}
    there = target("llama", **place)
    through(there, max_tokens=1000)
    through(target("llama", override_params={"max_tokens": 9}, **place))
    assert caplog.text == ""
    through(there)
    assert "together-ai/llama: without max_tokens" in caplog.text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reason", ["content_filter", "error"])
def test_an_answer_that_the_provider_broke_off_is_no_success(
    reason: str, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply(TEXT, finish_reason=reason))
    ended = play(Agent(model=through(target("first"))), form)
    assert ended.status == RunStatus.error


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_lost_behind_the_finish_is_not_missed(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(TEXT)
    portkey_provider.fault(Fault.no_done())
    ended = play(Agent(model=through(target("first"))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)


@pytest.mark.parametrize("form", STREAMED)
def test_the_gateways_checks_of_an_answer_run_though_it_is_streamed(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    check = GatewayCheck(id="default.contains", parameters={"words": ["seven"], "operator": "none"})
    route = target("first", output_guardrails=[Guardrail(checks=[check])])
    portkey_provider.reply(TEXT)
    ended = play(Agent(model=through(route)), form)
    assert (ended.status, ended.text_shown) == (RunStatus.error, "")
    portkey_provider.reply(TEXT)
    with pytest.raises(GatewayDeniedOutput):
        ask(through(route), form)
    portkey_provider.reply("one two")
    ended = play(Agent(model=through(route)), form)
    assert (ended.content, ended.text_shown) == ("one two", "one two")
    assert [request.stream for request in portkey_provider.calls] == [False] * 3


# Who answered


@pytest.mark.parametrize("form", FORMS)
def test_the_run_names_who_really_answered(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    usage = Usage(prompt_tokens=11, completion_tokens=7)
    portkey_provider.when(
        lambda request: request.model == "second", Reply("Hi", model="second-2026", usage=usage)
    )
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    agent = Agent(model=through(_two(target)))
    for _ in range(2):
        ended = play(agent, form)
        assert ended.output is not None
        assert (ended.output.model, ended.output.model_provider) == ("second-2026", "openai")
        said = (ended.output.model_provider_data or {})["portkey"]
        assert (said["model"], said["target"], said["attempts"]) == (
            "second-2026",
            "openai/second",
            2,
        )
        metrics = ended.output.metrics
        assert metrics is not None
        assert (metrics.input_tokens, metrics.output_tokens) == (11, 7)
        [share] = (metrics.details or {})["model"]
        assert (share.id, share.provider) == ("second-2026", "openai")
        assert (share.input_tokens, share.output_tokens) == (11, 7)


@pytest.mark.parametrize("form", FORMS)
def test_a_runs_metrics_tell_apart_who_answered_which_call(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    def weather(city: str) -> str:
        """The weather."""
        portkey_provider.fault(Fault.status(500), times=None, model="first")
        return f"sunny in {city}"

    asks = Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),), usage=Usage(10, 3))
    portkey_provider.reply(asks)
    portkey_provider.reply(Reply("It is sunny.", usage=Usage(20, 5)))
    ended = play(Agent(model=through(_two(target)), tools=[weather]), form)
    assert ended.output is not None
    assert ended.output.metrics is not None
    shares = (ended.output.metrics.details or {})["model"]
    told = {(each.id, each.input_tokens, each.output_tokens) for each in shares}
    assert told == {("first", 10, 3), ("second", 20, 5)}
    assert ended.output.metrics.input_tokens == 30


@pytest.mark.parametrize("form", FORMS)
def test_an_error_says_who_was_asked_and_what_it_was(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None, model="first")
    portkey_provider.fault(Fault.status(429, retry_after=99), times=None, model="second")
    twice = Recovery(attempts=2, wait=0.01)
    with pytest.raises(GatewayRateLimited) as caught:
        ask(through(_two(target), recovery=twice), form)
    assert "[asked: openai/first UpstreamFailed 500, openai/second" in str(caught.value)
    assert "fallback" not in str(caught.value)
    assert "in 99 s" in str(caught.value)


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_run_that_failed_keeps_what_the_error_was(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=99), times=None)
    ended = play(Agent(model=through(target("first"))), form)
    assert ended.output is not None
    said = (ended.output.model_provider_data or {})["portkey"]
    assert (said["error"], said["status"], said["retry_after"]) == ("GatewayRateLimited", 429, 99)
    assert said["provider"] == "openai"


# Arms


@pytest.mark.parametrize("form", FORMS)
def test_an_arm_sticks_to_its_user_and_is_told_as_a_tag(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    route = LoadBalance(
        sticky="user",
        experiment="mini-or-not",
        targets=[target("old", name="control"), target("new", name="canary")],
    )
    model = through(route, observers=[lambda event: heard.append(event)])
    users = [f"user-{number}" for number in range(12)]
    first = _arms(model, form, users, portkey_provider)
    assert _arms(model, form, users, portkey_provider) == first
    assert set(first.values()) == {"old", "new"}
    tags = [event.data["tags"] for event in heard if event.kind == "call"]
    named = {"control": "old", "canary": "new"}
    assert [named[each["arm"]] for each in tags[:12]] == list(first.values())
    assert {each["experiment"] for each in tags} == {"mini-or-not"}


def _arms(
    model: PortkeyModel, form: str, users: Sequence[str], provider: EmbeddedProvider
) -> dict[str, str | None]:
    asked: dict[str, str | None] = {}
    for user in users:
        play(Agent(model=model), form, user_id=user)
        asked[user] = provider.calls[-1].model
    return asked


def test_the_arm_reaches_the_gateway_with_the_other_tags(
    target: Place, portkey_provider: EmbeddedProvider
) -> None:
    import json

    route = LoadBalance(experiment="e", targets=[target("old", name="control")])
    model = PortkeyModel(base_url=portkey_provider.url, config=route, tags={"cost_center": "7"})
    ask(model, "run")
    tags = json.loads(portkey_provider.calls[-1].headers["x-portkey-metadata"])
    assert (tags["arm"], tags["experiment"], tags["cost_center"]) == ("control", "e", "7")


# Callers of all kinds


def test_a_stream_may_be_read_by_one_thread_after_the_other(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(500), model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    stream = through(route).response_stream(messages=[Message(role="user", content="Hi")])
    shown = ""
    ended = False
    while not ended:
        with ThreadPoolExecutor(1) as threads:
            part = threads.submit(next, stream, None).result()
        ended = part is None
        shown += (part.content or "") if part is not None else ""
    assert shown == TEXT


def test_a_call_that_its_caller_left_is_told_as_such(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    portkey_provider.reply(Reply(TEXT, token_delay=0.05))
    model = through(target("first"), observers=[lambda event: heard.append(event)])
    stream = model.response_stream(messages=[Message(role="user", content="Hi")])
    next(part for part in stream if part.content)
    stream.close()
    told = [(event.kind, event.data.get("cancelled")) for event in heard]
    assert told == [("attempt", True), ("call", True)]
    assert portkey_provider.calls[0].wait() == "client_gone"


def test_a_route_that_the_gateway_refuses_is_given_up(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    headers = {"x-portkey-config": '{"strategy": {"mode": "fallback"}, "targets": [{}]}'}
    model = PortkeyModel(base_url=portkey_gateway.url, default_headers=headers)
    with pytest.raises(GatewayConfigRejected):
        ask(model, "run")
