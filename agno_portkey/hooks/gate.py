"""`GateHook`: collects a gate's evidence, hands every member the plan, and refuses the Runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from agno_portkey.calls import IO
from agno_portkey.contracts import Critique, Judgement, Plan
from agno_portkey.errors import ConfigurationError, OutputBlocked, RunDeclined
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.gates import Charter, Gate, put_declined
from agno_portkey.gates.briefs import to_assess, to_do
from agno_portkey.hooks.base import Moment, WaitingHook
from agno_portkey.modes import Mode
from agno_portkey.run_facts import Fingerprint, Who
from agno_portkey.runs import CLEARANCE_KEY, RUN_KEY, TENANT_KEY, Part, Run, Station, run_in
from agno_portkey.verdict import Verdict
from agno_portkey.walk import broadcasts

__all__ = ["GateHook", "part_of"]

_PARTS: dict[type, Part] = {Plan: "planner", Critique: "critic", Judgement: "judge"}


def part_of(owner: Any, runner: str | None) -> Part:
    """The part an agent plays, by its `output_schema`; the Runner by its name or id."""
    if runner is not None and runner in (owner.id, owner.name):
        return "runner"
    schema = owner.output_schema
    if isinstance(schema, type):
        for contract, part in _PARTS.items():
            if issubclass(schema, contract):
                return part
    return "member"


class GateHook(WaitingHook):
    """One object for the pre- and post-hooks of the team and of every member.

    On the team it opens the run, and ends it as declined unless the Runner was cleared and has
    finished. On the Planner it takes the plan; on the Critic and the Judge it hands them that
    plan and takes what they say of it; on the Runner, named by `runner`, it refuses until the
    gate has passed. `govern` installs it together with the two locks that hooks can't be.
    `late` is asked at each team run what has been changed since, and a team that was is refused.

    `mode`: `observe` collects the same evidence and tells what would have been refused, and
    touches nothing; there the Critic and the Judge are taken to speak of the plan as it was when
    they were asked. `off` does nothing. AGNO_PORTKEY_GATE_MODE overrides it; a run keeps to its
    end the mode in which it began. A `Charter` has a mode of its own, and another is refused.
    """

    def __init__(
        self,
        gate: Gate | Iterable[Gate] | Charter,
        *,
        runner: str,
        mode: Mode | None = None,
        late: Callable[[Any], str | None] = lambda team: None,
        fingerprint: Callable[[Any], Fingerprint] | None = None,
    ) -> None:
        if not isinstance(runner, str) or not runner:
            raise ConfigurationError(f"runner: the Runner's name or id, not {runner!r}")
        if not isinstance(gate, Charter):
            gate = Charter(gate, mode=mode or "enforce")
        elif mode not in (None, gate.mode):
            raise ConfigurationError(f"mode: the charter's is {gate.mode}: give {mode!r} to that")
        self.charter = gate
        self.runner = runner
        self.late = late
        gates = self.charter.gates
        self.fingerprint = fingerprint or (lambda team: fingerprint_of(team, gates, runner=runner))

    async def abefore(self, moment: Moment, io: IO) -> None:
        self._enter(moment)
        await self._noted(io)
        await self.charter.aheld(moment.run_id, lambda: self._admit(moment, io))

    async def aafter(self, moment: Moment, io: IO) -> None:
        try:
            self.after(moment)
        finally:
            await self._noted(io)

    async def _noted(self, io: IO) -> None:
        """Have what was taken back or used up written down, before anybody goes on."""
        owed = self.charter.books.owed
        if owed.due:
            await io.run(owed.made)

    def after(self, moment: Moment) -> None:
        try:
            self.charter.held(moment.run_id, lambda: self._hear(moment))
        except RunDeclined as declined:
            put_declined(moment.run_output, declined)
            raise
        finally:
            station = self.charter.runs.find(moment.run_id)
            if station is not None and station.run.id == moment.run_id:
                station.run.ended = True

    # Whatever the mode, a run is known, and with it the mode that it keeps

    def _enter(self, moment: Moment) -> None:
        context = moment.run_context
        run = run_in(context.dependencies)
        if run is not None and run.id != moment.run_id and self.charter.runs.is_live(run):
            part = "member" if moment.is_team else part_of(moment.owner, self.runner)
            self.charter.runs.join(moment.run_id, run, part, moment.name)
        elif moment.is_team:
            run = self.charter.open(moment.run_id, moment.name, context)
            # A new mapping: the caller's own may serve other runs too.
            context.dependencies = {**(context.dependencies or {}), RUN_KEY: run}

    # What is refused

    async def _admit(self, moment: Moment, io: IO) -> None:
        station = self.charter.runs.find(moment.run_id)
        if station is not None and station.run.id != moment.run_id:
            self.charter.require_whose(station.run, moment.run_context)
        if station is None:
            if part_of(moment.owner, self.runner) == "runner":
                raise self.charter.refusal(None, "the Runner was not asked by its governed team")
        elif station.run.id == moment.run_id:
            self._note(station.run, moment)
            self._bar_misuse(station.run, moment.owner)
        elif station.part == "runner":
            clearance = await self.charter.aadmit(station, moment.run_id, io)
            self._hand(moment, station.run, to_do(clearance.plan, station.run.request))
        elif station.part in ("critic", "judge"):
            plan = station.run.show(moment.run_id)
            if plan is None:
                raise self.charter.refusal(station, "there is no plan yet: ask the Planner first")
            self._hand(moment, station.run, to_assess(plan, station.run.request))

    def _note(self, run: Run, moment: Moment) -> None:
        """What is known of a team run from its beginning."""
        context = moment.run_context
        told = context.metadata or {}
        run.request = _text(moment.run_input.input_content)
        run.who = Who(
            session_id=context.session_id,
            user_id=context.user_id,
            tenant=tenant_of(moment.owner, told),
            team_id=moment.owner.id,
        )
        run.presented = told.get(CLEARANCE_KEY)
        run.fingerprint = self.fingerprint(moment.owner)

    def _hand(self, moment: Moment, run: Run, brief: str) -> None:
        if self.charter.mode_of(run) == "enforce":
            moment.run_input.input_content = brief

    def _hear(self, moment: Moment) -> None:
        station = self.charter.runs.find(moment.run_id)
        if station is None:
            if moment.is_team or part_of(moment.owner, self.runner) == "runner":
                raise self.charter.refusal(None, f"the run of {moment.name} is unknown to its gate")
            return  # a member that was tried by itself: nothing comes of what it says
        if moment.is_team:
            self._close(moment, station)
        elif station.part == "runner":
            self._finish(moment, station)
        else:
            self._take_evidence(moment, station)

    def _bar_misuse(self, run: Run, team: Any) -> None:
        reason = None
        if broadcasts(team):
            reason = "in broadcast mode the Runner is asked before anything is judged"
        elif (late := self.late(team)) is not None:
            reason = f"the team was changed after it was governed: {late}"
        if reason is None:
            return
        self.charter.bar(run, reason)
        seat = getattr(team.model, "seat", None)
        if self.charter.mode_of(run) == "enforce" and (
            seat is None or seat.charter is not self.charter
        ):
            # Its leader's model would not know of it.
            raise self.charter.decline(run)

    def _take_evidence(self, moment: Moment, station: Station) -> None:
        output = moment.run_output.content
        with station.run.lock:
            station.run.outputs.append(moment.run_output)
        if station.part == "planner" and isinstance(output, Plan):
            self.charter.planned(station, output)
        elif station.part in ("critic", "judge") and isinstance(output, Critique | Judgement):
            self.charter.heard(station, moment.run_id, output)

    def _finish(self, moment: Moment, station: Station) -> None:
        missing = self.charter.finish(station, moment.run_id)
        if missing:
            reasons = station.run.refusals[-1].reasons
            raise OutputBlocked(Verdict(False, self.charter.name, reasons))

    def _close(self, moment: Moment, station: Station) -> None:
        run = station.run
        if run.id != moment.run_id:
            return
        if not run.settled:
            raise self.charter.decline(run)
        held, run.held = [text for text in run.held if text], []
        if held and not moment.run_output.content:
            moment.run_output.content = "\n\n".join(held)


def tenant_of(owner: Any, told: Mapping[str, Any]) -> Any:
    """Whose a run is: what its team says, which no caller can alter, else what the caller says."""
    return (owner.metadata or {}).get(TENANT_KEY) or told.get(TENANT_KEY)


def _text(content: Any) -> str:
    """The request as text: a message, a list of them, or an object."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_text(getattr(item, "content", item)) for item in content)
    if isinstance(content, BaseModel):
        return content.model_dump_json()
    return str(content)
