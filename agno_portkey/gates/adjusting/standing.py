"""`Standing`: which thresholds of a gate hold, by its versions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agno_portkey.gates.adjusting.change import Change
from agno_portkey.gates.history.record import Decided

__all__ = ["Standing", "same", "written_by"]


@dataclass(frozen=True)
class Standing:
    """The versions of one gate as they were read; what is written on it stands on nothing newer."""

    gate: str
    changes: tuple[Change, ...]
    written: Mapping[str, float]

    @property
    def version(self) -> int:
        """The newest one, 0 where there is none."""
        return self.changes[-1].version if self.changes else 0

    def applied(self, check: str) -> Change | None:
        """The newest change of `check` that was not only proposed."""
        own = [each for each in self.changes if each.check == check and each.state == "applied"]
        return own[-1] if own else None

    def at(self, version: int) -> Standing:
        """As it stood at `version`."""
        return replace(self, changes=tuple(c for c in self.changes if c.version <= version))

    def adjusted(self, check: str) -> float | None:
        """The threshold of `check` if it is another than the written one."""
        change = self.applied(check)
        if change is None or change.threshold is None:
            return None
        written = self.written.get(check, change.written)
        return change.threshold if same(written, change.written) else None

    def written_of(self, check: str) -> float | None:
        """What the gate is written with, as far as is known."""
        change = self.applied(check)
        return self.written.get(check, None if change is None else change.written)

    def holding(self, check: str) -> float | None:
        """The threshold of `check` now, None where nobody knows."""
        adjusted = self.adjusted(check)
        return self.written_of(check) if adjusted is None else adjusted

    def open(self, check: str) -> Change | None:
        """The proposal for `check` that waits: nothing was decided on the gate since."""
        own = [each for each in self.changes if each.check == check]
        if not own or own[-1].state != "proposed":
            return None
        later = [each for each in self.changes if each.version > own[-1].version]
        return None if any(each.state == "applied" for each in later) else own[-1]


def same(one: float, other: float) -> bool:
    """Whether two thresholds are one, but for the last digits of a float."""
    return math.isclose(one, other, abs_tol=1e-9)


def written_by(decided: Sequence[Decided], changes: Sequence[Change]) -> dict[str, float]:
    """What the checks of a gate are written with, by its decisions, for who has not the gate.

    The newest decision tells what held then: an adjustment, or what is written. Where it is neither
    that of the newest change nor what was written then, the gate was written anew since.
    """
    own = [each for each in decided if each.by is None and each.checks]
    if not own:
        return {}
    newest, standing = max(own, key=lambda each: each.at), Standing("", tuple(changes), {})
    written: dict[str, float] = {}
    for each in newest.checks:
        change = standing.applied(each.check)
        if each.threshold is None:
            continue
        told = change is None or not (
            change.at >= newest.at
            or same(each.threshold, change.value)
            or same(each.threshold, change.written)
        )
        written[each.check] = each.threshold if told or change is None else change.written
    return written
