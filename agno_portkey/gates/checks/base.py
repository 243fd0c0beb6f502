"""`Check`: one thing that has to be true before the Runner may run, with a score in 0-1."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.verdict import Verdict

__all__ = ["Check", "Outcome", "counted", "number", "outcome_of"]


class Outcome(StrEnum):
    """What a check or gate came to; UNDERPOWERED blocks as FAIL does, and says what it lacks.

    WAITING is kept of a gate with `approval` that passes a plan: a person has not decided yet.
    """

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNDERPOWERED = "underpowered"
    WAITING = "waiting"


def outcome_of(verdict: Verdict) -> Outcome:
    """The outcome of `verdict`, which is UNDERPOWERED where its evidence says so."""
    if verdict.passed:
        return Outcome.PASS
    said = verdict.evidence.get("outcome")
    return Outcome.UNDERPOWERED if said == Outcome.UNDERPOWERED else Outcome.FAIL


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that has to be true of a plan or its run; subclasses write `decide`.

    `name` tells it apart from the other checks of its gate. A check that `asks` (a model, a
    database, code of the user's) is asked off the event loop, beside the others, once for each
    plan, and has `timeout` seconds; without a verdict by then it refuses. All others are fast pure
    functions of the case.
    """

    name: str = ""
    timeout: float = 60.0

    asks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.name:
            kind = type(self).__name__
            object.__setattr__(self, "name", kind.removesuffix("Check").lower() or kind.lower())
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"{type(self).__name__}.name: a text, not {self.name!r}")
        number(self, "timeout", above=0)

    @property
    def threshold(self) -> float:
        """The score in 0-1 from which it passes; 1 where it knows only yes and no."""
        return 1.0

    def decide(self, case: Case) -> Verdict:
        """Pass or refuse `case`, with every reason and a score in 0-1."""
        raise NotImplementedError(f"{type(self).__name__}.decide is not written")

    def parts(self) -> tuple[Check, ...]:
        """The checks that a combined one is made of."""
        return ()

    def settings(self) -> dict[str, Any]:
        """What it is set to, for the fingerprint of a clearance and for the history."""
        shown = {each.name: getattr(self, each.name) for each in fields(self) if each.repr}
        return {"check": type(self).__name__, **shown}

    def verdict(self, *reasons: str, score: float | None = None, **evidence: Any) -> Verdict:
        """The verdict of this check: passed without a reason against it."""
        worth = (0.0 if reasons else 1.0) if score is None else score
        return Verdict(not reasons, self.name, reasons, worth, evidence)


def counted(count: float, what: str) -> str:
    """`count` and what is counted, one or several: `1 run`, `2 runs`."""
    return f"{count:g} {what}" if count == 1 else f"{count:g} {what}s"


def number(
    owner: Any,
    field: str,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    whole: bool = False,
) -> None:
    """Refuse a setting that is no finite number from `least` to `most`, above `above`."""
    value = getattr(owner, field)
    bounds = [f" from {least:g}"] * (least > -math.inf) + [f" to {most:g}"] * (most < math.inf)
    bounds += [f" above {above:g}"] * (above > -math.inf)
    asked = "".join(bounds)
    where = f"{type(owner).__name__}.{field}"
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        kind = "a whole number" if whole else "a number"
        raise ConfigurationError(f"{where}: {kind}{asked}, not {value!r}")
    if not least <= value <= most or value <= above:
        raise ConfigurationError(f"{where}:{asked}, not {value!r}")
