"""What a guard, contract or gate decides, as data; raising and recording it is for others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from agno_portkey.errors import AgnoPortkeyError, ConfigurationError, GatewayError

__all__ = [
    "Event",
    "Observer",
    "OwnWords",
    "Verdict",
    "check_observers",
    "failure_of",
    "failure_told",
    "hear_everything",
    "heard",
    "shown",
    "tell",
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision: who decided (`source`), what, and on which evidence.

    `score` is in 0-10 where the source is a judge; `reasons` lists every ground,
    `reason` joins them into one line.
    """

    passed: bool
    source: str
    reasons: tuple[str, ...] = ()
    score: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        return "; ".join(self.reasons) or ("passed" if self.passed else "refused")

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON types, `reason` included."""
        return {**asdict(self), "reasons": list(self.reasons), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Event:
    """Something observers hear of.

    `kind` is `call`, `attempt` (each request that a call made), `circuit` (a breaker's change of
    state), `plan`, `critique`, `judgement`, `gate`, `approval` (what a person decided),
    `adjustment` (of a gate's threshold), `guard`, `contract`, `cache`, `embedding`, `search`,
    `batch`, `tool`, `stop`, `limit`, `budget`, `access` (somebody was refused), `operation` (what a
    person did to a swarm or key) or `declined`; `role` the agent, `swarm` the team, `run_id`
    the outermost run (a call's and attempt's own). `data` holds digests and figures; the reasons of
    verdicts and judgements are the only words of models in it.
    """

    kind: str
    role: str | None = None
    swarm: str | None = None
    run_id: str | None = None
    verdict: Verdict | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Observer(Protocol):
    """Whoever listens: telemetry, audit, history, a progress display.

    It is called on the thread of the run and must return fast; what it raises is logged
    and never reaches the run.
    """

    def __call__(self, event: Event, /) -> None: ...


class OwnWords(Exception):
    """An error that is told by its words alone: this package has written them."""


def failure_told(error: BaseException) -> str:
    """What went wrong: in the words of this package, else by the kind of the error alone.

    Whoever writes any other error quotes what it was looking at, as a `KeyError` does; a provider's
    too, of which the status is told.
    """
    if isinstance(error, OwnWords):
        return str(error)
    kind = type(error).__name__
    if isinstance(error, GatewayError):
        return f"{kind} (status {error.status_code})"
    return f"{kind}: {error}" if isinstance(error, AgnoPortkeyError) else kind


def failure_of(who: str, error: BaseException) -> str:
    """The reason of a verdict that `who`, a guard, hook or gate, did not get to.

    The words of the error go into the log for debugging, for who may see what it was about.
    """
    logging.getLogger("agno_portkey").debug("%s failed", who, exc_info=error)
    return f"{who} failed: {failure_told(error)}"


# Those of the whole process, and the kinds of events that each does without.
_everywhere: tuple[tuple[Observer, frozenset[str]], ...] = ()


def hear_everything(observer: Observer, *, again: bool = True, but: Iterable[str] = ()) -> None:
    """Have `observer` hear of every event in this process from here on; no more if not `again`.

    It does not hear of those whose kind is in `but`; they are not made for it alone.
    """
    global _everywhere
    # A method that is bound anew is another object each time, and equal.
    others = tuple(each for each in _everywhere if each[0] != observer)
    _everywhere = (*others, (observer, frozenset(but))) if again else others


def shown(text: str | None) -> str:
    """`text` without what a terminal would obey: models wrote some of it."""
    return "".join(each if each.isprintable() else " " for each in text or "")


def heard(observers: Sequence[Observer], kind: str | None = None) -> bool:
    """Whether anybody hears of what is told to `observers`: of events of `kind`, or of any."""
    return bool(observers) or any(kind not in without for _, without in _everywhere)


def tell(observers: Iterable[Observer], event: Event) -> None:
    """Let every observer hear of `event`; one that raises is logged and passed over."""
    everywhere = (each for each, without in _everywhere if event.kind not in without)
    for observer in (*observers, *everywhere):
        try:
            observer(event)
        except Exception:
            logging.getLogger("agno_portkey").exception("observer %r failed", observer)


def check_observers(observers: object) -> tuple[Observer, ...]:
    """`observers` as a tuple; what can't be called is refused."""
    several: tuple[Any, ...] = tuple(observers) if isinstance(observers, Iterable) else (None,)
    if not all(map(callable, several)):
        raise ConfigurationError("observers: a list of what can be called with an Event")
    return several
