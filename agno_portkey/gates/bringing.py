"""How a run brings a clearance that a person has granted, as a line to copy."""

from __future__ import annotations

from agno_portkey.runs import CLEARANCE_KEY

__all__ = ["run_with"]


def run_with(id: str, *, session_id: str | None, user_id: str | None) -> str:
    """The call that begins a run with the clearance `id`, in the session that it was given in."""
    given = {"session_id": session_id, "user_id": user_id, "metadata": {CLEARANCE_KEY: id}}
    named = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    return f"run({', '.join(['...', *named])})"
