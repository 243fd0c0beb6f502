"""A receiver of webhooks on loopback, which takes messages, or does what receivers do wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SECONDS = 30.0


class Receiver:
    """Answers the n-th message with the n-th of `answers`, and all others with the last.

    An answer is a status, or `silence`, `drip` (a header without an end), `junk` or `hangup`.
    """

    def __init__(self, *answers: int | str) -> None:
        self.answers = list(answers) or [200]
        self.messages: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._came = threading.Condition()
        # Set when nobody is to be kept waiting any more.
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._took(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def until(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The messages as soon as they are `enough`."""
        with self._came:
            assert self._came.wait_for(lambda: enough(self.messages), SECONDS), self.messages
            return [*self.messages]

    def wait(self, count: int) -> list[dict[str, Any]]:
        """The messages as soon as there are so many."""
        return self.until(lambda messages: len(messages) >= count)

    def _took(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"])
        body = json.loads(handler.rfile.read(length))
        with self._came:
            place = min(len(self.messages), len(self.answers) - 1)
            self.messages.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self._came.notify_all()
        answer = self.answers[place]
        if isinstance(answer, int):
            handler.send_response(answer)
            if 300 <= answer < 400:
                handler.send_header("Location", self.url + "/elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.close_connection = True
        if answer == "junk":
            handler.wfile.write(b"\x00\xff this is no HTTP\r\n\r\n")
        elif answer == "silence":
            self.released.wait(SECONDS)
        elif answer == "drip":
            self._drip(handler)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        deadline = time.monotonic() + SECONDS
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not self.released.wait(0.02) and time.monotonic() < deadline:
                handler.wfile.write(b"x")
        except OSError:
            return
