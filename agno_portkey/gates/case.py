"""What a gate decides on: the plan, what was said of it, and what the run has taken so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agno_portkey.contracts import Plan
from agno_portkey.runs import Evidence, Usage
from agno_portkey.verdict import Verdict, failure_of

if TYPE_CHECKING:
    from agno_portkey.gates.checks.base import Check

__all__ = ["Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """What a gate decides on; no `agno.eval.suite.Case`, which is one input of a suite to be run.

    `tools` are the Runner's; `has_critic` says whether the team has one, `used` whether this plan
    was cleared before. `outputs` are the run outputs so far, the leader's first, and `tried` the
    tools that were called, also in runs that failed; `failures` what guards have refused or failed
    at in the run; `fingerprint` that of the team, `database` the one that its gate keeps its books
    in. `found` holds, by their names, the verdicts of checks that had to be waited for;
    `thresholds`, by the names of checks, those that have been adjusted since the gate was written,
    in 0-1.
    """

    plan: Plan | None
    plan_digest: str | None
    critique: Evidence | None
    judgement: Evidence | None
    tools: frozenset[str] | None = None
    has_critic: bool = False
    used: bool = False
    request: str = ""
    outputs: tuple[Any, ...] = ()
    tried: frozenset[str] = frozenset()
    usage: Usage = field(default_factory=Usage)
    failures: tuple[str, ...] = ()
    fingerprint: str | None = None
    database: Any = None
    found: Mapping[str, Verdict] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def verdict_of(self, check: Check) -> Verdict:
        """What `check` says of this case; one that fails to say anything refuses."""
        if (found := self.found.get(check.name)) is not None:
            return found
        if check.asks:
            return Verdict(False, check.name, ("it has not been asked yet",))
        return told_by(check, self)

    def threshold_of(self, check: Check) -> float:
        """The threshold that holds for `check` now, in 0-1."""
        return self.thresholds.get(check.name, check.threshold)


def told_by(check: Check, case: Case) -> Verdict:
    """The verdict of `check`; one that raises, or gives something else, refuses."""
    try:
        verdict: object = check.decide(case)
    except Exception as error:
        reason = failure_of(f"the check {check.name}", error)
        return Verdict(False, check.name, (reason,), 0.0, {"failed": True})
    if not isinstance(verdict, Verdict):
        given = type(verdict).__name__
        reason = f"the check {check.name} gave {given} in place of a verdict"
        return Verdict(False, check.name, (reason,), 0.0, {"failed": True})
    passed: object = verdict.passed
    if not isinstance(passed, bool):
        reason = f"the check {check.name} gave {type(passed).__name__} in place of True or False"
        return Verdict(False, check.name, (reason,), 0.0, {"failed": True})
    # By its own name it is told apart from the others, and known where it is required.
    return verdict if verdict.source == check.name else replace(verdict, source=check.name)
