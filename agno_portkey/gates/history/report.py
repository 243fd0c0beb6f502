"""Compares versions of prompts, models and tools, and names the change at which a score moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history.inference import Measured, holm, mann_whitney, mean_of, rate_of
from agno_portkey.gates.history.record import Decided
from agno_portkey.gates.history.series import gates_of, scores_of, settled, shifts

__all__ = ["By", "Change", "Move", "Part", "Report", "Segment", "report", "reports"]

By = Literal["auto", "time", "version"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the fingerprint that changed; None where there was none, or is none now."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.name}: {self.before or '(none)'} -> {self.after or '(none)'}"


@dataclass(frozen=True, slots=True)
class Segment:
    """What was decided with the same versions: one after the other, or mixed with others'.

    What is `waiting` for a person is not in the pass rate, which is None where nothing else is.
    """

    versions: Mapping[str, str]
    since: datetime
    until: datetime
    decisions: int
    pass_rate: Measured | None
    score: Measured | None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """One measure of a gate before and after a change: `score`, `pass rate`, or a check's score.

    `chance` is how likely ranks so far apart are where nothing moved, corrected for all that the
    report compares; None where there are too few to say.
    """

    name: str
    before: Measured
    after: Measured
    chance: float | None
    moved: bool = False

    def __str__(self) -> str:
        said = f"{self.name} {self.before} -> {self.after}"
        if self.chance is None:
            return f"{said}: too few to say"
        return f"{said}: {'moved' if self.moved else 'not clear'}, p = {self.chance:.2g}"


@dataclass(frozen=True, slots=True)
class Change:
    """Two segments that follow each other, and the parts by which they differ."""

    at: datetime
    parts: tuple[Part, ...]
    before: Segment
    after: Segment
    moves: tuple[Move, ...]

    @property
    def moved(self) -> tuple[Move, ...]:
        """What moved at it."""
        return tuple(move for move in self.moves if move.moved)

    def __str__(self) -> str:
        parts = " and ".join(map(str, self.parts))
        when = f"{self.at:%Y-%m-%d %H:%M} UTC"
        if not self.moved:
            unknown = all(move.chance is None for move in self.moves)
            told = "too few decisions to say" if unknown else "no score moved clearly"
            return f"{when}, {parts}: {told}"
        told = ", ".join(
            f"the {move.name} moved from {move.before.mean:.2f} to {move.after.mean:.2f}"
            for move in self.moved
        )
        if len(self.parts) > 1:
            told += "; they changed at once, and which of them it was can't be told"
        return f"{when}, {parts}: {told}"


@dataclass(frozen=True, slots=True)
class Report:
    """The versions of one gate of one swarm, compared.

    `shifts` are times at which the gate's score moved while none of its versions changed.
    """

    gate: str
    swarm: str | None
    by: Literal["time", "version"]
    segments: tuple[Segment, ...]
    changes: tuple[Change, ...]
    shifts: tuple[datetime, ...]

    @property
    def moved(self) -> tuple[Change, ...]:
        """The changes at which something moved."""
        return tuple(change for change in self.changes if change.moved)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        return {
            "gate": self.gate,
            "swarm": self.swarm,
            "by": self.by,
            "segments": [_plain(asdict(each)) for each in self.segments],
            "changes": [
                {
                    "at": each.at.isoformat(),
                    "said": str(each),
                    "parts": [asdict(part) for part in each.parts],
                    "moves": [asdict(move) for move in each.moves],
                }
                for each in self.changes
            ],
            "shifts": [each.isoformat() for each in self.shifts],
        }


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "since": told["since"].isoformat(), "until": told["until"].isoformat()}


def reports(
    decided: Sequence[Decided], *, by: By = "auto", confidence: float = 0.95
) -> list[Report]:
    """A report for each gate of each swarm in `decided`; see `report`."""
    return [report(each, by=by, confidence=confidence) for each in _own(decided).values()]


def _own(decided: Sequence[Decided]) -> dict[tuple[str | None, str], list[Decided]]:
    """What gates have decided themselves: what people decide says nothing of models and prompts.

    Where a gate left it to a person, what that one has said last is what it came to.
    """
    said = {
        (each.run_id, each.plan_digest): each.passed
        for each in sorted(decided, key=lambda one: one.at)
        if each.by is not None
    }
    return gates_of([_come_to(each, said) for each in decided if each.by is None])


def _come_to(decided: Decided, said: Mapping[tuple[str | None, str | None], bool]) -> Decided:
    passed = said.get((decided.run_id, decided.plan_digest))
    if decided.outcome != "waiting" or passed is None:
        return decided
    return replace(decided, passed=passed, outcome="pass" if passed else "fail")


def report(decided: Sequence[Decided], *, by: By = "auto", confidence: float = 0.95) -> Report:
    """Compares the versions of one gate.

    By `time`, each stretch of equal versions with the one before; by `version`, all that was
    decided with one set of versions with the nearest set that was seen before, as for versions
    that run at the same time. `auto` takes the latter where sets come back again and again. Scores
    are compared by Mann and Whitney's test, corrected by Holm's method for all comparisons of the
    report; five on each side are the least. Raises ConfigurationError where `decided` is empty or
    of several gates.
    """
    gates = _own(decided)
    if len(gates) != 1:
        raise ConfigurationError(f"decided: of one gate of one swarm, not of {len(gates)}")
    if by not in ("auto", "time", "version"):
        raise ConfigurationError(f"by: auto, time or version, not {by!r}")
    [((swarm, gate), ordered)] = gates.items()
    stretches = _stretches(ordered)
    sets = _sets(ordered)
    # Back once is a rollback; more are versions that run side by side.
    mixed = by == "version" or (by == "auto" and len(stretches) > 2 * len(sets))
    groups = sets if mixed else stretches
    changes = _compared(groups, nearest=mixed, confidence=confidence)
    level = 1 - (1 - confidence) / len(groups)
    return Report(
        gate=gate,
        swarm=swarm,
        by="version" if mixed else "time",
        segments=tuple(_segment(each, confidence) for each in groups),
        changes=changes,
        shifts=tuple(sorted(at for each in groups for at in _shifts(each, level))),
    )


_Group = list[Decided]


def _stretches(ordered: Sequence[Decided]) -> list[_Group]:
    found: list[_Group] = []
    for each in ordered:
        if found and found[-1][-1].versions == each.versions:
            found[-1].append(each)
        else:
            found.append([each])
    return found


def _sets(ordered: Sequence[Decided]) -> list[_Group]:
    found: dict[tuple[tuple[str, str], ...], _Group] = {}
    for each in ordered:
        found.setdefault(tuple(sorted(each.versions.items())), []).append(each)
    return [*found.values()]


def _segment(group: _Group, confidence: float) -> Segment:
    told = settled(group)
    passed = sum(each.passed for each in told)
    scores = [each.score for each in group if each.score is not None]
    return Segment(
        versions=group[0].versions,
        since=group[0].at,
        until=group[-1].at,
        decisions=len(group),
        pass_rate=rate_of(passed, len(told), confidence) if told else None,
        score=mean_of(scores, confidence) if scores else None,
        waiting=len(group) - len(told),
    )


def _compared(groups: Sequence[_Group], *, nearest: bool, confidence: float) -> tuple[Change, ...]:
    changes = []
    for place in range(1, len(groups)):
        after = groups[place]
        earlier = groups[:place] if nearest else groups[place - 1 : place]
        # The latest of those that differ the least.
        before = min(reversed(earlier), key=lambda each: len(_parts(each[0], after[0])))
        changes.append(_change(before, after, confidence))
    known = [move for change in changes for move in change.moves if move.chance is not None]
    corrected = iter(holm([move.chance for move in known if move.chance is not None]))
    return tuple(
        replace(each, moves=tuple(_settled(move, corrected, confidence) for move in each.moves))
        for each in changes
    )


def _settled(move: Move, corrected: Any, confidence: float) -> Move:
    if move.chance is None:
        return move
    chance = next(corrected)
    return replace(move, chance=chance, moved=chance < 1 - confidence)


def _change(before: _Group, after: _Group, confidence: float) -> Change:
    old, new = _scores(before), _scores(after)
    moves = [
        Move(
            name,
            mean_of(old[name], confidence),
            mean_of(new[name], confidence),
            mann_whitney(old[name], new[name]),
        )
        for name in old
        if name in new
    ]
    earlier, later = _segment(before, confidence), _segment(after, confidence)
    if earlier.pass_rate and later.pass_rate:
        passed = ([float(each.passed) for each in settled(group)] for group in (before, after))
        moves.append(Move("pass rate", earlier.pass_rate, later.pass_rate, mann_whitney(*passed)))
    return Change(
        at=after[0].at,
        parts=_parts(before[0], after[0]),
        before=earlier,
        after=later,
        moves=tuple(moves),
    )


def _scores(group: _Group) -> dict[str, list[float]]:
    """The scores of the gate, and then of its checks, by what a report calls them."""
    found = sorted(scores_of(group).items(), key=lambda pair: pair[0] or "")
    return {
        "score" if check is None else f"score of {check}": [score for _, score in scores]
        for check, scores in found
    }


def _parts(before: Decided, after: Decided) -> tuple[Part, ...]:
    old, new = before.versions, after.versions
    return tuple(
        Part(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _shifts(group: _Group, confidence: float) -> list[datetime]:
    scored = [(each.at, each.score) for each in group if each.score is not None]
    found = shifts([score for _, score in scored], confidence=confidence)
    return [scored[place][0] for place in found]
