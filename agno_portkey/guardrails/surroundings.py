"""What is known round a call: whose it is, and what the host keeps beside its messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agno.models.message import Message
from pydantic import BaseModel

from agno_portkey.calls import Call
from agno_portkey.guardrails.passages import Scene, Source

__all__ = ["beside_of", "scene_of"]


def beside_of(run: Any, messages: Sequence[Message]) -> list[tuple[Source, Any]]:
    """What is kept beside the messages that were made of it: the run's input, and references."""
    beside: list[tuple[Source, Any]] = []
    said = getattr(getattr(run, "input", None), "input_content", None)
    if isinstance(said, dict) and "role" in said:
        said = said.get("content")
    if said and not any(message.content == said for message in messages):
        plain = said.model_dump(mode="json") if isinstance(said, BaseModel) else said
        beside.append(("user", plain))
    if filled := [*_filled_in(run)]:
        beside.append(("user", filled))
    found = getattr(run, "references", None) or ()
    return beside + [("tool", [each.query, each.references]) for each in found]


def _filled_in(run: Any) -> Iterator[Any]:
    """What a person filled in, chose or noted while the run waited: it is stored with the call."""
    for tool in getattr(run, "tools", None) or ():
        if tool.confirmation_note:
            yield tool.confirmation_note
        yield from (field.value for field in tool.user_input_schema or () if field.value)
        yield from (each.selected_options for each in tool.user_feedback_schema or ())


def scene_of(call: Call, role: str | None, swarm: str | None) -> Scene:
    """Where the guards of a model's call are asked."""
    run = call.run_response
    return Scene(
        "model",
        run_id=call.run_id,
        session_id=getattr(run, "session_id", None),
        user_id=getattr(run, "user_id", None),
        role=role or getattr(run, "agent_name", None) or getattr(run, "team_name", None),
        swarm=swarm or getattr(run, "team_name", None),
    )
