"""A collector of traces on loopback that may be down, slow, silent, or answer junk."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Speaks OTLP over HTTP; `names` are those of the spans it was sent.

    `manner` is `good`, `junk` (answers nonsense), `error` (500) or `silent` (never answers).
    """

    def __init__(self, manner: str = "good") -> None:
        self.names: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(manner))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self, manner: str) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if manner == "silent":
                    collector._over.wait()
                    return
                if manner == "junk":
                    self.wfile.write(b"\x00\xff not HTTP at all\r\n\r\n")
                    return
                collector._take(body, dict(self.headers))
                self.send_response(500 if manner == "error" else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def _take(self, body: bytes, headers: dict[str, str]) -> None:
        sent = ExportTraceServiceRequest.FromString(body)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        for of in sent.resource_spans:
            for scope in of.scope_spans:
                self.names += [span.name for span in scope.spans]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
