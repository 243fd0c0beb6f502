"""A real Prometheus scrapes them, and what it answers a user's queries is what the spans say."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from agno.db.sqlite import SqliteDb
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_server import PrometheusServer
from read_metrics import DURATION, OURS, Bench, of_kind, summed

from agno_portkey import Gate, PortkeyModel, govern, telemetry
from agno_portkey.telemetry import Metrics, names
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

CENTER, STREAM = names.BAGGAGE["cost_center"], "gen_ai.request.stream"
# Those that users are given.
PAGE = Path(__file__).parents[2] / "docs" / "guide" / "telemetry.md"
FENCE = PAGE.read_text(encoding="utf-8").split("```promql\n")[1].split("```")[0]
QUERIES = dict(re.findall(r"^# (.+)\n((?:[^#\n].*\n)+)", FENCE, re.MULTILINE))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(Metrics(port=0))
    yield bench
    bench.processor.shutdown()


@pytest.fixture
def prometheus(bench: Bench) -> Iterator[PrometheusServer]:
    assert bench.metrics.port is not None
    with PrometheusServer(bench.metrics.port) as server:
        yield server


def has(prometheus: PrometheusServer, query: str, figure: float) -> None:
    prometheus.until(query, lambda said: said.get("") == figure)


def true(latencies: list[float], share: float = 0.95) -> float:
    return sorted(latencies)[math.ceil(share * len(latencies)) - 1]


def test_percentiles_by_model(bench: Bench, prometheus: PrometheusServer) -> None:
    """A rate is taken from the second scrape of a series on: first comes a call of each model."""
    chance = random.Random(7)
    latencies = {
        "lognormal": [0.8 * math.exp(chance.gauss(0, 0.7)) for _ in range(401)],
        "two modes": [
            chance.choice([0.3] * 14 + [31.0]) * chance.uniform(1, 1.2) for _ in range(333)
        ],
    }
    count = f"sum({DURATION}_count)"
    for model in latencies:
        bench.call(1.0, model, **{STREAM: True, names.FIRST_TOKEN: 0.1})
    has(prometheus, count, 2)
    for model, drawn in latencies.items():
        for seconds in drawn:
            bench.call(seconds, model, **{STREAM: True, names.FIRST_TOKEN: seconds / 10})
    # What was answered from the cache is none of the model's latency.
    for _ in range(500):
        bench.span("call", {names.REQUEST_MODEL: "lognormal"}, 0.001)
    has(prometheus, count, 2 + 401 + 333 + 500)
    for metric, part in (
        (DURATION, 1.0),
        ("gen_ai_server_time_to_first_token_seconds", 0.1),
    ):
        assert DURATION in QUERIES["p95 of latency by model"]
        asked = prometheus.ask(QUERIES["p95 of latency by model"].replace(DURATION, metric))
        for model, drawn in latencies.items():
            assert asked[model] == pytest.approx(true(drawn) * part, rel=0.05)


def test_rates(bench: Bench, prometheus: PrometheusServer) -> None:
    def attempts(provider: str, well: int, failed: int) -> None:
        for number in range(well + failed):
            error = {names.ERROR_TYPE: "GatewayTimeout"} if number < failed else {}
            bench.span("attempt", {names.PROVIDER: provider, **error})

    def cached(**outcomes: int) -> None:
        for outcome, number in outcomes.items():
            for _ in range(number):
                bench.span("cache", {f"{OURS}model": "m", f"{OURS}outcome": outcome})

    def gates(name: str, passed: int, refused: int) -> None:
        for number in range(passed + refused):
            decision = "passed" if number < passed else "refused"
            bench.span("gate", {f"{OURS}source": name, "gate.decision": decision})

    for first in (True, False):
        attempts("openai", 1 if first else 300, 0 if first else 60)
        attempts("anthropic", 1 if first else 200, 0)
        cached(miss=1) if first else cached(hit=80, near=10, shared=10, miss=300, bypass=700)
        gates("release", 1 if first else 150, 0 if first else 50)
        has(prometheus, "sum(agno_portkey_attempts_total)", 2 if first else 562)
        has(prometheus, "sum(agno_portkey_gate_decisions_total)", 1 if first else 201)
    errors = prometheus.ask(QUERIES["error rate by provider"])
    assert errors == pytest.approx({"openai": 60 / 360, "anthropic": 0.0}, rel=0.02)
    hits = prometheus.ask(QUERIES["hit rate of the cache"])
    assert hits == pytest.approx({"": 100 / 400}, rel=0.02)
    passed = prometheus.ask(QUERIES["pass rate of gates"])
    assert passed == pytest.approx({"release": 150 / 200}, rel=0.02)
    assert not prometheus.troubles()


def test_dollars_of_a_cost_center(bench: Bench, prometheus: PrometheusServer) -> None:
    """An increase is guessed from scrapes: of whom it is of, and that there is one."""
    for count in (1, 2):
        for center in ("cc-1", "cc-2"):
            bench.call(**{CENTER: center, names.COST: 0.5})
        has(prometheus, "sum(gen_ai_usage_cost_USD_total)", count)
    dollars = QUERIES["US dollars of the last day by cost center"]
    prometheus.until(
        dollars, lambda said: said.keys() == {"cc-1", "cc-2"} and min(said.values()) > 0
    )


def test_every_query_of_the_page_is_asked() -> None:
    asked = Path(__file__).read_text(encoding="utf-8")
    assert len(QUERIES) == FENCE.count("\n# ") + 1 == 6
    assert all(f'QUERIES["{title}"]' in asked for title in QUERIES)


def test_a_circuit_that_is_open(bench: Bench, prometheus: PrometheusServer) -> None:
    for target, state in (("a", "open"), ("b", "open"), ("b", "closed")):
        bench.span("circuit", {f"{OURS}target": target, f"{OURS}state": state})
    prometheus.until(QUERIES["breakers that are open"], lambda said: said == {"a": 2})


def test_of_a_governed_team(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    tell(portkey_provider)
    team = release_team(portkey_model, Release(), db=SqliteDb(db_file=str(tmp_path / "agno.db")))
    team = govern(team, runner="Runner", gate=Gate(min_score=8), tags={"cost_center": "cc-1"})
    exporter, metrics = InMemorySpanExporter(), Metrics(port=0)
    with telemetry.setup(exporters=[exporter], metrics=metrics) as held:
        assert metrics.port is not None
        with PrometheusServer(metrics.port) as prometheus:
            team.run(REQUEST)
            assert held.flush()
            spans = exporter.get_finished_spans()
            calls = len([*of_kind(spans, "call")])
            has(prometheus, "sum(gen_ai_client_operation_duration_seconds_count)", calls)
            costs = "sum by (agno_portkey_cost_center) (gen_ai_usage_cost_USD_total)"
            assert prometheus.ask(costs) == pytest.approx({"cc-1": summed(spans, names.COST)})
            tokens = summed(spans, names.INPUT_TOKENS) + summed(spans, names.OUTPUT_TOKENS)
            assert prometheus.ask("sum(gen_ai_client_token_usage_sum)") == {"": tokens}
            decided = [said["gate.decision"] for said in of_kind(spans, "gate")]
            rate = 'sum(agno_portkey_gate_decisions_total{gate_decision="passed"}) / '
            rate += "sum(agno_portkey_gate_decisions_total)"
            assert prometheus.ask(rate) == {"": decided.count("passed") / len(decided)}
            assert prometheus.ask("up") == {"": 1}
