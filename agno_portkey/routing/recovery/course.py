"""One call's course over its targets: whom to ask next, how long to wait, and when to give up."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential, wait_random

from agno_portkey.errors import CircuitOpen, ContentFiltered, GatewayError, GatewayTimeout
from agno_portkey.routing.breaker.circuits import CircuitChange, Circuits, Claim
from agno_portkey.routing.config.emit import Emitted, Leaf, Phase
from agno_portkey.routing.recovery.attempt import Attempt
from agno_portkey.routing.recovery.plan import Plan, Who
from agno_portkey.routing.recovery.settings import (
    Remedy,
    blames_target,
    declines,
    remedy,
    status_of,
)

__all__ = ["Course"]

Only = Callable[[Leaf], bool] | None


# No call makes more than so many attempts within so many seconds: three, and what the way to the
# provider may take more the first time than the last.
_BURST, _BURST_SECONDS = 4, 3.25


class Course:
    """The attempts of one call; it has no I/O of its own.

    `next_pause` is what to wait before the next `begin`; it raises what ends the call.
    """

    def __init__(
        self,
        plan: Plan,
        circuits: Circuits,
        who: Who,
        *,
        model_id: str,
        phase: Phase,
    ) -> None:
        self._plan = plan
        self._circuits = circuits
        self._who = who
        self._model_id = model_id
        self._phase: Phase = phase
        self._left: frozenset[str] = frozenset()
        self._tried: frozenset[str] = frozenset()
        self._resting: dict[str, float] = {}
        self._starts: list[float] = []
        self._pause = 0.0
        self._over = False
        self._last: GatewayError | None = None
        self._history: list[str] = []
        # Most calls need none of it, so it is made with the first failure.
        self._state: RetryCallState | None = None

    def next_pause(self) -> float | None:
        """Seconds to wait before the next attempt, none if it is time for it."""
        if self._state is None:
            return None
        retrying = self._state.retry_object
        # Its figures are kept by thread, and a stream may be read by one after the other.
        retrying.begin()
        do = retrying.iter(retry_state=self._state)
        if isinstance(do, float):  # tenacity's DoSleep
            self._state.prepare_for_next_attempt()
            return do
        return None

    def begin(self, *, only: Only = None) -> Attempt:
        """The next attempt, at leaves that `only` allows; CircuitOpen if none may be asked.

        What it claims of the circuits is to be settled by `succeeded`, `failed` or `release`.
        """
        refused: frozenset[str] = frozenset()
        while True:
            chosen = self._choose(refused, only)
            if chosen is None:
                raise self._nobody()
            emitted, tags, patient = chosen
            claims = {leaf.path: self._claim(leaf) for leaf in emitted.live}
            held = {path: claim for path, claim in claims.items() if claim is not None}
            if len(held) == len(claims):
                self._starts.append(time.monotonic())
                return Attempt(emitted, tags, held, len(self._starts), patient)
            for claim in held.values():
                self._circuits.release(claim)
            refused |= claims.keys() - held.keys()

    def _has_another(self, closed: frozenset[str], live: tuple[Leaf, ...]) -> bool:
        if len(self._plan.leaves) == 1:
            return False
        rest = closed | {leaf.path for leaf in live}
        return self._plan.emit(rest) is not None

    def succeeded(self, attempt: Attempt, option_index: str | None) -> list[CircuitChange]:
        """The answer is whole."""
        leaf = attempt.leaf(option_index)
        changes = []
        for path, claim in attempt.claims.items():
            if leaf is not None and path == leaf.path:
                changes.append(self._circuits.succeeded(claim.key, claim))
            else:
                self._circuits.release(claim)
        return [change for change in changes if change is not None]

    def release(self, attempt: Attempt) -> None:
        """The caller left: nothing is known of the targets."""
        for claim in attempt.claims.values():
            self._circuits.release(claim)

    def failed(
        self,
        attempt: Attempt,
        error: GatewayError,
        answered: Mapping[str, Any],
        *,
        taken: Sequence[Leaf] = (),
        continuing: bool = False,
        only: Only = None,
    ) -> list[CircuitChange]:
        """Note a failure and decide what comes next, at leaves that `only` allows.

        `taken` are those who must have been asked, for where the gateway names nobody. Who was
        `continuing` an answer and declined may be asked for a whole one.
        """
        asked = not answered.keys().isdisjoint(("option_index", "provider", "gateway_exception"))
        leaf = attempt.leaf(answered.get("option_index"))
        if leaf is None and len(taken) == 1:
            leaf = taken[0]
        blamed = [leaf] if leaf is not None else list(taken or attempt.emitted.live)
        changes = self._settle(attempt, error, blamed, asked=asked)
        todo = remedy(error, asked=asked)
        if continuing and declines(error):
            todo = Remedy.AGAIN
        if leaf is not None:
            self._left |= self._plan.elsewhere(leaf)
        self._last = error
        who = ", ".join(each.name for each in blamed)
        self._history.append(f"{who} {type(error).__name__} {error.status_code}")
        self._note(error, blamed, todo)
        state = self._state = self._state or self._begun()
        self._look_ahead(state, only)
        state.set_exception((type(error), error, error.__traceback__))
        return changes

    def _begun(self) -> RetryCallState:
        """Tenacity's view of the call; `_look_ahead` decides what it asks for."""
        retrying = Retrying(
            retry=retry_if_exception_type(GatewayError),
            stop=lambda _: self._over,
            wait=lambda _: self._pause,
            reraise=True,
        )
        return RetryCallState(retrying, None, (), {})

    def _settle(
        self, attempt: Attempt, error: GatewayError, blamed: list[Leaf], *, asked: bool
    ) -> list[CircuitChange]:
        # Without a word of the gateway's about it, only silence can be the target's.
        silent = isinstance(error, GatewayTimeout) and len(blamed) == 1
        counts = blames_target(error) and (asked or silent)
        paths = {leaf.path for leaf in blamed}
        changes = []
        for path, claim in attempt.claims.items():
            if counts and path in paths:
                told = f"{type(error).__name__} {error.status_code}"
                changes.append(self._circuits.failed(claim.key, told, claim))
            else:
                self._circuits.release(claim)
        return [change for change in changes if change is not None]

    def _note(self, error: GatewayError, blamed: list[Leaf], todo: Remedy) -> None:
        paths = frozenset(leaf.path for leaf in blamed)
        for leaf in blamed:
            barred = self._plan.barred(leaf, status_of(error))
            self._left |= barred
            # A policy's refusal is not taken to another provider.
            listed = self._plan.lists(leaf, status_of(error))
            if todo is Remedy.GIVE_UP and listed and not isinstance(error, ContentFiltered):
                todo = Remedy.LEAVE
        match todo:
            case Remedy.GIVE_UP:
                self._over = True
            case Remedy.LEAVE:
                self._left |= paths
            case Remedy.LARGER:
                self._left |= paths | self._no_larger(blamed)
            case Remedy.AGAIN:
                self._tried |= paths
                if error.retry_after is not None:
                    until = time.monotonic() + error.retry_after
                    self._resting.update(dict.fromkeys(paths, until))

    def _no_larger(self, blamed: list[Leaf]) -> frozenset[str]:
        """The leaves whose window is known not to be larger: the same model, or a smaller one."""
        models = {leaf.model or self._model_id for leaf in blamed}
        window = max((leaf.target.context_window or 0 for leaf in blamed), default=0)
        return frozenset(
            leaf.path
            for leaf in self._plan.leaves
            if (leaf.model or self._model_id) in models
            or (leaf.target.context_window is not None and leaf.target.context_window <= window)
        )

    def _look_ahead(self, state: RetryCallState, only: Only) -> None:
        """Set how long to wait before the next attempt, or that there is none."""
        recovery = self._plan.recovery
        made = len(self._starts)
        if self._over or recovery.by == "gateway" or made >= recovery.attempts:
            self._over = True
            return
        now = time.monotonic()
        closed = self._closed(only)
        if self._plan.emit(closed | self._tried | self._at_rest(now)) is not None:
            self._pause = 0.0
        elif self._plan.emit(closed) is not None:
            # Everybody was asked: round again, after a pause.
            again = self._plan.keys.keys() - closed
            rests = [self._resting.get(path, now) - now for path in again]
            self._tried = frozenset()
            backoff = wait_exponential(
                multiplier=recovery.wait, max=recovery.max_wait
            ) + wait_random(0, recovery.wait)
            self._pause = max(backoff(state), min(rests, default=0.0))
        else:
            self._over = True
            return
        if made >= _BURST:
            self._pause = max(self._pause, self._starts[-_BURST] + _BURST_SECONDS - now)
        too_long = self._pause > recovery.max_wait
        self._over = too_long or now + self._pause - self._starts[0] > recovery.budget

    def _closed(self, only: Only) -> frozenset[str]:
        """The paths that are not to be asked, whatever comes: left, shut, or not allowed."""
        shut = self._circuits.closed_to(self._plan.keys.values())
        if not shut and only is None:
            return self._left
        closed = {path for path, key in self._plan.keys.items() if key in shut}
        if only is not None:
            closed |= {leaf.path for leaf in self._plan.leaves if not only(leaf)}
        return self._left | closed

    def _at_rest(self, now: float) -> frozenset[str]:
        """The paths of those who asked to be left alone for a while."""
        return frozenset(path for path, until in self._resting.items() if until > now)

    def _choose(
        self, refused: frozenset[str], only: Only
    ) -> tuple[Emitted, dict[str, str], bool] | None:
        closed = self._closed(only) | refused | self._at_rest(time.monotonic())
        for avoided in (closed | self._tried, closed):
            picks, tags = self._plan.arms(self._who, avoided)
            emitted = self._plan.emit(avoided, picks, self._phase)
            if emitted is None:
                continue
            if patient := not self._has_another(avoided, emitted.live):
                emitted = self._plan.emit(avoided, picks, self._phase, patient=True) or emitted
            return emitted, tags, patient
        return None

    def _claim(self, leaf: Leaf) -> Claim | None:
        return self._circuits.claim(self._plan.keys[leaf.path])

    def sum_up(self, error: GatewayError) -> None:
        """Say in the error that ends the call who was asked, and not to do what is done."""
        said = error.message
        if len(self._plan.leaves) > 1:
            said = re.sub(r",? or give the route a fallback", "", said)
        if len(self._history) > 1:
            said = f"{said} [asked: {', '.join(self._history)}]"
        error.message, error.args = said, (said,)

    def shut(self, attempt: Attempt, error: GatewayError) -> GatewayError:
        """What `error`, the gateway's of finding no target, means where some were left out."""
        asked = {leaf.path for leaf in attempt.emitted.live}
        return error if asked == self._plan.keys.keys() else self._nobody(asked)

    def _nobody(self, asked: Collection[str] = ()) -> GatewayError:
        if self._last is not None:
            return self._last
        states = self._circuits.states()
        told = []
        for leaf in self._plan.leaves:
            if leaf.path in asked:
                continue
            state = states.get(self._plan.keys[leaf.path])
            why = f": {state.reason}" if state is not None and state.reason else ""
            told.append(f"{leaf.name}{why}")
        return CircuitOpen(
            f"every target that may answer has failed too often of late ({'; '.join(told)}): none "
            "was asked; one request will be let through when the cooldown is over",
            status_code=503,
            model_id=self._model_id,
        )
