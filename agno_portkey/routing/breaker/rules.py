"""The rules of a circuit breaker, as pure functions of what is known of a target and the time.

A store applies them atomically, in this process or in Redis, so both follow the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ConfigDict, Field

from agno_portkey.routing.config.parts import Part

__all__ = [
    "UNKNOWN",
    "CircuitBreaker",
    "Claim",
    "Record",
    "Rule",
    "State",
    "after_failure",
    "after_probing",
    "after_release",
    "after_success",
    "is_due",
    "keeping",
]

State = Literal["closed", "open", "half_open"]

_REASON_CHARACTERS = 200


class CircuitBreaker(Part):
    """When a target that fails is no longer asked; times are in seconds.

    It opens after `failure_threshold` failures in a row that all lie within `window`. After
    `cooldown` one call is let through as a probe, and its outcome decides; a probe of which
    nothing is heard for `probe_timeout` is given up.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    # Each failure in a row is remembered by its time, hence an upper limit.
    failure_threshold: int = Field(default=5, ge=1, le=1000)
    window: float = Field(default=60.0, gt=0)
    cooldown: float = Field(default=30.0, gt=0)
    probe_timeout: float = Field(default=60.0, gt=0)
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one target.

    `times` are those of the failures in a row, while closed. `epoch` grows with each opening and
    closing: it tells the result of a call that began before. `probe` is the token of the one
    probe that is on its way.
    """

    # A record that was read from elsewhere: no comparison with NaN is ever true.
    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    state: State = "closed"
    failures: int = 0
    since: float = 0.0
    until: float | None = None
    reason: str | None = None
    times: tuple[float, ...] = ()
    epoch: int = 0
    probe: str | None = None


# A target of which no failure is known; a store holds no record of it.
UNKNOWN = Record()

# Takes a record and the store's time; it may be applied more than once until a store accepts it.
Rule = Callable[[Record, float], Record]


@dataclass(frozen=True, slots=True)
class Claim:
    """Leave to ask a target once; `probe` is set if its outcome decides over an open circuit."""

    key: str
    epoch: int = 0
    probe: str | None = None


def is_due(record: Record, now: float, settings: CircuitBreaker) -> bool:
    """Whether a circuit lets a call through now: it is closed, or a probe is due."""
    if record.until is None:
        return True
    limit = settings.cooldown if record.state == "open" else settings.probe_timeout
    # A clock that was set back by more would hold the circuit open until it has caught up.
    return now >= record.until or now < record.until - 2 * limit


def keeping(settings: CircuitBreaker) -> float:
    """Seconds after its last change for which a record can still matter."""
    return 2 * (settings.window + settings.cooldown + settings.probe_timeout)


def after_probing(record: Record, now: float, *, settings: CircuitBreaker, token: str) -> Record:
    """The probe given to `token`, if one is due."""
    if record.state == "closed" or not is_due(record, now, settings):
        return record
    since = now if record.state == "open" else record.since
    until = now + settings.probe_timeout
    return replace(record, state="half_open", since=since, until=until, probe=token)


def after_success(record: Record, now: float, *, claim: Claim | None) -> Record:
    """A probe's success closes the circuit, any other ends a row of failures.

    A call that began before the circuit opened says nothing of how the target is now.
    """
    if _is_probe(record, claim):
        return Record(since=now, epoch=_next_epoch(record, now))
    if record.state != "closed" or _is_late(record, claim):
        return record
    return Record(since=record.since, epoch=record.epoch) if record.epoch else UNKNOWN


def after_failure(
    record: Record, now: float, *, settings: CircuitBreaker, claim: Claim | None, reason: str
) -> Record:
    """One more failure in the row, which opens the circuit at the threshold; or a probe's failure.

    Neither a late failure nor one beside the probe prolongs the time that a circuit is open.
    """
    reason = reason[:_REASON_CHARACTERS]
    if _is_probe(record, claim):
        return _opened(record, now, settings, record.failures + 1, reason)
    if record.state != "closed" or _is_late(record, claim):
        return record
    # A time from the future is one from before the clock was set back.
    times = (*(t for t in record.times if abs(now - t) <= settings.window), now)
    if len(times) >= settings.failure_threshold:
        return _opened(record, now, settings, len(times), reason)
    since = record.since or now
    return replace(record, failures=len(times), since=since, reason=reason, times=times)


def after_release(record: Record, now: float, *, claim: Claim) -> Record:
    """The probe taken back without a verdict: the next caller may probe at once."""
    return replace(record, until=None, probe=None) if _is_probe(record, claim) else record


def _opened(
    record: Record, now: float, settings: CircuitBreaker, failures: int, reason: str
) -> Record:
    return Record(
        state="open",
        failures=failures,
        since=now,
        until=now + settings.cooldown,
        reason=reason,
        epoch=_next_epoch(record, now),
    )


def _is_probe(record: Record, claim: Claim | None) -> bool:
    return claim is not None and claim.probe is not None and claim.probe == record.probe


def _is_late(record: Record, claim: Claim | None) -> bool:
    return claim is not None and claim.epoch < record.epoch


def _next_epoch(record: Record, now: float) -> int:
    # Microseconds, so that the epochs of a forgotten record are not used again.
    return max(record.epoch + 1, int(now * 1_000_000))
