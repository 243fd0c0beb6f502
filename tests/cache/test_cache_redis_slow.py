"""A Redis that answers a byte at a time is given up as one that does not answer at all."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from agno.agent import Agent
from cache_entries import NOW, PATIENCE, entry, keys_in, uses
from redis_server import RedisServer

from agno_portkey import PortkeyModel
from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.cache.redis_client import Patience
from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.testing import EmbeddedProvider

# Seconds between two bytes, and how many there are of an answer: more than any call waits for.
PAUSE, LENGTH = 0.02, 200
Answers = Callable[[socket.socket], None]


@contextmanager
def before(server: RedisServer, spoils: threading.Event, answers: Answers) -> Iterator[str]:
    """The address of what passes all on to `server`, until it `spoils` and gives other answers."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", server.port)) as real,
            ):
                ways = {self.request: real, real: self.request}
                while True:
                    for ready in select.select([*ways], [], [])[0]:
                        said = ready.recv(65_536)
                        if said and ready is self.request and spoils.is_set():
                            answers(ready)
                            return
                        if not said:
                            return
                        ways[ready].sendall(said)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as front:
        thread = threading.Thread(target=front.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{front.server_address[1]}"
        finally:
            front.shutdown()
            thread.join()


def drips(connection: socket.socket) -> None:
    """An answer that comes in too slowly, and is never whole."""
    connection.sendall(b"$100000\r\n")
    for _ in range(LENGTH):
        time.sleep(PAUSE)
        connection.sendall(b"x")


def stops(connection: socket.socket) -> None:
    """The beginning of an answer, and then nothing."""
    connection.sendall(b"$100000\r\n")
    time.sleep(LENGTH * PAUSE)


@pytest.mark.parametrize("known", [True, False], ids=["connected", "new"])
@pytest.mark.parametrize("answers", [drips, stops])
def test_what_drips_is_given_up(cache_server: RedisServer, answers: Answers, known: bool) -> None:
    spoils = threading.Event()
    with before(cache_server, spoils, answers) as url:
        patient = RedisStore(url, max_entries=10, seconds=PATIENCE, prefix="drips")
        if known:
            patient.put(entry())
            assert keys_in(patient, "k") == ["k"]
        spoils.set()
        patient._patience.seconds = 0.1
        for use in uses(patient):
            # A connection that ends instead would be one that was waited for.
            with pytest.raises(redis.TimeoutError):
                use()
            if known:
                spoils.clear()
                patient._patience.seconds = PATIENCE
                patient.put(entry())
                patient._patience.seconds = 0.1
                spoils.set()
        spoils.clear()
        patient._patience.seconds = PATIENCE
        patient.put(entry())
        assert keys_in(patient, "k") == ["k"]
        patient.close()


def test_what_is_waited_for_is_one_time_for_all() -> None:
    patience = Patience(PATIENCE)
    assert patience.left() == PATIENCE
    with patience.once():
        before = patience.left()
        with patience.once():
            assert patience.left() <= before <= PATIENCE
        assert patience.left() <= before
        others: list[float] = []
        thread = threading.Thread(target=lambda: others.append(patience.left()))
        thread.start()
        thread.join()
        assert others == [PATIENCE]
    assert patience.left() == PATIENCE


def dies(connection: socket.socket) -> None:
    """Half an answer, and the end of the connection."""
    connection.sendall(b"$100000\r\nxyz")


@pytest.mark.parametrize("answers", [drips, stops, dies])
def test_a_call_goes_on_without_it(
    portkey_provider: EmbeddedProvider,
    cache_server: RedisServer,
    answers: Answers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoils = threading.Event()
    with before(cache_server, spoils, answers) as url:
        store = RedisStore(url, max_entries=10, prefix="goes on")
        cache = Cache(store)
        policy = CachePolicy(store=cache, scope="public")
        model: Any = PortkeyModel(base_url=portkey_provider.url, api_key="k", cache=policy)
        spoils.set()
        assert Agent(model=model).run("Hi").content
        assert cache.resting
        assert "calls go on without it" in caplog.text
        cache.close()
    assert len(portkey_provider.calls) == 1


def test_what_was_not_told_in_time_is_told_next(cache_server: RedisServer) -> None:
    store = RedisStore(cache_server.url, max_entries=2_000, seconds=PATIENCE, prefix="parts")
    for number in range(1_203):
        store.put(entry(f"{number}"))
    whole = store.since("b", 0)
    assert len(whole) == 1_203
    # Each question has enough time, all of them together have none.
    store._patience = Patience(0.0)
    told: list[Any] = []
    while some := store.since("b", told[-1][0] if told else 0):
        assert len(some) < 1_203
        told += some
    assert told == whole
    store.delete(map(str, range(1_203)))
    store.close()
    assert store.get("k", NOW) is None
