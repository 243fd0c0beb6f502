"""`BudgetCheck`: neither the run so far nor what the plan asks for goes over a limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, counted, number
from agno_portkey.verdict import Verdict

__all__ = ["BudgetCheck"]

_UNITS = {"cost": "$", "tokens": "token", "calls": "call", "seconds": "s"}


@dataclass(frozen=True, kw_only=True)
class BudgetCheck(Check):
    """Passes while the run has taken no more than its limits; `cost` is in US dollars.

    The budget that a plan gives itself has to keep within `cost` and `seconds` as well. Where a
    cost is limited and that of a call is not known, it refuses. Its score is the share that is left
    of the tightest of its limits.
    """

    name: str = "budget"
    cost: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = self._limits()
        if not limits:
            raise ConfigurationError(f"{self.name}: a limit of cost, tokens, calls or seconds")
        for limit in limits:
            number(self, limit, least=0, whole=limit in ("tokens", "calls"))

    @property
    def threshold(self) -> float:
        """All may be used up; a higher one is a reserve."""
        return 0.0

    def decide(self, case: Case) -> Verdict:
        reserve = case.threshold_of(self)
        shares: dict[str, float] = {}
        reasons: list[str] = []
        for what, limit in self._limits().items():
            taken = getattr(case.usage, what)
            if what == "cost" and taken is None and case.usage.calls == 0:
                taken = 0.0
            shares[what] = _left(taken, limit)
            reasons += _used(what, taken, limit, shares[what], reserve)
        if case.plan is not None and case.plan.budget is not None:
            asked = case.plan.budget
            minutes = None if asked.minutes is None else 60 * asked.minutes
            for what, amount in (("cost", asked.cost), ("seconds", minutes)):
                for reason in self._planned(what, amount):
                    reasons.append(reason)
                    shares[what] = 0.0
        return self.verdict(*reasons, score=min(shares.values()), left=shares, threshold=reserve)

    def _limits(self) -> dict[str, float]:
        limits = {what: getattr(self, what) for what in _UNITS}
        return {what: limit for what, limit in limits.items() if limit is not None}

    def _planned(self, what: str, asked: float | None) -> Iterator[str]:
        limit = getattr(self, what)
        if limit is not None and asked is not None and not asked <= limit:
            yield (
                f"the plan's budget asks for {_amount(what, asked)}, and {_amount(what, limit)} "
                "is the limit: plan for less"
            )


def _left(taken: object, limit: float) -> float:
    """The share of `limit` that is left; none where nothing says what was taken."""
    if not _is_amount(taken):
        return 0.0
    if limit == 0:
        return float(taken == 0)
    return max(0.0, (limit - taken) / limit)


def _used(what: str, taken: object, limit: float, share: float, reserve: float) -> Iterator[str]:
    if not _is_amount(taken):
        yield (
            f"what the run has taken in {what} is not known, and {_amount(what, limit)} is the "
            "limit: no provider has told it; limit tokens here, or dollars by a Budget of a "
            "Ledger, which knows prices"
        )
    elif taken > limit:
        yield f"the run has taken {_amount(what, taken)}, and {_amount(what, limit)} is the limit"
    elif not share >= reserve:
        yield f"{share:.0%} are left of {_amount(what, limit)}, and {reserve:.0%} are needed"


def _is_amount(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0


def _amount(what: str, value: float) -> str:
    if what == "cost":
        return f"${value:g}"
    return f"{value:g} s" if what == "seconds" else counted(value, _UNITS[what])
