"""A circuit opens on failures in a row, is probed after its cooldown, and recovers."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.breaker.circuits import CircuitBreaker, CircuitChange, Circuits, Claim
from agno_portkey.routing.breaker.store import MemoryStore

KEY = "primary@openai/gpt-4o#1a2b3c4d"
SETTINGS = CircuitBreaker(failure_threshold=3, window=60, cooldown=30, probe_timeout=20)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(SETTINGS, clock=clock)


def open_up(circuits: Circuits, key: str = KEY) -> CircuitChange:
    *others, last = [circuits.failed(key, "503") for _ in range(3)]
    assert others == [None, None]
    assert last is not None
    return last


def probe(circuits: Circuits, key: str = KEY) -> Claim:
    claim = circuits.claim(key)
    assert claim is not None
    assert claim.probe is not None
    return claim


def free(circuits: Circuits, key: str = KEY) -> Claim:
    claim = circuits.claim(key)
    assert claim is not None
    assert claim.probe is None
    return claim


def test_it_opens_at_the_threshold_and_tells_once(circuits: Circuits) -> None:
    change = open_up(circuits)
    assert str(change) == f"{KEY}: closed -> open (503)"
    assert (change.before.state, change.before.failures) == ("closed", 2)
    assert (change.after.since, change.after.until) == (1_000.0, 1_030.0)
    assert circuits.failed(KEY, "503") is None
    assert circuits.closed_to([KEY, "other"]) == {KEY}
    assert circuits.claim(KEY) is None
    assert circuits.states() == {KEY: change.after}


def test_a_success_ends_the_row_of_failures(circuits: Circuits) -> None:
    for _ in range(5):
        circuits.failed(KEY, "503")
        circuits.failed(KEY, "503")
        assert circuits.succeeded(KEY, free(circuits)) is None
    assert circuits.closed_to([KEY]) == frozenset()
    assert circuits.states() == {}


def test_failures_outside_the_window_do_not_count(circuits: Circuits, clock: Clock) -> None:
    for _ in range(10):
        circuits.failed(KEY, "503")
        clock.now += 30.5
    assert circuits.states()[KEY].failures == 2
    clock.now -= 0.5
    circuits.failed(KEY, "503")
    assert circuits.claim(KEY) is not None
    clock.now += 29.5
    change = circuits.failed(KEY, "503")
    assert change is not None
    assert change.after.state == "open"


def test_targets_do_not_share_a_circuit(circuits: Circuits) -> None:
    open_up(circuits)
    assert free(circuits, "other").key == "other"
    assert circuits.closed_to(["other"]) == frozenset()


def test_after_the_cooldown_one_caller_probes(circuits: Circuits, clock: Clock) -> None:
    open_up(circuits)
    clock.now += 29.9
    assert circuits.claim(KEY) is None
    clock.now += 0.1
    assert circuits.closed_to([KEY]) == frozenset()
    probe(circuits)
    assert circuits.closed_to([KEY]) == {KEY}
    assert circuits.claim(KEY) is None
    state = circuits.states()[KEY]
    assert (state.state, state.since, state.until) == ("half_open", clock.now, clock.now + 20)


def test_the_probes_success_closes_it(circuits: Circuits, clock: Clock) -> None:
    open_up(circuits)
    clock.now += 30
    change = circuits.succeeded(KEY, probe(circuits))
    assert change is not None
    assert (change.before.state, change.after.state) == ("half_open", "closed")
    assert (change.after.failures, change.after.reason) == (0, None)
    assert str(change) == f"{KEY}: half_open -> closed"
    free(circuits)
    # And it takes a whole row to open again.
    open_up(circuits)


def test_the_probes_failure_opens_it_for_another_cooldown(circuits: Circuits, clock: Clock) -> None:
    open_up(circuits)
    clock.now += 30
    change = circuits.failed(KEY, "timeout", probe(circuits))
    assert change is not None
    assert (change.before.state, change.after.state) == ("half_open", "open")
    assert (change.after.failures, change.after.reason) == (4, "timeout")
    clock.now += 29.9
    assert circuits.claim(KEY) is None
    clock.now += 0.1
    probe(circuits)


def test_a_probe_that_is_released_goes_to_the_next_caller(circuits: Circuits, clock: Clock) -> None:
    open_up(circuits)
    clock.now += 30
    first = probe(circuits)
    circuits.release(first)
    assert circuits.closed_to([KEY]) == frozenset()
    assert circuits.succeeded(KEY, first) is None
    second = probe(circuits)
    # What the first then says or takes back is no longer of account.
    circuits.release(first)
    assert circuits.succeeded(KEY, first) is None
    assert circuits.failed(KEY, "late", first) is None
    assert circuits.claim(KEY) is None
    assert circuits.succeeded(KEY, second) is not None


def test_releasing_an_ordinary_claim_changes_nothing(circuits: Circuits) -> None:
    circuits.failed(KEY, "503")
    before = circuits.states()
    circuits.release(free(circuits))
    assert circuits.states() == before


def test_a_probe_that_never_comes_back_is_given_up(circuits: Circuits, clock: Clock) -> None:
    open_up(circuits)
    clock.now += 30
    lost = probe(circuits)
    clock.now += 19.9
    assert circuits.claim(KEY) is None
    clock.now += 0.1
    taken = probe(circuits)
    assert circuits.states()[KEY].since == 1_030.0
    assert circuits.failed(KEY, "late", lost) is None
    assert circuits.succeeded(KEY, lost) is None
    assert circuits.succeeded(KEY, taken) is not None


def test_a_late_probe_is_heard_while_nobody_else_probes(circuits: Circuits, clock: Clock) -> None:
    open_up(circuits)
    clock.now += 30
    late = probe(circuits)
    clock.now += 100
    change = circuits.succeeded(KEY, late)
    assert change is not None
    assert change.after.state == "closed"


def test_a_call_from_before_the_opening_neither_closes_nor_prolongs_it(
    circuits: Circuits, clock: Clock
) -> None:
    before = free(circuits)
    opened = open_up(circuits).after
    clock.now += 15
    assert circuits.succeeded(KEY, before) is None
    assert circuits.failed(KEY, "late", before) is None
    assert circuits.failed(KEY, "late") is None
    assert circuits.succeeded(KEY) is None
    assert circuits.states()[KEY] == opened


def test_a_call_from_before_does_not_disturb_the_probe(circuits: Circuits, clock: Clock) -> None:
    before = free(circuits)
    open_up(circuits)
    clock.now += 30
    claim = probe(circuits)
    probing = circuits.states()[KEY]
    assert circuits.succeeded(KEY, before) is None
    assert circuits.failed(KEY, "late", before) is None
    assert circuits.states()[KEY] == probing
    assert circuits.succeeded(KEY, claim) is not None


def test_calls_from_before_do_not_open_a_circuit_that_has_recovered(
    circuits: Circuits, clock: Clock
) -> None:
    before = [free(circuits) for _ in range(5)]
    open_up(circuits)
    clock.now += 30
    circuits.succeeded(KEY, probe(circuits))
    circuits.failed(KEY, "503", free(circuits))
    circuits.succeeded(KEY, free(circuits))
    for claim in before:
        assert circuits.failed(KEY, "timeout", claim) is None
    assert circuits.states()[KEY].failures == 0
    # Nor does a success from then end a row of failures of now.
    circuits.failed(KEY, "503", free(circuits))
    circuits.succeeded(KEY, before[0])
    assert circuits.states()[KEY].failures == 1


@pytest.mark.parametrize("back", [1.0, 15.0, 25.0, 40.0, 100_000.0])
def test_a_clock_that_is_set_back_does_not_hold_it_open(
    back: float, circuits: Circuits, clock: Clock
) -> None:
    def wait(seconds: int) -> Claim:
        for _ in range(seconds):
            if (claim := circuits.claim(KEY)) is not None:
                return claim
            clock.now += 1
        return probe(circuits)

    clock.now = 200_000.0
    open_up(circuits)
    clock.now -= back
    lost = wait(2 * 30)
    clock.now -= back
    assert wait(2 * 20) != lost
    clock.now += 10_000
    assert circuits.succeeded(KEY, probe(circuits)) is not None


def test_a_clock_that_is_set_back_a_little_lets_nobody_through_early(
    circuits: Circuits, clock: Clock
) -> None:
    open_up(circuits)
    clock.now -= 5
    assert circuits.claim(KEY) is None
    clock.now += 35
    probe(circuits)
    clock.now -= 5
    assert circuits.claim(KEY) is None


def test_what_is_late_does_not_hang_on_the_clock(circuits: Circuits, clock: Clock) -> None:
    for _ in range(2):
        before = free(circuits)
        clock.now -= 500
        open_up(circuits)
        clock.now += 30
        circuits.succeeded(KEY, probe(circuits))
        circuits.failed(KEY, "late", before)
        assert circuits.states()[KEY].failures == 0


def test_failures_from_before_the_clock_was_set_back_count_no_longer(
    circuits: Circuits, clock: Clock
) -> None:
    circuits.failed(KEY, "503")
    circuits.failed(KEY, "503")
    clock.now -= 600
    assert circuits.failed(KEY, "503") is None
    assert circuits.states()[KEY].failures == 1


def test_switched_off_it_never_refuses_and_remembers_nothing(clock: Clock) -> None:
    circuits = Circuits(CircuitBreaker(failure_threshold=1, enabled=False), clock=clock)
    assert circuits.failed(KEY, "503") is None
    assert circuits.closed_to([KEY]) == frozenset()
    circuits.release(free(circuits))
    assert circuits.succeeded(KEY) is None
    assert circuits.states() == {}
    assert not circuits.blocking


def test_in_process_it_never_waits(circuits: Circuits) -> None:
    assert not circuits.blocking


def test_a_copy_is_the_same_and_a_pickle_is_refused(circuits: Circuits) -> None:
    assert copy.copy(circuits) is circuits
    assert copy.deepcopy({"circuits": circuits})["circuits"] is circuits
    with pytest.raises(TypeError, match="RedisStore"):
        pickle.dumps(circuits)
    assert repr(circuits) == f"Circuits({SETTINGS!r}, store=MemoryStore)"


def test_a_long_reason_is_cut(circuits: Circuits) -> None:
    circuits.failed(KEY, "x" * 10_000)
    assert len(circuits.states()[KEY].reason or "") == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_threshold": 0},
        {"failure_threshold": 1001},
        {"window": 0},
        {"cooldown": -1},
        {"probe_timeout": float("inf")},
        {"window": float("nan")},
        {"enabled": "perhaps"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(ConfigurationError, match=rf"^CircuitBreaker\.{name}: "):
        CircuitBreaker(**wrong)


def test_the_oldest_closed_circuits_are_forgotten_first(clock: Clock) -> None:
    circuits = Circuits(SETTINGS, store=MemoryStore(clock=clock, limit=4))
    open_up(circuits, "open")
    for key in ("a", "b", "c"):
        circuits.failed(key, "503")
    circuits.failed("a", "503")
    circuits.failed("d", "503")
    assert set(circuits.states()) == {"open", "a", "c", "d"}
    assert circuits.claim("open") is None


def test_a_store_full_of_open_circuits_does_not_grow(clock: Clock) -> None:
    circuits = Circuits(SETTINGS, store=MemoryStore(clock=clock, limit=4))
    for number in range(40):
        open_up(circuits, f"target {number}")
    assert list(circuits.states()) == [f"target {number}" for number in range(36, 40)]


def test_of_many_threads_one_gets_the_probe(clock: Clock) -> None:
    circuits = Circuits(SETTINGS, clock=clock)
    start = threading.Barrier(8)

    def hurry(_: int) -> Claim | None:
        start.wait()
        return circuits.claim(KEY)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            open_up(circuits)
            clock.now += 30
            [winner] = [claim for claim in pool.map(hurry, range(8)) if claim is not None]
            assert winner.probe is not None
            assert circuits.succeeded(KEY, winner) is not None


def test_of_many_threads_one_hears_that_it_opened(circuits: Circuits) -> None:
    start = threading.Barrier(8)

    def fail(_: int) -> CircuitChange | None:
        start.wait()
        return circuits.failed(KEY, "503")

    with ThreadPoolExecutor(8) as pool:
        changes = [change for change in pool.map(fail, range(8)) if change is not None]
    assert [change.after.state for change in changes] == ["open"]
