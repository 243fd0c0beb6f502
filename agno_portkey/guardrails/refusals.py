"""The verdict that refused a run, on the run's output, and as an exception for who wants one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from inspect import isawaitable
from typing import Any, TypeVar

from agno.exceptions import InputCheckError, OutputCheckError
from agno.run.base import RunStatus

from agno_portkey import errors
from agno_portkey.errors import Blocked, InputBlocked, OutputBlocked, Told
from agno_portkey.verdict import Verdict

__all__ = [
    "VERDICT_KEY",
    "attach",
    "forget_refusal",
    "note_refusal",
    "raise_on_block",
    "verdict_of",
]

# Where a run's output keeps it, in its metadata.
VERDICT_KEY = "agno_portkey.verdict"

Output = TypeVar("Output")


def note_refusal(run_output: Any, error: BaseException) -> None:
    """Leave the verdict of `error` with the output of the run that it ends.

    The host drops what a check error carries wherever a run is not streamed.
    """
    said = _carried(error)
    if run_output is not None and said is not None:
        # A new mapping: the host shares the run's own with members and other runs.
        metadata = getattr(run_output, "metadata", None) or {}
        run_output.metadata = {**metadata, VERDICT_KEY: said}
        # In a stream the host would leave what was shown before, its members' words among it.
        if isinstance(getattr(run_output, "content", None), str):
            run_output.content = str(error)


def forget_refusal(run_output: Any) -> None:
    """Take an earlier verdict off a run that goes on: it was refused, and is continued."""
    metadata = getattr(run_output, "metadata", None)
    if metadata and VERDICT_KEY in metadata:
        run_output.metadata = {k: v for k, v in metadata.items() if k != VERDICT_KEY} or None


def attach(
    verdict: Verdict, error: InputCheckError | OutputCheckError, kind: type[Blocked]
) -> None:
    """Let a check error that is not ours carry a verdict, as a `kind` does."""
    said = {"verdict": verdict.as_dict(), "error": kind.__name__}
    error.additional_data = {**(error.additional_data or {}), **said}


def _carried(error: object) -> dict[str, Any] | None:
    """The verdict that a check error carries, as plain data, with the name of its class."""
    data = getattr(error, "additional_data", None)
    if isinstance(data, Mapping) and isinstance(data.get("verdict"), Mapping):
        return {"error": data.get("error"), **data["verdict"]}
    return None


def verdict_of(run_output: Any) -> Verdict | None:
    """The verdict that refused a run, from its output or its last event; None if none did."""
    found = _found(run_output)
    return None if found is None else _verdict(found)


def raise_on_block(run_output: Output) -> Output:
    """Give back `run_output`, or raise the `Blocked` that refused the run.

    Takes the output of a run, streamed or not, or an event that ends one; other failures are not
    its business, and neither is a member's refusal that its team got over.
    """
    if isawaitable(run_output) or isinstance(run_output, Iterator | AsyncIterator):
        raise TypeError("raise_on_block: a run's output, or the last event of its stream")
    found = _found(run_output)
    if found is None or _completed(run_output):
        return run_output
    kind = getattr(errors, str(found.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, Blocked)):
        kind = OutputBlocked if _side(found) == "output" else InputBlocked
    verdict, said = _verdict(found), getattr(run_output, "content", None)
    # What the run says of it says whose it was, too.
    raise kind(verdict, str(said) if isinstance(said, str) and verdict.reason in said else None)


def _side(found: Mapping[str, Any]) -> Any:
    evidence = found.get("evidence")
    return evidence.get("side") if isinstance(evidence, Mapping) else None


def _verdict(found: Mapping[str, Any]) -> Verdict:
    return Verdict(
        passed=bool(found.get("passed")),
        source=str(found.get("source")),
        reasons=tuple(found.get("reasons") or ()),
        score=found.get("score"),
        evidence=found.get("evidence") or {},
    )


def _found(run_output: Any) -> Mapping[str, Any] | None:
    """The verdict as plain data, from wherever this kind of run or event has it."""
    content = getattr(run_output, "content", None)
    if isinstance(content, Told):
        return {"error": content.error, **content.verdict.as_dict()}
    metadata = getattr(run_output, "metadata", None)
    if isinstance(metadata, Mapping) and isinstance(metadata.get(VERDICT_KEY), Mapping):
        found: Mapping[str, Any] = metadata[VERDICT_KEY]
        return found
    events = getattr(run_output, "events", None) or ()
    if _completed(run_output):
        # It was refused and continued since; what a member was refused with still stands.
        events = [e for e in events if getattr(e, "run_id", None) != run_output.run_id]
    said = (_carried(each) for each in (run_output, *reversed(events)))
    return next((each for each in said if each), None)


def _completed(run_output: Any) -> bool:
    return getattr(run_output, "status", None) == RunStatus.completed
