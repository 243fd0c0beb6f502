"""What an owner holds right now, as a tuple that is cheap to compare: has anything been changed?"""

from __future__ import annotations

from operator import attrgetter, is_
from typing import Any

from agno.team import Team
from agno.tools import Toolkit

from agno_portkey.reach.children import is_plain
from agno_portkey.walk import FALLBACKS, MANAGERS, OWN_MODELS, Owner

__all__ = ["held_by", "same"]

_COMMON = (
    "model",
    *OWN_MODELS,
    *MANAGERS,
    "fallback_config",
    "learning",
    "knowledge",
    "knowledge_retriever",
    "reasoning_agent",
    "skills",
    "instructions",
    "system_message",
    "dependencies",
    "db",
)
_of_agent = attrgetter(*(name for name in _COMMON))
_of_team = attrgetter(*(name for name in _COMMON if name != "compaction"))
_LISTS = ("tools", "tool_hooks", "pre_hooks", "post_hooks")


def held_by(owner: Owner) -> tuple[Any, ...]:
    """Everything that `owner` and its members hold in their slots, lists taken apart.

    Of toolkits and knowledge their attributes as well; what is deeper is not looked at again.

    The things themselves, so that none can be replaced by another at the same address.
    """
    held: list[Any] = []
    _collect(owner, held)
    return tuple(held)


def same(one: tuple[Any, ...] | None, two: tuple[Any, ...]) -> bool:
    """Whether both hold the very same things."""
    return one is not None and len(one) == len(two) and all(map(is_, one, two))


def _collect(owner: Owner, held: list[Any]) -> None:
    team = isinstance(owner, Team)
    held += (_of_team if team else _of_agent)(owner)
    held.append(getattr(owner.model, "guards", None))
    if owner.knowledge is not None:
        _collect_attributes(owner.knowledge, held)
    for manager in MANAGERS:
        held.append(getattr(getattr(owner, manager, None), "model", None))
    if (config := owner.fallback_config) is not None:
        for chain in FALLBACKS:
            held += getattr(config, chain) or ()
    for name in _LISTS:
        _collect_list(getattr(owner, name), held)
    if isinstance(owner, Team):
        _collect_members(owner, held)


def _collect_list(things: Any, held: list[Any]) -> None:
    if not isinstance(things, list | tuple):
        held.append(things)
        return
    for thing in things:
        # The host puts a guardrail's bound method where the guardrail was.
        held.append(getattr(thing, "__self__", thing))
        if isinstance(thing, Toolkit):
            held += thing.functions.values()
            held += thing.async_functions.values()
            _collect_attributes(thing, held)


def _collect_attributes(thing: Any, held: list[Any]) -> None:
    held += [value for value in getattr(thing, "__dict__", {}).values() if not is_plain(value)]


def _collect_members(team: Team, held: list[Any]) -> None:
    if not isinstance(team.members, list):
        held.append(team.members)
        return
    for member in team.members:
        held.append(member)
        if isinstance(member, Owner):
            _collect(member, held)
