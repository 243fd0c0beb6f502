"""`GateHook`: collects a gate's evidence, hands every member the plan, and refuses the Runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from agno_portkey.contracts import Critique, Judgement, Plan, canonical
from agno_portkey.errors import ConfigurationError, OutputBlocked, RunDeclined
from agno_portkey.gates import Charter, Gate, put_declined
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.modes import Mode
from agno_portkey.runs import RUN_KEY, Part, Run, Station, run_in
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


class GateHook(Hook):
    """One object for the pre- and post-hooks of the team and of every member.

    On the team it opens the run, and ends it as declined unless the Runner was cleared and has
    finished. On the Planner it takes the plan; on the Critic and the Judge it hands them that
    plan and takes what they say of it; on the Runner, named by `runner`, it refuses until the
    gate has passed. `govern` installs it together with the two locks that hooks can't be.
    `late` is asked at each team run what has been changed since, and a team that was is refused.

    `mode`: `observe` collects the same evidence and tells what would have been refused, and
    touches nothing; there the Critic and the Judge are taken to speak of the plan as it was when
    they were asked. `off` does nothing. AGNO_PORTKEY_GATE_MODE overrides it; a run keeps to its
    end the mode in which it began.
    """

    def __init__(
        self,
        gate: Gate | Iterable[Gate] | Charter,
        *,
        runner: str,
        mode: Mode = "enforce",
        late: Callable[[Any], str | None] = lambda team: None,
    ) -> None:
        if not isinstance(runner, str) or not runner:
            raise ConfigurationError(f"runner: the Runner's name or id, not {runner!r}")
        self.charter = gate if isinstance(gate, Charter) else Charter(gate, mode=mode)
        self.runner = runner
        self.late = late

    def before(self, moment: Moment) -> None:
        self._enter(moment)
        self.charter.held(moment.run_id, lambda: self._admit(moment))

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
            run = self.charter.open(moment.run_id, moment.name)
            # A new mapping: the caller's own may serve other runs too.
            context.dependencies = {**(context.dependencies or {}), RUN_KEY: run}

    # What is refused

    def _admit(self, moment: Moment) -> None:
        station = self.charter.runs.find(moment.run_id)
        if station is None:
            if part_of(moment.owner, self.runner) == "runner":
                raise self.charter.refusal(None, "the Runner was not asked by its governed team")
        elif station.run.id == moment.run_id:
            station.run.request = _text(moment.run_input.input_content)
            self._bar_misuse(station.run, moment.owner)
        elif station.part == "runner":
            clearance = self.charter.admit(station, moment.run_id)
            order = "Do exactly what this plan says, step by step"
            self._hand(moment, station.run, order, canonical(clearance.plan))
        elif station.part in ("critic", "judge"):
            plan = station.run.show(moment.run_id)
            if plan is None:
                raise self.charter.refusal(station, "there is no plan yet: ask the Planner first")
            order = f"As {moment.name}, assess exactly this plan"
            self._hand(moment, station.run, order, plan)

    def _hand(self, moment: Moment, run: Run, order: str, plan: str) -> None:
        if self.charter.mode_of(run) == "enforce":
            moment.run_input.input_content = _brief(run, order, plan)

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


def _brief(run: Run, order: str, plan: str) -> str:
    """What a member is handed in place of the leader's words."""
    request = f"The request:\n{run.request}\n\n" if run.request else ""
    return f"{request}{order}:\n```json\n{plan}\n```"


def _text(content: Any) -> str:
    """The request as text: a message, a list of them, or an object."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_text(getattr(item, "content", item)) for item in content)
    if isinstance(content, BaseModel):
        return content.model_dump_json()
    return str(content)
