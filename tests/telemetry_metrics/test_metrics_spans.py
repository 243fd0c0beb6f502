"""Each kind of span is measured by what it says; odd ones spoil nothing, many take no memory."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_metrics import COST, DURATION, FIRST, OURS, TOKENS, Bench, Odd

from agno_portkey.telemetry import names
from agno_portkey.telemetry.labels import Labels

ROLE, CENTER = names.BAGGAGE["role"], names.BAGGAGE["cost_center"]
STREAM = "gen_ai.request.stream"


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({names.ATTEMPTS: 1}, "answered"),
        ({names.ATTEMPTS: 2, names.ERROR_TYPE: "UpstreamFailed"}, "failed"),
        ({names.ERROR_TYPE: "CircuitOpen"}, "failed"),
        ({names.ATTEMPTS: 1, names.CANCELLED: True}, "left"),
        ({names.ATTEMPTS: 1, names.CANCELLED: False}, "answered"),
        ({names.CANCELLED: True}, "left"),
        ({}, "cached"),
    ],
)
def test_latencies_by_model_and_outcome(bench: Bench, said: dict[str, Any], outcome: str) -> None:
    stream = {names.REQUEST_MODEL: "m", STREAM: True, names.FIRST_TOKEN: 0.25}
    bench.span("call", {**stream, **said}, 1.5)
    figures = bench.read()
    labels = {"gen_ai_request_model": "m", "agno_portkey_outcome": outcome}
    assert figures.sum(f"{DURATION}_sum", gen_ai_operation_name="chat", **labels) == 1.5
    assert figures.sum(f"{FIRST}_sum", **labels) == 0.25


def test_of_an_answer_that_comes_whole_there_is_no_first_word(bench: Bench) -> None:
    bench.call(1.0, **{STREAM: False, names.FIRST_TOKEN: 1.0})
    assert f"{FIRST}_count" not in bench.read().names


def test_a_clock_that_is_set_back_takes_nothing_away(bench: Bench) -> None:
    bench.call(-1.0)
    assert bench.read().buckets(DURATION)[0][1] == 1


def test_tokens_and_costs_by_model_role_and_cost_center(bench: Bench) -> None:
    used = {names.INPUT_TOKENS: 7, names.OUTPUT_TOKENS: 3, names.COST: 0.25}
    for role, center in (("A", "x"), ("B", "x"), ("B", "y")):
        bench.call(**used, **{ROLE: role, CENTER: center, names.RESPONSE_MODEL: "m-2026"})
    figures = bench.read()
    assert figures.of(TOKENS, "gen_ai_token_type") == {"input": 21, "output": 9}
    assert figures.of(TOKENS, "agno_portkey_role") == {"A": 10, "B": 20}
    models = {"gen_ai_request_model": "m", "gen_ai_response_model": "m-2026"}
    whose = {"agno_portkey_role": "B", "agno_portkey_cost_center": "y"}
    assert figures.sum(COST, **models, **whose) == 0.25
    assert figures.of(COST, "agno_portkey_cost_center") == {"x": 0.5, "y": 0.25}


@pytest.mark.parametrize("cost", [True, math.nan, math.inf, -1.0, "5", None])
def test_what_can_not_be_added_up_is_left_out(
    bench: Bench, cost: object, caplog: pytest.LogCaptureFixture
) -> None:
    for told in (0.5, cost):
        said = {names.KIND: "call", names.COST: told, names.INPUT_TOKENS: told, STREAM: True}
        bench.processor.on_end(Odd({**said, names.FIRST_TOKEN: told}))  # type: ignore[arg-type]
    figures = bench.read()
    assert figures.sum(COST) == figures.sum(TOKENS) == figures.sum(f"{FIRST}_sum") == 0.5
    assert figures.sum(f"{FIRST}_count") == 1
    assert not caplog.records


def test_a_figure_that_is_none_spoils_no_scrape(bench: Bench) -> None:
    for figure in (10**308, 10**308, 10**400):
        bench.processor.on_end(Odd({names.KIND: "call", names.INPUT_TOKENS: figure}))  # type: ignore[arg-type]
        bench.processor.on_end(Odd({names.KIND: "embedding", f"{OURS}tokens": figure}))  # type: ignore[arg-type]
    bench.call(**{names.INPUT_TOKENS: 7})
    assert bench.read().sum(TOKENS) == 7


def test_tokens_of_embeddings(bench: Bench) -> None:
    bench.span("embedding", {f"{OURS}model": "e", f"{OURS}tokens": 9, ROLE: "A"})
    figures = bench.read()
    labels = {"gen_ai_request_model": "e", "gen_ai_token_type": "input", "agno_portkey_role": "A"}
    assert figures.sum(TOKENS, gen_ai_operation_name="embeddings", **labels) == 9


def test_errors_by_provider(bench: Bench) -> None:
    for said in ({}, {names.ERROR_TYPE: "GatewayRateLimited"}, {names.CANCELLED: True}):
        bench.span("attempt", {names.PROVIDER: "openai", **said})
    bench.span("attempt", {names.PROVIDER: "anthropic", f"{OURS}cache_status": "HIT"})
    figures = bench.read()
    of_openai = {"gen_ai_provider_name": "openai"}
    assert figures.sum("agno_portkey_attempts_total", **of_openai) == 3
    for outcome in ("answered", "failed", "left"):
        told = {**of_openai, "agno_portkey_outcome": outcome}
        assert figures.sum("agno_portkey_attempts_total", **told) == 1
    # None is told as none, so that the rate is 0.
    told = {"gen_ai_provider_name": "anthropic", "agno_portkey_outcome": "failed"}
    assert figures.sum("agno_portkey_attempts_total", **told) == 0
    assert figures.of("agno_portkey_errors_total", "error_type") == {"GatewayRateLimited": 1}
    gateway = figures.of("agno_portkey_gateway_cache_total", "agno_portkey_cache_status")
    assert gateway == {"HIT": 1}


def test_what_the_cache_did(bench: Bench) -> None:
    told = ("hit", "near", "shared", "miss", "miss", "bypass", "would hit", "kept", "new one")
    for outcome in told:
        bench.span("cache", {f"{OURS}model": "m", f"{OURS}outcome": outcome})
    figures = bench.read()
    counted = figures.of("agno_portkey_cache_outcomes_total", "agno_portkey_outcome")
    assert {outcome: count for outcome, count in counted.items() if count} == {
        **dict.fromkeys(("hit", "near", "shared", "bypass", "would hit", "kept", "other"), 1),
        "miss": 2,
    }
    assert counted["would near"] == counted["unusable"] == 0
    assert figures.of("agno_portkey_cache_outcomes_total", "agno_portkey_model") == {"m": 9}


def test_what_gates_decided(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    enforced = {f"{OURS}source": "release", f"{OURS}mode": "enforce"}
    for decision in ("passed", "refused", "passed"):
        bench.span("gate", {**enforced, "gate.decision": decision})
    bench.span("gate", {**enforced, f"{OURS}mode": "observe", "gate.decision": "refused"})
    # That the run would have been declined for it is told as well; and one may not have decided.
    bench.span("gate", {"gate.decision": "refused", f"{OURS}would": "decline"})
    bench.span("gate", enforced)
    bench.span("declined", {**enforced, "gate.decision": "refused"})
    figures = bench.read()
    labels = {"agno_portkey_source": "release", "agno_portkey_mode": "enforce"}
    name = "agno_portkey_gate_decisions_total"
    assert figures.sum(name, gate_decision="passed", **labels) == 2
    assert figures.sum(name, gate_decision="refused", **labels) == 1
    assert figures.of(name, "agno_portkey_mode") == {"enforce": 3, "observe": 1}
    assert not caplog.records


def test_what_guards_blocked(bench: Bench) -> None:
    for side, decision in (("input", "passed"), ("input", "refused"), ("output", "passed")):
        said = {"source": "pii", "mode": "enforce", "side": side, "decision": decision}
        bench.span("guard", {f"{OURS}{name}": value for name, value in said.items()})
    figures = bench.read()
    labels = {"agno_portkey_source": "pii", "agno_portkey_mode": "enforce"}
    blocks = figures.sum(
        "agno_portkey_guard_checks_total", agno_portkey_decision="refused", **labels
    )
    assert blocks == 1
    assert figures.of("agno_portkey_guard_checks_total", "agno_portkey_side") == {
        "input": 2,
        "output": 1,
    }


def test_what_brought_structured_answers(bench: Bench) -> None:
    of = {f"{OURS}model": "m", f"{OURS}stage": "model"}
    for rung in ("given", "given", "repair", "stronger"):
        bench.span("contract", {**of, f"{OURS}rung": rung})
    bench.span("contract", of)
    figures = bench.read()
    assert figures.of("agno_portkey_contract_answers_total", "agno_portkey_rung") == {
        **dict.fromkeys(("repair", "stronger", "refused"), 1),
        **dict.fromkeys(("coercion", "reask"), 0),
        "given": 2,
    }
    labels = {"agno_portkey_model": "m", "agno_portkey_stage": "model"}
    assert figures.sum("agno_portkey_contract_answers_total", **labels) == 5


def test_the_state_of_circuits(bench: Bench) -> None:
    for target, state in (("a", "open"), ("b", "open"), ("a", "half_open"), ("c", "closed")):
        bench.span("circuit", {f"{OURS}target": target, f"{OURS}state": state})
    bench.span("circuit", {f"{OURS}target": "b", f"{OURS}state": "on fire"})
    states = bench.read().of("agno_portkey_circuit_state", "agno_portkey_target")
    assert states == {"a": 1, "b": 2, "c": 0}


def test_spans_of_others_are_left_alone(bench: Bench) -> None:
    for kind in ("plan", "critique", "", "chat"):
        bench.span(kind, {names.REQUEST_MODEL: "m", names.COST: 1.0})
    assert not bench.read().samples


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Lu"])),
    st.lists(st.text(), max_size=2),
)
SAID = [
    *(names.COST, names.INPUT_TOKENS, names.OUTPUT_TOKENS, names.FIRST_TOKEN, names.ATTEMPTS),
    *(names.REQUEST_MODEL, names.RESPONSE_MODEL, names.PROVIDER, names.ERROR_TYPE, ROLE, CENTER),
    *(f"{OURS}{name}" for name in ("outcome", "rung", "state", "target", "source", "decision")),
    *(names.CANCELLED, STREAM, "gate.decision", f"{OURS}cache_status", f"{OURS}tokens"),
]
KINDS = ["call", "attempt", "embedding", "cache", "gate", "guard", "contract", "circuit"]


@settings(max_examples=150)
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(SAID), ODD))
def test_whatever_a_span_says_the_scrape_stays_whole(kind: str, said: dict[str, Any]) -> None:
    bench = Bench()
    bench.processor.on_end(Odd({**said, names.KIND: kind}))  # type: ignore[arg-type]
    bench.call(**{names.COST: 0.5, names.INPUT_TOKENS: 4, ROLE: "sane"})
    figures = bench.read()
    assert figures.sum(COST, agno_portkey_role="sane") == 0.5
    sums = [each.value for each in figures.samples if each.name != "agno_portkey_circuit_state"]
    assert all(math.isfinite(each) and each >= 0 for each in sums)


def test_what_goes_wrong_is_told_once_without_its_words(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            raise RuntimeError("a secret")

    for _ in range(3):
        bench.processor.on_end(Odd(Raising({names.KIND: "call"})))  # type: ignore[arg-type]
    bench.call()
    assert bench.read().sum(f"{DURATION}_count") == 1
    [record] = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "RuntimeError" in record.getMessage()
    assert "secret" not in caplog.text


def test_names_that_are_made_up_take_no_more_series(bench: Bench) -> None:
    for number in range(200):
        said = {names.COST: 1.0, ROLE: f"role {number}", CENTER: f"center {number % 3}"}
        bench.call(model=f"model {number % 7}", **said)
    figures = bench.read()
    roles = figures.of(COST, "agno_portkey_role")
    assert len(roles) == 51
    assert roles["other"] == 150
    assert sum(roles.values()) == 200


def test_sets_of_names_are_no_more_than_so_many() -> None:
    labels = Labels("a", "b", values=50, sets=60)
    told = [labels.of({"a": str(n % 40), "b": str(n % 41)}) for n in range(500)]
    assert len({tuple(each.items()) for each in told}) == 61
    assert told[-1] == {"a": "other", "b": "other"}
    assert told[0] == labels.of({"a": "0", "b": "0"}) == {"a": "0", "b": "0"}
    assert Labels("a").of({"a": "x" * 201}) == {"a": "other"}
