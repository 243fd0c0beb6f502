"""Circuits shared through a real Redis, which is also killed, hung, emptied and spoilt."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis_server import RedisServer

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits, Claim
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.breaker.rules import Record

KEY = "primary@openai/gpt-4o#1a2b3c4d"
SECONDS = 10.0
COMMAND = re.compile(rb"\*\d+\r\n\$")
SETTINGS = CircuitBreaker(failure_threshold=3, cooldown=0.1)
# Long enough to be seen open, on a busy machine too.
BRISK = CircuitBreaker(failure_threshold=3, cooldown=0.8)
PATIENT = CircuitBreaker(failure_threshold=3, cooldown=600)
PROBING = """
import sys
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.breaker.redis_store import RedisStore
url, prefix, key = sys.argv[1:]
circuits = Circuits(CircuitBreaker(cooldown=0.1), store=RedisStore(url, prefix=prefix, refresh=0))
print("ready", flush=True)
sys.stdin.readline()
claims = [circuits.claim(key) for _ in range(100)]
print(sum(claim is not None and claim.probe is not None for claim in claims))
print(sum(claim is not None and claim.probe is None for claim in claims))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """A server that a test may do harm to."""
    with RedisServer() as running:
        yield running


@pytest.fixture
def prefix() -> str:
    return f"test:{uuid.uuid4()}:"


Make = Callable[..., Circuits]


@pytest.fixture
def make(server: RedisServer, prefix: str) -> Iterator[Make]:
    """Makes circuits that know of each other only through Redis."""
    stores: list[RedisStore] = []

    def made(
        settings: CircuitBreaker = SETTINGS, *, url: str = server.url, **options: Any
    ) -> Circuits:
        stores.append(RedisStore(url, **{"prefix": prefix, "refresh": 0, "pause": 0.05, **options}))
        return Circuits(settings, store=stores[-1])

    yield made
    for store in stores:
        store.close()


def raw(server: RedisServer) -> Any:
    return redis.Redis.from_url(server.url)


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def open_up(circuits: Circuits) -> None:
    *_, change = [circuits.failed(KEY, "503") for _ in range(3)]
    assert change is not None
    assert change.after.state == "open"


def claimed(circuits: Circuits) -> Claim:
    """A claim, as soon as there is one."""
    claims: list[Claim] = []

    def there() -> bool:
        claims.extend(claim for claim in [circuits.claim(KEY)] if claim)
        return bool(claims)

    until(there)
    return claims[0]


def test_what_one_learns_the_other_knows(make: Make) -> None:
    one, other = make(PATIENT), make(PATIENT)
    open_up(one)
    assert other.closed_to([KEY, "other"]) == {KEY}
    assert other.claim(KEY) is None
    assert other.claim("other") is not None
    assert other.states() == one.states()
    assert one.blocking


def test_failures_in_different_processes_add_up(make: Make) -> None:
    one, other = make(PATIENT), make(PATIENT)
    assert one.failed(KEY, "503") is None
    assert other.failed(KEY, "timeout") is None
    change = one.failed(KEY, "500")
    assert change is not None
    assert change.after.failures == 3
    assert other.failed(KEY, "late") is None


def test_a_success_anywhere_ends_the_row(make: Make, server: RedisServer, prefix: str) -> None:
    one, other = make(PATIENT), make(PATIENT)
    one.failed(KEY, "503")
    one.failed(KEY, "503")
    assert other.succeeded(KEY, other.claim(KEY)) is None
    assert raw(server).exists(prefix + KEY) == 0
    assert one.failed(KEY, "503") is None


def test_a_probes_outcome_is_everybodys(make: Make) -> None:
    one, other = make(), make()
    open_up(one)
    first = claimed(other)
    assert first.probe is not None
    assert one.claim(KEY) is None
    failed = other.failed(KEY, "500", first)
    assert failed is not None
    assert failed.after.failures == 4
    second = claimed(one)
    one.release(second)
    third = other.claim(KEY)
    assert third is not None
    assert one.succeeded(KEY, second) is None
    closed = other.succeeded(KEY, third)
    assert closed is not None
    ordinary = one.claim(KEY)
    assert ordinary is not None
    assert ordinary.probe is None


def test_of_two_processes_one_gets_the_probe(make: Make, server: RedisServer, prefix: str) -> None:
    circuits = make()
    open_up(circuits)
    command = [sys.executable, "-c", PROBING, server.url, prefix, KEY]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        until(lambda: circuits.closed_to([KEY]) == frozenset())
        child.stdin.write("go\n")
        child.stdin.flush()
        ours = [circuits.claim(KEY) for _ in range(100)]
        said, _ = child.communicate(timeout=SECONDS)
    probes, ordinary = (int(number) for number in said.split())
    assert ordinary == 0
    assert probes + len([claim for claim in ours if claim is not None]) == 1


