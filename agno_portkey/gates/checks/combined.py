"""Several checks as one: all of them, any of them, or their weighted mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, Outcome, number, outcome_of
from agno_portkey.verdict import Verdict

__all__ = ["AllOf", "AnyOf", "Weighted", "all_of", "any_of", "joined", "leaves", "weighted"]


@dataclass(frozen=True, kw_only=True)
class AllOf(Check):
    """Passes if all of `checks` do; its score is the lowest of theirs."""

    name: str = "all"
    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "checks", several(self.checks, f"{self.name}.checks"))

    def parts(self) -> tuple[Check, ...]:
        return self.checks

    def decide(self, case: Case) -> Verdict:
        return joined(self.name, [case.verdict_of(each) for each in self.checks])


@dataclass(frozen=True, kw_only=True)
class _Some(AllOf):
    """`required` names those of its checks that have to pass, whatever the others say."""

    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        known = [each.name for each in self.checks]
        given: object = self.required
        required = (given,) if isinstance(given, str) else tuple(self.required)
        object.__setattr__(self, "required", required)
        if missing := [name for name in required if name not in known]:
            raise ConfigurationError(
                f"{self.name}.required: {missing[0]!r} is none of its checks ({', '.join(known)})"
            )

    def decide(self, case: Case) -> Verdict:
        said = [case.verdict_of(each) for each in self.checks]
        needed = [verdict for verdict in said if verdict.source in self.required]
        if needed and not (first := joined(self.name, needed)).passed:
            return first
        return self._of(case, said)

    def _of(self, case: Case, said: Sequence[Verdict]) -> Verdict:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AnyOf(_Some):
    """Passes if one of `checks` does; its score is the highest of theirs."""

    name: str = "any"

    def _of(self, case: Case, said: Sequence[Verdict]) -> Verdict:
        best = max(score_of(verdict) for verdict in said)
        if any(verdict.passed for verdict in said):
            return self.verdict(score=best, checks=_told(said))
        names = ", ".join(verdict.source for verdict in said)
        none = f"none of {names} passes, and one has to"
        one = joined(self.name, said)
        lacking = [v for v in said if outcome_of(v) is Outcome.UNDERPOWERED]
        more = min((v.evidence.get("more") or 0 for v in lacking), default=0)
        outcome = {"outcome": Outcome.UNDERPOWERED, "more": more} if lacking else {}
        evidence = {"checks": _told(said), **outcome}
        return replace(one, reasons=(none, *one.reasons), score=best, evidence=evidence)


@dataclass(frozen=True, kw_only=True)
class Weighted(_Some):
    """Passes if the mean score of `checks`, weighted by `weights`, is `at_least` (0-1)."""

    name: str = "weighted"
    weights: tuple[float, ...]
    at_least: float

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self, "at_least", least=0, most=1)
        good = [not isinstance(w, bool) and isinstance(w, int | float) for w in self.weights]
        if len(self.weights) != len(self.checks) or not all(good):
            raise ConfigurationError(f"{self.name}.weights: a number for each of its checks")
        if not all(math.isfinite(w) and w > 0 for w in self.weights):
            raise ConfigurationError(f"{self.name}.weights: finite numbers above 0")

    @property
    def threshold(self) -> float:
        return self.at_least

    def _of(self, case: Case, said: Sequence[Verdict]) -> Verdict:
        needed = case.threshold_of(self)
        mean = self._mean([score_of(verdict) for verdict in said])
        if mean >= needed:
            return self.verdict(score=mean, checks=_told(said), threshold=needed)
        # As if what can't be told yet came out at its best.
        lacking = [outcome_of(v) is Outcome.UNDERPOWERED for v in said]
        best = self._mean(
            [1.0 if open_ else score_of(v) for open_, v in zip(lacking, said, strict=True)]
        )
        grounds = [reason for v in said if not v.passed for reason in v.reasons]
        outcome = {}
        if any(lacking) and best >= needed:
            more = max(v.evidence.get("more") or 0 for v in said)
            outcome = {"outcome": Outcome.UNDERPOWERED, "more": more}
        return self.verdict(
            f"the weighted score is {mean:.2f}, and {needed:g} is needed",
            *grounds,
            score=mean,
            checks=_told(said),
            threshold=needed,
            **outcome,
        )

    def _mean(self, scores: Sequence[float]) -> float:
        total = math.fsum(w * s for w, s in zip(self.weights, scores, strict=True))
        return total / math.fsum(self.weights)


def all_of(*checks: Check, name: str = "all") -> AllOf:
    """Passes if all of `checks` do."""
    return AllOf(name=name, checks=checks)


def any_of(*checks: Check, name: str = "any", required: Iterable[str] = ()) -> AnyOf:
    """Passes if one of `checks` does, and all that are `required` by name."""
    return AnyOf(name=name, checks=checks, required=tuple(required))


def weighted(
    *checks: tuple[Check, float],
    at_least: float,
    name: str = "weighted",
    required: Iterable[str] = (),
) -> Weighted:
    """Passes if the weighted mean of the scores is `at_least`, and all that are `required` pass."""
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in checks):
        raise ConfigurationError(f"{name}: pairs of a check and its weight, (check, 2)")
    return Weighted(
        name=name,
        checks=tuple(check for check, _ in checks),
        weights=tuple(weight for _, weight in checks),
        at_least=at_least,
        required=tuple(required),
    )


def joined(name: str, said: Sequence[Verdict]) -> Verdict:
    """`said` as one verdict that passes if all do; underpowered where nothing worse is wrong."""
    failed = [verdict for verdict in said if not verdict.passed]
    evidence: dict[str, object] = {"checks": _told(said)}
    if failed and all(outcome_of(v) is Outcome.UNDERPOWERED for v in failed):
        evidence["outcome"] = Outcome.UNDERPOWERED
        evidence["more"] = max(v.evidence.get("more") or 0 for v in failed)
    return Verdict(
        not failed,
        name,
        tuple(dict.fromkeys(reason for verdict in failed for reason in verdict.reasons)),
        min((score_of(verdict) for verdict in said), default=1.0),
        evidence,
    )


def leaves(checks: Iterable[Check]) -> list[Check]:
    """All of `checks` and what they are made of, the combined ones among them."""
    found: list[Check] = []
    for check in checks:
        found += [check, *leaves(check.parts())]
    return found


def several(checks: object, name: str) -> tuple[Check, ...]:
    """`checks` as a tuple; what is no check, and none at all, is refused."""
    if isinstance(checks, Check):
        checks = (checks,)
    given: tuple[Any, ...] = tuple(checks) if isinstance(checks, Iterable) else (None,)
    if not given or not all(isinstance(check, Check) for check in given):
        raise ConfigurationError(f"{name}: at least one Check, and nothing else")
    return given


def score_of(verdict: Verdict) -> float:
    """The score of `verdict`, in 0-1; of one without a score, whether it passed."""
    score = verdict.score
    if score is None or not math.isfinite(score):
        return float(verdict.passed)
    return min(1.0, max(0.0, score))


def _told(said: Sequence[Verdict]) -> dict[str, dict[str, object]]:
    """What each said, for the record."""
    return {
        verdict.source: {
            "outcome": str(outcome_of(verdict)),
            "score": verdict.score,
            "reasons": list(verdict.reasons),
            **{k: v for k, v in verdict.evidence.items() if k not in ("outcome", "reasons")},
        }
        for verdict in said
    }
