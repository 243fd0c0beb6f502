"""How a run of the Runner is admitted: asked, decided, kept, and only then cleared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agno_portkey.calls import IO
from agno_portkey.contracts import Plan, digest
from agno_portkey.environments import current
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.approving import entry_of, reason_of, withdraw
from agno_portkey.gates.books import database_failed
from agno_portkey.gates.clearance import Asking, Grant
from agno_portkey.gates.commands import how_to_approve
from agno_portkey.gates.gathering import gather
from agno_portkey.gates.leaving import drafted, leave
from agno_portkey.runs import Clearance, Evidence, Run, Station
from agno_portkey.verdict import Verdict

if TYPE_CHECKING:
    from agno_portkey.gates.charter import Charter

__all__ = ["Admission"]

_SUPERSEDED = "its run was cleared again"
_GONE_ON = "its run was called off, or has another plan by now"


class Admission:
    """One request of the Runner's run `runner_run_id` to be let in.

    Raises GateClosed where its team's run is closed.
    """

    def __init__(self, charter: Charter, station: Station, runner_run_id: str, io: IO) -> None:
        charter.require_open(station)
        self._charter = charter
        self._books = charter.books
        self._run: Run = station.run
        self._runner_run_id = runner_run_id
        self._io = io
        self._verdicts: Sequence[Verdict] = ()
        self._recorded = self._waiting = False

    async def decided(self) -> tuple[Verdict, Clearance | None]:
        """The gates' verdict, with the clearance that it gives; none without one.

        Whatever can't be asked, decided or kept is a refusal that says which.
        """
        said = await self._decided()
        if self._recorded and self._books.adjuster is not None:
            # Beside the run, which it can't hold up: what it changes is for later runs.
            self._io.later(self._books.adjuster.decided)
        return said

    async def _decided(self) -> tuple[Verdict, Clearance | None]:
        run = self._run
        try:
            if run.presented is not None:
                return await self._by_clearance(run.presented)
            if run.plan is None and (known := await self._approved(None)) is not None:
                return await self._by_clearance(known.id)
            return await self._by_evidence()
        except ClearanceRefused as refused:
            return self._refused(str(refused), code=refused.code), None
        except Exception as error:
            return self._refused(database_failed(error)), None

    # By what was said of the plan

    async def _by_evidence(self) -> tuple[Verdict, Clearance | None]:
        charter, run = self._charter, self._run
        await charter.read_thresholds(run, self._io)
        await gather(charter.gates, run, charter.case(run), self._io)
        with run.lock:
            self._verdicts = charter.verdicts(run)
            verdict = charter.decide(run)
            plan = run.plan
        word = None if plan is None else await charter.word_on(run, self._io)
        refused = word is not None and word.no
        asks = charter.needs_approval or refused
        if plan is not None and (asks or word is not None or not verdict.passed):
            # What a person has approved may run, whatever the gates say of it; and what a person
            # has refused may not.
            if (known := await self._approved(run.plan_digest)) is not None:
                return await self._by_clearance(known.id)
            if verdict.passed and asks:
                verdict = await self._waits(plan)
            if refused:
                verdict = replace(verdict, reasons=(*verdict.reasons, str(word)))
        if not verdict.passed or plan is None:
            await self._io.run(partial(self._note, verdict, plan))
            return verdict, None
        return await self._clear(verdict, plan)

    async def _clear(self, verdict: Verdict, plan: Plan) -> tuple[Verdict, Clearance | None]:
        """Clear `plan` in memory, which nobody else can then, and take it back if it isn't kept."""
        run, charter = self._run, self._charter
        with run.lock:
            if (closed := charter.closed(run)) is not None:
                return self._refused(closed), None  # since its checks were asked
            judgement = run.judgement
            if run.plan is not plan or not charter.decide(run).passed:
                return self._refused("the plan was changed while it was decided on"), None
            grant = self._grant(plan)
            earlier = self._held_before(grant)
            clearance = run.clear(
                self._runner_run_id, id=self._leave_of(grant), expires_at=grant.expires_at
            )
        try:
            keep = partial(self._keep, grant, clearance, judgement, earlier)
            lost = await self._io.run(keep, undo=lambda lost: self._later(grant.id))
        except BaseException:
            self._unclear(clearance, judgement)
            raise
        if lost is not None:
            self._unclear(clearance, judgement)
            return self._refused(lost), None
        return verdict, clearance

    def _keep(
        self,
        grant: Grant,
        clearance: Clearance,
        judgement: Evidence | None,
        earlier: Clearance | None,
    ) -> str | None:
        """Keep what was decided and given; returns why it is taken back at once, if it is."""
        self._record(judgement)
        if earlier is not None and earlier.id is not None:
            self._revoke(earlier.id, _SUPERSEDED)
        for left, _ in self._run.waiting.values():
            # Nobody need decide on those any more.
            self._revoke(left, "a later plan of the run was cleared")
        self._run.waiting.clear()
        # Last: it is good in every process, and what can't be noted is not to be cleared.
        if self._enforces:
            self._put(grant)
        if (lost := self._lost(clearance)) is not None:
            self._withdraw(grant, lost)
        return lost

    def _put(self, grant: Grant) -> None:
        try:
            self._books.clearances.put(grant)
        except BaseException as error:
            # It may be there all the same: a database can fail after it has committed.
            self._withdraw(grant, f"it could not be kept: {reason_of(error)}")
            raise

    def _lost(self, clearance: Clearance) -> str | None:
        """Why the run can't go on with the `clearance` that it was just given."""
        with self._run.lock:
            held = self._run.clearance
            return self._charter.closed(self._run) or (None if held is clearance else _GONE_ON)

    def _unclear(self, clearance: Clearance, judgement: Evidence | None) -> None:
        with self._run.lock:
            if self._run.clearance is clearance:
                self._run.unclear(judgement)

    def _withdraw(self, grant: Grant, reason: str) -> None:
        if self._enforces:
            withdraw(self._books, grant, by=self._charter.name, reason=reason)

    def _revoke(self, id: str, reason: str) -> None:
        self._books.clearances.revoke(id, by=self._charter.name, reason=reason)

    def _note(self, verdict: Verdict, plan: Plan | None) -> None:
        """Keep a refusal, and leave its plan for a person to decide on."""
        self._record(self._run.judgement)
        held = self._run.clearance
        if held is not None and plan is not None and held.plan_digest == digest(plan):
            return  # somebody else was cleared for it meanwhile
        if plan is not None and not verdict.evidence.get("waiting"):
            leave(self._charter, self._run, plan, passed=False, reason=verdict.reason)

    def _record(self, judgement: Evidence | None) -> None:
        decided, run = self._books.decided, self._run
        decided(self._charter.gates, self._verdicts, run, judgement, waits=self._waiting)
        self._recorded = True

    # By a clearance that was given before: approved by a person, or brought from elsewhere

    async def _by_clearance(self, presented: str) -> tuple[Verdict, Clearance | None]:
        if not self._enforces:
            # It is looked at and told, and stays as it is for a run that it holds in.
            look = partial(self._books.claim, presented, self._asking(), look=True)
            return await self._used(await self._io.run(look))
        claim = partial(self._claim, presented)
        grant = await self._io.run(claim, undo=lambda given: self._later(given.id))
        try:
            return await self._used(grant)
        except BaseException:
            self._later(grant.id)
            raise

    def _claim(self, presented: str, asking: Asking | None = None) -> Grant:
        try:
            return self._books.claim(presented, asking or self._asking())
        except ClearanceRefused:
            raise
        except BaseException:
            # It may be claimed all the same.
            self._books.owed.note(f"of the run {self._runner_run_id}", self._unclaim)
            raise

    def _unclaim(self) -> None:
        """Take back what the Runner's run has claimed and does not know of."""
        claimed = self._books.clearances.held_by(self._runner_run_id, self._books.clock())
        if claimed is not None and claimed.state == "claimed":
            self._revoke(claimed.id, "it could not be claimed")

    def _later(self, id: str) -> None:
        """Take back a clearance whose run did not come about."""
        revoke = partial(self._revoke, id, "its run was called off")
        if self._enforces:
            self._io.later(self._books.owed.note, id, revoke)

    async def _used(self, grant: Grant) -> tuple[Verdict, Clearance | None]:
        charter, run = self._charter, self._run
        if (unknown := charter.unknown_tools(grant.plan)) is not None:
            if self._enforces:
                # It is claimed by now, and nobody is to go on with it.
                await self._io.run(partial(self._revoke, grant.id, unknown))
            return self._refused(unknown), None
        who = f"approved by {grant.approved_by}" if grant.approved_by else "cleared before"
        if self._enforces:
            await self._io.run(partial(self._note_use, grant))
        with run.lock:
            earlier = self._held_before(grant)
            run.propose(grant.plan)
            clearance = run.clear(
                self._runner_run_id, id=self._leave_of(grant), expires_at=grant.expires_at
            )
        await self._io.run(partial(self._books.dropped, earlier, _SUPERSEDED))
        if (lost := self._lost(clearance)) is not None:
            self._unclear(clearance, None)
            await self._io.run(partial(self._withdraw, grant, lost))
            return self._refused(lost), None
        verdict = Verdict(
            True,
            charter.name,
            (f"{who}, clearance {grant.id}",),
            evidence={"plan_digest": grant.plan_digest, "clearance": grant.id},
        )
        return verdict, clearance

    def _note_use(self, grant: Grant) -> None:
        by, at = grant.approved_by or grant.gate, self._books.clock()
        used = f"clearance {grant.id} was used"
        self._books.record([entry_of(grant, True, "cleared before", by, used, at)])

    async def _approved(self, plan_digest: str | None) -> Grant | None:
        """What a person approved in this session: this plan, else one for the same request."""
        for asked_for in dict.fromkeys((plan_digest, None)):
            asking = self._asking(asked_for)
            found = partial(self._books.clearances.approved, asking, self._books.clock())
            known: Grant | None = await self._io.run(found)
            if known is not None:
                return known
        return None

    async def _waits(self, plan: Plan) -> Verdict:
        self._waiting = True
        left = partial(leave, self._charter, self._run, plan, passed=True)
        known = await self._io.run(left)
        reason = "a person has to approve this plan"
        if self._enforces:
            how = how_to_approve(self._books.clearances, known)
            reason = f"{reason}: {how}, then {self._then(known)}"
        evidence = {"plan_digest": digest(plan), "clearance": known, "waiting": True}
        return Verdict(False, self._charter.name, (reason,), evidence=evidence)

    def _then(self, id: str) -> str:
        """How a run comes by the clearance `id`, once it is approved."""
        return "ask the same again in its session, or name that id in what you ask"

    # What a run holds

    @property
    def _enforces(self) -> bool:
        """Whether it is more than observed, which changes nothing that others hold to."""
        return self._run.mode == "enforce"

    def _leave_of(self, grant: Grant) -> str | None:
        """The id that the run holds: what is only observed is no leave, however it goes on."""
        return grant.id if self._enforces else None

    def _held_before(self, grant: Grant) -> Clearance | None:
        """What the run held before `grant`, and no other process is to go on with."""
        held = self._run.clearance
        return None if held is None or self._run.spent or held.id == grant.id else held

    # What is told

    def _asking(self, plan_digest: str | None = None) -> Asking:
        run = self._run
        return Asking(
            swarm=run.swarm,
            tenant=run.who.tenant,
            environment=current(),
            session_id=run.who.session_id,
            user_id=run.who.user_id,
            runner_run_id=self._runner_run_id,
            team_run_id=run.id,
            request=run.request,
            plan_digest=plan_digest,
            fingerprint=run.fingerprint.digest,
        )

    def _grant(self, plan: Plan) -> Grant:
        given = drafted(self._charter, self._run, plan)
        by = self._runner_run_id
        return replace(given, claimed_by=by, claimed_at=given.issued_at, state="claimed")

    def _refused(self, reason: str, **evidence: str) -> Verdict:
        told = {"plan_digest": self._run.plan_digest, **evidence}
        return Verdict(False, self._charter.name, (reason,), evidence=told)
