"""A gate: what has to be true of a plan before the Runner may run it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from agno_portkey.contracts import Plan
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.adjusting.settings import Adjust
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, Outcome, number, outcome_of
from agno_portkey.gates.checks.combined import joined, leaves, several
from agno_portkey.gates.checks.critique import CritiqueCheck
from agno_portkey.gates.checks.judgement import JudgementCheck
from agno_portkey.gates.clearance.clearances import check_age
from agno_portkey.gates.clearance.record import LONGEST, check_keys
from agno_portkey.gates.sampling import Sampling
from agno_portkey.verdict import Verdict, failure_of

__all__ = ["DAY", "Case", "Gate", "check_gates", "decide_all"]

DAY = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Passes a plan that its Judge approved with at least `min_score` (0-10).

    If the team has a Critic, the Critic must have seen that same plan and left no blocking issue.
    `checks` have to pass as well; a `JudgementCheck` or `CritiqueCheck` among them takes the place
    of the gate's own. `sampling` has the Judge asked several times, until its verdict holds.
    After `max_rounds` judgements without a pass, or of a plan that waits for a person, the team is
    declined. `ordered` holds the Runner to the order of the plan's steps. `approval`: a person has
    to approve the plan as well.
    `max_age` is how many seconds a clearance lasts, for the Runner's run and its continuations.
    With `adjust` its thresholds follow the history, in a database that is on SQL.
    """

    name: str = "gate"
    min_score: float = 7.0
    max_rounds: int = 3
    ordered: bool = True
    checks: tuple[Check, ...] = ()
    sampling: Sampling | None = None
    approval: bool = False
    max_age: float = DAY
    adjust: Adjust | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"Gate.name: a non-empty text, not {self.name!r}")
        # It is a clearance's, too.
        check_keys(self, "name")
        number(self, "min_score", least=0, most=10)
        number(self, "max_rounds", least=1, whole=True)
        number(self, "max_age", above=0)
        check_age("Gate.max_age", self.max_age)
        for flag in ("ordered", "approval"):
            if not isinstance(getattr(self, flag), bool):
                raise ConfigurationError(f"Gate.{flag}: True or False, not {getattr(self, flag)!r}")
        if self.adjust is not None and not isinstance(self.adjust, Adjust):
            raise ConfigurationError(f"Gate.adjust: an Adjust, not {self.adjust!r}")
        if self.checks:
            object.__setattr__(self, "checks", several(self.checks, "Gate.checks"))
        object.__setattr__(self, "checks", tuple(self.checks))
        self._require_names()

    def _require_names(self) -> None:
        names = [each.name for each in self.leaves]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(
                f"Gate.checks: two checks are named {twice[0]!r}: give one another name="
            )
        if self.sampling is not None and self.sampling not in [j.sampling for j in self.judges]:
            raise ConfigurationError(
                "Gate.sampling: the gate has a JudgementCheck of its own: give it the sampling"
            )

    @cached_property
    def every(self) -> tuple[Check, ...]:
        """All the checks that have to pass, its own among them."""
        given = leaves(self.checks)
        own: list[Check] = []
        if not any(isinstance(check, CritiqueCheck) for check in given):
            own.append(CritiqueCheck())
        if not any(isinstance(check, JudgementCheck) for check in given):
            own.append(JudgementCheck(min_score=self.min_score, sampling=self.sampling))
        return (*own, *self.checks)

    @cached_property
    def leaves(self) -> tuple[Check, ...]:
        """All its checks, with those that combined ones are made of."""
        return tuple(leaves(self.every))

    @property
    def judges(self) -> tuple[JudgementCheck, ...]:
        """Its checks of what the Judge says."""
        return tuple(check for check in self.leaves if isinstance(check, JudgementCheck))

    def step(self, *, runner: Any) -> Any:
        """An Agno `Step` for a workflow, which stops there unless this gate passes.

        It goes before the step of `runner`, an agent or its name or id, in a workflow that is then
        governed: `govern(Workflow(steps=[planner, critic, judge, gate.step(runner=r), r]))`.
        """
        from agno_portkey.gates.step import gate_step

        return gate_step(self, runner=runner)

    def decide(self, case: Case) -> Verdict:
        """Pass or refuse `case`, with every reason; of what was found before, a pure function."""
        reasons = tuple(plan_reasons(case.plan, case.tools))
        said = [] if case.plan is None else [case.verdict_of(check) for check in self.every]
        verdict = joined(self.name, said)
        evidence: dict[str, object] = {**verdict.evidence, "plan_digest": case.plan_digest}
        if reasons:
            evidence.pop("outcome", None)
        return Verdict(
            passed=verdict.passed and not reasons,
            source=self.name,
            reasons=(*reasons, *verdict.reasons),
            score=None if case.plan is None else verdict.score,
            evidence={**evidence, "min_score": self.min_score},
        )


