"""Everyone in a team, and where they hold a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from agno.agent import Agent
from agno.team import Team
from agno.tools import Toolkit

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.interlock import THINKING
from agno_portkey.model import PortkeyModel

__all__ = [
    "FALLBACKS",
    "MANAGERS",
    "OWN_MODELS",
    "Owner",
    "broadcasts",
    "has_schema",
    "held_models",
    "identity",
    "initialise",
    "mode_of",
    "name_of",
    "place_of",
    "speakers",
    "unheld",
    "walk",
]

Owner = Agent | Team

# Where an agent or team holds models beside its own; the names are pinned by tests/host.
OWN_MODELS = ("reasoning_model", "parser_model", "output_model", "followup_model")
MANAGERS = (
    "memory_manager",
    "session_summary_manager",
    "compression_manager",
    "followups",
    "compaction",
)
FALLBACKS = ("on_error", "on_rate_limit", "on_context_overflow")


def initialise(owner: Owner) -> None:
    """Have the host make what it makes late: ids, managers, the models that are names.

    One without a model is left alone, since the host would take a default of its own.
    """
    if owner.model is None:
        return
    if isinstance(owner, Team):
        owner.initialize_team()
    else:
        owner.initialize_agent()


def walk(owner: Owner, swarm: str | None) -> Iterator[tuple[Owner, str | None]]:
    """`owner` and all its members, each with the name of the team it is in."""
    yield owner, swarm
    if not isinstance(owner, Team) or not isinstance(owner.members, list):
        return
    for member in owner.members:
        if isinstance(member, Agent | Team):
            yield from walk(member, name_of(member) if isinstance(member, Team) else swarm)


def held_models(owner: Owner) -> Iterator[tuple[str, PortkeyModel, bool]]:
    """The models that `owner` holds by itself: each with its path, and whether it speaks for it.

    Those that only help do not: for memories, summaries, or to reason.
    """
    config = owner.fallback_config
    for name in ("model", *FALLBACKS):
        held = [owner.model] if name == "model" else getattr(config, name, None) or ()
        path = name if name == "model" else f"fallback_config.{name}"
        yield from ((f"{name_of(owner)}.{path}", m, True) for m in held if _is_ours(m))
    helping = {name: getattr(owner, name, None) for name in OWN_MODELS}
    helping |= {
        f"{name}.model": getattr(getattr(owner, name, None), "model", None) for name in MANAGERS
    }
    yield from (
        (f"{name_of(owner)}.{path}", m, False) for path, m in helping.items() if _is_ours(m)
    )


def _is_ours(model: object) -> TypeGuard[PortkeyModel]:
    return isinstance(model, PortkeyModel)


def speakers(owner: Owner, runner: Agent) -> Iterator[int]:
    """The `id` of everyone whose words could pass for the Runner's result.

    These are the leaders above the Runner, and whoever one of them routes to, itself or by way of
    other teams that route, since it then speaks for the team.
    """
    everyone = [member for member, _ in walk(owner, None)]
    if not any(member is runner for member in everyone):
        return
    yield id(owner)
    if not isinstance(owner, Team) or not isinstance(owner.members, list):
        return
    for member in owner.members:
        if _routes(owner):
            yield from _voices(member)
        yield from speakers(member, runner)


def _voices(owner: Owner) -> Iterator[int]:
    """The `id` of everyone who speaks where `owner` is routed to, itself first."""
    yield id(owner)
    if isinstance(owner, Team) and _routes(owner) and isinstance(owner.members, list):
        for member in owner.members:
            yield from _voices(member)


def _routes(team: Team) -> bool:
    return team.respond_directly or mode_of(team) == "route"


def unheld(owner: Owner, runner: Agent) -> Iterator[str]:
    """Where words could pass for the Runner's result without being held for the gate."""
    for team in (member for member, _ in walk(owner, None)):
        if isinstance(team, Team) and not isinstance(team.members, list):
            yield f"{name_of(team)}.members is made at run time; give a list"
    if runner.learning:
        yield f"{name_of(runner)}.learning calls models beside the Runner's"
    above = set(speakers(owner, runner))
    for leader in (member for member, _ in walk(owner, None) if id(member) in above):
        if leader is not runner:
            for tool in _tools_to_think(leader):
                held = f"{name_of(leader)}.tools has {tool}"
                yield f"{held}, which thinks aloud before the gate is settled"
        if not isinstance(leader, Team):
            continue
        if leader.reasoning_model is not None:
            yield f"{name_of(leader)}.reasoning_model thinks aloud before the gate is settled"
        if leader.output_model is not None and mode_of(leader) == "tasks":
            yield f"{name_of(leader)}.output_model speaks after every turn in tasks mode"


def _tools_to_think(owner: Owner) -> Iterator[str]:
    for tool in owner.tools if isinstance(owner.tools, list | tuple) else ():
        held: list[Any] = [tool]
        if isinstance(tool, Toolkit):
            held = [*tool.functions.values(), *tool.async_functions.values()]
        for each in held:
            name = getattr(each, "name", None) or getattr(each, "__name__", "")
            if str(name).lower() in THINKING:
                yield str(name)


def has_schema(owner: Owner, schema: type) -> bool:
    held = owner.output_schema
    return isinstance(held, type) and issubclass(held, schema)


def broadcasts(team: Team) -> bool:
    return mode_of(team) == "broadcast" or bool(team.delegate_to_all_members)


def mode_of(owner: Owner) -> str | None:
    mode = getattr(owner, "mode", None)
    value = getattr(mode, "value", mode)
    return None if value is None else str(value)


def identity(owner: Owner) -> str:
    if not isinstance(owner, Agent | Team):
        raise ConfigurationError(f"runner: an Agent or its name, not {type(owner).__name__}")
    if owner.id is None:
        owner.set_id()
    return str(owner.id)


def name_of(owner: Owner) -> str:
    return str(owner.name or owner.id or type(owner).__name__)


def place_of(owner: Owner, teams: Iterable[Owner]) -> str:
    """Where one of `teams` holds `owner` as a member, as `Release.members[3]`; else empty."""
    for team in teams:
        members = team.members if isinstance(team, Team) else ()
        for at, member in enumerate(members if isinstance(members, list) else ()):
            if member is owner:
                return f"{name_of(team)}.members[{at}]"
    return ""
