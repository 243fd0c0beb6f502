"""What the record tells of a check at other thresholds than the one that held."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history.record import Decided, Scored

__all__ = ["Evidence", "Trial", "evidence_of"]

_NEVER = -1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One plan of one run: the highest thresholds at which, by the record, it passes.

    `check` is that of the check alone, `gate` that of the whole gate; below 0 where it passes at
    none. `approved`: the check alone kept it from passing, and a person let it run all the same.
    """

    at: datetime
    check: float
    gate: float
    approved: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """The newest trials of a check that were held to one threshold, by the same versions.

    `threshold` is that one, None where nothing was decided. `by_threshold` is False where the check
    has passed what scored below it: it does not go by its threshold. `sampled` counts the trials
    whose judge was asked several times, and `grey` is how far from the threshold, in 0-1, their
    mean has to be before it is counted as decided.
    """

    swarm: str | None
    trials: tuple[Trial, ...]
    threshold: float | None = None
    by_threshold: bool = True
    sampled: int = 0
    grey: float = 0.0


def evidence_of(decided: Sequence[Decided], *, gate: str, check: str) -> Evidence:
    """The evidence in `decided`, of one swarm in any order, on `check` of `gate`.

    Counted is the newest stretch of equal versions and equal thresholds of all the gate's checks:
    what was decided before a prompt, a model or a threshold changed tells nothing of the gate as it
    is. Of one plan in one run the last decision counts, since repeats are not independent; what was
    decided before the Judge had judged counts not at all. Raises ConfigurationError for decisions
    of several swarms.
    """
    swarms = {each.swarm for each in decided}
    if len(swarms) > 1:
        raise ConfigurationError(f"decided: of one swarm, not of {len(swarms)}")
    swarm = next(iter(swarms), None)
    own = _stretch(_judged(decided, gate, check))
    if not own:
        return Evidence(swarm, ())
    scores = [(each, _scored(each, check)) for each in own]
    # None is judged without one.
    threshold = float(scores[0][1].threshold or 0.0)
    grey = _grey([scored for _, scored in scores], threshold)
    approved = _approved(decided)
    return Evidence(
        swarm,
        tuple(_trial(each, scored, threshold, grey, approved) for each, scored in scores),
        threshold,
        all(_is_held(scored, threshold) for _, scored in scores),
        sum(_is_sampled(scored) for _, scored in scores),
        grey,
    )


def _judged(decided: Iterable[Decided], gate: str, check: str) -> list[Decided]:
    """The gate's own decisions on judged plans, the last of each plan in each run, in order."""
    last: dict[tuple[str, str | None], Decided] = {}
    for each in sorted(decided, key=lambda one: one.at):
        known = each.gate == gate and each.by is None and "judgement" in each.evidence
        if known and any(one.check == check and one.threshold is not None for one in each.checks):
            key = (each.run_id or each.id, each.plan_digest)
            last.pop(key, None)
            last[key] = each
    return [*last.values()]


def _stretch(own: Sequence[Decided]) -> list[Decided]:
    """The newest of `own` that were decided by the same versions, at the same thresholds."""
    found: list[Decided] = []
    for each in reversed(own):
        if found and _held_to(each) != _held_to(found[0]):
            break
        found.append(each)
    return found[::-1]


def _held_to(decided: Decided) -> tuple[object, ...]:
    return (dict(decided.versions), {each.check: each.threshold for each in decided.checks})


def _scored(decided: Decided, check: str) -> Scored:
    return next(each for each in decided.checks if each.check == check)


def _approved(decided: Iterable[Decided]) -> frozenset[str | None]:
    """The plans of which a person's last word was to let them run."""
    said: dict[str | None, bool] = {}
    for each in sorted(decided, key=lambda one: one.at):
        if each.by is not None:
            said[each.plan_digest] = each.passed
    return frozenset(plan for plan, passed in said.items() if passed and plan is not None)


def _trial(
    decided: Decided, scored: Scored, threshold: float, grey: float, approved: frozenset[str | None]
) -> Trial:
    reach = _reach(scored, threshold, grey)
    alone = _others_pass(decided, scored.check)
    return Trial(
        decided.at,
        reach,
        reach if alone else _NEVER,
        alone and scored.outcome != "pass" and decided.plan_digest in approved,
    )


def _reach(scored: Scored, threshold: float, grey: float) -> float:
    """The highest threshold at which this check would have passed, as far as its score tells.

    What passed at one threshold passes at each lower one. What was refused below its threshold may
    pass at a lower one, if no other reason speaks against it; what was refused above it had one.
    """
    if scored.score is None:
        return _NEVER
    reach = scored.score - (grey if _is_sampled(scored) else 0.0)
    if scored.outcome == "pass":
        return max(threshold, reach)
    if scored.score >= threshold and scored.outcome != "underpowered":
        return _NEVER
    return min(reach, math.nextafter(threshold, -math.inf))


def _grey(scores: Sequence[Scored], threshold: float) -> float:
    """How near to its threshold the mean of a sampled judge says nothing, by the record.

    Its interval is not kept, but none is wider than the distance at which it was decided, and those
    that were left open were as far as that: the smallest of the first, or the largest of the
    others. It is rather too wide, and tightens less.
    """
    away = [
        (each.outcome, abs(each.score - threshold))
        for each in scores
        if each.score is not None and _is_sampled(each)
    ]
    decided = min((far for outcome, far in away if outcome != "underpowered"), default=0.0)
    return max([decided, *(far for outcome, far in away if outcome == "underpowered")])


def _is_sampled(scored: Scored) -> bool:
    return (scored.samples or 0) > 1


def _is_held(scored: Scored, threshold: float) -> bool:
    return scored.outcome != "pass" or (scored.score is not None and scored.score >= threshold)


def _others_pass(decided: Decided, check: str) -> bool:
    """Whether nothing but `check` kept the gate from passing."""
    if decided.passed or decided.outcome == "waiting":
        return True
    told = {reason for each in decided.checks for reason in each.reasons}
    others = [each for each in decided.checks if each.check != check]
    # A reason that no check gave is the gate's own, such as a tool that the Runner has not.
    return all(each.outcome == "pass" for each in others) and told.issuperset(decided.reasons)