def plan_reasons(plan: Plan | None, tools: frozenset[str] | None) -> Iterable[str]:
    """What keeps a Runner with `tools` from running `plan`, whatever it is worth."""
    if plan is None:
        yield "there is no plan yet: ask the Planner for one"
        return
    for place, step in enumerate(plan.steps, start=1):
        if step.tool and tools is not None and step.tool not in tools:
            known = ", ".join(sorted(tools)) or "none"
            yield f"step {place} calls {step.tool}, which the Runner does not have ({known})"


def check_gates(gates: Gate | Iterable[Gate]) -> tuple[Gate, ...]:
    """One gate or several as a tuple; none, or two of one name, are refused."""
    if not isinstance(gates, Gate | Iterable):
        raise ConfigurationError(f"gate: a Gate or several, not {type(gates).__name__}")
    given = (gates,) if isinstance(gates, Gate) else tuple(gates)
    if not given:
        raise ConfigurationError("gate: at least one Gate")
    for gate in given:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"gate: a Gate, not {type(gate).__name__}")
    names = [gate.name for gate in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"gate: two gates are named {', '.join(map(repr, twice))}")
    if len(", ".join(names)) > LONGEST:
        raise ConfigurationError(f"gate: the names come to more than {LONGEST} characters")
    return given


def decide_all(
    gates: Iterable[Gate],
    case: Case,
    found: Mapping[str, Mapping[str, Verdict]] | None = None,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> Verdict:
    """All gates' verdicts on `case` as one; the score is the lowest.

    `found` holds, by gate, what its checks said that had to be waited for; `thresholds` those that
    were adjusted.
    """
    given = tuple(gates)
    verdicts = verdicts_of(given, case, found or {}, thresholds or {})
    scores = [v.score for v in verdicts if v.score is not None]
    if case.used and case.judgement is None and all(v.passed for v in verdicts):
        # Whatever the checks need of it: one judgement is good for one run of the plan.
        again = ("this plan was run before: have it judged again",)
        verdicts = [replace(verdicts[0], passed=False, reasons=again), *verdicts[1:]]
    failed = [v for v in verdicts if not v.passed]
    lacking = bool(failed) and all(outcome_of(v) is Outcome.UNDERPOWERED for v in failed)
    more = {"outcome": Outcome.UNDERPOWERED, "more": _most(failed)} if lacking else {}
    return Verdict(
        passed=not failed,
        source=", ".join(gate.name for gate in given),
        reasons=tuple(dict.fromkeys(reason for v in verdicts for reason in v.reasons)),
        score=min(scores) if scores else None,
        evidence={
            "plan_digest": case.plan_digest,
            "gates": {v.source: v.passed for v in verdicts},
            "min_score": max(gate.min_score for gate in given),
            **more,
        },
    )


def verdicts_of(
    gates: Sequence[Gate],
    case: Case,
    found: Mapping[str, Mapping[str, Verdict]],
    thresholds: Mapping[str, Mapping[str, float]],
) -> list[Verdict]:
    """Each gate's own verdict on `case`."""
    return [
        _decided(
            gate,
            replace(case, found=found.get(gate.name, {}), thresholds=thresholds.get(gate.name, {})),
        )
        for gate in gates
    ]


def _most(failed: Iterable[Verdict]) -> int:
    return max((verdict.evidence.get("more") or 0 for verdict in failed), default=0)


def _decided(gate: Gate, case: Case) -> Verdict:
    """The gate's verdict; a gate of the user's that fails to give one refuses."""
    try:
        verdict: object = gate.decide(case)
    except Exception as error:
        return Verdict(False, gate.name, (failure_of("the gate", error),))
    if not isinstance(verdict, Verdict):
        given = type(verdict).__name__
        return Verdict(False, gate.name, (f"the gate gave {given} in place of a verdict",))
    passed: object = verdict.passed
    if not isinstance(passed, bool):
        given = type(passed).__name__
        return Verdict(False, gate.name, (f"the gate gave {given} in place of True or False",))
    return verdict
