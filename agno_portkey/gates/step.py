"""A gate as a step of a workflow: it asks the checks, and the Runner's step waits for what it says.

The plan and what was said of it come from the hooks of those who wrote it, which bind every word
to the plan that was shown; what other steps hand on is no evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from agno.workflow.types import HumanReview, StepInput, StepOutput
from pydantic import ValidationError

from agno_portkey.calls import IO
from agno_portkey.contracts import Plan, canonical, digest
from agno_portkey.drivers import SyncIO, step
from agno_portkey.errors import ClearanceRefused, ConfigurationError, GateClosed
from agno_portkey.gates.admission import Admission
from agno_portkey.gates.approving import reason_of
from agno_portkey.gates.books import database_failed
from agno_portkey.gates.bringing import run_with
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.clearance import Grant
from agno_portkey.gates.clearance.refusing import check_fits, refused
from agno_portkey.gates.gate import Gate, check_gates
from agno_portkey.modes import mode_now
from agno_portkey.runs import Clearance, Run, Station, run_in
from agno_portkey.verdict import Verdict

__all__ = ["GateQuestion", "StepCharter", "gate_step"]

# Where the answer is that was awaited for a step, on what the step is given.
_ANSWER = "_agno_portkey_answer"
NAME = "gate"


def gate_step(gates: Gate | Iterable[Gate], *, runner: Any, name: str = NAME) -> Any:
    """An Agno `Step` that lets the workflow go on to `runner` if `gates` pass.

    `runner` is the agent of a later step, or its name or id. `govern(workflow)` gives the step
    what it decides on; in a workflow that is not governed it refuses.
    """
    from agno.workflow import Step

    question = GateQuestion(gates, runner=runner)
    # A no is final, also where the host would go on after it.
    review = HumanReview(on_error="fail")
    return Step(name=name, executor=cast("Any", question), max_retries=0, human_review=review)


class GateQuestion:
    """What a gate's step runs; the same object after a deep copy, with the charter of `govern`."""

    def __init__(self, gates: Gate | Iterable[Gate], *, runner: Any) -> None:
        if runner is None or runner == "":
            raise ConfigurationError("Gate.step: runner: the agent of a later step, or its name")
        self.gates = check_gates(gates)
        self.runner = runner
        self.charter: StepCharter | None = None
        self.name = self.__name__ = NAME

    def __deepcopy__(self, memo: dict[int, Any]) -> GateQuestion:
        return self

    def __call__(self, step_input: StepInput, run_context: Any = None) -> StepOutput:
        answered: StepOutput | None = vars(step_input).pop(_ANSWER, None)
        return answered or step(self.asked(step_input, run_context, SyncIO()))

    async def ahead(self, step_input: StepInput, run_context: Any, io: IO) -> None:
        """Ask now; calling it with the same input then returns the answer, at once."""
        vars(step_input)[_ANSWER] = await self.asked(step_input, run_context, io)

    async def asked(self, step_input: StepInput, run_context: Any, io: IO) -> StepOutput:
        """The cleared plan as the step's output.

        `GateClosed` where the gate refuses; in a workflow that is not governed, whose failed steps
        the host passes over, an output that stops it. What is not enforced changes nothing: the
        output is that of the step before.
        """
        charter = self.charter
        run = run_in(getattr(run_context, "dependencies", None))
        if charter is None or run is None or not charter.runs.is_live(run):
            return self._ungoverned(step_input)
        handed = last_plan(step_input)
        plan = await charter.aheld(run.id, lambda: charter.apass(run, handed, io))
        if plan is None or charter.mode_of(run) != "enforce":
            return _unchanged(step_input)
        return StepOutput(content=canonical(plan))

    def _ungoverned(self, step_input: StepInput) -> StepOutput:
        if mode_now("gate", self.charter.mode if self.charter else "enforce") != "enforce":
            return _unchanged(step_input)
        reason = (
            "this gate knows nothing of its workflow: govern the workflow that the step is in, "
            "and run that one"
        )
        said = f"refused by the gate: {reason}"
        return StepOutput(content=said, error=said, success=False, stop=True)


