"""`agno-portkey gate propose|adjust|rollback|thresholds`: thresholds, from the history and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.adjust_tables import curve_bars, proposals_table, versions_table
from agno_portkey.cli.gate_clearance import By, Reason
from agno_portkey.cli.gate_history import Database
from agno_portkey.cli.report import fail, operator
from agno_portkey.errors import AdjustmentRefused, AgnoPortkeyError, ConfigurationError
from agno_portkey.gates.adjusting import Adjust, Change, NoProposal, Proposal, Thresholds, past
from agno_portkey.gates.adjusting import propose as proposed
from agno_portkey.gates.adjusting.standing import written_by
from agno_portkey.gates.approving import APPROVE
from agno_portkey.gates.history import Decided, History
from agno_portkey.stopping import DATABASE_VARIABLE, missing_file
from agno_portkey.verdict import shown

__all__ = ["adjust", "propose", "rollback", "thresholds"]

# There is nothing to do of what was asked for, or nothing by that name.
_NOTHING = 3
_PLAIN = Adjust()

Gate = Annotated[str, typer.Argument(help="The gate's name.")]
Check = Annotated[str | None, typer.Option("--check", help="This check alone.")]
Swarm = Annotated[
    str | None, typer.Option("--swarm", help="Its team or workflow; needed where several have it.")
]
Floor = Annotated[
    float, typer.Option(min=0.5, max=0.99, help="The pass rate that a tightening keeps above.")
]
Least = Annotated[int, typer.Option(min=10, help="Never on fewer plans than these.")]
Confidence = Annotated[float, typer.Option(min=0.8, max=0.999, help="Of the intervals.")]
Limit = Annotated[int, typer.Option(min=1, help="How many of the newest decisions are looked at.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def propose(
    gate: Gate,
    check: Check = None,
    swarm: Swarm = None,
    floor: Floor = _PLAIN.floor,
    least: Least = _PLAIN.least,
    confidence: Confidence = _PLAIN.confidence,
    limit: Limit = 2000,
    as_json: AsJson = False,
    db: Database = None,
) -> None:
    """Propose other thresholds for a gate from its history, with the pass rate they would have had.

    Nothing is changed. Ends with 3 if nothing is proposed, and says why.
    """
    with _failing():
        desk = _Desk.of(db, gate, swarm, limit)
        found = desk.proposals(check, Adjust(floor=floor, least=least, confidence=confidence))
    if as_json:
        typer.echo(json.dumps([each.as_dict() for each in found], indent=2))
    else:
        Console().print(proposals_table(found))
        for each in found:
            if each.curve and (check or isinstance(each, Proposal)):
                Console().print(curve_bars(each, floor, desk.holding(each.check)))
        desk.warn_unfollowed()
    if not any(isinstance(each, Proposal) for each in found):
        raise typer.Exit(_NOTHING)


def adjust(
    gate: Gate,
    check: Check = None,
    swarm: Swarm = None,
    version: Annotated[
        int | None, typer.Option(help="The proposal that waits by this version, as it was kept.")
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve of a loosening, as with gates:approve.")
    ] = False,
    by: By = None,
    reason: Reason = None,
    floor: Floor = _PLAIN.floor,
    least: Least = _PLAIN.least,
    confidence: Confidence = _PLAIN.confidence,
    limit: Limit = 2000,
    as_json: AsJson = False,
    db: Database = None,
) -> None:
    """Apply what `gate propose` shows, one change at a time, or a proposal that was kept.

    A loosening takes --approve. Ends with 3 if nothing is proposed, and says why.
    """
    scopes = {APPROVE} if approve else set[str]()
    who = by or operator()
    with _failing():
        desk = _Desk.of(db, gate, swarm, limit)
        if version is not None:
            kept = desk.kept_by(version)
            change = desk.thresholds.approve(
                gate, kept.check, by=who, scopes=scopes, reason=reason, version=version
            )
        else:
            settings = Adjust(floor=floor, least=least, confidence=confidence)
            chosen = _one(desk.proposals(check, settings))
            change = desk.thresholds.apply(
                chosen, by=who, scopes=scopes, reason=reason or str(chosen)
            )
    _tell([change], as_json)


def rollback(
    gate: Gate,
    check: Check = None,
    to: Annotated[
        int | None,
        typer.Option(min=0, help="The version to restore; 0 is the gate as it is written."),
    ] = None,
    swarm: Swarm = None,
    by: By = None,
    reason: Reason = None,
    as_json: AsJson = False,
    db: Database = None,
) -> None:
    """Restore the thresholds that held before the last change, or those of a version.

    Whoever runs it approves of it, also where a threshold is lowered by it: it has held before.
    """
    with _failing():
        desk = _Desk.of(db, gate, swarm, 2000)
        found = desk.thresholds.rollback(
            gate, check=check, to=to, by=by or operator(), scopes={APPROVE}, reason=reason
        )
    _tell(found, as_json)


def thresholds(
    gate: Gate, swarm: Swarm = None, as_json: AsJson = False, db: Database = None
) -> None:
    """Show the versions of a gate's thresholds: what was changed, by whom, why, and what waits."""
    with _failing():
        desk = _Desk.of(db, gate, swarm, 2000)
        changes = desk.thresholds.log(gate)
    if as_json:
        typer.echo(json.dumps([each.as_dict() for each in changes], indent=2))
        return
    if not changes:
        typer.echo("No threshold of this gate was ever adjusted.")
        return
    Console().print(versions_table(changes))
    desk.warn_unfollowed()


