"""A circuit breaker on the client: a target that keeps failing is left alone for a while.

The open-source gateway accepts a breaker's settings and does nothing with them, so the state of
each target is kept here and fed with the outcome of each call.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from agno_portkey.routing.breaker.rules import (
    UNKNOWN,
    CircuitBreaker,
    Claim,
    Record,
    Rule,
    State,
    after_failure,
    after_probing,
    after_release,
    after_success,
    is_due,
    keeping,
)
from agno_portkey.routing.breaker.store import CircuitStore, MemoryStore

__all__ = [
    "CircuitBreaker",
    "CircuitChange",
    "CircuitState",
    "CircuitStore",
    "Circuits",
    "Claim",
]


@dataclass(frozen=True, slots=True)
class CircuitState:
    """A circuit as others may see it; `since` and `until` are epoch seconds.

    `until` is the end of the cooldown of an open circuit, or the time at which the probe of a
    half-open one is given up. `reason` is that of the last failure.
    """

    state: State
    failures: int
    since: float
    until: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """That the circuit of `key` went over from one state to another."""

    key: str
    before: CircuitState
    after: CircuitState

    def __str__(self) -> str:
        why = f" ({self.after.reason})" if self.after.reason else ""
        return f"{self.key}: {self.before.state} -> {self.after.state}{why}"


class Circuits:
    """The circuits of all targets, by keys of the caller's choice; safe to share by threads.

    A claim is handed back with the outcome of the call that was made on it, exactly once:

    ```python
    circuits = Circuits(CircuitBreaker(failure_threshold=3))
    claim = circuits.claim("primary@openai/gpt-4o")
    if claim is None:
        ...  # the circuit is open: ask another target
    try:
        answer = ask()
    except GatewayError as error:
        circuits.failed(claim.key, str(error), claim)
    else:
        circuits.succeeded(claim.key, claim)
    ```

    `clock` gives epoch seconds; a `store` of your own has its own clock.
    """

    def __init__(
        self,
        settings: CircuitBreaker | None = None,
        *,
        store: CircuitStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or CircuitBreaker()
        self._store = store or MemoryStore(clock=clock)
        self._keep = keeping(self.settings)

    def __repr__(self) -> str:
        return f"Circuits({self.settings!r}, store={type(self._store).__name__})"

    def __copy__(self) -> Circuits:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Circuits:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Circuits can't be pickled: make one in each process, with a RedisStore to share state"
        )

    @property
    def blocking(self) -> bool:
        """Whether a method may wait on the network; call it off the event loop then."""
        return self.settings.enabled and self._store.blocking

    def closed_to(self, keys: Collection[str]) -> frozenset[str]:
        """Those of `keys` that must not be asked now.

        They are open and cooling down, or another caller's probe is on its way to them.
        """
        if not self.settings.enabled or not (known := self._store.read(keys)):
            return frozenset()
        now = self._store.now()
        return frozenset(key for key, record in known.items() if self._is_shut(record, now))

    def claim(self, key: str) -> Claim | None:
        """Leave to ask `key` now, or None while it must not be asked.

        Of an open circuit that has cooled down, one caller of all gets the probe.
        """
        if not self.settings.enabled:
            return Claim(key)
        record = self._store.read((key,)).get(key, UNKNOWN)
        if record.state == "closed":
            return Claim(key, epoch=record.epoch)
        if self._is_shut(record, self._store.now()):
            return None
        token = secrets.token_hex(8)
        _, after = self._change(key, partial(after_probing, settings=self.settings, token=token))
        if after.state == "closed":
            # Another caller's probe came back in the meantime.
            return Claim(key, epoch=after.epoch)
        return Claim(key, epoch=after.epoch, probe=token) if after.probe == token else None

    def succeeded(self, key: str, claim: Claim | None = None) -> CircuitChange | None:
        """Note that a call of `key` went well; returns the change of state that this made."""
        if not self.settings.enabled:
            return None
        record = self._store.read((key,)).get(key, UNKNOWN)
        probing = claim is not None and claim.probe is not None
        if not probing and (record.state != "closed" or not record.failures):
            return None
        return self._told(key, *self._change(key, partial(after_success, claim=claim)))

    def failed(self, key: str, reason: str, claim: Claim | None = None) -> CircuitChange | None:
        """Note that a call of `key` failed; returns the change of state that this made.

        `reason` is shown to operators: no secrets, no prompts.
        """
        if not self.settings.enabled:
            return None
        rule = partial(after_failure, settings=self.settings, claim=claim, reason=reason)
        return self._told(key, *self._change(key, rule))

    def release(self, claim: Claim) -> None:
        """Give a claim back without a verdict, because its call was not made or was cancelled."""
        if claim.probe is not None and self.settings.enabled:
            self._change(claim.key, partial(after_release, claim=claim))

    def states(self) -> dict[str, CircuitState]:
        """The circuits of all targets that failed and are remembered."""
        return {key: _shown(record) for key, record in self._store.records().items()}

    def _is_shut(self, record: Record, now: float) -> bool:
        return not is_due(record, now, self.settings)

    def _change(self, key: str, rule: Rule) -> tuple[Record, Record]:
        return self._store.change(key, rule, keep=self._keep)

    def _told(self, key: str, before: Record, after: Record) -> CircuitChange | None:
        if before.state == after.state:
            return None
        return CircuitChange(key, _shown(before), _shown(after))


def _shown(record: Record) -> CircuitState:
    return CircuitState(record.state, record.failures, record.since, record.until, record.reason)
