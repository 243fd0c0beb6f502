"""What metrics and the spans of a trace say of the same runs is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from read_metrics import COST, DURATION, FIRST, OURS, TOKENS, Figures, of_kind, read, summed

from agno_portkey import Gate, PortkeyModel, govern, telemetry
from agno_portkey.cache import CachePolicy
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.telemetry import Metrics, Telemetry, names
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.replies import Usage
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

ROLE, CENTER = names.BAGGAGE["role"], names.BAGGAGE["cost_center"]
QUICK = Recovery(attempts=3, wait=0.001, max_wait=0.01)


class Both:
    """What was told of the same runs, in two ways."""

    def __init__(self, held: Telemetry, exporter: InMemorySpanExporter, metrics: Metrics) -> None:
        self._held, self._exporter, self._metrics = held, exporter, metrics

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        assert self._held.flush()
        return self._exporter.get_finished_spans()

    @property
    def figures(self) -> Figures:
        return Figures(read(self._metrics))

    def assert_agree(self, metric: str, label: str, kind: str, on: str) -> dict[str, float]:
        """`metric` by `label` counts the spans of a kind by the attribute `on`."""
        counted = Counter(str(said[on]) for said in of_kind(self.spans, kind) if on in said)
        told = {value: n for value, n in self.figures.of(metric, label).items() if n}
        assert told == counted
        return told


@pytest.fixture
def both(caplog: pytest.LogCaptureFixture) -> Iterator[Both]:
    exporter, metrics = InMemorySpanExporter(), Metrics(port=None)
    with telemetry.setup(exporters=[exporter], metrics=metrics) as held:
        yield Both(held, exporter, metrics)
    assert "could not be measured" not in caplog.text


def assert_usage_agrees(both: Both) -> None:
    spans, figures = both.spans, both.figures
    tokens = figures.of(TOKENS, "gen_ai_token_type")
    assert tokens["input"] == summed(spans, names.INPUT_TOKENS) > 0
    assert tokens["output"] == summed(spans, names.OUTPUT_TOKENS) > 0
    assert figures.sum(COST) == pytest.approx(summed(spans, names.COST), rel=1e-9)
    for label, name in (("agno_portkey_role", ROLE), ("agno_portkey_cost_center", CENTER)):
        sums: dict[str, float] = {}
        for said in of_kind(spans, "call"):
            sums[_text(said, name)] = sums.get(_text(said, name), 0) + said[names.COST]
        assert figures.of(COST, label) == pytest.approx(sums, rel=1e-9)


def _text(said: Mapping[str, Any], name: str) -> str:
    return str(said.get(name, ""))


@pytest.mark.parametrize("stream", [False, True])
def test_of_a_governed_team(
    both: Both, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider, tmp_path: Path,
    stream: bool,
) -> None:  # fmt: skip
    tell(portkey_provider)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = release_team(portkey_model, Release(), db=db)
    team = govern(
        team, runner="Runner", gate=Gate(min_score=8), pii="mask", tags={"cost_center": "cc-1"}
    )
    for _ in range(2):
        if stream:
            list(team.run(REQUEST, stream=True))
        else:
            team.run(REQUEST)
    assert_usage_agrees(both)
    assert set(both.figures.of(COST, "agno_portkey_cost_center")) == {"cc-1"}
    assert {"Planner", "Critic", "Judge", "Runner"} <= {*both.figures.of(COST, "agno_portkey_role")}
    gates = both.assert_agree(
        "agno_portkey_gate_decisions_total", "gate_decision", "gate", "gate.decision"
    )
    assert set(gates) == {"passed", "refused"}
    both.assert_agree(
        "agno_portkey_guard_checks_total", "agno_portkey_decision", "guard", f"{OURS}decision"
    )
    rungs = both.assert_agree(
        "agno_portkey_contract_answers_total", "agno_portkey_rung", "contract", f"{OURS}rung"
    )
    assert rungs["given"] > 0
    both.assert_agree(
        "agno_portkey_attempts_total", "gen_ai_provider_name", "attempt", names.PROVIDER
    )
    seconds = sum((s.end_time or 0) - (s.start_time or 0) for s in both.spans if _is_call(s)) / 1e9
    assert both.figures.sum(f"{DURATION}_sum") == pytest.approx(seconds, rel=1e-9)
    streamed = [said for said in of_kind(both.spans, "call") if said["gen_ai.request.stream"]]
    if stream:
        assert both.figures.sum(f"{FIRST}_count") == len(streamed) > 0
        first = sum(said[names.FIRST_TOKEN] for said in streamed)
        assert both.figures.sum(f"{FIRST}_sum") == pytest.approx(first, rel=1e-9)
    else:
        assert not streamed


def _is_call(span: ReadableSpan) -> bool:
    return (span.attributes or {}).get(names.KIND) == "call"


def test_of_calls_that_fail_and_break_a_circuit(
    both: Both, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    model = PortkeyModel(
        "gpt-4o-mini",
        base_url=portkey_model.base_url,
        portkey_provider="openai",
        custom_host=portkey_provider.url,
        api_key="k",
        recovery=QUICK,
    )
    for _ in range(12):
        portkey_provider.fault(Fault.status(500))
    for _ in range(3):
        Agent(name="A", model=model).run("Hi")
    figures = both.figures
    outcomes = figures.of(f"{DURATION}_count", "agno_portkey_outcome")
    assert outcomes == {"failed": 3}
    attempts = [*of_kind(both.spans, "attempt")]
    of_openai = {"gen_ai_provider_name": "openai", "agno_portkey_outcome": "failed"}
    assert figures.sum("agno_portkey_attempts_total", **of_openai) == len(attempts) > 1
    assert figures.of("agno_portkey_errors_total", "error_type") == {
        "UpstreamFailed": len(attempts)
    }
    [circuit] = of_kind(both.spans, "circuit")
    assert circuit[f"{OURS}state"] == "open"
    assert figures.of("agno_portkey_circuit_state", "agno_portkey_target") == {
        circuit[f"{OURS}target"]: 2
    }


def test_of_a_cache(both: Both, portkey_provider: EmbeddedProvider) -> None:
    # An observer of its own, which hears of the cache as well.
    model = PortkeyModel(
        "gpt-4o-mini",
        base_url=portkey_provider.url,
        api_key="k",
        cache=CachePolicy(scope="public", lifetime=600),
        observers=[lambda event: None],
    )
    agent = Agent(name="A", model=model)
    portkey_provider.reply(Reply("Hello", usage=Usage(11, 5)))
    for said in ("Hi", "Hi", "Hi"):
        assert agent.run(said).content == "Hello"
    told = both.assert_agree(
        "agno_portkey_cache_outcomes_total", "agno_portkey_outcome", "cache", f"{OURS}outcome"
    )
    assert (told["hit"], told["miss"]) == (2, 1)
    outcomes = both.figures.of(f"{DURATION}_count", "agno_portkey_outcome")
    assert outcomes == {"cached": 2, "answered": 1}
    assert both.figures.of(TOKENS, "gen_ai_token_type") == {"input": 11, "output": 5}


def test_of_a_stream_that_is_left(both: Both, portkey_provider: EmbeddedProvider) -> None:
    model = PortkeyModel("gpt-4o-mini", base_url=portkey_provider.url, api_key="k")
    portkey_provider.reply(Reply("A long answer, in many words", chunk_size=2))
    stream = Agent(name="A", model=model).run("Hi", stream=True)
    for event in stream:
        if getattr(event, "content", None):
            break
    stream.close()
    figures = both.figures
    assert figures.of(f"{DURATION}_count", "agno_portkey_outcome") == {"left": 1}
    assert figures.sum(f"{FIRST}_count", agno_portkey_outcome="left") == 1
    attempts = {"agno_portkey_outcome": "left"}
    assert figures.sum("agno_portkey_attempts_total", **attempts) == 1


def test_of_embeddings(both: Both, portkey_provider: EmbeddedProvider) -> None:
    embedder = PortkeyEmbedder(
        "text-embedding-3-small", base_url=portkey_provider.url, api_key="k", dimensions=384
    )
    embedder.get_embedding("Hello there")
    spent = summed(both.spans, f"{OURS}tokens", "embedding")
    labels = {"gen_ai_operation_name": "embeddings", "gen_ai_token_type": "input"}
    model = {"gen_ai_request_model": "text-embedding-3-small"}
    assert both.figures.sum(TOKENS, **labels, **model) == spent > 0


def test_no_run_nor_session_nor_user_is_a_label(
    both: Both, portkey_provider: EmbeddedProvider
) -> None:
    model = PortkeyModel("gpt-4o-mini", base_url=portkey_provider.url, api_key="k")
    portkey_provider.reply("Hello")
    run = Agent(name="A", model=model).run("Hi", session_id="session-7", user_id="user-7")
    labels = {value for each in both.figures.samples for value in each.labels.values()}
    assert labels
    assert not labels & {"session-7", "user-7", run.run_id}
    # It would have an id of the process.
    assert "target_info" not in both.figures.names
