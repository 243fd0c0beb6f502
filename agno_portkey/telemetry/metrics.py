"""`Metrics`: what Prometheus reads of this process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from wsgiref.simple_server import WSGIServer

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.trace import SpanProcessor
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.exposition import choose_encoder

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.measuring import SpanMetrics

__all__ = ["Metrics", "ServedMetrics"]


class Metrics:
    """Metrics of the spans of this process, from `telemetry.setup(metrics=...)` to its shutdown.

    Meanwhile they are at `http://{host}:{port}/metrics`, for anybody who gets there: the host is
    this machine's own unless you say another. Port 0 is a free one, which `port` names while it is
    served; with None they are nowhere but where you mount `asgi()`. Names and figures are served,
    never contents.
    """

    def __init__(self, port: int | None = 9464, host: str = "127.0.0.1") -> None:
        if not (port is None or (type(port) is int and 0 <= port < 65_536)):
            raise ConfigurationError(f"port: a number in 0-65535, or None, not {port!r}")
        if not (isinstance(host, str) and host):
            raise ConfigurationError(f"host: an address or name of this machine, not {host!r}")
        self.port, self.host = port, host
        self._asked_port = port
        self._registry = _Registry()
        self._running: _Running | None = None

    def start(self) -> SpanProcessor:
        """Begin at zero: what comes back is to get the spans, and ends it when it is shut down.

        Raises ConfigurationError where nobody can listen at the port.
        """
        if self._running is not None:
            raise ConfigurationError("metrics: a telemetry has these already; give each its own")
        server = self._serve() if self._asked_port is not None else None
        self._running = running = _Running(self._registry, server)
        measuring = SpanMetrics(running.provider.get_meter("agno_portkey"), self._stop)
        self._registry.within = measuring.within
        return measuring

    def asgi(self) -> ServedMetrics:
        """An app that serves them, for `app.routes.append(Route("/metrics", metrics.asgi()))`.

        It asks nobody for a key. AgentOS has a page of its own at `/metrics`: there it is another
        route of its `base_app`.
        """
        return ServedMetrics(self._registry)

    def _serve(self) -> WSGIServer:
        try:
            server, _ = start_http_server(self._asked_port or 0, self.host, self._registry)
        except OSError as error:
            raise ConfigurationError(
                f"metrics can't be served at {self.host}:{self._asked_port} ({error.strerror}): "
                "give another port=, 0 for a free one, or None and mount asgi()"
            ) from error
        self.port = server.server_port
        return server

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.end()


class ServedMetrics:
    """An ASGI app for a route: it answers with the metrics, which are written beside the loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        accepted = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        encode, kind = choose_encoder(accepted)
        body = await asyncio.to_thread(encode, self._registry)
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Running:
    """What there is while spans are measured."""

    def __init__(self, registry: CollectorRegistry, server: WSGIServer | None) -> None:
        self._server, self._process = server, os.getpid()
        reader = PrometheusMetricReader(
            disable_target_info=True, scope_info_enabled=False, registry=registry
        )
        # An exemplar for each bucket would be kept, and never shown.
        self.provider = MeterProvider(
            [reader], shutdown_on_exit=False, exemplar_filter=AlwaysOffExemplarFilter()
        )

    def end(self) -> None:
        if self._server is not None:
            # A fork has the socket alone: the thread that would stop is its parent's.
            if self._process == os.getpid():
                self._server.shutdown()
            self._server.server_close()
        self.provider.shutdown()


class _Registry(CollectorRegistry):
    """Collects for one at a time: OpenTelemetry gives two at once each other's figures."""

    def __init__(self) -> None:
        super().__init__()
        self._one = threading.Lock()
        self.within: Callable[[], AbstractContextManager[None]] = nullcontext

    def collect(self) -> Iterable[Metric]:
        with self._one, self.within():
            return [*super().collect()]
