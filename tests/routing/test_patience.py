"""A stream that says nothing ends at its deadline, and one that goes on does not."""

from __future__ import annotations

import gc
import math
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agno_portkey.routing.recovery.patience import Patience, Watchdog


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def _response(sock: Any) -> Any:
    stream = SimpleNamespace(get_extra_info=lambda name: sock if name == "socket" else None)
    return SimpleNamespace(extensions={"network_stream": stream})


Pair = tuple[socket.socket, socket.socket]


def _read(near: socket.socket, patience: Patience, *, times: int = 1) -> bytes:
    """Read a byte at a time under a watchdog of its own; each byte is a token."""
    got = b""
    with Watchdog().over(_response(near), patience):
        for _ in range(times):
            with patience:
                got += near.recv(1)
            patience.heard()
    return got


def test_a_blocking_read_ends_at_the_deadline(pair: Pair) -> None:
    with pytest.raises(TimeoutError, match="no token"):
        _read(pair[0], Patience(0.05, 0.05))


def test_an_error_after_the_deadline_is_a_timeout_too(pair: Pair) -> None:
    patience = Patience(0.05, 0.05)

    def read() -> None:
        with Watchdog().over(_response(pair[0]), patience), patience:
            pair[0].recv(1)
            raise ConnectionError("the peer closed")

    with pytest.raises(TimeoutError) as caught:
        read()
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_an_error_before_the_deadline_stays_what_it_is(pair: Pair) -> None:
    with (
        pytest.raises(ConnectionError),
        Watchdog().over(_response(pair[0]), Patience(60, 60)),
    ):
        raise ConnectionError("the peer closed")


def test_after_a_token_the_second_limit_counts(pair: Pair) -> None:
    pair[1].send(b"x")
    with pytest.raises(TimeoutError):
        _read(pair[0], Patience(60, 0.05), times=2)


def test_tokens_that_keep_coming_are_not_ended(pair: Pair) -> None:
    near, far = pair

    def send() -> None:
        for _ in range(10):
            time.sleep(0.05)
            far.send(b"x")

    sender = threading.Thread(target=send)
    sender.start()
    assert _read(near, Patience(0.3, 0.3), times=10) == b"x" * 10
    sender.join()


def test_a_reader_who_is_slow_is_not_the_streams_fault(pair: Pair) -> None:
    near, far = pair
    patience = Patience(0.1, 0.1)
    with Watchdog().over(_response(near), patience):
        for _ in range(2):
            time.sleep(0.25)
            far.send(b"x")
            with patience:
                assert near.recv(1) == b"x"
            patience.heard()


def test_what_has_come_and_was_not_read_yet_is_no_stall(pair: Pair) -> None:
    # As on an event loop that is kept busy: the read is begun, and what came lies there.
    near, far = pair
    patience = Patience(0.1, 0.1)
    with Watchdog().over(_response(near), patience):
        far.send(b"x")
        with patience:
            time.sleep(0.35)
            assert near.recv(1) == b"x"


def test_what_is_no_token_does_not_put_the_deadline_off(pair: Pair) -> None:
    near, far = pair
    patience = Patience(0.2, 60)
    got = 0

    def read() -> None:
        nonlocal got
        with Watchdog().over(_response(near), patience):
            while True:
                far.send(b":")
                with patience:
                    near.recv(1)
                    time.sleep(0.05)
                got += 1
                if got > 100:
                    return

    with pytest.raises((TimeoutError, OSError)):
        read()
    assert got < 100


def test_one_thread_serves_many_streams_each_by_its_own_deadline() -> None:
    watchdog = Watchdog()
    others = set(threading.enumerate())
    pairs = [socket.socketpair() for _ in range(8)]
    ended: list[int] = []

    def read(index: int) -> None:
        near = pairs[index][0]
        patience = Patience(0.1 if index % 2 else 60, 60)
        try:
            with watchdog.over(_response(near), patience), patience:
                near.recv(1)
        except TimeoutError:
            ended.append(index)

    threads = [threading.Thread(target=read, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for index in (1, 3, 5, 7):
        threads[index].join()
    named = [each for each in threading.enumerate() if "watchdog" in each.name]
    assert len(set(named) - others) == 1
    assert sorted(ended) == [1, 3, 5, 7]
    for _, far in pairs:
        far.close()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [1, 3, 5, 7]
    for near, _ in pairs:
        near.close()


@pytest.mark.parametrize("response", [SimpleNamespace(), _response(None), _response("no socket")])
def test_what_has_no_socket_is_read_without_a_watch(response: Any) -> None:
    with Watchdog().over(response, Patience(0.01, 0.01)):
        time.sleep(0.05)


def test_without_a_limit_nothing_is_watched(pair: tuple[socket.socket, socket.socket]) -> None:
    watchdog = Watchdog()
    with watchdog.over(_response(pair[0]), Patience(None, None)):
        assert watchdog._thread is None


def test_the_thread_ends_when_nothing_is_left_to_watch_and_begins_anew(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_portkey.routing.recovery.patience._IDLE_SECONDS", 0.01)
    watchdog = Watchdog()
    with watchdog.over(_response(pair[0]), Patience(60, 0.01)):
        thread = watchdog._thread
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
    patience = Patience(0.01, 0.01)
    with pytest.raises(TimeoutError), watchdog.over(_response(pair[0]), patience), patience:
        pair[0].recv(1)
    gc.collect()


def test_patience_counts_while_the_stream_is_read() -> None:
    patience = Patience(None, 5)
    assert (patience.deadline, patience.endless) == (math.inf, False)
    patience.heard()
    with patience:
        assert time.monotonic() < patience.deadline <= time.monotonic() + 5
    assert patience.deadline == math.inf
    assert Patience(None, None).endless
