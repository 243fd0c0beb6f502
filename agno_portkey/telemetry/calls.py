"""The spans of calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from agno_portkey.calls import Call
from agno_portkey.telemetry import names
from agno_portkey.telemetry.attempts import CALL, AttemptSpan
from agno_portkey.telemetry.ledger.prices import NANO, Prices, nanodollars

__all__ = ["CallSpans", "CalledSpan", "baggage_of"]

# What an observer hears of an attempt or a call, under the names of its attributes.
_TOLD = ("target", "option_index", "cache_status", "finish_reason", "experiment", "arm", "status")
_TOLD_ON = {name: f"{names.OURS}{name}" for name in _TOLD}
_TOLD_ON |= {
    "retry_attempt_count": f"{names.OURS}gateway_retries",
    "trace_id": f"{names.OURS}gateway_trace_id",
    "attempts": names.ATTEMPTS,
    "cancelled": names.CANCELLED,
    "provider": names.PROVIDER,
    "error": names.ERROR_TYPE,
    "model": names.RESPONSE_MODEL,
}
# Those that are whatever the gateway or a provider says.
_SAID = ("option_index", "cache_status", "finish_reason", "trace_id", "provider", "model")
# What the gateway says of an answer that it had.
_KEPT = ("HIT", "SEMANTIC HIT")
# Tokens and dollars of a call: whoever says that there were more is wrong, and a sum of such is no
# figure that could be sent anywhere.
_MOST = 2**53


class CallSpans:
    """Makes the span of each call: `chat {model}`, with its attempts in it."""

    def __init__(self, tracer: Tracer, prices: Prices) -> None:
        self._tracer, self._prices = tracer, prices

    def call(self, model: Any, call: Call) -> CalledSpan:
        tags = model.tags_of(call.run_response)
        run = call.run_response
        within = baggage_of(tags)
        told = {
            names.OPERATION: "chat",
            names.KIND: "call",
            names.REQUEST_MODEL: model.id,
            "gen_ai.request.stream": call.stream,
            names.RUN_ID: call.run_id,
            names.SESSION_ID: getattr(run, "session_id", None),
        }
        span = self._tracer.start_span(
            f"chat {model.id}",
            context=within,
            kind=SpanKind.CLIENT,
            attributes={name: value for name, value in told.items() if value is not None},
        )
        return CalledSpan(span, within, self._prices, str(model.id), streamed=call.stream)


def baggage_of(tags: Mapping[str, str]) -> Context:
    """The current context, with those of `tags` in its baggage that every span is to bear."""
    within = context.get_current()
    for tag, name in names.BAGGAGE.items():
        # A run's calls stand in what it has set already.
        if (value := tags.get(tag)) and baggage.get_baggage(name, within) != value:
            within = baggage.set_baggage(name, value, within)
    return within


class CalledSpan:
    """The span of one call."""

    def __init__(
        self, span: Span, within: Context, prices: Prices, model: str, *, streamed: bool
    ) -> None:
        self._span, self._prices, self._model = span, prices, model
        self._within = context.set_value(CALL, self, trace.set_span_in_context(span, within))
        self._began = time.perf_counter()
        self._number, self._sending = 0, False
        self._attempt: AttemptSpan | None = None
        # Its attributes, which are set at once when it ends.
        self._said: dict[str, Any] = {}
        # Of what comes as a whole the first word is the last.
        self._shown = not streamed
        self._tokens = [0, 0]
        # In billionths of a dollar; None if it is not known of all.
        self._cost: int | None = 0

    def inside(self) -> _Attached:
        return _Attached(self._within)

    def saw(self, delta: Any) -> None:
        if not self._shown and (delta.content or delta.tool_calls):
            self._shown = True
            self._said[names.FIRST_TOKEN] = time.perf_counter() - self._began

    def attempting(self, number: int) -> None:
        self._leave()
        self._number, self._sending = number, True

    def begun(self, tracer: Tracer, **how: Any) -> AttemptSpan | None:
        """The span of a request that is sent now; None for one that is not of this call."""
        if not self._sending:
            return None
        self._sending = False
        of: dict[str, Any] = {names.KIND: "attempt", names.ATTEMPT: self._number}
        span = tracer.start_span(f"attempt {self._number}", attributes=of, **how)
        self._attempt = AttemptSpan(span)
        return self._attempt

    def attempted(self, data: Mapping[str, Any]) -> None:
        self._sending = False
        # What the gateway kept was paid for once: the usage in it is that of then.
        if str(data.get("cache_status")).upper() not in _KEPT:
            self._took(data)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.close(_told(data), failed="error" in data)

    def known(self, data: Mapping[str, Any]) -> None:
        self._said.update(_told(data))

    def end(self, error: BaseException | None) -> None:
        self._leave()
        # Of a call that was refused before it was sent there is nothing to count.
        if self._number or error is None:
            self._count_up()
        if isinstance(error, Exception):
            self._said[names.ERROR_TYPE] = type(error).__name__
            self._span.set_status(Status(StatusCode.ERROR))
        elif error is not None:
            self._said[names.CANCELLED] = True
        self._span.set_attributes(self._said)
        self._span.end()

    def _count_up(self) -> None:
        self._said[names.INPUT_TOKENS], self._said[names.OUTPUT_TOKENS] = self._tokens
        if self._cost is not None:
            self._said[names.COST] = self._cost / NANO

    def _took(self, data: Mapping[str, Any]) -> None:
        self._tokens[0] += _count(data.get("input_tokens")) or 0
        self._tokens[1] += _count(data.get("output_tokens")) or 0
        cost = self._cost_of(data)
        self._cost = None if cost is None or self._cost is None else self._cost + cost

    def _cost_of(self, data: Mapping[str, Any]) -> int | None:
        """What an attempt cost: as the provider says, else by the list of prices."""
        if (said := data.get("cost")) is not None:
            return _price(said)
        kinds = ("input", "output", "cached", "total")
        counted = [n for kind in kinds if (n := _count(data.get(f"{kind}_tokens"))) is not None]
        if len(counted) < len(kinds):
            return None
        if not any(counted):
            # Of an answer nobody said what it took.
            return 0 if "error" in data or data.get("cancelled") else None
        price = self._prices.of(data.get("model"), self._model)
        prompt, completion, cached, total = counted
        # What is in the total alone was written, too.
        return (
            None if price is None else price.cost(prompt, max(completion, total - prompt), cached)
        )

    def _leave(self) -> None:
        """Nobody says how the attempt went."""
        self._sending = False
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.close({}, failed=False)


def _count(said: Any) -> int | None:
    """How many tokens a provider says there were; None where that can be no count."""
    if said is None:
        return 0
    return said if type(said) is int and 0 <= said <= _MOST else None


def _price(said: Any) -> int | None:
    """In billionths, what a provider says it took; None where that can be no price."""
    try:
        amount = Decimal(str(said))
        return nanodollars(amount) if 0 <= amount <= _MOST else None
    except InvalidOperation:
        return None


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        on: value
        for name, on in _TOLD_ON.items()
        if (value := data.get(name)) is not None
        and (name not in _SAID or not isinstance(value, str) or names.is_code(value))
    }


class _Attached:
    """A block in which a context is the current one."""

    def __init__(self, within: Context) -> None:
        self._within = within

    def __enter__(self) -> None:
        self._token = context.attach(self._within)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        context.detach(self._token)
