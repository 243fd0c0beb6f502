"""A workflow that ends as soon as a step has failed, with status ERROR and the reason."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from agno.run.agent import RunErrorEvent
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from agno.run.workflow import WorkflowCompletedEvent, WorkflowErrorEvent, WorkflowRunOutput
from agno.workflow.workflow import Workflow

from agno_portkey.guardrails.at_rest import Kept
from agno_portkey.workflows.agent import AGENT, Told, run_id_in
from agno_portkey.workflows.parts import Terms, harden
from agno_portkey.workflows.requests import unanswered
from agno_portkey.workflows.stopped import (
    StepStopped,
    failed,
    forget_runs,
    from_event,
    from_run,
    keep,
    kept_of,
    mark,
    settle,
    stop_of,
)
from agno_portkey.workflows.unheard import unheard

__all__ = ["GovernedWorkflow"]


class GovernedWorkflow(Workflow):
    """What `govern` makes of a `Workflow`, in place, by giving it a class of this kind.

    A stopped run is given back, as that of an agent is, where the host would raise; a stream
    ends with its `WorkflowErrorEvent`. The copies that the host makes are of the same class.
    """

    terms: ClassVar[Terms]

    @property
    def db(self) -> Any:
        return vars(self)["db"]

    @db.setter
    def db(self, given: Any) -> None:  # pyright: ignore
        """A server gives its database to whom it serves, after all was governed."""
        vars(self)["db"] = given
        self.terms.vault(self)

    def deep_copy(self, **options: Any) -> Workflow:
        twin = super().deep_copy(**options)
        harden(twin, self.terms)
        return twin

    def _prepare_steps(self) -> None:
        # At every run: steps may have been replaced since.
        harden(self, self.terms)

    def _execute(self, *args: Any, **options: Any) -> Any:
        if _is_over(options):
            return options["workflow_run_response"]
        with _Ending(self, options) as run:
            return super()._execute(*args, **options)
        return run

    async def _aexecute(self, *args: Any, **options: Any) -> Any:
        if _is_over(options):
            return options["workflow_run_response"]
        with _Ending(self, options) as run:
            return await super()._aexecute(*args, **options)
        return run

    def _execute_stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        with _Ending(self, options):
            yield from super()._execute_stream(*args, **options)

    async def _aexecute_stream(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        with _Ending(self, options):
            async for event in super()._aexecute_stream(*args, **options):
                yield event

    def _continue_execute(self, *args: Any, **options: Any) -> Any:
        with _Ending(self, options, again=True) as run:
            return super()._continue_execute(*args, **options)
        return run

    async def _acontinue_execute(self, *args: Any, **options: Any) -> Any:
        # It may have to look into a database.
        with await to_thread(_Ending, self, options, again=True) as run:
            return await super()._acontinue_execute(*args, **options)
        return run

    def _continue_execute_stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        with _Ending(self, options, again=True):
            yield from super()._continue_execute_stream(*args, **options)

    async def _acontinue_execute_stream(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        with await to_thread(_Ending, self, options, again=True):
            async for event in super()._acontinue_execute_stream(*args, **options):
                yield event

    # What a step's agent does after a person has answered it.
    def _route_executor_requirements(self, *args: Any, **options: Any) -> Any:
        with _Marking(options):
            return super()._route_executor_requirements(*args, **options)

    async def _aroute_executor_requirements(self, *args: Any, **options: Any) -> Any:
        with _Marking(options):
            return await super()._aroute_executor_requirements(*args, **options)

    def _route_executor_requirements_stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        shown = options.get("stream_executor_events", True)
        options["stream_executor_events"] = True  # else its failure would not be seen
        with _Marking(options):
            for event in super()._route_executor_requirements_stream(*args, **options):
                if shown or not _is_executors(event):
                    yield event
                _raise_if_failed(event, options)

    async def _aroute_executor_requirements_stream(
        self, *args: Any, **options: Any
    ) -> AsyncIterator[Any]:
        shown = options.get("stream_executor_events", True)
        options["stream_executor_events"] = True
        with _Marking(options):
            async for event in super()._aroute_executor_requirements_stream(*args, **options):
                if shown or not _is_executors(event):
                    yield event
                _raise_if_failed(event, options)

    def _get_workflow_agent_dependencies(self, session: Any) -> dict[str, Any]:
        return Told(super()._get_workflow_agent_dependencies(session))

    def _note_agent(self, run: Any, agent_run_id: str | None) -> None:
        """Note on `run` what guards have made of the texts in that run of the workflow's agent."""
        if isinstance(kept := getattr(getattr(self.agent, "model", None), "kept", None), Kept):
            keep(run, kept.of(agent_run_id))

    # Whatever ends a run is written by the first two, and all that is written by the others.
    def _persist_session_and_run(self, session: Any, run: Any) -> None:
        self._settle(run)
        super()._persist_session_and_run(session=session, run=run)

    async def _apersist_session_and_run(self, session: Any, run: Any) -> None:
        self._settle(run)
        await super()._apersist_session_and_run(session=session, run=run)

    def save_run(self, run: Any, *args: Any, **options: Any) -> None:
        with unanswered(run):
            super().save_run(unheard(run, self), *args, **options)

    async def asave_run(self, run: Any, *args: Any, **options: Any) -> None:
        with unanswered(run):
            await super().asave_run(unheard(run, self), *args, **options)

    async def _afull_run_media_copy(self, run: Any, session_id: str) -> Any:
        return await super()._afull_run_media_copy(unheard(run, self), session_id)

    def _settle(self, run: Any) -> None:
        self._note_agent(run, getattr(run.workflow_agent_run, "run_id", None))
        _settle_agentic(run)
        if self.terms.gate is not None:
            self.terms.gate.keep(run)
        if not self.store_executor_outputs:
            forget_runs(run)

    def _handle_event(
        self, event: Any, workflow_run_response: Any, *args: Any, **options: Any
    ) -> Any:
        if not self.store_executor_outputs and isinstance(event, WorkflowCompletedEvent):
            event.step_executor_runs = None
        if isinstance(event, WorkflowErrorEvent):
            # All that a workflow round this one hears of its run.
            keep(event, kept_of(workflow_run_response))
        return super()._handle_event(event, workflow_run_response, *args, **options)

    def _run_workflow_agent_stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        seen = _Seen(options)
        try:
            for event in super()._run_workflow_agent_stream(*args, **options):
                yield event
                if seen.ends(event):
                    return
        except StepStopped as stopped:
            if not seen.completed:
                run, session = self._agentic_run(options, stopped), options["session"]
                session.upsert_run(run=run)
                self._persist_session_and_run(session=session, run=run)
                yield from self._error_events(stopped, run)

    async def _arun_workflow_agent_stream(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        seen = _Seen(options)
        try:
            async for event in super()._arun_workflow_agent_stream(*args, **options):
                yield event
                if seen.ends(event):
                    return
        except StepStopped as stopped:
            if not seen.completed:
                run, session = self._agentic_run(options, stopped), options["session"]
                session.upsert_run(run=run)
                await self._apersist_session_and_run(session=session, run=run)
                for event in self._error_events(stopped, run):
                    yield event

    def _agentic_run(self, options: Any, stopped: StepStopped) -> WorkflowRunOutput:
        """The run of a workflow whose agent failed before it had the workflow run."""
        session, context = options["session"], options["run_context"]
        run = WorkflowRunOutput(
            run_id=context.run_id,
            input=options["execution_input"].input,
            session_id=session.session_id,
            user_id=session.user_id,
            workflow_id=self.id,
            workflow_name=self.name,
            metadata=context.metadata,
        )
        self._note_agent(run, run_id_in(context.dependencies))
        mark(run, stopped.stop)
        settle(run)
        return run


def _is_over(options: dict[str, Any]) -> bool:
    """Whether this is a second go at a stopped run, which only the workflow's agent tries.

    A stream is not asked: it is cut off as soon as its workflow is stopped.
    """
    stop = stop_of(options["run_context"])
    if stop is None:
        return False
    run = options["workflow_run_response"]
    mark(run, stop)
    settle(run)
    return True


class _Ending:
    """Has a stopped run end as its output, and not begin again in the same context.

    It is the gate's run as well, if a step of the workflow is a gate's.
    """

    def __init__(
        self, workflow: GovernedWorkflow, options: dict[str, Any], *, again: bool = False
    ) -> None:
        self.run = options["workflow_run_response"]
        self.context = options["run_context"]
        workflow._note_agent(self.run, run_id_in(self.context.dependencies))
        self.gate = workflow.terms.gate
        if self.gate is not None:
            self.gate.begin(workflow, options, again=again)

    def __enter__(self) -> Any:
        return self.run

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if self.gate is not None:
            self.gate.end(self.run)
        if not isinstance(error, StepStopped):
            return False
        mark(self.run, error.stop)
        mark(self.context, error.stop)
        settle(self.run)
        return True


class _Marking:
    """Notes on the run what stopped it, before the host writes the run."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.run = options["workflow_run_response"]

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StepStopped):
            mark(self.run, error.stop)


class _Seen:
    """How far the stream of an agentic workflow has come."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.run_id = options["run_context"].run_id
        self.completed = False

    def ends(self, event: Any) -> bool:
        """Whether nothing may follow `event`: the workflow was stopped, whatever its agent says."""
        if getattr(event, "run_id", None) != self.run_id:
            return False
        self.completed = self.completed or isinstance(event, WorkflowCompletedEvent)
        return isinstance(event, WorkflowErrorEvent)


def _settle_agentic(run: Any) -> None:
    """Settle `run`; the host has it COMPLETED where the workflow's agent failed by itself."""
    agent_run = run.workflow_agent_run
    if failed(agent_run) and not run.step_results:
        mark(run, from_run(AGENT, agent_run).stop)
    settle(run)


def _is_executors(event: Any) -> bool:
    return hasattr(event, "agent_id") or hasattr(event, "team_id")


def _raise_if_failed(event: Any, options: dict[str, Any]) -> None:
    if isinstance(event, RunErrorEvent | TeamRunErrorEvent):
        raise from_event(str(getattr(options.get("step"), "name", None) or "step"), event)
