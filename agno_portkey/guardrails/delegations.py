"""What becomes of a member that was refused: its leader is told, or ends with it where it has to.

In a stream the host hands the leader an empty result, or notes that the task is completed. A leader
that routes is not asked again: there the member's refusal would pass for the team's answer, with
status COMPLETED.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunCompletedEvent, RunErrorEvent
from agno.run.team import RunCompletedEvent as TeamRunCompletedEvent
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from agno.run.team import TaskUpdatedEvent
from agno.team.task import TaskList, TaskStatus, save_task_list
from agno.tools.function import Function, FunctionCall

from agno_portkey.drivers import Owned, drive
from agno_portkey.guardrails.members import delegates
from agno_portkey.guardrails.refusals import note_refusal, raise_on_block, verdict_of
from agno_portkey.guardrails.tool_form import free_variable

__all__ = ["atold", "require_answer", "told"]

# Of these a gate tells its leader itself.
_GATES = ("GateClosed", "RunDeclined", "ContractError")
# What the host says of a task whose member gave back nothing, and notes as its result.
_NOTHING = "completed with no content."
_NO_RESULT = "No content returned"


def told(
    calls: Sequence[FunctionCall], events: Iterator[Any], results: list[Message], *, ends: bool
) -> Iterator[Any]:
    """The host's `events` of running `calls`; then `results` say which member was refused.

    `ends`: a team that routes ends with the refusal. A gate settles that for its own.
    """
    if not any(map(delegates, calls)):
        return events
    return drive(_watched(calls, _aiter(events), results, ends))


def atold(
    calls: Sequence[FunctionCall],
    events: AsyncIterator[Any],
    results: list[Message],
    *,
    ends: bool,
) -> AsyncIterator[Any]:
    """The same on an event loop."""
    return _watched(calls, events, results, ends) if any(map(delegates, calls)) else events


def require_answer(response: ModelResponse, run_response: Any) -> None:
    """Raise what refused the member whose words are the answer of a team that routes."""
    members = getattr(run_response, "member_responses", None)
    done = response.tool_executions
    if members and done and done[-1].stop_after_tool_call:
        try:
            raise_on_block(members[-1])
        except (InputCheckError, OutputCheckError) as error:
            note_refusal(run_response, error)
            raise


async def _watched(
    calls: Sequence[FunctionCall],
    events: AsyncIterator[Any],
    results: list[Message],
    ends: bool,
) -> AsyncIterator[Any]:
    refused: list[Any] = []
    ended: Any = None
    async with Owned(events) as all_of_them:
        async for event in all_of_them:
            if isinstance(event, RunErrorEvent | TeamRunErrorEvent) and verdict_of(event):
                if ends or (event.additional_data or {}).get("error") not in _GATES:
                    refused.append(event)
                ended = event
            elif isinstance(event, RunCompletedEvent | TeamRunCompletedEvent):
                ended = None
            elif ended is not None and isinstance(event, TaskUpdatedEvent):
                _correct(event, ended)
            yield event
    routes = any(delegates(call) and call.function.stop_after_tool_call for call in calls)
    if ended is not None and ends and routes:
        raise_on_block(ended)
    if refused:
        reasons = "\n".join(dict.fromkeys(f"Refused: {event.content}" for event in refused))
        for message in results:
            if message.role == "tool":
                _tell(message, reasons, calls)


def _tell(message: Message, reasons: str, calls: Sequence[FunctionCall]) -> None:
    """Say in the result of a delegation why nothing came back, and in the list of tasks."""
    said = message.content
    if not said:
        message.content = reasons
    elif isinstance(said, str) and said.endswith(_NOTHING):
        message.content = f"{said.removesuffix(_NOTHING)}failed: {reasons}"
        task_id = said.partition("[")[2].partition("]")[0]
        for call in calls:
            _fail(task_id, reasons, call.function)


def _fail(task_id: str, reasons: str, function: Function) -> None:
    """Note in the list of tasks that `function`, the host's, works on that one has failed."""
    tasks = free_variable(inspect.unwrap(function.entrypoint or _fail), "task_list")
    if isinstance(tasks, TaskList) and function._run_context is not None:
        tasks.update_task(task_id, status=TaskStatus.failed, result=reasons)
        save_task_list(function._run_context.session_state, tasks)


def _correct(event: TaskUpdatedEvent, ended: Any) -> None:
    """Say in what is told of a task that its member was refused."""
    if event.result == _NO_RESULT:
        event.status, event.result = TaskStatus.failed.value, f"Refused: {ended.content}"


async def _aiter(events: Iterator[Any]) -> AsyncIterator[Any]:
    for event in events:
        yield event
