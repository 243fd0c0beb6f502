"""Whom a refusal leads to, and keys that nobody quotes: each was once a broken promise."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from recovering import TEXT, Make, Place, continued, models_asked

from agno_portkey.errors import (
    AgnoPortkeyError,
    ConfigurationError,
    ContentFiltered,
    GatewayConfigRejected,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import (
    CircuitBreaker,
    Circuits,
    Conditional,
    Fallback,
    LoadBalance,
    Recovery,
    When,
    metadata,
)
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.faults import Answer

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


def _said(error: dict[str, Any]) -> Fault:
    """An error in a document with status 200."""
    return Fault("answer", answer=Answer.of_json({"error": error}))


# Refusals


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("how", ["finish", "event"])
def test_a_refusal_amid_a_stream_is_continued_by_nobody_and_kept_for_nobody(
    how: str, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    if how == "finish":
        portkey_provider.when(
            lambda request: request.model == "first",
            Reply("one two three", finish_reason="content_filter"),
        )
    else:
        portkey_provider.fault(Fault.error_chunk(code="content_filter"), model="first")
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    targets = [target("first", prefill=True), target("second", prefill=True)]
    model = through(Fallback(targets=targets))
    ended = play(Agent(model=model), form, user_id="ann")
    assert ended.status == RunStatus.error
    assert "content" in ended.content
    assert models_asked(portkey_provider) == ["first"]
    assert not model.router.partials


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "error",
    [
        {"message": "no", "code": "content_filter"},
        {"message": "no", "metadata": {"flagged_input": "..."}},
        {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ],
    ids=["code", "flagged", "inner"],
)
def test_a_refusal_with_a_good_status_is_one_as_well(
    error: dict[str, Any],
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.fault(_said(error), times=None)
    with pytest.raises(ContentFiltered):
        ask(through(Fallback(targets=[target("first"), target("second")])), form)
    assert models_asked(portkey_provider) == ["first"]


# Whom to ask


@pytest.mark.parametrize("form", FORMS)
def test_who_can_never_be_chosen_does_not_make_a_branch_live(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None, model="dead")
    unnamed = Conditional(
        conditions=[When(query=metadata("x") == "1", then="named")],
        default="named",
        targets=[target("dead", name="named"), target("never", name="never")],
        weight=0.5,
    )
    unweighted = LoadBalance(targets=[target("zero", weight=0), target("dead")], weight=0.499)
    route = LoadBalance(targets=[unweighted, unnamed, target("alive", weight=0.001)])
    model = through(route, breaker=CircuitBreaker(failure_threshold=50))
    for _ in range(4):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert set(models_asked(portkey_provider)) <= {"dead", "alive"}


def test_the_pause_is_kept_though_an_open_circuit_looks_like_somebody_else(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=60))
    model = through(Fallback(targets=[target("shut"), target("slow")]), breaker=circuits)
    circuits.failed(model.router.plan(model).keys["config.targets[0]"], "down")
    portkey_provider.fault(Fault.status(429, retry_after=0.4), times=1, model="slow")
    model.router.circuits = Circuits(CircuitBreaker(failure_threshold=9, cooldown=60))
    for _ in range(9):
        shut = model.router.plan(model).keys["config.targets[0]"]
        model.router.circuits.failed(shut, "down")
    assert ask(model, "run")[0].content == "You said: Hi"
    first, second = (request.at for request in portkey_provider.calls)
    assert second - first >= 0.4
    assert models_asked(portkey_provider) == ["slow", "slow"]


@pytest.mark.parametrize("form", STREAMED)
def test_the_pause_is_kept_though_who_does_not_continue_looks_like_somebody_else(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    portkey_provider.fault(Fault.cut(), times=1, model="a")
    portkey_provider.fault(Fault.status(429, retry_after=0.4), times=1, model="a")
    route = Fallback(targets=[target("a", prefill=True), target("b")])
    ended = play(Agent(model=through(route)), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)
    _, second, third = (request.at for request in portkey_provider.calls)
    assert third - second >= 0.4


# Secrets


@pytest.mark.parametrize("name", ["api_key", "portkey_api_key", "virtual_key"])
@pytest.mark.parametrize("key", [SECRET + "\n", "s\x00k", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_quoted(name: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        PortkeyModel(base_url="http://127.0.0.1:9/v1", profile="hosted", **{name: key})
    assert key not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_header_of_ones_own_is_not_quoted_either(
    form: str, portkey_gateway: LocalGateway
) -> None:
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        default_headers={"x-mine": SECRET + "\n"},
        recovery=Recovery(attempts=1),
    )
    with pytest.raises(GatewayConfigRejected, match="characters that no header") as caught:
        ask(model, form)
    assert SECRET not in str(caught.value)


def test_a_variable_with_a_line_break_is_named_and_not_quoted(
    target: Place, through: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", SECRET + "\n")
    model = through(target("m", api_key="${A_KEY}"))
    with pytest.raises(ConfigurationError, match="A_KEY holds a line break") as caught:
        ask(model, "run")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_key_that_the_provider_quotes_is_taken_out(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, TEXT)
    words = f"the key {SECRET} is wrong"
    model = through(
        target("m"), recovery=Recovery(attempts=1), breaker=CircuitBreaker(enabled=False)
    )
    for fault in (_said({"message": words}), Fault.error_chunk(0.0, message=words),
                  Fault.error_chunk(message=words)):  # fmt: skip
        portkey_provider.fault(fault)
        with pytest.raises(AgnoPortkeyError) as caught:
            ask(model, form)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_read_when_a_request_is_made(
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", "one")
    model = through(target("m", api_key="${A_KEY}"))
    ask(model, form)
    monkeypatch.setenv("A_KEY", "two")
    ask(model, form)
    sent = [request.headers["authorization"] for request in portkey_provider.calls]
    assert sent == ["Bearer one", "Bearer two"]
    monkeypatch.delenv("A_KEY")
    with pytest.raises(ConfigurationError, match="A_KEY"):
        ask(model, form)
