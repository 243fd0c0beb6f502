"""Circuits shared through a real Redis: what one process learns the others know."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from circuits_in_redis import KEY, PATIENT, SECONDS, Make, claimed, open_up, raw, until
from redis_server import RedisServer

from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits, Claim

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
