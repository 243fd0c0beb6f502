"""OpenTelemetry's provider of this process, which outlives what it hands spans to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import NoOpTracer, ProxyTracerProvider, Tracer

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.attempts import AttemptTracer

__all__ = ["Provider", "provider"]


# Makes a trace of each request wherever there is a provider: of each scrape, each look at a page.
_NOT_ASKED = ("fastapi",)


class Provider(TracerProvider):
    """Hands spans to the processors of the telemetry that is set up; without one makes none.

    OpenTelemetry takes a provider once in a process.
    """

    def __init__(self) -> None:
        self._now = _Now()
        super().__init__(sampler=_Sampling(self._now), resource=Resource.create())
        self.add_span_processor(self._now)

    def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> Tracer:
        if instrumenting_module_name in _NOT_ASKED:
            return NoOpTracer()
        tracer = super().get_tracer(instrumenting_module_name, *args, **kwargs)
        ours = not instrumenting_module_name.startswith("openlit")
        return tracer if ours else AttemptTracer(tracer)

    def hand_to(self, processors: Sequence[SpanProcessor]) -> None:
        """Have `processors` get each span from here on."""
        self._now.processors = tuple(processors)


class _Now(SpanProcessor):
    """Whoever gets spans at the time."""

    def __init__(self) -> None:
        self.processors: tuple[SpanProcessor, ...] = ()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for each in self.processors:
            each.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        for each in self.processors:
            each.on_end(span)


class _Sampling(Sampler):
    """All or nothing."""

    def __init__(self, now: _Now) -> None:
        self._now = now

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        if not self._now.processors:
            return SamplingResult(Decision.DROP)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "WhileSetUp"


_lock = threading.Lock()
_provider: Provider | None = None


def provider() -> Provider:
    """The provider of this process; ConfigurationError where another one was there before."""
    global _provider
    with _lock:
        if _provider is None:
            made = Provider()
            # Setting it prints a line of OpenTelemetry's own where another one is there.
            if isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
                trace.set_tracer_provider(made)
            if trace.get_tracer_provider() is not made:
                raise ConfigurationError(
                    "OpenTelemetry has a tracer provider already: set telemetry up before "
                    "anything else that makes one (AgentOS(tracing=True), openlit.init, ...)"
                )
            _provider = made
        return _provider
