"""The breaker against a plain model of it, over sequences of calls that nobody thought of."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits, Claim

KEYS = ("a", "b")
LIMITS = CircuitBreaker(failure_threshold=3, window=20, cooldown=10, probe_timeout=7)


@dataclass
class Expected:
    """What one target's circuit should be, kept as its history rather than as a state."""

    row: list[float] = field(default_factory=list)
    opened: float | None = None
    probes: list[tuple[Claim, float]] = field(default_factory=list)
    turns: int = 0

    def due(self, now: float) -> bool:
        assert self.opened is not None
        cooled = now >= self.opened + LIMITS.cooldown
        return cooled and all(now >= began + LIMITS.probe_timeout for _, began in self.probes)

    def turn(self, opened: float | None) -> None:
        self.row, self.opened, self.probes = [], opened, []
        self.turns += 1


@dataclass(frozen=True)
class Out:
    """A call that is on its way, and how often its circuit had turned when it began."""

    claim: Claim
    turns: int


class Breaking(RuleBasedStateMachine):
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.circuits = Circuits(LIMITS, clock=lambda: self.now)
        self.expected = {key: Expected() for key in KEYS}

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(target=calls, key=st.sampled_from(KEYS))
    def begin(self, key: str) -> Out:
        expected = self.expected[key]
        claim = self.circuits.claim(key)
        if expected.opened is None:
            assert claim is not None
            assert claim.probe is None
        elif expected.due(self.now):
            assert claim is not None
            assert claim.probe is not None
            # One that was given up and replaced has no say any more.
            expected.probes = [(claim, self.now)]
        else:
            assert claim is None
        return multiple() if claim is None else Out(claim, expected.turns)  # type: ignore[return-value]

    @rule(out=consumes(calls))
    def fail(self, out: Out) -> None:
        key, expected = out.claim.key, self.expected[out.claim.key]
        change = self.circuits.failed(key, "503", out.claim)
        if any(out.claim == claim for claim, _ in expected.probes):
            assert change is not None
            assert (change.before.state, change.after.state) == ("half_open", "open")
            expected.turn(self.now)
        elif out.turns == expected.turns and expected.opened is None:
            self._one_more(expected, opened=change is not None)
        else:
            assert change is None

    @rule(key=st.sampled_from(KEYS))
    def fail_without_a_claim(self, key: str) -> None:
        change = self.circuits.failed(key, "503")
        if self.expected[key].opened is None:
            self._one_more(self.expected[key], opened=change is not None)
        else:
            assert change is None

    def _one_more(self, expected: Expected, *, opened: bool) -> None:
        expected.row.append(self.now)
        last = expected.row[-LIMITS.failure_threshold :]
        whole = len(last) == LIMITS.failure_threshold
        assert opened == (whole and self.now - last[0] <= LIMITS.window)
        if opened:
            expected.turn(self.now)

    @rule(out=consumes(calls))
    def succeed(self, out: Out) -> None:
        key, expected = out.claim.key, self.expected[out.claim.key]
        change = self.circuits.succeeded(key, out.claim)
        if any(out.claim == claim for claim, _ in expected.probes):
            assert change is not None
            assert (change.before.state, change.after.state) == ("half_open", "closed")
            expected.turn(None)
        else:
            assert change is None
            if out.turns == expected.turns and expected.opened is None:
                expected.row = []

    @rule(out=consumes(calls))
    def give_back(self, out: Out) -> None:
        expected = self.expected[out.claim.key]
        self.circuits.release(out.claim)
        expected.probes = [each for each in expected.probes if each[0] != out.claim]

    @invariant()
    def those_that_must_not_be_asked_are_named(self) -> None:
        shut = {
            key
            for key, expected in self.expected.items()
            if expected.opened is not None and not expected.due(self.now)
        }
        assert self.circuits.closed_to([*KEYS, "never heard of"]) == shut

    @invariant()
    def what_is_shown_agrees(self) -> None:
        states = self.circuits.states()
        for key, expected in self.expected.items():
            shown = states[key].state if key in states else "closed"
            assert (shown == "closed") == (expected.opened is None)

    @precondition(lambda self: any(each.opened is not None for each in self.expected.values()))
    @rule()
    def recover(self) -> None:
        self.now += LIMITS.cooldown + LIMITS.probe_timeout
        for key, expected in self.expected.items():
            claim = self.circuits.claim(key)
            assert claim is not None
            self.circuits.succeeded(key, claim)
            assert self.circuits.claim(key) == Claim(key, self._epoch(key))
            if expected.opened is not None:
                expected.turn(None)
            else:
                expected.row = []

    def _epoch(self, key: str) -> int:
        claim = self.circuits.claim(key)
        assert claim is not None
        return claim.epoch


Breaking.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaking = Breaking.TestCase

STEPS = st.sampled_from(["fail", "succeed", "claim", "lose"])
JUMPS = st.floats(-1e6, 1e6) | st.integers(-15, 15)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STEPS, JUMPS), max_size=40))
def test_whatever_the_clock_did_it_recovers(history: list[tuple[str, float]]) -> None:
    now = [1e9]
    circuits = Circuits(LIMITS, clock=lambda: now[0])
    claims: list[Claim | None] = []
    for step, jump in history:
        now[0] += jump
        if step == "claim":
            claims.append(circuits.claim("a"))
        elif step == "fail":
            circuits.failed("a", "503", claims.pop() if claims else None)
        elif step == "succeed":
            circuits.succeeded("a", claims.pop() if claims else None)
        else:
            claims.clear()

    # Asked once a second, it lets a call through within twice the longer of its times.
    for _ in range(int(2 * LIMITS.cooldown) + 1):
        now[0] += 1
        if (claim := circuits.claim("a")) is not None:
            break
    assert claim is not None
    circuits.succeeded("a", claim)
    assert circuits.closed_to(["a"]) == frozenset()
    again = circuits.claim("a")
    assert again is not None
    assert again.probe is None
