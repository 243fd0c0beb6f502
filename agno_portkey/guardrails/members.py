"""Calls by which a leader asks its members, and whether its guards have heard them already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno.tools.function import FunctionCall

__all__ = ["delegates", "heard_by"]

_DELEGATES = ("delegate_task_to_member", "execute_task")


def delegates(call: FunctionCall) -> bool:
    """Whether `call` is the host's own, by which a leader hands a task to a member."""
    return call.function.name.startswith(_DELEGATES)


def heard_by(guards: Sequence[Any], calls: Sequence[FunctionCall]) -> bool:
    """Whether all that `calls` say on the way are answers that `guards` were asked about.

    So it is where they delegate alone, to members whose models have the very guards.
    """
    return all(delegates(call) and _hears(call.function._team, guards) for call in calls)


def _hears(team: Any, guards: Sequence[Any]) -> bool:
    members = getattr(team, "members", None)
    return isinstance(members, list) and all(_is_asked(member, guards) for member in members)


def _is_asked(owner: Any, guards: Sequence[Any]) -> bool:
    """Whether `guards` are asked about every answer of `owner`, and of its own members."""
    asked = [*getattr(owner.model, "checked_guards", ())] if hasattr(owner, "model") else []
    heard = all(any(g is each for each in asked) and g.looks_at("output") for g in guards)
    # What another model makes of the answer is shown as well.
    plain = getattr(owner, "output_model", None) is getattr(owner, "parser_model", None) is None
    return heard and plain and (not hasattr(owner, "members") or _hears(owner, guards))