def test_of_many_claims_at_once_one_gets_the_probe(make: Make) -> None:
    everybody = [make() for _ in range(6)]
    start = threading.Barrier(6)

    def hurry(circuits: Circuits) -> Claim | None:
        start.wait()
        return circuits.claim(KEY)

    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            open_up(everybody[0])
            until(lambda: not everybody[0].closed_to([KEY]))
            [winner] = [claim for claim in pool.map(hurry, everybody) if claim is not None]
            assert winner.probe is not None
            assert everybody[0].succeeded(KEY, winner) is not None


def test_of_failures_at_once_none_is_lost_and_one_tells(make: Make) -> None:
    everybody = [make(CircuitBreaker(failure_threshold=8, cooldown=600)) for _ in range(8)]
    start = threading.Barrier(8)

    def fail(circuits: Circuits) -> Any:
        start.wait()
        return circuits.failed(KEY, "503")

    with ThreadPoolExecutor(8) as pool:
        [change] = [change for change in pool.map(fail, everybody) if change is not None]
    assert change.after.failures == 8


def test_a_healthy_target_costs_no_round_trip_per_call(make: Make, server: RedisServer) -> None:
    def commands() -> int:
        stats = raw(server).info("commandstats")
        return sum(each["calls"] for name, each in stats.items() if "eval" in name)

    circuits = make(refresh=600)
    circuits.claim(KEY)
    before = commands()
    for _ in range(50):
        assert circuits.closed_to([KEY]) == frozenset()
        assert circuits.succeeded(KEY, circuits.claim(KEY)) is None
    assert commands() == before
    # Nor do late successes while it is open.
    open_up(circuits)
    before = commands()
    assert circuits.succeeded(KEY, Claim(KEY)) is None
    assert circuits.claim(KEY) is None
    assert commands() == before


def test_many_targets_are_asked_about_at_once(make: Make) -> None:
    circuits = make(PATIENT, refresh=600)
    open_up(circuits)
    assert circuits.closed_to([*(f"target {number}" for number in range(9_000)), KEY]) == {KEY}
    assert circuits.states().keys() == {KEY}


def test_the_time_is_the_servers(make: Make, server: RedisServer) -> None:
    def server_time() -> float:
        seconds, micros = raw(server).time()
        return float(seconds + micros / 1_000_000)

    circuits, before = make(PATIENT), server_time()
    open_up(circuits)
    assert before - 0.001 <= circuits.states()[KEY].since <= server_time() + 0.001


def test_what_was_closed_elsewhere_is_not_probed(make: Make) -> None:
    one, other = make(refresh=600), make()
    open_up(one)
    assert other.succeeded(KEY, claimed(other)) is not None
    # It still takes the circuit for open, and due.
    claim = one.claim(KEY)
    assert claim is not None
    assert claim.probe is None
    assert claim.epoch > 0


def test_what_is_known_is_refreshed_after_a_while(make: Make) -> None:
    one, other = make(PATIENT), make(PATIENT, refresh=0.05)
    assert other.claim(KEY) is not None
    open_up(one)
    until(lambda: other.claim(KEY) is None)


def test_circuits_expire_by_themselves(make: Make, server: RedisServer, prefix: str) -> None:
    circuits = make(CircuitBreaker(window=10, cooldown=20, probe_timeout=30))
    circuits.failed(KEY, "503")
    assert 0 < raw(server).pttl(prefix + KEY) <= 120_000
    brief = make(CircuitBreaker(window=0.01, cooldown=0.01, probe_timeout=0.01))
    brief.failed("brief", "503")
    until(lambda: brief.states().keys() == {KEY})


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b"\xff\xfe",
        b"[]",
        b'{"state": "ajar"}',
        b'{"state": "open", "until": NaN}',
        b'{"state": "open", "until": "soon"}',
    ],
    ids=repr,
)
def test_junk_in_a_key_counts_as_nothing_and_is_overwritten(
    junk: bytes, make: Make, server: RedisServer, prefix: str
) -> None:
    raw(server).set(prefix + KEY, junk)
    circuits = make(PATIENT)
    assert circuits.closed_to([KEY]) == frozenset()
    assert circuits.claim(KEY) == Claim(KEY)
    open_up(circuits)
    assert make(PATIENT).closed_to([KEY]) == {KEY}


def test_a_key_of_another_type_is_overwritten(make: Make, server: RedisServer, prefix: str) -> None:
    raw(server).rpush(prefix + KEY, "a", "b")
    open_up(make(PATIENT))
    assert make(PATIENT).closed_to([KEY]) == {KEY}


def test_only_keys_under_the_prefix_are_shown(make: Make, server: RedisServer, prefix: str) -> None:
    odd = prefix + "[a-z]*?\\:"
    raw(server).set(prefix + "q*?\\:stranger", "{}")
    circuits = make(PATIENT, prefix=odd)
    open_up(circuits)
    raw(server).set(odd.encode() + b"\xff", "junk")
    assert make(prefix=odd).states().keys() == {KEY}
    raw(server).delete(odd + KEY)
    assert circuits.states() == {}


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
