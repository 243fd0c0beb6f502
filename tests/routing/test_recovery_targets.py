"""Of a call that fails: who is asked next, and what would fail anywhere is asked once."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from recovering import Make, Place, models_asked, two

from agno_portkey.errors import (
    CircuitOpen,
    ContentFiltered,
    ContextOverflow,
    GatewayTimeout,
    UpstreamFailed,
)
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.config.parts import Timeout
from agno_portkey.routing.config.query import metadata
from agno_portkey.routing.config.routes import Conditional, Fallback, LoadBalance, When
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault


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
    ended = play(Agent(model=through(two(target), recovery=Recovery(wait=60, max_wait=60))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, "You said: Hi")
    assert models_asked(portkey_provider) == ["first", "second"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [400, 405, 413, 422])
def test_what_would_fail_anywhere_is_asked_once(
    status: int, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(status), times=None)
    with pytest.raises(UpstreamFailed, match=str(status)):
        ask(through(two(target)), form)
    assert models_asked(portkey_provider) == ["first"]


@pytest.mark.parametrize("form", FORMS)
def test_a_policys_refusal_is_not_taken_to_another_provider(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.content_filter(), times=None)
    model = through(two(target, on_status_codes=[400]))
    with pytest.raises(ContentFiltered, match="refused by the provider's content filter"):
        ask(model, form)
    assert models_asked(portkey_provider) == ["first"]


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
    model = through(two(target, on_status_codes=[422]))
    portkey_provider.fault(Fault.status(422), model="first")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert models_asked(portkey_provider) == ["first", "second"]

    portkey_provider.fault(Fault.status(503), model="first")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert models_asked(portkey_provider)[2:] == ["first", "first"]


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
    assert models_asked(portkey_provider) == ["first", "large"]

    portkey_provider.fault(Fault.context_overflow(), times=None, model="large")
    with pytest.raises(ContextOverflow):
        ask(through(route), form)


@pytest.mark.parametrize("form", FORMS)
def test_who_is_silent_is_left_and_not_asked_again(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), times=None, model="first")
    portkey_provider.fault(Fault.status(500), times=1, model="second")
    assert play(Agent(model=through(two(target))), form).content == "You said: Hi"
    assert models_asked(portkey_provider) == ["first", "second", "second"]


@pytest.mark.parametrize("form", FORMS)
def test_a_lone_target_that_is_silent_is_a_timeout(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), times=None)
    with pytest.raises(GatewayTimeout):
        ask(through(target("first")), form)
    assert models_asked(portkey_provider) == ["first"]


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
    assert models_asked(portkey_provider) == ["first"]
    assert (
        play(Agent(model=through(two(target), recovery=recovery)), form).content == "You said: Hi"
    )
    assert models_asked(portkey_provider) == ["first", "first", "second"]
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
    assert set(models_asked(portkey_provider)) == {"first", "second"}


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
    assert models_asked(portkey_provider) == ["eu-1", "eu-2"]

    portkey_provider.fault(Fault.status(503), times=None, model="eu-2")
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    assert "us" not in models_asked(portkey_provider)
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
    assert "us" not in models_asked(portkey_provider)


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
    assert models_asked(portkey_provider) == ["eu", "spare", "spare"]


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
    assert models_asked(portkey_provider) == ["us-1", "us-2"]
    [key] = circuits.states()
    assert key.startswith("openai/us-1#")
