"""The HTTP side of the embedded provider: it plays scripts of steps on raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

import h11

from agno_portkey.testing.steps import End, Finished, Hang, Hangup, Head, Pause, Reset, Step

_READ_BYTES = 256 * 1024
_FLUSH_BYTES = 64 * 1024
_HEADER_BYTES = 1024 * 1024
_BODY_BYTES = 32 * 1024 * 1024


class Outcome:
    """How an exchange ended; the first word counts."""

    def __init__(self) -> None:
        self.finished: Finished = "open"
        self._settled = threading.Event()

    def settle(self, finished: Finished) -> None:
        """Record the end, unless it is recorded already."""
        if self.finished == "open":
            self.finished = finished
            self._settled.set()

    def wait(self, timeout: float) -> Finished:
        """Block until the end is known, at most `timeout` seconds."""
        self._settled.wait(timeout)
        return self.finished


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it came in, header names in lower case; `at` is monotonic seconds."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float
    outcome: Outcome = field(default_factory=Outcome)


class _TooLarge(Exception):
    """The body is over the limit."""


Respond: TypeAlias = Callable[[Exchange], Awaitable[Iterable[Step]]]
Failed: TypeAlias = Callable[[BaseException], None]


class Server:
    """A loopback HTTP/1.1 server on an event loop and daemon thread of its own.

    `respond` is awaited on that loop and must not block it; `failed` hears of scripts that
    could not be played.
    """

    def __init__(self, respond: Respond, *, failed: Failed) -> None:
        self._respond = respond
        self._failed = failed
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> int:
        """Listen on a free port of 127.0.0.1 and return it; OSError where none is to be had."""
        port: Future[int] = Future()
        self._thread = threading.Thread(
            target=self._turn, args=(port,), name="embedded-provider", daemon=True
        )
        self._thread.start()
        return port.result()

    def stop(self) -> None:
        """End every connection, then the loop and its thread."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = self._stopping = None

    def _turn(self, port: Future[int]) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._run(port))
        except BaseException as error:
            # Without file descriptors there is not even a loop, and the caller waits.
            if port.done():
                raise
            port.set_exception(error)

    async def _run(self, port: Future[int]) -> None:
        # Asked for a port, asyncio passes over a socket that can't be had, and listens on none.
        listening = socket.create_server(("127.0.0.1", 0))
        server = await asyncio.start_server(
            self._accept, sock=listening, limit=_HEADER_BYTES, backlog=1024
        )
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        port.set_result(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        # Who is on the way in comes in first: a server that is closed drops them half open.
        for listening in server.sockets:
            self._loop.remove_reader(listening.fileno())
        await _some_turns()
        server.close()
        await self._drop_connections()
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping is None or self._stopping.is_set():
            # A task begun now would be cancelled before it could close anything.
            writer.transport.abort()
            return
        connection = _Connection(reader, writer, respond=self._respond, failed=self._failed)
        task = asyncio.get_running_loop().create_task(connection.serve())
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _drop_connections(self) -> None:
        # Abort first: a close would wait for clients that do not read.
        for task, writer in list(self._connections.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await _some_turns()


async def _some_turns() -> None:
    """Let the loop turn: connections come in, and aborted transports leave it, within a few."""
    for _ in range(5):
        await asyncio.sleep(0)


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        respond: Respond,
        failed: Failed,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._respond = respond
        self._failed = failed
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADER_BYTES)

    async def serve(self) -> None:
        """Answer one request after the other until a side wants to close."""
        try:
            while exchange := await self._receive():
                await self._answer(exchange)
                if self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                    break
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as exc:
            await self._refuse(exc.error_status_hint, str(exc))
        except _TooLarge:
            await self._refuse(413, "the body is too large")
        except OSError:
            pass  # the client is gone, and there was no exchange to note it in
        finally:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _receive(self) -> Exchange | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                await self._read_more()
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _BODY_BYTES:
                    raise _TooLarge
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _exchange(head, bytes(body))
            else:
                return None

    async def _read_more(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._writer.write(self._http.send(go_on) or b"")
        self._http.receive_data(await self._reader.read(_READ_BYTES))

    async def _answer(self, exchange: Exchange) -> None:
        """Respond, and stop at once when the client leaves meanwhile."""
        playing = asyncio.ensure_future(self._respond_and_play(exchange))
        leaving = asyncio.ensure_future(self._departure())
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                exchange.outcome.settle("client_gone")
                self._writer.transport.abort()
        finally:
            playing.cancel()
            leaving.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)
            exchange.outcome.settle("cut")

    async def _departure(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(_READ_BYTES):
                self._http.receive_data(data)  # the next request, sent ahead

    async def _respond_and_play(self, exchange: Exchange) -> None:
        try:
            await self._play(await self._respond(exchange), exchange)
        except OSError:
            exchange.outcome.settle("client_gone")
        except Exception as exc:
            self._failed(exc)
            self._writer.transport.abort()

    async def _play(self, steps: Iterable[Step], exchange: Exchange) -> None:
        unsent = bytearray()
        for step in steps:
            if isinstance(step, bytes):
                # The answer to HEAD has no body.
                if exchange.method != "HEAD":
                    unsent += self._http.send(h11.Data(data=step)) or b""
            elif isinstance(step, Head):
                response = h11.Response(status_code=step.status, headers=list(step.headers))
                unsent += self._http.send(response) or b""
            elif isinstance(step, End):
                unsent += self._http.send(h11.EndOfMessage()) or b""
                # Before the last byte, so that who has read it all finds it settled.
                exchange.outcome.settle(step.finished)
            if isinstance(step, Pause | End | Hang | Hangup) or len(unsent) > _FLUSH_BYTES:
                self._writer.write(bytes(unsent))
                unsent.clear()
                await self._writer.drain()
            if isinstance(step, Pause | Hang | Hangup | Reset):
                await self._interrupt(step, exchange)

    async def _interrupt(self, step: Pause | Hang | Hangup | Reset, exchange: Exchange) -> None:
        match step:
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
            case Hang():
                await asyncio.get_running_loop().create_future()
            case Hangup():
                exchange.outcome.settle("cut")
                self._writer.close()
            case Reset():
                exchange.outcome.settle("cut")
                self._reset()

    def _reset(self) -> None:
        # Linger on with zero seconds makes the close a RST instead of a FIN.
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _refuse(self, status: int, message: str) -> None:
        """Tell a client that does not speak HTTP so, as far as it still listens."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        head = Head(status, (("content-type", "text/plain"), ("connection", "close")))
        exchange = Exchange("GET", "", {}, b"", time.monotonic())
        with contextlib.suppress(OSError):
            await self._play([head, message.encode(), End()], exchange)


def _exchange(head: h11.Request, body: bytes) -> Exchange:
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Exchange(
        method=head.method.decode("ascii"),
        target=head.target.decode("latin-1"),
        headers=headers,
        body=body,
        at=time.monotonic(),
    )
