"""The books of a gate: its decisions, its clearances, and its thresholds as they were adjusted.

Each method blocks, and raises whatever its database raises: what can't be kept is not cleared.
"""

from __future__ import annotations

import logging
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from agno_portkey.contracts import digest
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates import adjusting
from agno_portkey.gates.checks.base import Check, Outcome, outcome_of
from agno_portkey.gates.clearance import Asking, Clearances, Grant, present
from agno_portkey.gates.clearance.refusing import check_unused
from agno_portkey.gates.gate import Gate
from agno_portkey.gates.history import Decided, History, Scored
from agno_portkey.gates.owed import Owed
from agno_portkey.runs import Clearance, Evidence, Run
from agno_portkey.sql import in_memory, source_of, trouble_of
from agno_portkey.verdict import Observer, Verdict, failure_of

__all__ = ["GATE", "PUBLIC_KEY", "SELF", "Books", "Thresholds", "entry"]

# The public keys of exported clearances, with commas between them, where no policy names any.
PUBLIC_KEY = "AGNO_PORTKEY_CLEARANCE_PUBLIC_KEY"
# Who takes back what no person does.
GATE, SELF = "the gate", "agno-portkey"


def now() -> datetime:
    return datetime.now(UTC)


def database_failed(error: BaseException) -> str:
    """The reason of a gate whose database failed: one that is locked or down is named so."""
    reason, trouble = failure_of("the gate's database", error), trouble_of(error)
    return f"{reason} ({trouble})" if trouble else reason


