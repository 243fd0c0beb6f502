"""What ends after it was returned: a run in the background, whose span lasts as long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["has_failed_step", "outlasts"]


def outlasts(invocation: Any, result: Any, settle: Callable[[Any, Any], None]) -> bool:
    """Whether `result` is a run that goes on in a task: `invocation` then ends with that.

    `settle` is told of both when it has ended.
    """
    task = _task_of(result) if _status(result) in ("pending", "running") else None
    if task is None:
        return False

    def ended(_: object) -> None:
        settle(invocation, result)
        if _status(result) in ("pending", "running"):
            settle(invocation, _Cancelled)
        type(invocation).stop(invocation)

    # Who is handed the run goes on outside of its span.
    invocation.stop = invocation.suspend
    task.add_done_callback(ended)
    return True


class _Cancelled:
    """A run whose task was left before it could say so."""

    status = "cancelled"


def _status(result: Any) -> str:
    status = getattr(result, "status", None)
    return str(getattr(status, "value", status)).lower()


def _task_of(result: Any) -> asyncio.Task[Any] | None:
    """The task that goes on with a run: the host hands out the output that the task works on."""
    try:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
    except RuntimeError:  # no loop is running
        return None
    return next((task for task in tasks if _has(task, result)), None)


def _has(task: asyncio.Task[Any], result: Any) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    held = frame.f_locals.values() if frame is not None else ()
    return any(each is result for each in held)


def has_failed_step(steps: Iterable[Any] | None) -> bool:
    """Whether one of a workflow's steps has failed, at any depth."""
    for each in steps or ():
        if isinstance(each, list):
            if has_failed_step(each):
                return True
        elif getattr(each, "success", True) is False or has_failed_step(
            getattr(each, "steps", None)
        ):
            return True
    return False
