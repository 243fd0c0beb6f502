"""`setup`: traces of runs, calls and what guards them, in one call."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from agno.db.base import BaseDb
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from agno_portkey.environments import check_capture
from agno_portkey.errors import ConfigurationError
from agno_portkey.settings import check_url
from agno_portkey.spans import use_tracing
from agno_portkey.telemetry.attempts import see_requests
from agno_portkey.telemetry.baggage import Bearing
from agno_portkey.telemetry.calls import CallSpans
from agno_portkey.telemetry.events import SPANS_OF_THEIR_OWN, EventSpans
from agno_portkey.telemetry.exporting import Allowed
from agno_portkey.telemetry.ledger.prices import Prices
from agno_portkey.telemetry.metrics import Metrics
from agno_portkey.telemetry.provider import Provider, provider
from agno_portkey.telemetry.runs import RunSpans
from agno_portkey.telemetry.table import SpanTable
from agno_portkey.verdict import hear_everything

__all__ = ["Telemetry", "is_set_up", "setup"]

# Spans that wait for an exporter; what comes after them is let go.
_WAITING = 4_096
_EVERY = 1_000  # milliseconds
_EXPORT_TIMEOUT = 5  # seconds

_lock = threading.Lock()
_now: Telemetry | None = None


def setup(
    *,
    db: BaseDb | None = None,
    otlp: str | None = None,
    otlp_headers: Mapping[str, str] | None = None,
    exporters: Sequence[SpanExporter] = (),
    prices: Prices | None = None,
    metrics: Metrics | None = None,
) -> Telemetry:
    """Have every run in this process make one trace, from here on.

    `db` is an Agno database, whose span table AgentOS shows; `otlp` the address of a collector
    (`http://localhost:4318`), which gets them over HTTP; `exporters` others of your own. All get
    names, figures and identities, never contents. Without any of them spans are made and dropped.
    `prices` are those of models, where a provider does not say what it took: by default the list
    that comes with this package. `metrics` are measured of all of them.

    It is called before anything else that sets a tracer provider. What is exported is exported
    behind the runs: nobody waits for it, and what it can't keep up with is dropped.
    """
    if not isinstance(exporters, Sequence):
        raise ConfigurationError(f"exporters: a list of SpanExporters, not {exporters!r}")
    if not isinstance(prices, Prices | None):
        raise ConfigurationError("prices: a Prices; Prices.from_file reads a file")
    given = [*exporters]
    if db is not None:
        given.append(SpanTable(db))
    if otlp is not None:
        given.append(_collector(otlp, otlp_headers))
    for each in given:
        if not isinstance(each, SpanExporter):
            raise ConfigurationError(f"exporters: OpenTelemetry's SpanExporter, not {each!r}")
    if not isinstance(metrics, Metrics | None):
        raise ConfigurationError(f"metrics: Metrics(...), not {metrics!r}")
    check_capture()
    global _now
    with _lock:
        if _now is not None:
            raise ConfigurationError("telemetry is set up already: shut that down first")
        of = provider()
        see_requests()
        listed = prices or Prices.shipped()
        measured = [metrics.start()] if metrics is not None else []
        _now = Telemetry(of, listed, [*measured, *(_behind(each) for each in given)])
        return _now


def is_set_up() -> bool:
    """Whether what `setup` began goes on."""
    return _now is not None


def _collector(address: str, headers: Mapping[str, str] | None) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if not isinstance(address, str):
        raise ConfigurationError(f"otlp: the address of a collector, not {address!r}")
    url = check_url(address, name="otlp")
    # Of a collector that is down it says three lines a batch; `Allowed` says one. Who has set a
    # level sees them.
    if (log := logging.getLogger("opentelemetry.exporter.otlp")).level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    if not url.endswith("/v1/traces"):
        url += "/v1/traces"
    return OTLPSpanExporter(endpoint=url, headers=dict(headers or {}), timeout=_EXPORT_TIMEOUT)


def _behind(exporter: SpanExporter) -> SpanProcessor:
    return BatchSpanProcessor(
        Allowed(exporter), max_queue_size=_WAITING, schedule_delay_millis=_EVERY
    )


class Telemetry:
    """What `setup` began; shut down at the end of a `with` block, or of the process."""

    def __init__(self, of: Provider, prices: Prices, processors: Sequence[SpanProcessor]) -> None:
        self._provider = of
        self._processors = tuple(processors)
        self._tracer = of.get_tracer("agno_portkey")
        self._events = EventSpans(self._tracer)
        of.hand_to((Bearing(), *self._processors))
        self._runs = RunSpans(of)
        hear_everything(self._events, but=SPANS_OF_THEIR_OWN)
        use_tracing(CallSpans(self._tracer, prices))
        # What waits then would go with the process.
        atexit.register(self.shutdown)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait up to `timeout` seconds until what has ended is exported; whether it was."""
        milliseconds = int(timeout * 1_000)
        asked = [(lambda each=each: each.force_flush(milliseconds)) for each in self._processors]
        return _bounded(asked, timeout)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Stop, and export what is left in `timeout` seconds; whether all of it was."""
        global _now
        with _lock:
            if _now is not self:
                return True
            _now = None
            # Whoever sets up next begins with nothing of this.
            use_tracing(None)
            hear_everything(self._events, again=False)
            self._runs.stop()
            self._provider.hand_to(())
        atexit.unregister(self.shutdown)
        return _bounded([each.shutdown for each in self._processors], timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()


def _bounded(asked: Sequence[Callable[[], Any]], timeout: float) -> bool:
    """Ask each on a thread of its own: an exporter may hang. Whether all were done, and well."""
    done: list[bool] = []

    def ask(one: Callable[[], Any]) -> None:
        done.append(one() is not False)

    threads = []
    last = time.monotonic() + timeout
    for one in asked:
        thread = threading.Thread(target=ask, args=(one,), daemon=True, name="agno-portkey-spans")
        try:
            thread.start()
        except RuntimeError:  # at the end of a process Python 3.12 has none
            ask(one)
        else:
            threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, last - time.monotonic()))
    return len(done) == len(asked) and all(done)