class Thresholds(Protocol):
    """Who knows the thresholds that were adjusted since the gates were written."""

    def current(self, gates: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """Those that hold now, in 0-1, by gate and check."""
        ...


@dataclass(frozen=True)
class Books:
    """What a charter keeps, and where. Without a database it is kept in this process alone."""

    history: History | None = None
    clearances: Clearances = field(default_factory=Clearances)
    thresholds: Thresholds | None = None
    adjuster: adjusting.Adjuster | None = None
    # The public keys that exported clearances may be signed with.
    keys: Sequence[Any] = ()
    # The database itself, for checks that look something up in it.
    database: Any = None
    clock: Callable[[], datetime] = now
    # What could not be noted of clearances yet.
    owed: Owed = field(default_factory=Owed)

    def __deepcopy__(self, memo: dict[int, Any]) -> Books:
        return self

    def thresholds_of(self, gates: Iterable[Gate]) -> Mapping[str, Mapping[str, float]]:
        """The adjusted thresholds of `gates`."""
        if self.thresholds is None:
            return {}
        return self.thresholds.current([gate.name for gate in gates])

    def claim(self, presented: str, asking: Asking, *, look: bool = False) -> Grant:
        """The clearance that `presented` is, an id or an exported one, claimed for who asks.

        With `look` it is told as it would be claimed, and is not. Raises ClearanceRefused, which
        says why it is refused.
        """
        self.owed.settle()
        named = os.environ.get(PUBLIC_KEY, "").split(",")
        keys = self.keys or [key for key in named if key.strip()]
        return present(self.clearances, keys, presented, asking, self.clock(), look=look)

    # The steps of a cleared plan, so that none is done twice, in whatever process

    def step_taken(self, held: Clearance | None, number: int) -> str | None:
        """Take a step of the plan; why it can't be, if it can't."""
        if held is None or held.id is None:
            return None
        try:
            self.owed.settle()
            self.clearances.take_step(held.id, number, self.clock())
        except ClearanceRefused as refused:
            return str(refused)
        except Exception as error:
            return database_failed(error)
        return None

    def step_done(self, held: Clearance | None, number: int) -> None:
        """Note that a step is done; where that can't be kept, it stays taken."""
        self._noted(held, self.clearances.finish_step, number)

    def step_dropped(self, held: Clearance | None, number: int) -> None:
        """Note that a step has failed and may be taken again."""
        self._noted(held, self.clearances.release_step, number)

    # What takes leave away, and so is made up for where it can't be noted at once

    def spent(self, held: Clearance | None) -> None:
        """Note that the Runner has finished."""
        self._owe(held, self.clearances.spend)

    def dropped(self, held: Clearance | None, why: str) -> None:
        """Take back what a run no longer holds, so that no other process goes on with it."""
        self._owe(held, lambda id: self.clearances.revoke(id, by=GATE, reason=why))

    def given_up(self, held: Clearance | None, missing: Iterable[int]) -> None:
        """Take back what a Runner ended with steps undone, unless another process does them."""
        missing = {*missing}

        def give_up(id: str) -> None:
            if not missing & self.clearances.get(id).taken:
                why = "the Runner ended without doing all its steps"
                self.clearances.revoke(id, by=GATE, reason=why)

        self._owe(held, give_up)

    def still_good(self, held: Clearance) -> None:
        """Raise ClearanceRefused where a clearance was taken back since it was given."""
        if held.id is not None:
            self.owed.settle()
            check_unused(self.clearances.get(held.id), held.runner_run_id)

    def _owe(self, held: Clearance | None, note: Callable[[str], object]) -> None:
        if held is not None and held.id is not None:
            self.owed.note(held.id, partial(note, held.id))

    def _noted(self, held: Clearance | None, note: Callable[..., object], *told: int) -> None:
        if held is None or held.id is None:
            return
        try:
            note(held.id, *told)
        except Exception:
            logging.getLogger("agno_portkey").exception("clearance %s can't be noted", held.id)

    def decided(
        self,
        gates: Sequence[Gate],
        verdicts: Sequence[Verdict],
        run: Run,
        judgement: Evidence | None,
        *,
        waits: bool = False,
    ) -> None:
        """Keep what each of `gates` has decided on `run`, having heard `judgement`.

        With `waits` a person has to approve the plan, whatever the gates are set to.

        Before that, what is owed: no plan is cleared while another's clearance can't be dropped.
        """
        self.owed.settle()
        at = self.clock()
        self.record(
            entry(gate, verdict, run, judgement, at=at, waits=waits)
            for gate, verdict in zip(gates, verdicts, strict=True)
        )
        run.recorded = (run.plan_digest, run.judgements)

    def record(self, decided: Iterable[Decided]) -> None:
        """Keep decisions; where there is no history, nobody asked for one."""
        if self.history is not None:
            for each in decided:
                self.history.put(each)


def entry(
    gate: Gate,
    verdict: Verdict,
    run: Run,
    judgement: Evidence | None,
    *,
    at: datetime,
    waits: bool = False,
) -> Decided:
    """What is kept of the decision `verdict` of `gate` on `run`: figures, digests and reasons.

    `judgement` is the one that was decided on, which a clearance uses up. What passes a gate with
    `approval`, or `waits` for a person anyway, has not passed yet: that it waits is kept, and later
    what the person decides.
    """
    waits = verdict.passed and (gate.approval or waits)
    said = verdict.evidence.get("checks") or {}
    thresholds = run.thresholds.get(gate.name, {})
    return Decided(
        id=str(uuid.uuid4()),
        gate=gate.name,
        passed=verdict.passed and not waits,
        outcome=str(Outcome.WAITING if waits else outcome_of(verdict)),
        score=_share(verdict.score),
        reasons=(*verdict.reasons, *_awaited(run)) if waits else verdict.reasons,
        checks=tuple(
            _scored(check, said[check.name], thresholds)
            for check in gate.every
            if check.name in said
        ),
        at=at,
        swarm=run.swarm,
        team_id=run.who.team_id,
        run_id=run.id,
        session_id=run.who.session_id,
        user_id=run.who.user_id,
        tenant=run.who.tenant,
        plan_digest=run.plan_digest,
        fingerprint=run.fingerprint.digest or None,
        versions=run.fingerprint.parts,
        evidence=_digests(run, judgement),
        mode=run.mode,
        cost=run.usage.cost,
        tokens=run.usage.tokens,
        seconds=run.usage.seconds,
    )


def _awaited(run: Run) -> Iterator[str]:
    """Whom a plan waits for, and as which clearance where it was left to be decided on."""
    id, _ = run.waiting.get(run.plan_digest or "", (None, True))
    yield "a person has to approve it" + (f" (clearance {id})" if id else "")


def _scored(check: Check, said: Mapping[str, Any], thresholds: Mapping[str, float]) -> Scored:
    return Scored(
        check=check.name,
        outcome=str(said["outcome"]),
        score=_share(said["score"]),
        threshold=said.get("threshold", thresholds.get(check.name, check.threshold)),
        reasons=tuple(said["reasons"]),
        samples=said.get("samples"),
    )


def _share(score: float | None) -> float | None:
    """A score as it is kept; a check of the user's may have given any number."""
    return None if score is None or not math.isfinite(score) else min(1.0, max(0.0, score))


def _digests(run: Run, judgement: Evidence | None) -> dict[str, str]:
    said = {"critique": run.critique, "judgement": judgement}
    told = {name: digest(each.output) for name, each in said.items() if each is not None}
    if run.plan is not None:
        told["plan"] = digest(run.plan)
    return told


def books_of(
    database: Any,
    *,
    keys: Sequence[Any] = (),
    gates: Sequence[Gate] = (),
    swarm: str | None = None,
    observers: Iterable[Observer] = (),
) -> Books:
    """Books in `database`, an Agno one or an address; in memory where it is none, or not on SQL.

    What is in memory ends with the process: an approval, a clearance and a history alike. Where one
    of the `gates` of `swarm` is adjusted, `observers` hear of it; raises ConfigurationError where
    it has no database on SQL.
    """
    adjusted = [gate for gate in gates if gate.adjust is not None]
    if database is None or (source := source_of(database)) is None or in_memory(source):
        if adjusted:
            raise ConfigurationError(
                f"Gate.adjust: the gate {adjusted[0].name!r} follows a history, which takes a "
                "database on SQL: give the team a db, or gate_database="
            )
        return Books(keys=keys)
    history = History(database)
    books = Books(history, Clearances(database), keys=keys, database=database)
    if not adjusted:
        return books
    written = {gate.name: {each.name: each.threshold for each in gate.leaves} for gate in adjusted}
    thresholds = adjusting.Thresholds(
        database, swarm=swarm, written=written, observers=tuple(observers)
    )
    adjuster = adjusting.Adjuster(adjusted, history, thresholds)
    return replace(books, thresholds=thresholds, adjuster=adjuster)
