"""A stream that says nothing ends at its deadline, and one that goes on does not."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agno_portkey.routing.patience import Patience, Watchdog


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def _response(sock: Any) -> Any:
    stream = SimpleNamespace(get_extra_info=lambda name: sock if name == "socket" else None)
    return SimpleNamespace(extensions={"network_stream": stream})


def test_a_blocking_read_ends_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    with (
        pytest.raises(TimeoutError, match="no token"),
        Watchdog().over(_response(near), Patience(0.05, 0.05)),
    ):
        assert near.recv(1) == b""


def test_an_error_after_the_deadline_is_a_timeout_too(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair

    def read() -> None:
        with Watchdog().over(_response(near), Patience(0.05, 0.05)):
            near.recv(1)
            raise ConnectionError("the peer closed")

    with pytest.raises(TimeoutError) as caught:
        read()
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_an_error_before_the_deadline_stays_what_it_is(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    with (
        pytest.raises(ConnectionError),
        Watchdog().over(_response(near), Patience(60, 60)),
    ):
        raise ConnectionError("the peer closed")


def test_a_token_brings_the_deadline_nearer_while_a_read_waits(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    patience = Patience(60, 0.05)

    def read() -> None:
        with Watchdog().over(_response(near), patience):
            far.send(b"x")
            assert near.recv(1) == b"x"
            patience.heard()
            assert near.recv(1) == b""

    with pytest.raises(TimeoutError):
        read()


def test_tokens_that_keep_coming_are_not_ended(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    patience = Patience(0.2, 0.2)
    with Watchdog().over(_response(near), patience):
        for _ in range(10):
            time.sleep(0.05)
            far.send(b"x")
            assert near.recv(1) == b"x"
            patience.heard()


def test_one_thread_serves_many_streams_each_by_its_own_deadline() -> None:
    watchdog = Watchdog()
    others = set(threading.enumerate())
    pairs = [socket.socketpair() for _ in range(8)]
    ended: list[int] = []

    def read(index: int) -> None:
        near = pairs[index][0]
        try:
            with watchdog.over(_response(near), Patience(0.1 if index % 2 else 60, 60)):
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
    monkeypatch.setattr("agno_portkey.routing.patience._IDLE_SECONDS", 0.01)
    watchdog = Watchdog()
    with watchdog.over(_response(pair[0]), Patience(60, 0.01)):
        thread = watchdog._thread
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
    with (
        pytest.raises(TimeoutError),
        watchdog.over(_response(pair[0]), Patience(0.01, 0.01)),
    ):
        pair[0].recv(1)
    gc.collect()


def test_patience_counts_from_the_last_token() -> None:
    patience = Patience(None, 5)
    assert patience.left is None
    patience.heard()
    assert patience.left is not None
    assert 0 < patience.left <= 5
    assert not patience.endless
    assert Patience(None, None).endless