class StepCharter(Charter):
    """The charter of a workflow, in which a step asks the gates and the Runner's step comes later.

    The workflow's run holds the clearance until the Runner's run takes it; a Runner that is
    reached in another way, with the gate's step left out, finds none.
    """

    async def apass(self, run: Run, handed: Plan | None, io: IO) -> Plan:
        """The plan that the gates clear for the Runner of `run`, or `GateClosed`.

        `handed` is the last plan that the steps before have handed on: one that nobody has judged
        is refused.
        """
        station = Station(run, "leader", self.swarm)
        self._require_judged(station, handed)
        verdict, clearance = await _Passage(self, station, run.id, io).decided()
        if clearance is None:
            run.refuse(verdict)
        self.tell("gate", station, verdict)
        if clearance is None:
            raise GateClosed(verdict, f"the Runner may not run: {verdict.reason}")
        return clearance.plan

    async def aadmit(self, station: Station, run_id: str, io: IO) -> Clearance:
        """Hand the clearance that the gate's step has got to the Runner's run `run_id`."""
        run = station.run
        with run.lock:
            held = run.clearance
            if held is not None and held.runner_run_id == run_id and not run.spent:
                return held
            if held is None or held.runner_run_id != run.id:
                raise self.refusal(station, "the gate's step has not passed before the Runner's")
        try:
            return await _Passage(self, station, run_id, io).taken(held)
        except ClearanceRefused as error:
            raise self.refusal(station, str(error)) from None
        except GateClosed:
            raise
        except Exception as error:
            raise self.refusal(station, database_failed(error)) from error

    def reopened(self, run: Run, kept: str) -> None:
        """Give `run`, begun in another process, the clearance `kept` that its gate's step got."""
        grant = self.books.clearances.get(kept)
        if grant.team_run_id == run.id and grant.state == "granted":
            with run.lock:
                run.propose(grant.plan)
                id = grant.id if run.mode == "enforce" else None
                run.clear(run.id, id=id, expires_at=grant.expires_at)

    def _require_judged(self, station: Station, handed: Plan | None) -> None:
        run = station.run
        if handed is None or run.presented is not None or run.plan is None:
            return
        if digest(handed) != run.plan_digest:
            raise self.refusal(
                station,
                "the steps before hand on another plan than was judged: let the Planner's step "
                "change the plan, and the Judge's come after it",
            )


class _Passage(Admission):
    """An admission in two steps: to the workflow's run, and from there to the Runner's."""

    async def taken(self, held: Clearance) -> Clearance:
        """Claim what the workflow's run holds, once, for the run of the Runner."""
        run, asking, grant = self._run, self._asking(held.plan_digest), None
        if self._enforces:
            claim = partial(self._claim, str(held.id), asking)
            grant = await self._io.run(claim, undo=lambda given: self._later(given.id))
        with run.lock:
            if (lost := self._lost(held)) is None:
                run.clearance = replace(held, runner_run_id=self._runner_run_id)
                return run.clearance
        if grant is not None:
            await self._io.run(partial(self._withdraw, grant, lost))
        raise self._charter.refusal(Station(run, "leader", self._charter.swarm), lost)

    async def _by_clearance(self, presented: str) -> tuple[Verdict, Clearance | None]:
        """Use up what was presented, and leave one of its own for the Runner's run."""
        run = self._run
        await self._io.run(lambda: self._require_free(presented))
        verdict, claimed = await super()._by_clearance(presented)
        if claimed is None or not self._enforces:
            return verdict, claimed
        try:
            left = await self._io.run(
                lambda: self._left(claimed), undo=lambda given: self._later(given.id)
            )
        except BaseException:
            run.unclear(None)
            self._later(str(claimed.id))
            raise
        with run.lock:
            run.clearance = clearance = replace(claimed, id=left.id, expires_at=left.expires_at)
        return verdict, clearance

    def _require_free(self, presented: str) -> None:
        """Refuse what the gate's step of another run has got for its own Runner."""
        if not isinstance(presented, str) or "." in presented:
            return  # exported, and so for no run in particular; or none at all, which others say
        kept, mine = self._books.clearances.get(presented.strip()), self._run.id
        check_fits(kept, self._asking())
        if kept.state == "granted" and kept.approved_by is None and kept.team_run_id != mine:
            raise refused("other_run", id=kept.id, its=kept.team_run_id, asked=mine)

    def _then(self, id: str) -> str:
        """No leader can be told to ask for it: whoever runs the workflow has to."""
        who = self._run.who
        return (
            "run the workflow on the same input in this session, or on any with the clearance: "
            f"workflow.{run_with(id, session_id=who.session_id, user_id=who.user_id)}"
        )

    def _left(self, claimed: Clearance) -> Grant:
        clearances = self._books.clearances
        before = clearances.get(str(claimed.id))
        given = self._grant(claimed.plan)
        # Not as approved by that person: it is for this run alone.
        left = replace(
            given,
            passed=before.passed,
            reason=f"on clearance {before.id}",
            expires_at=min(given.expires_at, before.expires_at),
        )
        self._put(left)
        try:
            clearances.spend(before.id)
        except BaseException as error:
            self._withdraw(left, f"clearance {before.id} could not be used up: {reason_of(error)}")
            raise
        return left

    def _grant(self, plan: Plan) -> Grant:
        granted = super()._grant(plan)
        return replace(granted, state="granted", claimed_by=None, claimed_at=None)


def last_plan(step_input: StepInput) -> Plan | None:
    """The last plan among the outputs of the steps before, those in containers included."""
    outputs = (step_input.previous_step_outputs or {}).values()
    return next((plan for plan in map(_plan_of, _backwards(outputs)) if plan is not None), None)


def _backwards(outputs: Iterable[StepOutput]) -> Iterator[StepOutput]:
    for output in reversed([*outputs]):
        yield from _backwards(output.steps or ())
        yield output


def _plan_of(output: StepOutput) -> Plan | None:
    content = output.content
    if isinstance(content, Mapping):
        # As it comes back from a database.
        try:
            return Plan.model_validate(content)
        except ValidationError:
            return None
    return content if isinstance(content, Plan) else None


def _unchanged(step_input: StepInput) -> StepOutput:
    before = step_input.previous_step_content
    return StepOutput(content=step_input.input if before is None else before)
