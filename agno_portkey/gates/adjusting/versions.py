"""`Thresholds`: the thresholds of gates as they were adjusted, version by version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from agno_portkey.errors import AdjustmentRefused, ConfigurationError
from agno_portkey.gates.adjusting.change import Change, Kind, State
from agno_portkey.gates.adjusting.proposed import Proposal
from agno_portkey.gates.adjusting.refusing import require_before, require_scope, waiting
from agno_portkey.gates.adjusting.standing import Standing
from agno_portkey.gates.adjusting.table import ThresholdTable
from agno_portkey.sql import in_memory, source_of
from agno_portkey.verdict import Event, Observer, tell

__all__ = ["Thresholds"]

# By gate and check, in 0-1.
Written = Mapping[str, Mapping[str, float]]


def now() -> datetime:
    return datetime.now(UTC)


class Thresholds:
    """The adjusted thresholds of the gates of `swarm`, in a table of `database`.

    `database` is an Agno database on SQL, sync or async, or an address. `written` are those that
    gates are written with, by gate and check: an adjustment of a gate that was rewritten since
    holds no more. Each change is a version that is never altered; two that change a gate at once,
    in whatever process, get different versions, or one is refused as `overtaken`. Observers hear of
    each change. Methods block, and raise whatever the database raises, DatabaseGone where the table
    was taken away, and AdjustmentRefused for a row that is none and for what may not be.
    """

    def __init__(
        self,
        database: Any,
        *,
        swarm: str | None = None,
        written: Written | None = None,
        observers: Iterable[Observer] = (),
        seconds: float = 10.0,
        clock: Callable[[], datetime] = now,
    ) -> None:
        source = source_of(database)
        if source is None or in_memory(source):
            # An address may hold a password.
            raise ConfigurationError(
                "database: adjusted thresholds are kept in an Agno database on SQL, or an address "
                f"of one, not in {type(database).__name__}"
            )
        self.swarm = swarm
        self.observers = tuple(observers)
        self._written = written or {}
        self._table = ThresholdTable(source, seconds=seconds)
        self._clock = clock
        self._warned: set[tuple[str, str, int]] = set()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Agno copies agents with all that they hold.
        return self

    def current(self, gates: Sequence[str]) -> dict[str, dict[str, float]]:
        """The adjusted thresholds that hold now, in 0-1, by gate and check."""
        return {
            name: held
            for name, standing in self._standings(gates).items()
            if (held := self._adjusted(standing))
        }

    def standing(self, gate: str) -> Standing:
        """The versions of `gate` as they are now."""
        return self._standings([gate])[gate]

    def log(self, gate: str) -> list[Change]:
        """All versions of `gate`, oldest first."""
        return [*self.standing(gate).changes]

    def apply(
        self,
        proposal: Proposal,
        *,
        by: str,
        scopes: Collection[str] = (),
        reason: str | None = None,
        standing: Standing | None = None,
    ) -> Change:
        """Make `proposal` hold; one that loosens takes the scope gates:approve.

        `standing` are the versions that it was made on, without it those of now. Refused as
        `unapproved` without the scope, as `overtaken` where another threshold holds by now.
        """
        made_on = standing or self.standing(proposal.gate)
        require_before(made_on, proposal.check, proposal.before)
        require_scope(proposal.before, proposal.threshold, scopes)
        return self._add(made_on, [self._of(proposal, made_on, "applied", by, reason)])[0]

    def leave(
        self,
        proposal: Proposal,
        *,
        by: str,
        reason: str | None = None,
        standing: Standing | None = None,
    ) -> Change:
        """Keep `proposal` for a person to decide on; it takes the place of an earlier one."""
        made_on = standing or self.standing(proposal.gate)
        require_before(made_on, proposal.check, proposal.before)
        return self._add(made_on, [self._of(proposal, made_on, "proposed", by, reason)])[0]

    def approve(
        self,
        gate: str,
        check: str,
        *,
        by: str,
        scopes: Collection[str],
        reason: str | None = None,
        version: int | None = None,
    ) -> Change:
        """Make the proposal for `check` hold that waits, which is `version` if that is given.

        Refused as `unknown` where none waits, as `overtaken` where another threshold holds by now,
        and as `unapproved` where it loosens and `scopes` lack gates:approve.
        """
        standing = self.standing(gate)
        kept = waiting(standing, check, version)
        require_before(standing, check, kept.before)
        require_scope(kept.before, kept.value, scopes)
        change = replace(kept, state="applied", by=by, reason=reason or kept.reason)
        return self._add(standing, [change])[0]

    def withdraw(
        self,
        gate: str,
        check: str,
        *,
        by: str,
        reason: str | None = None,
        version: int | None = None,
    ) -> Change:
        """Take back the proposal for `check` that waits; refused as `unknown` where none does."""
        standing = self.standing(gate)
        kept = waiting(standing, check, version)
        return self._add(standing, [replace(kept, state="withdrawn", by=by, reason=reason)])[0]

    def put(
        self,
        gate: str,
        check: str,
        threshold: float,
        *,
        by: str,
        scopes: Collection[str] = (),
        reason: str | None = None,
    ) -> Change:
        """Set the threshold of `check` by hand; lower than it was, it takes the scope."""
        if isinstance(threshold, bool) or not 0 <= threshold <= 1:
            raise ConfigurationError(f"threshold: from 0 to 1, not {threshold!r}")
        standing = self.standing(gate)
        change = self._by_hand(standing, check, threshold, "set", by, reason)
        require_scope(change.before, threshold, scopes)
        return self._add(standing, [change])[0]

    def rollback(
        self,
        gate: str,
        *,
        by: str,
        scopes: Collection[str] = (),
        check: str | None = None,
        to: int | None = None,
        reason: str | None = None,
    ) -> list[Change]:
        """Restore the thresholds of `gate`, or of `check` alone, as they were at version `to`.

        0 is the gate as it is written; without `to`, what held before the last change is restored.
        All are restored or none. Refused as `unknown` where there is nothing to restore, and as
        `unapproved` where a threshold would be lowered and `scopes` lack gates:approve.
        """
        standing = self.standing(gate)
        applied = [
            each
            for each in standing.changes
            if each.state == "applied" and check in (None, each.check)
        ]
        if not applied:
            raise AdjustmentRefused("unknown", f"{gate}: no threshold of it was ever adjusted")
        if to is not None and not 0 <= to <= standing.version:
            raise AdjustmentRefused(
                "unknown", f"{gate}: there is no version {to}; the newest is {standing.version}"
            )
        target = _first_of(applied) - 1 if to is None else to
        earlier = standing.at(_last_of(standing.changes, target))
        said = f"to version {target}" + (f": {reason}" * bool(reason))
        found = [
            self._by_hand(standing, name, earlier.adjusted(name), "rolled back", by, said)
            for name in dict.fromkeys(each.check for each in applied)
            if earlier.adjusted(name) != standing.adjusted(name)
        ]
        if not found:
            raise AdjustmentRefused("unknown", f"{gate}: that is what holds already")
        for each in found:
            require_scope(each.before, each.value, scopes)
        return self._add(standing, found)

    # Versions

    def _standings(self, gates: Sequence[str]) -> dict[str, Standing]:
        rows = self._table.rows(self.swarm, gates)
        return {
            name: Standing(
                name,
                tuple(row for row in rows if row.gate == name),
                self._written.get(name, {}),
            )
            for name in gates
        }

    def _adjusted(self, standing: Standing) -> dict[str, float]:
        held = {}
        for check in dict.fromkeys(each.check for each in standing.changes):
            if (adjusted := standing.adjusted(check)) is not None:
                held[check] = adjusted
            else:
                self._warn(standing, standing.applied(check))
        return held

    def _warn(self, standing: Standing, change: Change | None) -> None:
        """Say once that an adjustment is passed over."""
        if change is None or change.threshold is None:
            return
        which = (standing.gate, change.check, change.version)
        if which not in self._warned:
            self._warned.add(which)
            logging.getLogger("agno_portkey").warning(
                "gate %r: version %s of the threshold of %r (%g) holds no more: the gate was "
                "written anew since",
                *(standing.gate, change.version, change.check, change.threshold),
            )

    def _of(
        self, proposal: Proposal, standing: Standing, state: State, by: str, reason: str | None
    ) -> Change:
        lower, rate = proposal.threshold < proposal.before, proposal.then.gate
        return Change(
            **self._named(standing, proposal.check, by, reason),
            kind="loosened" if lower else "tightened",
            state=state,
            threshold=proposal.threshold,
            before=proposal.before,
            written=_known(standing.written_of(proposal.check), proposal.before),
            rate=rate.mean,
            low=rate.low,
            high=rate.high,
            runs=proposal.runs,
        )

    def _by_hand(
        self,
        standing: Standing,
        check: str,
        threshold: float | None,
        kind: Kind,
        by: str,
        reason: str | None,
    ) -> Change:
        before = standing.holding(check)
        if before is None:
            raise AdjustmentRefused(
                "unknown", f"{standing.gate}/{check}: nobody knows its threshold: give written="
            )
        return Change(
            **self._named(standing, check, by, reason),
            kind=kind,
            state="applied",
            threshold=threshold,
            before=before,
            written=_known(standing.written_of(check), before),
        )

    def _named(self, standing: Standing, check: str, by: str, reason: str | None) -> dict[str, Any]:
        if not isinstance(by, str) or not by.strip():
            raise ConfigurationError(f"by: who changes the threshold, not {by!r}")
        number, at = standing.version + 1, self._clock()
        told = {"check": check, "by": by, "reason": reason, "version": number, "at": at}
        return {"swarm": self.swarm, "gate": standing.gate, **told}

    def _add(self, standing: Standing, changes: Sequence[Change]) -> list[Change]:
        """Write `changes` as the versions after `standing`, and tell of them."""
        at, first = self._clock(), standing.version + 1
        numbered = [
            replace(each, version=version, at=at)
            for version, each in enumerate(changes, start=first)
        ]
        self._table.add(numbered)
        for each in numbered:
            tell(self.observers, Event("adjustment", swarm=self.swarm, data=each.as_dict()))
        return numbered


def _known(written: float | None, before: float) -> float:
    # Where nothing was adjusted yet, what holds is what is written.
    return before if written is None else written


def _last_of(changes: Sequence[Change], version: int) -> int:
    """The last version of the change that `version` is of: what was restored together held so."""
    if not version or (first := changes[version - 1]).kind != "rolled back":
        return version
    seen = {first.check}
    for each in changes[version:]:
        if (each.kind, each.at) != (first.kind, first.at) or each.check in seen:
            break
        seen.add(each.check)
        version = each.version
    return version


def _first_of(applied: Sequence[Change]) -> int:
    """The first version of the last change: checks that were restored together are one."""
    last, seen = applied[-1], set[str]()
    first = last.version
    for each in reversed(applied):
        same = each.kind == last.kind == "rolled back" and each.at == last.at
        if seen and (not same or each.check in seen):
            break
        seen.add(each.check)
        first = each.version
    return first
