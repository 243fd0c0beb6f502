"""Results that a tool yields piece by piece, as a delegation does: held until they are whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agno.run.agent import CustomEvent, RunContentEvent
from agno.run.base import BaseRunOutputEvent
from agno.run.team import RunContentEvent as TeamRunContentEvent
from agno.run.workflow import WorkflowCompletedEvent
from pydantic import BaseModel

from agno_portkey.guardrails.at_rest import clean

__all__ = ["said", "saying"]

# Events of which the host makes the result; it passes on all others.
_SPEAKING = (RunContentEvent, TeamRunContentEvent, WorkflowCompletedEvent)


def said(items: Sequence[Any]) -> str:
    """The result that the host makes of what a tool has yielded."""
    return "".join(map(_words, items))


def saying(items: Sequence[Any], text: str, kept: Mapping[str, str]) -> list[Any]:
    """What to yield so that the result is `text`, with what is kept of it in all other events."""
    rest = [item for item in items if not _words(item)]
    for item in rest:
        clean(item, kept)
    return [*rest, text]


def _words(item: Any) -> str:
    if isinstance(item, _SPEAKING):
        content = item.content
        if isinstance(content, BaseModel):
            return content.model_dump_json()
        return "" if content is None else str(content)
    silent = isinstance(item, BaseRunOutputEvent) and not isinstance(item, CustomEvent)
    return "" if silent else str(item)
