"""A step that stops its workflow: it raises where the host would go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeGuard

from agno.exceptions import RunCancelledException
from agno.run.agent import RunErrorEvent
from agno.run.base import RunStatus
from agno.run.cancel import ais_cancelled, is_cancelled
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from agno.run.workflow import WorkflowErrorEvent
from agno.workflow.step import Step, UnresolvableCallableError
from agno.workflow.types import OnError, StepInput, StepOutput

from agno_portkey.guardrails import verdict_of
from agno_portkey.guardrails.at_rest import Kept
from agno_portkey.guardrails.stage import placeholder
from agno_portkey.runs import RUN_KEY
from agno_portkey.workflows.requests import texts_of
from agno_portkey.workflows.stopped import (
    StepStopped,
    Stop,
    failed,
    from_error,
    from_event,
    from_run,
    from_stop,
    is_check,
    keep,
    kept_of,
    mark,
    stop_of,
    told,
)

__all__ = ["GovernedStep", "waits_for_people"]

_ERROR_EVENTS = (RunErrorEvent, TeamRunErrorEvent, WorkflowErrorEvent)


def waits_for_people(step: Step) -> bool:
    """Whether a person is asked what to do when `step` has failed."""
    return step.human_review.on_error == OnError.pause


class GovernedStep(Step):
    """A `Step` after which nothing runs once it was blocked or has failed.

    `govern` gives this class to the steps of a workflow in place. What an agent, a team or a
    nested workflow fails at is final: it is not tried again. A function is tried again as the
    host does, unless a guard, contract or gate refused it.
    """

    def execute(self, step_input: StepInput, *args: Any, **options: Any) -> StepOutput:
        run = self._noting(options)
        with self._stopping(run, step_input):
            output = super().execute(step_input, *args, **options)
            if self._unsound(output) and not _is_cancelled(run):
                raise self._reported(output)
            return output

    async def aexecute(self, step_input: StepInput, *args: Any, **options: Any) -> StepOutput:
        run = self._noting(options)
        with self._stopping(run, step_input):
            output = await super().aexecute(step_input, *args, **options)
            if self._unsound(output) and not await _ais_cancelled(run):
                raise self._reported(output)
            return output

    def execute_stream(self, step_input: StepInput, *args: Any, **options: Any) -> Iterator[Any]:
        run = self._noting(options)
        with self._stopping(run, step_input):
            for event in super().execute_stream(step_input, *args, **options):
                if self._unsound(event) and not _is_cancelled(run):
                    raise self._reported(event)
                yield event

    async def aexecute_stream(
        self, step_input: StepInput, *args: Any, **options: Any
    ) -> AsyncIterator[Any]:
        run = self._noting(options)
        with self._stopping(run, step_input):
            async for event in super().aexecute_stream(step_input, *args, **options):
                if self._unsound(event) and not await _ais_cancelled(run):
                    raise self._reported(event)
                yield event

    # Where the host turns a failed run into an output that the next step is given.
    def _process_step_output(self, response: Any) -> StepOutput:
        if failed(response):
            raise from_run(self._title, response)
        return super()._process_step_output(response)

    # Where the host turns the last event of a failed stream into an error that it tries again.
    def _executor_error_message(self, error_event: Any) -> str:
        raise self._from_event(error_event)

    def _from_event(self, event: Any) -> StepStopped:
        """What is raised for `event`, with what guards made of the texts in the run it ends."""
        stopped = from_event(self._title, event)
        keep(stopped, {**kept_of(event), **self._kept_in(event)})
        return stopped

    def _kept_in(self, ended: Any) -> Mapping[str, str]:
        """What the guards of the step's agent or team made of texts in a run of it."""
        kept = getattr(getattr(self.active_executor, "model", None), "kept", None)
        return kept.of(getattr(ended, "run_id", None)) if isinstance(kept, Kept) else {}

    def _store_executor_response(
        self, workflow_run_response: Any, executor_run_response: Any
    ) -> None:
        if (
            failed(executor_run_response)
            and verdict_of(executor_run_response) is None
            and told(executor_run_response) is None
        ):
            return  # a plain post-hook refused it, and the host left the refused answer in it
        keep(workflow_run_response, self._kept_in(executor_run_response))
        super()._store_executor_response(workflow_run_response, executor_run_response)

    def _enrich_event_with_context(self, event: Any, *args: Any, **options: Any) -> Any:
        if getattr(event, "run_input", None) is not None:
            event = copy(event)
            event.run_input = None  # as it was before any guard had looked at it
        return super()._enrich_event_with_context(event, *args, **options)

    def _execute_nested_workflow(self, *args: Any, **options: Any) -> StepOutput:
        output = super()._execute_nested_workflow(*args, **options)
        return self._nested(output, options.get("workflow_run_response"))

    async def _aexecute_nested_workflow(self, *args: Any, **options: Any) -> StepOutput:
        output = await super()._aexecute_nested_workflow(*args, **options)
        return self._nested(output, options.get("workflow_run_response"))

    def _execute_nested_workflow_stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        run_id = None
        for event in super()._execute_nested_workflow_stream(*args, **options):
            yield event
            run_id = run_id or getattr(event, "run_id", None)
            self._raise_if_ended(event, run_id)

    async def _aexecute_nested_workflow_stream(
        self, *args: Any, **options: Any
    ) -> AsyncIterator[Any]:
        run_id = None
        async for event in super()._aexecute_nested_workflow_stream(*args, **options):
            yield event
            run_id = run_id or getattr(event, "run_id", None)
            self._raise_if_ended(event, run_id)

    def _call_custom_function(self, *args: Any, **options: Any) -> Any:
        with self._checking():
            return self._unfailed(super()._call_custom_function(*args, **options))

    async def _acall_custom_function(self, *args: Any, **options: Any) -> Any:
        with self._checking():
            return self._unfailed(await super()._acall_custom_function(*args, **options))

    def _function_events(self, *args: Any, **options: Any) -> Iterator[Any]:
        with self._checking():
            for item in super()._function_events(*args, **options):
                yield self._unfailed(item)

    async def _afunction_events(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        with self._checking():
            async for item in super()._afunction_events(*args, **options):
                yield self._unfailed(item)

    def _noting(self, options: dict[str, Any]) -> Any:
        """The run of the workflow, which is to hold what its step's run was.

        What guards made of texts is noted on that; a workflow that keeps no such runs drops them
        when it is stored.
        """
        options["store_executor_outputs"] = True
        context: Any = options.get("run_context")
        own = getattr(self.active_executor, "dependencies", None)
        if own and set(getattr(context, "dependencies", None) or ()) == {RUN_KEY}:
            # The host takes those of the executor where the workflow has none, as it had.
            options["run_context"] = context = copy(context)
            context.dependencies = {**own, **context.dependencies}
        return options.get("workflow_run_response")

    @property
    def _title(self) -> str:
        return self.name or "unnamed_step"

    @contextmanager
    def _stopping(self, run: Any, given: StepInput) -> Iterator[None]:
        """Let nothing begin in a stopped run, and end the run on whatever fails here."""
        if (earlier := stop_of(run)) is not None:
            raise from_stop(earlier)
        try:
            yield
        except StepStopped as stopped:
            keep(run, kept_of(stopped))
            self._note(run, stopped.stop, given)
            raise
        except (RunCancelledException, UnresolvableCallableError):
            raise
        except Exception as error:
            if self._is_function and waits_for_people(self):
                raise  # the host pauses, and a person decides
            ended = from_error(self._title, error)
            self._note(run, ended.stop, given)
            raise ended from error

    def _note(self, run: Any, stop: Stop, given: StepInput) -> None:
        mark(run, stop)
        if stop.is_of_input:
            text = self._prepare_message(given.input, given.previous_step_outputs)
            refused = [*texts_of(given), *([text] if isinstance(text, str) else [])]
            keep(run, dict.fromkeys(refused, placeholder(stop.verdict.source)))

    @contextmanager
    def _checking(self) -> Iterator[None]:
        """Have the host not try a function again that a guard, contract or gate refused."""
        try:
            yield
        except StepStopped:
            raise
        except Exception as error:
            if is_check(error):
                raise from_error(self._title, error) from error
            raise

    @property
    def _is_function(self) -> bool:
        return self._executor_type == "function"

    def _unsound(self, output: object) -> TypeGuard[StepOutput]:
        """Whether `output` says that the step failed, and nobody asked to go on after that."""
        if not isinstance(output, StepOutput) or output.success or output.is_paused:
            return False
        return not (self._is_function and self.skip_on_failure)

    def _reported(self, output: StepOutput) -> StepStopped:
        # Its content may be what was refused; its error is the step's own words.
        reason = output.error if self._is_function and output.error else "it reported a failure"
        return from_error(self._title, RuntimeError(reason))

    def _unfailed(self, item: Any) -> Any:
        if failed(item):
            raise from_run(self._title, item)
        if isinstance(item, _ERROR_EVENTS):
            raise self._from_event(item)
        return item

    def _nested(self, output: StepOutput, run: Any) -> StepOutput:
        if output.success:
            return output
        for inner in reversed(getattr(run, "step_executor_runs", None) or ()):
            if inner.run_id == output.step_run_id:
                raise from_run(self._title, inner)
        raise from_error(self._title, RuntimeError(str(output.content)))

    def _raise_if_ended(self, event: Any, run_id: str | None) -> None:
        # A workflow inside the nested one ends with such an event too, which the nested one sees.
        if isinstance(event, WorkflowErrorEvent) and event.run_id == run_id:
            raise self._from_event(event)


def _is_cancelled(run: Any) -> bool:
    """Whether the workflow is being cancelled, which is for the host to end."""
    return _status_cancelled(run) or bool(run is not None and is_cancelled(str(run.run_id)))


async def _ais_cancelled(run: Any) -> bool:
    return _status_cancelled(run) or bool(run is not None and await ais_cancelled(str(run.run_id)))


def _status_cancelled(run: Any) -> bool:
    return getattr(run, "status", None) == RunStatus.cancelled
