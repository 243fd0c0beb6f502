"""The spans of attempts: what OpenLIT sees of the requests of a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from agno_portkey.telemetry import names
from agno_portkey.telemetry.answers import take_over

__all__ = ["CALL", "AttemptSpan", "AttemptTracer", "see_requests"]

# Where a context has the call that is being made in it.
CALL = context.create_key("agno_portkey.call")
_USAGE = "gen_ai.usage."
# What is taken over of what OpenLIT says. Not the operation, which is the call's: who adds up those
# of a trace counts it once; nor prices, of which it takes what it does not know for free, the first
# word, which in a plain request is the whole answer, the provider, which is always "openai", or the
# names of tools, which may be any words of a model.
_TAKEN = frozenset(
    {
        names.ERROR_TYPE,
        names.REQUEST_MODEL,
        "gen_ai.request.max_tokens",
        "gen_ai.request.stream",
        "gen_ai.request.temperature",
        "gen_ai.request.top_p",
        "gen_ai.response.id",
        "gen_ai.server.time_per_output_token",
        "server.address",
        "server.port",
    }
)
_PRICES = Path(__file__).with_name("prices.json")
_lock = threading.Lock()
_seeing = False


class _Called(Protocol):
    def begun(self, tracer: Tracer, **how: Any) -> AttemptSpan | None:
        """The span of a request that is sent now; None for one that is not of this call."""
        ...


class AttemptSpan(Span):
    """OpenLIT's span of a request, which ends when its attempt does, and says how that went.

    OpenLIT ends no span of a stream that breaks off or is left, and takes any answer for a good
    one. What it counts goes under names of our own: the call's span has the sum.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._said: dict[str, Any] = {}
        self._ended: int | None = None

    def get_span_context(self) -> trace.SpanContext:
        return self._span.get_span_context()

    def take(self, said: Mapping[str, Any]) -> None:
        """What its answer says, under the names that it goes by; None is nothing said."""
        self._said.update({name: value for name, value in said.items() if value is not None})

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: Any) -> None:
        if key in _TAKEN:
            self._said[key] = value
        elif key.startswith(_USAGE) and key != names.COST:
            self._said[names.OURS + key.removeprefix(_USAGE)] = value

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """An event may quote what was sent, too."""

    def update_name(self, name: str) -> None:
        """Its name is its number."""

    def is_recording(self) -> bool:
        return self._span.is_recording()

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Whether it went well is for the attempt to say."""

    def record_exception(self, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        """An exception quotes what was sent; its kind is told."""

    def end(self, end_time: int | None = None) -> None:
        self._ended = end_time or time.time_ns()

    def close(self, told: Mapping[str, Any], *, failed: bool) -> None:
        """The attempt is over; `told` is what is known of it."""
        self._span.set_attributes({**self._said, **told})
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._ended)


class AttemptTracer(Tracer):
    """OpenLIT's tracer: what it sees in a call is one of the call's attempts."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(self, name: str, context: Context | None = None, *args: Any, **how: Any) -> Span:
        called, kind = _called(context), how.get("kind", SpanKind.CLIENT)
        attempt = called.begun(self._tracer, context=context, kind=kind) if called else None
        if attempt is not None:
            return attempt
        return self._tracer.start_span(name, context, kind=kind)

    # It is entered, and not decorated with, as OpenTelemetry wants it.
    def start_as_current_span(  # type: ignore[override]
        self, name: str, context: Context | None = None, *args: Any, **how: Any
    ) -> _Current:
        return _Current(self.start_span(name, context, kind=how.get("kind", SpanKind.CLIENT)))


class _Current:
    """A block in which `span` is the current one, and which ends it: that of a plain request."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *exc_info: object) -> None:
        context.detach(self._token)
        self._span.end()


def see_requests() -> None:
    """Have OpenLIT make spans of what OpenAI's client sends.

    It can be told once in a process, and is given the list of prices that it would look for in the
    network. Its events are off, and so is the logger it would print them with.
    """
    global _seeing
    with _lock:
        if _seeing:
            return
        import openlit  # type: ignore[import-untyped]
        from openlit._instrumentors import (  # type: ignore[import-untyped]
            MODULE_NAME_MAP,
        )
        from openlit.instrumentation.openai import (  # type: ignore[import-untyped]
            OpenAIInstrumentor,
            async_openai,
            openai,
        )
        from openlit.otel import events  # type: ignore[import-untyped]

        take_over(AttemptSpan, openai, async_openai)
        events.EVENTS_SET = True
        # It would import the instrumentations of all there are, disabled ones and FastAPI included.
        of_all = openlit.get_all_instrumentors
        openlit.get_all_instrumentors = lambda: {"openai": OpenAIInstrumentor()}
        try:
            openlit.init(
                pricing_json=str(_PRICES),
                capture_message_content=False,
                disable_metrics=True,
                disable_events=True,
                disabled_instrumentors=[name for name in MODULE_NAME_MAP if name != "openai"],
            )
        finally:
            openlit.get_all_instrumentors = of_all
        _seeing = True


def _called(within: Context | None) -> _Called | None:
    return cast("_Called | None", context.get_value(CALL, within))
