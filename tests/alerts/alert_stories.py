"""What happens to a swarm, as events that observers hear and as spans that metrics are of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.parser import text_string_to_metric_families

from agno_portkey.telemetry import Metrics, names
from agno_portkey.verdict import Event, Verdict

OURS = names.OURS


@dataclass(frozen=True)
class Happening:
    """One thing, as an event, and as a span of a kind and of so many seconds."""

    event: Event
    kind: str
    said: dict[str, Any]
    seconds: float = 0.0


def called(seconds: float, cost: float = 0.0, model: str = "gpt") -> list[Happening]:
    """A call that was answered by its one attempt."""
    told = {"model": model, "seconds": seconds, "attempts": 1, "provider": "openai"}
    said = {names.REQUEST_MODEL: model, names.ATTEMPTS: 1, names.COST: cost}
    return [*attempted(cost=cost), Happening(Event("call", data=told), "call", said, seconds)]


def attempted(failed: bool = False, cost: float = 0.0) -> list[Happening]:
    told: dict[str, Any] = {"provider": "openai", "model": "gpt", "cost": cost}
    said: dict[str, Any] = {names.PROVIDER: "openai"}
    if failed:
        told = {"provider": "openai", "error": "UpstreamFailed", "status": 503}
        said[names.ERROR_TYPE] = "UpstreamFailed"
    return [Happening(Event("attempt", data=told), "attempt", said)]


def cached(outcome: str) -> list[Happening]:
    said = {f"{OURS}model": "gpt", f"{OURS}outcome": outcome}
    return [Happening(Event("cache", data={"outcome": outcome, "model": "gpt"}), "cache", said)]


def decided(passed: bool) -> list[Happening]:
    event = Event("gate", verdict=Verdict(passed, "release", ("words of a judge",)))
    said = {f"{OURS}source": "release", "gate.decision": "passed" if passed else "refused"}
    return [Happening(event, "gate", said)]


class Measured:
    """Metrics of spans, as Prometheus reads them: figures by series."""

    def __init__(self) -> None:
        self._metrics = Metrics(port=None)
        self.processor = self._metrics.start()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(self.processor)
        self._tracer = provider.get_tracer("stories")

    def take(self, each: Happening) -> None:
        attributes = {names.KIND: each.kind, **each.said}
        span = self._tracer.start_span("x", start_time=1, attributes=attributes)
        span.end(1 + round(each.seconds * 1e9))

    def scrape(self) -> dict[str, float]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._metrics.asgi()({"type": "http", "headers": []}, None, send))
        text: str = sent[1]["body"].decode()
        return {
            _series(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@contextmanager
def measured() -> Iterator[Measured]:
    held = Measured()
    yield held
    held.processor.shutdown()


def _series(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{told}}}"
