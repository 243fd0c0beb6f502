"""What stops a workflow: the error that no part of the host swallows, and where its reason is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError
from agno.run.agent import RunContentEvent, RunErrorEvent
from agno.run.base import BaseRunOutputEvent, RunStatus
from agno.run.team import RunContentEvent as TeamRunContentEvent
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from agno.workflow.types import StepOutput

from agno_portkey.errors import Blocked, OutputBlocked, StepStopped
from agno_portkey.guardrails.at_rest import clean, parts_rewritten, replaced
from agno_portkey.guardrails.refusals import VERDICT_KEY, verdict_of
from agno_portkey.verdict import Verdict
from agno_portkey.workflows.requests import clean_requests, clean_steps

__all__ = [
    "STEP_KEY",
    "StepStopped",
    "Stop",
    "failed",
    "forget_runs",
    "from_error",
    "from_event",
    "from_run",
    "from_stop",
    "is_check",
    "keep",
    "kept_of",
    "mark",
    "settle",
    "stop_of",
    "told",
]

# Where the workflow's run says which step stopped it, in its metadata.
STEP_KEY = "agno_portkey.step"

_MARK = "_agno_portkey_stopped"
_KEPT = "_agno_portkey_kept"
_MADE = "_agno_portkey_made"

_PIECES = (RunContentEvent, TeamRunContentEvent)
_FAILED = (RunErrorEvent, TeamRunErrorEvent)


class _Noted:
    """Not as a plain mapping, of which the texts would be cleaned away with those of the run."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts


@dataclass(frozen=True)
class Stop:
    """Which step ended a workflow, and why.

    `kind` names the error of the guard, contract or gate that blocked the step; it is None where
    the step failed in another way.
    """

    step: str
    verdict: Verdict
    kind: str | None = None

    @property
    def is_of_input(self) -> bool:
        """Whether what the step was given was refused, and not what it said or did."""
        return self.kind is not None and self.verdict.evidence.get("side") == "input"

    @property
    def message(self) -> str:
        return f"step {self.step!r} stopped the workflow: {self.verdict.reason}"


def from_stop(stop: Stop) -> StepStopped:
    """What is raised for `stop`, by the step itself or by one that may not begin after it."""
    return StepStopped(stop.verdict, stop.message, stop)


def from_error(step: str, error: BaseException) -> StepStopped:
    """What is raised in place of `error`, which ended `step`."""
    if isinstance(error, StepStopped):
        return error
    verdict = getattr(error, "verdict", None)
    if isinstance(verdict, Verdict):
        return _stopped(step, verdict, type(error).__name__)
    return _stopped(step, _failure(step, str(error) or type(error).__name__), None)


def from_event(step: str, event: Any) -> StepStopped:
    """What is raised for an event that ended the run of a step's agent, team or workflow."""
    words = getattr(event, "content", None) or getattr(event, "error", None)
    verdict = verdict_of(event)
    if verdict is not None:
        return _stopped(step, verdict, _kind(event))
    return _stopped(step, _failure(step, str(words or "its run failed")), None)


def from_run(step: str, run: Any) -> StepStopped:
    """What is raised for the output of a step's agent, team or workflow that ended as failed."""
    verdict = verdict_of(run)
    if verdict is not None:
        return _stopped(step, verdict, _kind(run))
    return _stopped(step, _failure(step, told(run) or "its run ended with status ERROR"), None)


def told(run: Any) -> str | None:
    """The reason in a failed run's content; None where that may be the refused answer itself.

    The host leaves an answer that a plain post-hook refused as the run's content.
    """
    content = getattr(run, "content", None)
    if not isinstance(content, str) or not content:
        return None
    portkey = (getattr(run, "model_provider_data", None) or {}).get("portkey")
    if isinstance(portkey, Mapping) and portkey.get("error"):
        return content
    answered = any(m.role == "assistant" for m in getattr(run, "messages", None) or ())
    return None if answered else content


def failed(item: object) -> bool:
    """Whether `item` is the output of a run that ended as failed."""
    return getattr(item, "status", None) == RunStatus.error


def is_check(error: BaseException) -> bool:
    """Whether a guard, contract or gate raised `error`."""
    return isinstance(error, InputCheckError | OutputCheckError | Blocked)


def mark(holder: object, stop: Stop) -> None:
    """Note on a run, or on its context, what stopped it; the first stop counts."""
    if holder is not None and stop_of(holder) is None:
        setattr(holder, _MARK, stop)


def stop_of(holder: object) -> Stop | None:
    return getattr(holder, _MARK, None)


def keep(run: Any, texts: Mapping[str, str]) -> None:
    """Note what is to be stored in place of which texts, of all that a workflow's run holds.

    `run` may be what ends the run of a step as well: an event, or the error made of it.
    """
    _note(run, _KEPT, texts)


