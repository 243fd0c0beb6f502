"""Spans that are made up, and what is served of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agno_portkey.telemetry import Metrics, names

OURS = names.OURS
DURATION = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_server_time_to_first_token_seconds"
TOKENS = "gen_ai_client_token_usage_sum"
COST = "gen_ai_usage_cost_USD_total"


class Figures:
    """One scrape."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self.samples: list[Sample] = [each for family in families for each in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the series of `name` that have `labels`, of which there is at least one."""
        found = [each.value for each in self.samples if _fits(each, name, labels)]
        assert found, f"no {name} with {labels}"
        return sum(found)

    def of(self, name: str, label: str) -> dict[str, float]:
        """The sums of `name` by the values of `label`."""
        sums: dict[str, float] = {}
        for each in self.samples:
            if each.name == name:
                value = each.labels.get(label, "")
                sums[value] = sums.get(value, 0) + each.value
        return sums

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """The bounds of a histogram, and how many are not above them."""
        counts: dict[float, float] = {}
        for each in self.samples:
            if _fits(each, f"{name}_bucket", labels):
                bound = float(each.labels["le"])
                counts[bound] = counts.get(bound, 0) + each.value
        return sorted(counts.items())

    @property
    def names(self) -> set[str]:
        return {each.name for each in self.samples}


class Bench:
    """Metrics without a port unless given, and a tracer whose spans they get."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics(port=None)
        self.processor: SpanProcessor = self.metrics.start()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(self.processor)
        self._tracer = provider.get_tracer("bench")

    def span(self, kind: str, said: Mapping[str, Any] | None = None, seconds: float = 0.0) -> None:
        began = 1_000_000_000
        attributes = {names.KIND: kind, **(said or {})}
        span = self._tracer.start_span(kind, start_time=began, attributes=attributes)
        span.end(began + round(seconds * 1e9))

    def call(self, seconds: float = 0.0, model: str = "m", **said: Any) -> None:
        """A call that was answered."""
        self.span("call", {names.REQUEST_MODEL: model, names.ATTEMPTS: 1, **said}, seconds)

    def read(self) -> Figures:
        return Figures(read(self.metrics))


class Odd:
    """A span that says anything, as none of OpenTelemetry's does."""

    start_time, end_time = 0, 1

    def __init__(self, attributes: Any) -> None:
        self.attributes = attributes


def read(metrics: Metrics) -> str:
    """What the app of `metrics` answers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(metrics.asgi()({"type": "http", "headers": []}, None, send))
    start, body = sent
    assert start["status"] == 200
    text: str = body["body"].decode()
    return text


def summed(spans: Iterable[ReadableSpan], name: str, kind: str = "call") -> float:
    """The sum of an attribute over spans of one kind."""
    return sum(_figure(said.get(name)) for said in of_kind(spans, kind))


def of_kind(spans: Iterable[ReadableSpan], kind: str) -> Iterator[Mapping[str, Any]]:
    """What spans of one kind say."""
    for span in spans:
        said = span.attributes or {}
        if said.get(names.KIND) == kind:
            yield said


def _figure(value: Any) -> float:
    return value if isinstance(value, int | float) else 0.0


def _fits(sample: Sample, name: str, labels: Mapping[str, str]) -> bool:
    return sample.name == name and labels.items() <= sample.labels.items()