@dataclass(frozen=True)
class _Desk:
    """One gate of one swarm: what it has decided, and its thresholds."""

    gate: str
    decided: Sequence[Decided]
    thresholds: Thresholds

    @classmethod
    def of(cls, db: str | None, gate: str, swarm: str | None, limit: int) -> _Desk:
        if not db or not db.strip():
            raise ConfigurationError(
                "Which database? Give --db with the one that the team uses, an address or a SQLite "
                f"file, or set {DATABASE_VARIABLE}."
            )
        if (file := missing_file(db)) is not None:
            raise ConfigurationError(
                f"There is no database {file}: give --db the `db_file` of the SqliteDb."
            )
        history = History(db)
        swarm = swarm or _swarm_of(history, gate)
        decided = past(history, gate, swarm, limit)
        kept = Thresholds(db, swarm=swarm).log(gate)
        if not decided and not kept:
            _nothing(history, gate, swarm)
        written = {gate: written_by([each for each in decided if each.gate == gate], kept)}
        return cls(gate, decided, Thresholds(db, swarm=swarm, written=written))

    def holding(self, check: str) -> float | None:
        return self.thresholds.standing(self.gate).holding(check)

    def proposals(self, check: str | None, adjust: Adjust) -> list[Proposal | NoProposal]:
        """What is proposed for `check`, or for each check that the newest decision names."""
        own = [each for each in self.decided if each.gate == self.gate and each.checks]
        names = [each.check for each in own[-1].checks] if own else []
        if check is not None and check not in names:
            raise ConfigurationError(
                f"--check: the gate {self.gate!r} has no check {check!r} by its last decision, but "
                f"{', '.join(names) or 'none'}"
            )
        standing = self.thresholds.standing(self.gate)
        return [
            proposed(
                self.decided,
                gate=self.gate,
                check=name,
                threshold=held,
                floor=adjust.floor,
                least=adjust.least,
                confidence=adjust.confidence,
            )
            for name in ([check] if check is not None else names)
            if (held := standing.holding(name)) is not None
        ]

    def kept_by(self, version: int) -> Change:
        """The version of that number."""
        for each in self.thresholds.log(self.gate):
            if each.version == version:
                return each
        raise AdjustmentRefused("unknown", f"{self.gate}: there is no version {version}")

    def warn_unfollowed(self) -> None:
        """Say where decisions are made at another threshold than the one that was applied."""
        own = [each for each in self.decided if each.gate == self.gate and each.by is None]
        standing = self.thresholds.standing(self.gate)
        for each in own[-1].checks if own else ():
            change, held = standing.applied(each.check), standing.adjusted(each.check)
            if change is None or held is None or each.threshold is None:
                continue
            if own[-1].at > change.at and abs(each.threshold - held) > 1e-9:
                _warn(
                    f"The last decision held {each.check} to {each.threshold:g}, and not to the "
                    f"{held:g} of version {change.version}: does the gate have adjust=Adjust()?"
                )


def _swarm_of(history: History, gate: str) -> str | None:
    """The swarm whose gate it is, where one alone has a gate of that name."""
    swarms = {each.swarm for each in history.series(gate=gate, limit=2000)}
    if len(swarms) > 1:
        names = ", ".join(sorted(repr(each) for each in swarms if each is not None))
        raise ConfigurationError(
            f"--swarm: several have a gate {gate!r}: {shown(names)}; say which"
        )
    return next(iter(swarms), None)


def _nothing(history: History, gate: str, swarm: str | None) -> NoReturn:
    others = {(each.gate, each.swarm) for each in history.series(limit=2000)}
    named = ", ".join(sorted(f"{g} of {s}" if s else g for g, s in others)) or "none at all"
    which = f"{gate!r} of {swarm!r}" if swarm else repr(gate)
    _warn(f"No gate {which} has decided anything in this database. There are: {shown(named)}.")
    raise typer.Exit(_NOTHING)


def _one(found: Sequence[Proposal | NoProposal]) -> Proposal:
    """The one that is to be applied; where there is none, it is said why."""
    wanted = [each for each in found if isinstance(each, Proposal)]
    if not wanted:
        for each in found:
            _warn(str(each))
        raise typer.Exit(_NOTHING)
    if len(wanted) > 1:
        names = ", ".join(each.check for each in wanted)
        raise ConfigurationError(
            f"--check: several can be adjusted ({names}); after one of them the evidence for the "
            "others starts anew, so say which"
        )
    return wanted[0]


def _tell(changes: Sequence[Change], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([each.as_dict() for each in changes], indent=2))
        return
    Console().print(versions_table(changes))
    gate, last = changes[-1].gate, changes[0].version - 1
    _say(f"To take it back: agno-portkey gate rollback {gate} --to {last}")


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except AdjustmentRefused as refused:
        more = " (here: --approve)" if refused.code == "unapproved" else ""
        fail(f"{refused}{more}")
    except AgnoPortkeyError as error:
        fail(error)
    except SQLAlchemyError as error:
        fail(f"The database can't be used: {str(error).splitlines()[0]}")


def _say(text: str) -> None:
    Console().print(Text(shown(text)), soft_wrap=True)


def _warn(text: str) -> None:
    # On stderr, since JSON is on stdout.
    Console(stderr=True).print(Text(shown(text), "yellow"), soft_wrap=True)