def kept_of(holder: Any) -> dict[str, str]:
    """What was noted with `keep`, of `holder` and of the runs inside it."""
    return _noted(holder, _KEPT)


def _note(run: Any, name: str, texts: Mapping[str, str]) -> None:
    if run is not None and texts:
        setattr(run, name, _Noted({**_own(run, name), **texts}))


def _own(run: Any, name: str) -> Mapping[str, str]:
    noted = getattr(run, name, None)
    return noted.texts if isinstance(noted, _Noted) else {}


def _noted(run: Any, name: str) -> dict[str, str]:
    """What was noted of a workflow's run, and of those inside it."""
    found = dict(_own(run, name))
    for inner in getattr(run, "step_executor_runs", None) or ():
        found |= _noted(inner, name)
    return found


def forget_runs(run: Any) -> None:
    """Drop what the runs of steps were, but not what was noted of their texts."""
    for name in (_KEPT, _MADE):
        _note(run, name, _noted(run, name))
    run.step_executor_runs = None


def settle(run: Any) -> None:
    """Give a workflow's run what it may store, and a stopped one its reason and the verdict."""
    stop = stop_of(run)
    kept = kept_of(run)
    if stop is None:
        # What went through its guards stays as it is. The request, and what functions have made,
        # went to them as it was.
        clean_requests(run, kept)
        _note(run, _MADE, _made_by_functions(run.step_results, kept) if kept else {})
        made = _noted(run, _MADE)
        clean(run, made)
        _clean_outputs([run.step_results, *(run.events or ())], made)
        _drop_pieces(run, kept)
        _drop_refused(run)
        return
    clean_requests(run, kept)
    clean(run, kept)
    _clean_outputs([run.step_results, *(run.events or ())], kept)
    if kept and run.events:
        # A refused text may stand there in pieces, which nobody would know again.
        run.events = [e for e in run.events if not isinstance(e, _PIECES)]
    _drop_refused(run)
    run.status = RunStatus.error
    run.content = stop.message
    # A new mapping: the run's own is shared with the caller and the steps.
    run.metadata = {**(run.metadata or {}), STEP_KEY: stop.step}
    if stop.kind is not None:
        run.metadata[VERDICT_KEY] = {"error": stop.kind, **stop.verdict.as_dict()}


def _made_by_functions(held: Any, kept: Mapping[str, str]) -> dict[str, str]:
    """What to store in place of the texts of which functions have made the outputs in `held`."""
    found: dict[str, str] = {}
    for output in held or ():
        if isinstance(output, StepOutput):
            if output.executor_type == "function":
                found |= parts_rewritten(output.content, kept)
            found |= _made_by_functions(output.steps, kept)
        elif isinstance(output, list):
            found |= _made_by_functions(output, kept)
    return found


def _drop_pieces(run: Any, kept: Mapping[str, str]) -> None:
    """Drop the pieces of answers that say together what is not to be stored.

    A guard after the run has rewritten the answer when the last of them was shown.
    """
    said: dict[tuple[str, str], str] = {}
    for event in (run.events or ()) if kept else ():
        if isinstance(event, _PIECES):
            for name in ("content", "reasoning_content"):
                place = (str(event.run_id), name)
                said[place] = said.get(place, "") + str(getattr(event, name, None) or "")
    gone = {run_id for (run_id, _), text in said.items() if replaced(text, kept) != text}
    if gone:
        run.events = [
            e for e in run.events if not (isinstance(e, _PIECES) and str(e.run_id) in gone)
        ]


def _drop_refused(run: Any) -> None:
    """Drop what runs that failed had said in a stream before; that they failed stays."""
    if run.events:
        refused = {e.run_id for e in run.events if isinstance(e, _FAILED)}
        run.events = [
            e
            for e in run.events
            if isinstance(e, _FAILED) or getattr(e, "run_id", None) not in refused
        ]


def _clean_outputs(held: Any, kept: Mapping[str, str]) -> None:
    """Clean the outputs of steps, which stand in runs and in their events."""
    if isinstance(held, list | tuple):
        for item in held:
            _clean_outputs(item, kept)
    elif isinstance(held, BaseRunOutputEvent):
        _clean_outputs([*vars(held).values()], kept)
    else:
        clean_steps(held, kept)


def _stopped(step: str, verdict: Verdict, kind: object) -> StepStopped:
    return from_stop(Stop(step, verdict, None if kind is None else str(kind)))


def _failure(step: str, reason: str) -> Verdict:
    return Verdict(False, step, (reason,))


def _kind(run: Any) -> str:
    """The name of the error that a run's output or last event tells of."""
    metadata = getattr(run, "metadata", None)
    held = metadata.get(VERDICT_KEY) if isinstance(metadata, Mapping) else None
    if isinstance(held, Mapping) and held.get("error"):
        return str(held["error"])
    return str(getattr(getattr(run, "content", None), "error", None) or OutputBlocked.__name__)
