"""The gate of a governed workflow: its run, the hook of who is in it, and the step that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from agno.run.base import RunStatus
from agno.workflow.step import Step
from agno.workflow.types import StepInput, StepOutput
from agno.workflow.workflow import Workflow

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import GateClosed
from agno_portkey.gates.step import GateQuestion, StepCharter
from agno_portkey.hooks.base import Moment
from agno_portkey.hooks.gate import GateHook, part_of, tenant_of
from agno_portkey.run_facts import Fingerprint, Who
from agno_portkey.runs import CLEARANCE_KEY, RUN_KEY, Run, Station, run_in
from agno_portkey.verdict import failure_of
from agno_portkey.workflows.steps import GovernedStep

__all__ = ["KEPT_KEY", "FlowGate", "GovernedGateStep", "StepHook", "question_of"]

# Where a workflow's run says which clearance its gate's step has got, in its metadata.
KEPT_KEY = "agno_portkey.cleared"


def question_of(step: Step) -> GateQuestion | None:
    """What `step` asks, if it is a gate's."""
    asked: object = step.executor
    return asked if isinstance(asked, GateQuestion) else None


class StepHook(GateHook):
    """`GateHook` on who is in the steps of a workflow, whose run the workflow itself begins.

    Outside of their workflow they run as they would without it, but for the Runner.
    """

    def _enter(self, moment: Moment) -> None:
        run = run_in(moment.run_context.dependencies)
        if run is None or run.id == moment.run_id or not self.charter.runs.is_live(run):
            return
        super()._enter(moment)
        if part_of(moment.owner, self.runner) == "runner":
            # In a step the host tells its tools the workflow's id, which others' tools hear too.
            moment.run_context.run_id = moment.run_id

    async def _admit(self, moment: Moment, io: IO) -> None:
        known = self.charter.runs.find(moment.run_id)
        if known is None and part_of(moment.owner, self.runner) == "runner":
            raise self.charter.refusal(None, "the Runner was not asked by its governed workflow")
        await super()._admit(moment, io)

    def _hear(self, moment: Moment) -> None:
        if not moment.is_team or self.charter.runs.find(moment.run_id) is not None:
            super()._hear(moment)


@dataclass(frozen=True)
class FlowGate:
    """What the runs of one governed workflow, and of its copies, are begun and ended with."""

    charter: StepCharter
    fingerprint: Callable[[Workflow], Fingerprint]

    def begin(self, flow: Workflow, options: dict[str, Any], *, again: bool = False) -> None:
        """Have everyone in the steps know the run; one that goes on is known, or found again."""
        run, context = options["workflow_run_response"], options["run_context"]
        known = self._known(run.run_id) if again else None
        if known is None:
            known = self.charter.open(run.run_id, str(self.charter.swarm), context)
            if again:
                self.charter.held(known.id, lambda: self._reopen(known, run))
        if known.fingerprint.digest == "none":
            self.charter.held(known.id, lambda: self._note(known, flow, options))
        # The host leaves it out where a run goes on, and hooks tell by it whose run they are in.
        context.workflow_id = context.workflow_id or flow.id
        # A copy, of its own kind: the caller's mapping may serve other runs too.
        context.dependencies = copy(context.dependencies or {})
        context.dependencies[RUN_KEY] = known

    def keep(self, run: Any) -> None:
        """Note on a run that waits for a person which clearance it holds for its Runner."""
        station = self.charter.runs.find(run.run_id)
        held = station.run.clearance if station is not None else None
        if run.status == RunStatus.paused and held is not None and held.runner_run_id == run.run_id:
            # A new mapping: the run's own is shared with the caller and the steps.
            run.metadata = {**(run.metadata or {}), KEPT_KEY: held.id}

    def end(self, run: Any) -> None:
        """Take nobody in any more, unless the run waits for a person."""
        station = self.charter.runs.find(run.run_id)
        if station is not None and run.status != RunStatus.paused:
            station.run.ended = True

    def _known(self, run_id: str) -> Run | None:
        try:
            station = self.charter.held(run_id, lambda: self.charter.station(run_id))
        except GateClosed:
            return None  # that is told, and nothing of it is cleared
        return station.run if station is not None and not station.run.ended else None

    def _reopen(self, known: Run, run: Any) -> None:
        kept = (run.metadata or {}).get(KEPT_KEY)
        if kept is None:
            return
        try:
            self.charter.reopened(known, kept)
        except Exception as error:
            station = Station(known, "leader", self.charter.swarm)
            # Told now; the Runner is refused when it is asked.
            self.charter.refusal(station, failure_of("the clearance of the gate's step", error))

    def _note(self, known: Run, flow: Workflow, options: dict[str, Any]) -> None:
        context = options["run_context"]
        told = context.metadata or options["workflow_run_response"].metadata or {}
        known.request = options["execution_input"].get_input_as_string() or ""
        known.who = Who(
            session_id=context.session_id,
            user_id=context.user_id,
            tenant=tenant_of(flow, told),
            team_id=flow.id,
        )
        known.presented = told.get(CLEARANCE_KEY)
        known.fingerprint = self.fingerprint(flow)


class _Ahead(Step):
    """A gate's step that waits for its checks without holding up the event loop."""

    async def aexecute(self, step_input: StepInput, *args: Any, **options: Any) -> StepOutput:
        await self._ask(step_input, options)
        return await super().aexecute(step_input, *args, **options)

    async def aexecute_stream(
        self, step_input: StepInput, *args: Any, **options: Any
    ) -> AsyncIterator[Any]:
        await self._ask(step_input, options)
        async for event in super().aexecute_stream(step_input, *args, **options):
            yield event

    async def _ask(self, step_input: StepInput, options: dict[str, Any]) -> None:
        if (question := question_of(self)) is not None:
            if step_input.previous_step_outputs:
                # As the host does before it calls a function.
                step_input.previous_step_content = step_input.get_last_step_content()
            await question.ahead(step_input, options.get("run_context"), AsyncIO())


class GovernedGateStep(GovernedStep, _Ahead):
    """A gate's step in a governed workflow."""
