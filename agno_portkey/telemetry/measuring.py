"""What spans say, as metrics: each is measured when it ends, so that both say the same."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from agno_portkey.telemetry import names
from agno_portkey.telemetry.labels import Labels, Outcomes

__all__ = ["BOUNDS", "SpanMetrics"]

_FROM, _TO, _STEPS = 0.005, 300.0, 230  # seconds
# The upper bounds of what latencies are counted by. Prometheus takes a quantile to lie between the
# two that the true one lies between, and they are never more than 5 % apart; there is one below
# `_FROM`, as the lowest counts from 0.
BOUNDS = tuple(float(f"{_FROM * (_TO / _FROM) ** (n / _STEPS):.4g}") for n in range(-1, _STEPS + 1))
# Models whose latencies are told apart: each takes a series for each bound and outcome.
_MODELS = 20
# Nothing there is of more; a sum of such would make every scrape fail.
_MOST = 2**53
# Spans that end while others are measured.
_WAITING = 4_096

_OUTCOME = f"{names.OURS}outcome"
_MODEL = f"{names.OURS}model"
_MODE = f"{names.OURS}mode"
_SIDE = f"{names.OURS}side"
_SOURCE = f"{names.OURS}source"
_STAGE = f"{names.OURS}stage"
_TARGET = f"{names.OURS}target"
_DECISION = f"{names.OURS}decision"
_GATE_DECISION = "gate.decision"
_RUNG = f"{names.OURS}rung"
_TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no password

_DECISIONS = ("passed", "refused")
_RUNGS = ("given", "repair", "coercion", "reask", "stronger", "refused")
_OF_CACHE = (
    *("hit", "near", "shared", "miss", "bypass", "would hit", "would near"),
    *("kept", "compared", "unusable", "verifier failed"),
)
_STATES = {"closed": 0, "half_open": 1, "open": 2}

_Said = Mapping[str, Any]
_Measure = Callable[[ReadableSpan, _Said], None]


class SpanMetrics(SpanProcessor):
    """Measures spans as they end; what goes wrong is logged once, and never reaches a run.

    `ended` is called when it is shut down.
    """

    def __init__(self, meter: Meter, ended: Callable[[], None] = lambda: None) -> None:
        self._ended = ended
        self._is_told = False
        self._thread = _Thread()
        self._waiting: deque[ReadableSpan] = deque(maxlen=_WAITING)
        usage = _Usage(meter)
        self._measures: dict[Any, _Measure] = {
            "call": _calls(meter, usage),
            "attempt": _attempts(meter),
            "embedding": usage.embedded,
            "cache": _cache(meter),
            "gate": _gates(meter),
            "guard": _guards(meter),
            "contract": _contracts(meter),
            "circuit": _circuits(meter),
        }

    def on_end(self, span: ReadableSpan) -> None:
        self._waiting.append(span)
        if not self._thread.is_within:
            with self.within():
                pass  # What waits is measured.

    @contextmanager
    def within(self) -> Iterator[None]:
        """A block that holds locks of OpenTelemetry's metrics; spans that end in it wait.

        The garbage collector ends a stream that was left, and its spans, wherever it comes upon it.
        """
        self._thread.is_within = True
        try:
            self._measure_all()
            yield
        finally:
            self._thread.is_within = False

    def shutdown(self) -> None:
        self._ended()

    def _measure_all(self) -> None:
        # What comes meanwhile is for whoever is next; other threads take from what waits as well.
        with suppress(IndexError):
            for _ in range(len(self._waiting)):
                self._measure(self._waiting.popleft())

    def _measure(self, span: ReadableSpan) -> None:
        try:
            said = span.attributes or {}
            if (measure := self._measures.get(said.get(names.KIND))) is not None:
                measure(span, said)
        except Exception as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if self._is_told:
            return
        self._is_told = True
        # Its words may quote the span.
        kind = type(error).__name__
        logging.getLogger("agno_portkey").warning(
            "telemetry: a span could not be measured (%s); of others like it nothing is said", kind
        )


class _Thread(threading.local):
    is_within = False


class _Usage:
    """Tokens and costs, by model, role and cost center."""

    def __init__(self, meter: Meter) -> None:
        # Of a histogram without bounds there are the sum and the count.
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of calls, all attempts of each, and of lists of embedded texts",
            explicit_bucket_boundaries_advisory=[],
        )
        self._cost = meter.create_counter(
            "gen_ai.usage.cost", unit="USD", description="What calls cost, all attempts of each"
        )
        whose = (names.BAGGAGE["role"], names.BAGGAGE["cost_center"])
        self._labels = Labels(names.REQUEST_MODEL, names.RESPONSE_MODEL, *whose)

    def called(self, said: _Said) -> None:
        labels = self._labels.of(said)
        for kind, name in (("input", names.INPUT_TOKENS), ("output", names.OUTPUT_TOKENS)):
            self._used(kind, said.get(name), {**labels, names.OPERATION: "chat"})
        _add(self._cost, said.get(names.COST), labels)

    def embedded(self, span: ReadableSpan, said: _Said) -> None:
        labels = self._labels.of({names.REQUEST_MODEL: said.get(_MODEL, ""), **said})
        tokens = said.get(f"{names.OURS}tokens")
        self._used("input", tokens, {**labels, names.OPERATION: "embeddings"})

    def _used(self, kind: str, tokens: Any, labels: dict[str, str]) -> None:
        _record(self._tokens, tokens, {**labels, _TOKEN_TYPE: kind})


def _calls(meter: Meter, usage: _Usage) -> _Measure:
    def latency(name: str, description: str) -> Histogram:
        return meter.create_histogram(
            name,
            unit="s",
            description=description,
            explicit_bucket_boundaries_advisory=BOUNDS,
        )

    duration = latency("gen_ai.client.operation.duration", "Calls, with all that guards them")
    first = latency("gen_ai.server.time_to_first_token", "The first word of streamed calls")
    models = Labels(names.REQUEST_MODEL, values=_MODELS)

    def measure(span: ReadableSpan, said: _Said) -> None:
        labels = {**models.of(said), _OUTCOME: _outcome_of_call(said)}
        _record(duration, _seconds(span), {**labels, names.OPERATION: "chat"})
        # Of an answer that comes whole it is the time of the whole.
        if said.get("gen_ai.request.stream"):
            _record(first, said.get(names.FIRST_TOKEN), labels)
        usage.called(said)

    return measure


def _outcome_of_call(said: _Said) -> str:
    # Without an attempt, and well: somebody had the answer already.
    asked = said.get(names.ATTEMPTS) or not _is_well(said)
    return _outcome(said) if asked else "cached"


def _outcome(said: _Said) -> str:
    if names.ERROR_TYPE in said:
        return "failed"
    return "answered" if _is_well(said) else "left"


def _is_well(said: _Said) -> bool:
    return names.ERROR_TYPE not in said and not said.get(names.CANCELLED)


def _attempts(meter: Meter) -> _Measure:
    attempts = Outcomes(
        meter.create_counter("agno_portkey.attempts", description="Requests that calls made"),
        Labels(names.PROVIDER),
        _OUTCOME,
        ("answered", "failed", "left"),
    )
    errors = meter.create_counter("agno_portkey.errors", description="Failed attempts by kind")
    kinds = Labels(names.PROVIDER, names.ERROR_TYPE)
    gateway = meter.create_counter(
        "agno_portkey.gateway.cache", description="What the gateway says of its own cache"
    )
    statuses = Labels(f"{names.OURS}cache_status")

    def measure(span: ReadableSpan, said: _Said) -> None:
        attempts.add(said, outcome := _outcome(said))
        if outcome == "failed":
            errors.add(1, kinds.of(said))
        if status := statuses.of(said):
            gateway.add(1, status)

    return measure


def _cache(meter: Meter) -> _Measure:
    counter = meter.create_counter(
        "agno_portkey.cache.outcomes", description="What the cache did about calls"
    )
    outcomes = Outcomes(counter, Labels(_MODEL), _OUTCOME, _OF_CACHE)
    return lambda span, said: outcomes.add(said, said.get(_OUTCOME))


def _gates(meter: Meter) -> _Measure:
    counter = meter.create_counter(
        "agno_portkey.gate.decisions", description="What gates decided of plans"
    )
    decisions = Outcomes(counter, Labels(_SOURCE, _MODE), _GATE_DECISION, _DECISIONS)

    def measure(span: ReadableSpan, said: _Said) -> None:
        # What would have become of a run that is only observed is no other decision.
        if _GATE_DECISION in said and f"{names.OURS}would" not in said:
            decisions.add(said, said[_GATE_DECISION])

    return measure


def _guards(meter: Meter) -> _Measure:
    counter = meter.create_counter(
        "agno_portkey.guard.checks", description="What guards made of inputs and outputs"
    )
    checks = Outcomes(counter, Labels(_SOURCE, _SIDE, _MODE), _DECISION, _DECISIONS)
    return lambda span, said: checks.add(said, said.get(_DECISION))


def _contracts(meter: Meter) -> _Measure:
    counter = meter.create_counter(
        "agno_portkey.contract.answers", description="Structured answers by what brought them"
    )
    answers = Outcomes(counter, Labels(_MODEL, _STAGE), _RUNG, _RUNGS)
    return lambda span, said: answers.add(said, said.get(_RUNG, "refused"))


def _circuits(meter: Meter) -> _Measure:
    gauge = meter.create_gauge(
        "agno_portkey.circuit.state", description="0: closed, 1: half open, 2: open"
    )
    targets = Labels(_TARGET)

    def measure(span: ReadableSpan, said: _Said) -> None:
        if (state := _STATES.get(str(said.get(f"{names.OURS}state")))) is not None:
            gauge.set(state, targets.of(said))

    return measure


def _seconds(span: ReadableSpan) -> float:
    # A clock may have been set back.
    return max(0, (span.end_time or 0) - (span.start_time or 0)) / 1e9


def _record(histogram: Histogram, value: Any, labels: dict[str, str]) -> None:
    if _is_figure(value):
        histogram.record(value, labels)


def _add(counter: Counter, value: Any, labels: dict[str, str]) -> None:
    if _is_figure(value):
        counter.add(value, labels)


def _is_figure(value: Any) -> bool:
    """Whether it can be added up: one that is not would spoil the sum for good."""
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return told and 0 <= value <= _MOST
