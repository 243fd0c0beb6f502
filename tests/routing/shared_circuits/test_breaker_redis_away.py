"""A real Redis that is killed, hung, emptied or something else: each process goes on by itself."""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from circuits_in_redis import KEY, PATIENT, Make, claimed, open_up, raw, until
from redis_server import RedisServer

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits, Claim
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.breaker.rules import Record

COMMAND = re.compile(rb"\*\d+\r\n\$")
# Long enough to be seen open, on a busy machine too.
BRISK = CircuitBreaker(failure_threshold=3, cooldown=0.8)


def open_in_process(circuits: Circuits, caplog: pytest.LogCaptureFixture) -> None:
    """Redis is away: everything works as in one process, with one warning."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="agno_portkey"):
        open_up(circuits)
        assert circuits.closed_to([KEY]) == {KEY}
        assert circuits.states().keys() == {KEY}
        claim = claimed(circuits)
        assert claim.probe is not None
        assert circuits.claim(KEY) is None
        assert circuits.succeeded(KEY, claim) is not None
    assert len(caplog.messages) == 1
    assert "Redis gives no answer" in caplog.text


def shared_again(circuits: Circuits, other: Circuits) -> None:
    def opened() -> bool:
        circuits.failed(KEY, "503")
        return other.closed_to([KEY]) == {KEY}

    until(opened)


def test_while_redis_hangs_each_process_goes_on(
    make: Make, own: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    circuits, other = make(BRISK, url=own.url, pause=0.5), make(PATIENT, url=own.url)
    assert circuits.claim(KEY) is not None
    own.hang()
    open_in_process(circuits, caplog)
    own.wake()
    shared_again(circuits, other)


def test_while_redis_is_down_each_process_goes_on_and_it_may_come_back_empty(
    make: Make, own: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    circuits, other = make(url=own.url), make(PATIENT, url=own.url)
    open_up(circuits)
    claim = claimed(circuits)
    own.kill()
    # What was known goes on to count, the probe included.
    assert circuits.claim(KEY) is None
    assert circuits.succeeded(KEY, claim) is not None
    open_in_process(make(BRISK, url=own.url), caplog)
    own.start()
    until(lambda: circuits.states() == {})
    shared_again(circuits, other)


def test_a_probe_outlives_the_redis_that_gave_it(make: Make, own: RedisServer) -> None:
    circuits = make(url=own.url)
    open_up(circuits)
    claim = claimed(circuits)
    own.kill()
    own.start()
    until(lambda: circuits.states() == {})
    # Nobody knows of the circuit any more: the outcome is that of an ordinary call.
    assert circuits.succeeded(KEY, claim) is None
    assert circuits.failed(KEY, "503", claim) is None
    assert circuits.states()[KEY].failures == 1


def test_while_it_is_away_redis_is_left_alone(make: Make, own: RedisServer) -> None:
    circuits = make(url=own.url, pause=600)
    own.kill()
    assert circuits.claim(KEY) is not None
    own.start()
    for _ in range(20):
        circuits.failed(KEY, "503")
        circuits.states()
    assert raw(own).dbsize() == 0


@contextmanager
def answering(answer: bytes | None) -> Iterator[tuple[str, list[socket.socket]]]:
    """The address of what answers each command with `answer`, or hangs up; and who called."""
    accepted: list[socket.socket] = []

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted.append(listening.accept()[0])
                with suppress(OSError):
                    while answer is not None and (asked := accepted[-1].recv(65_536)):
                        accepted[-1].sendall(answer * len(COMMAND.findall(asked)))
                    accepted[-1].shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}", accepted
        for each in (listening, *accepted):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in accepted:
            each.close()


def test_a_redis_that_is_away_is_tried_once_and_by_one_caller_for_all(make: Make) -> None:
    with answering(None) as (url, callers):
        circuits = make(url=url, pause=0.6)
        assert circuits.claim(KEY) is not None
        assert len(callers) == 1
        time.sleep(0.7)
        start = threading.Barrier(8)

        def claim(_: int) -> Claim | None:
            start.wait()
            return circuits.claim(KEY)

        with ThreadPoolExecutor(8) as pool:
            assert None not in list(pool.map(claim, range(8)))
        assert len(callers) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b"*3\r\n:1\r\n:2\r\n*0\r\n",
        b"*3\r\n:1\r\n:2\r\n*1\r\n:7\r\n",
        b"-READONLY no\r\n",
        b"\x00\xff\xfe",
    ],
    ids=repr,
)
def test_something_else_at_that_address_is_as_good_as_no_redis(
    answer: bytes, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(answer) as (url, _):
        circuits = make(PATIENT, url=url, pause=600)
        open_up(circuits)
        assert circuits.closed_to([KEY]) == {KEY}
        assert circuits.states().keys() == {KEY}
    assert len(caplog.messages) == 1


def test_a_row_that_others_change_all_the_time_is_counted_in_process(
    server: RedisServer, prefix: str
) -> None:
    store, meddler = RedisStore(server.url, prefix=prefix), raw(server)
    tries: list[float] = []

    def rule(record: Record, now: float) -> Record:
        meddler.set(prefix + KEY, f'{{"failures": {len(tries)}}}')
        tries.append(now)
        return replace(record, failures=record.failures + 100)

    before, after = store.change(KEY, rule, keep=60)
    assert after.failures - before.failures == 100
    assert len(tries) > 2
    assert b"100" not in meddler.get(prefix + KEY)


def test_no_password_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(password="h4rd-to-guess") as guarded:
        let_in = Circuits(PATIENT, store=RedisStore(guarded.url))
        open_up(let_in)
        assert raw(guarded).dbsize() == 1
        wrong = RedisStore(guarded.url.replace("guess", "gue55"))
        kept_out = Circuits(PATIENT, store=wrong)
        assert kept_out.claim(KEY) is not None
    said = f"{caplog.text} {let_in!r} {kept_out!r} {wrong!r} {let_in.states()}"
    assert "AuthenticationError" in said
    assert "h4rd" not in said


@pytest.mark.parametrize(
    "url",
    [
        "http://user:h4rd@host/0",
        "redis://:h4rd/x@host:6379/0",
        "redis://:h4rd@host:many/0",
        "redis://:h4rd@[host",
        "h4rd",
        "",
    ],
)
def test_a_wrong_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^url: ") as refused:
        RedisStore(url)
    assert "h4rd" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("wrong", [{"refresh": -1}, {"pause": float("nan")}], ids=str)
def test_wrong_times_are_refused_by_name(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        RedisStore("redis://127.0.0.1:1", **wrong)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[redis\]"):
        RedisStore("redis://127.0.0.1:1")
