"""Everyone in a team, and where they hold a model."""

from __future__ import annotations

from collections.abc import Iterator

from agno.agent import Agent
from agno.models.base import Model
from agno.team import Team

from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.model import PortkeyModel

__all__ = [
    "FALLBACKS",
    "MANAGERS",
    "OWN_MODELS",
    "Owner",
    "broadcasts",
    "has_schema",
    "identity",
    "initialise",
    "mode_of",
    "name_of",
    "speakers",
    "ungoverned",
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
    if isinstance(owner, Team):
        if not isinstance(owner.members, list):
            raise UngovernedPathError(f"{name_of(owner)}.members is made at run time; give a list")
        if owner.model is None:
            raise UngovernedPathError(
                f"{name_of(owner)}.model is not set: the host would take its own default; "
                "give a PortkeyModel"
            )
        owner.initialize_team()
    elif owner.model is None:
        raise UngovernedPathError(f"{name_of(owner)}.model is not set; give a PortkeyModel")
    else:
        owner.initialize_agent()


def walk(owner: Owner, swarm: str | None) -> Iterator[tuple[Owner, str | None]]:
    """`owner` and all its members, each with the name of the team it is in."""
    yield owner, swarm
    if not isinstance(owner, Team):
        return
    if not isinstance(owner.members, list):
        raise UngovernedPathError(f"{name_of(owner)}.members is made at run time; give a list")
    for member in owner.members:
        if not isinstance(member, Agent | Team):
            raise UngovernedPathError(
                f"{name_of(owner)}: {type(member).__name__} runs elsewhere and can't be governed"
            )
        yield from walk(member, name_of(member) if isinstance(member, Team) else swarm)


def speakers(owner: Owner, runner: Agent) -> Iterator[int]:
    """The `id` of everyone whose words could pass for the Runner's result.

    These are the leaders above the Runner, and whoever one of them routes to, since it then
    speaks for the team.
    """
    everyone = [member for member, _ in walk(owner, None)]
    if not any(member is runner for member in everyone):
        return
    yield id(owner)
    if not isinstance(owner, Team) or not isinstance(owner.members, list):
        return
    for member in owner.members:
        if owner.respond_directly or mode_of(owner) == "route":
            yield id(member)
        yield from speakers(member, runner)


def ungoverned(owner: Owner) -> Iterator[str]:
    """Where `owner` holds a model that is not a `PortkeyModel`."""
    name = name_of(owner)
    if not isinstance(owner.model, PortkeyModel):
        yield f"{name}.model is {_kind(owner.model)}"
    for slot in OWN_MODELS:
        held = getattr(owner, slot, None)
        if held is not None and not isinstance(held, PortkeyModel):
            yield f"{name}.{slot} is {_kind(held)}"
    for slot in (*MANAGERS, "learning"):
        held = getattr(getattr(owner, slot, None), "model", None)
        if held is not None and not isinstance(held, PortkeyModel):
            yield f"{name}.{slot}.model is {_kind(held)}"
    if owner.reasoning_agent is not None:
        yield f"{name}.reasoning_agent is an agent of its own; give a reasoning_model"
    config = owner.fallback_config
    for chain in FALLBACKS:
        for held in getattr(config, chain, None) or ():
            if not isinstance(held, PortkeyModel):
                yield f"{name}.fallback_config.{chain} holds {_kind(held)}"


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


def _kind(held: object) -> str:
    return (
        f"{held!r}, a name"
        if isinstance(held, str)
        else f"a {type(held).__name__}"
        if isinstance(held, Model)
        else type(held).__name__
    )
