"""A gate: what has to be true of a plan before the Runner may run it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from agno_portkey.contracts import Critique, Decision, Judgement, Plan
from agno_portkey.errors import ConfigurationError
from agno_portkey.runs import Evidence
from agno_portkey.verdict import Verdict, failure_of

__all__ = ["Case", "Gate", "check_gates", "decide_all"]


@dataclass(frozen=True, slots=True)
class Case:
    """What a gate decides on.

    `tools` are the Runner's; `has_critic` says whether the team has one, `used` whether this plan
    was cleared before.
    """

    plan: Plan | None
    plan_digest: str | None
    critique: Evidence | None
    judgement: Evidence | None
    tools: frozenset[str] | None = None
    has_critic: bool = False
    used: bool = False


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Passes a plan that its Judge approved with at least `min_score` (0-10).

    If the team has a Critic, the Critic must have seen that same plan and left no blocking issue.
    After `max_rounds` judgements without a pass the team is declined. `ordered` holds the Runner
    to the order of the plan's steps.
    """

    name: str = "gate"
    min_score: float = 7.0
    max_rounds: int = 3
    ordered: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"Gate.name: a non-empty text, not {self.name!r}")
        score = self.min_score
        if (
            isinstance(score, bool)
            or not isinstance(score, int | float)
            or not math.isfinite(score)
        ):
            raise ConfigurationError(f"Gate.min_score: a number from 0 to 10, not {score!r}")
        if not 0 <= score <= 10:
            raise ConfigurationError(f"Gate.min_score: from 0 to 10, not {score!r}")
        rounds = self.max_rounds
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
            raise ConfigurationError(f"Gate.max_rounds: a whole number from 1, not {rounds!r}")
        if not isinstance(self.ordered, bool):
            raise ConfigurationError(f"Gate.ordered: True or False, not {self.ordered!r}")

    def decide(self, case: Case) -> Verdict:
        """Pass or refuse `case`, with every reason; a pure function."""
        reasons = [
            *self._plan_reasons(case),
            *self._critic_reasons(case),
            *self._judge_reasons(case),
        ]
        judgement = case.judgement.output if case.judgement else None
        return Verdict(
            passed=not reasons,
            source=self.name,
            reasons=tuple(reasons),
            score=judgement.score if isinstance(judgement, Judgement) else None,
            evidence={"plan_digest": case.plan_digest, "min_score": self.min_score},
        )

    def _plan_reasons(self, case: Case) -> Iterable[str]:
        if case.plan is None:
            yield "there is no plan yet: ask the Planner for one"
            return
        for number, step in enumerate(case.plan.steps, start=1):
            if step.tool and case.tools is not None and step.tool not in case.tools:
                known = ", ".join(sorted(case.tools)) or "none"
                yield f"step {number} calls {step.tool}, which the Runner does not have ({known})"

    def _critic_reasons(self, case: Case) -> Iterable[str]:
        if case.plan is None or not case.has_critic:
            return
        said = case.critique
        critique = (
            said.output if said is not None and said.plan_digest == case.plan_digest else None
        )
        if not isinstance(critique, Critique):
            yield "the Critic has not seen this plan: ask it"
            return
        for issue in critique.blocking:
            where = f"step {issue.step}: " if issue.step else ""
            yield f"the Critic holds a blocking issue: {where}{issue.description}"

    def _judge_reasons(self, case: Case) -> Iterable[str]:
        if case.plan is None:
            return
        said = case.judgement
        if said is None or said.plan_digest != case.plan_digest:
            again = "again, since its clearance was used" if case.used else "yet"
            yield f"the Judge has not judged this plan {again}: ask it"
            return
        judgement = said.output
        if not isinstance(judgement, Judgement):
            yield "the Judge gave no judgement"
            return
        if judgement.decision is not Decision.APPROVE:
            because = "; ".join(judgement.reasons)
            yield f"the Judge says {judgement.decision.value}: {because}"
        if not judgement.score >= self.min_score:
            yield f"its score is {judgement.score:g}, and {self.min_score:g} is needed"


def check_gates(gates: Gate | Iterable[Gate]) -> tuple[Gate, ...]:
    """One gate or several as a tuple; none, or two of one name, are refused."""
    if not isinstance(gates, Gate | Iterable):
        raise ConfigurationError(f"gate: a Gate or several, not {type(gates).__name__}")
    several = (gates,) if isinstance(gates, Gate) else tuple(gates)
    if not several:
        raise ConfigurationError("gate: at least one Gate")
    for gate in several:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"gate: a Gate, not {type(gate).__name__}")
    names = [gate.name for gate in several]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"gate: two gates are named {', '.join(map(repr, twice))}")
    return several


def decide_all(gates: Iterable[Gate], case: Case) -> Verdict:
    """All gates' verdicts on `case` as one; the score is the lowest."""
    several = tuple(gates)
    verdicts = [_decided(gate, case) for gate in several]
    scores = [v.score for v in verdicts if v.score is not None]
    return Verdict(
        passed=all(v.passed for v in verdicts),
        source=", ".join(gate.name for gate in several),
        reasons=tuple(dict.fromkeys(reason for v in verdicts for reason in v.reasons)),
        score=min(scores) if scores else None,
        evidence={
            "plan_digest": case.plan_digest,
            "gates": {v.source: v.passed for v in verdicts},
            "min_score": max(gate.min_score for gate in several),
        },
    )


def _decided(gate: Gate, case: Case) -> Verdict:
    """The gate's verdict; a gate of the user's that fails to give one refuses."""
    try:
        verdict: object = gate.decide(case)
    except Exception as error:
        return Verdict(False, gate.name, (failure_of("the gate", error),))
    if not isinstance(verdict, Verdict):
        given = type(verdict).__name__
        return Verdict(False, gate.name, (f"the gate gave {given} in place of a verdict",))
    return verdict
