"""`CritiqueCheck`: the Critic has seen this plan, and holds nothing against it that blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agno_portkey.contracts import Critique, Severity
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check
from agno_portkey.verdict import Verdict

__all__ = ["CritiqueCheck"]


@dataclass(frozen=True, kw_only=True)
class CritiqueCheck(Check):
    """Passes a plan in which the Critic leaves no issue that blocks.

    In a team without a Critic there is nothing to ask, and it passes. Its score is 1 without an
    issue; a major issue takes a fifth of it, a minor one a twentieth.
    """

    name: str = "critique"

    def decide(self, case: Case) -> Verdict:
        if not case.has_critic:
            return self.verdict()
        said = case.critique
        critique = (
            said.output if said is not None and said.plan_digest == case.plan_digest else None
        )
        if not isinstance(critique, Critique):
            return self.verdict("the Critic has not seen this plan: ask it")
        reasons = tuple(_blocking(critique))
        kinds = [issue.severity for issue in critique.issues]
        weight = 0.2 * kinds.count(Severity.MAJOR) + 0.05 * kinds.count(Severity.MINOR)
        score = 0.0 if reasons else max(0.0, 1 - weight)
        return self.verdict(*reasons, score=score, issues=len(kinds))


def _blocking(critique: Critique) -> Iterable[str]:
    for issue in critique.blocking:
        where = f"step {issue.step}: " if issue.step else ""
        yield f"the Critic holds a blocking issue: {where}{issue.description}"
