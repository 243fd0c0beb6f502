"""One request of a call: whom it may reach, and how long it may take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from agno_portkey.routing.breaker.circuits import Claim
from agno_portkey.routing.config.emit import Emitted, Leaf, Phase
from agno_portkey.routing.recovery.plan import Plan

__all__ = ["Attempt", "Limits", "limits_of"]

_CONNECT_SECONDS = 5.0
# The gateway's own limit is to end first: it knows whom it asked.
_GRACE_SECONDS = 0.25


@dataclass
class Attempt:
    """One request of a call: what is sent, to whom, and since when."""

    emitted: Emitted
    tags: Mapping[str, str]
    claims: Mapping[str, Claim]
    number: int
    # Whether there is nobody else to ask, so that a late first token is waited for.
    patient: bool = False
    began: float = field(default_factory=time.monotonic)

    def leaf(self, option_index: str | None) -> Leaf | None:
        """Who answered, as far as it is known."""
        if len(self.emitted.live) == 1:
            return self.emitted.live[0]
        return self.emitted.leaf(option_index)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an attempt: the client's own, and seconds for a first token and the next."""

    client: httpx.Timeout
    first_token: float | None
    between_tokens: float | None


def limits_of(attempt: Attempt, plan: Plan, phase: Phase, *, cap: Any = None) -> Limits:
    """The limits of `attempt`, none longer than `cap`, the `timeout` that the model was given."""
    live = attempt.emitted.live
    most = cap.read if isinstance(cap, httpx.Timeout) else cap
    first = _longest([plan.limit(leaf.timeout, phase, patient=attempt.patient) for leaf in live])
    between = _longest(
        [leaf.timeout.between_tokens or plan.recovery.stream_idle_timeout for leaf in live]
    )
    first, between = _shortest(first, most), _shortest(between, most)
    grace = _GRACE_SECONDS if plan.route is not None else 0.0
    read = None if first is None else first + grace
    connect = cap.connect if isinstance(cap, httpx.Timeout) else _CONNECT_SECONDS
    return Limits(httpx.Timeout(read, connect=connect), first, between)


def _shortest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _longest(limits: Sequence[float | None]) -> float | None:
    found = [each for each in limits if each is not None]
    return max(found) if found and len(found) == len(limits) else None
