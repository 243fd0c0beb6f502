"""The part of a policy that says which models and providers who may ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field

from agno_portkey.policy.parts import OneMode, PolicyPart, Several
from agno_portkey.routing.config.parts import Text, part_error
from agno_portkey.routing.limits import LimitTable, ModelLimit
from agno_portkey.runs import Part

__all__ = ["ModelLimitUse", "ModelsPolicy", "table_of"]

_Patterns = Annotated[tuple[Text, ...], Several]


class ModelLimitUse(PolicyPart):
    """What may be asked: patterns as `gpt-4o*`; what is left out is not limited.

    `providers` are slugs as `openai`, those of hosted Portkey as `@team`, and virtual keys;
    `configs` the hosted configs, which can't be looked into, by id. A list stands for `models`.
    """

    models: _Patterns | None = None
    providers: _Patterns | None = None
    configs: _Patterns = ()


def _use(value: Any) -> Any:
    value = {"models": value} if isinstance(value, list | tuple) else value
    if isinstance(value, Mapping) and not value:
        raise ValueError("it limits nothing: say models, providers or configs, or leave it out")
    return value


_Use = Annotated[
    ModelLimitUse,
    BeforeValidator(_use, json_schema_input_type=ModelLimitUse | list[str]),
]


def _roles(value: Any) -> Any:
    known = get_args(Part)
    if not isinstance(value, Mapping):
        raise ValueError(f"a mapping of {', '.join(known)} to limits is due here, not {value!r}")
    if unknown := [((name,), f"one of {', '.join(known)}") for name in value if name not in known]:
        raise part_error("policy", unknown)
    return value


class ModelsPolicy(PolicyPart):
    """Limits for `everyone`, by role in the team (`judge`) and by the name of an agent.

    A call goes through where each one that is for its agent lets everything through that it can
    come to. In `observe` it goes through in any case, and observers hear of it.
    """

    everyone: _Use | None = None
    roles: Annotated[
        dict[str, _Use],
        BeforeValidator(_roles, json_schema_input_type=dict[Part, ModelLimitUse | list[str]]),
    ] = Field(default_factory=dict)
    agents: dict[Text, _Use] = Field(default_factory=dict)
    mode: OneMode = "enforce"


def table_of(models: ModelsPolicy, at: Any) -> LimitTable:
    """The limits that a policy names; `at` tells where they stand."""
    return LimitTable(
        everyone=_limit(models.everyone, at("models", "everyone")) if models.everyone else None,
        roles={
            name: _limit(use, at("models", "roles", name)) for name, use in models.roles.items()
        },
        agents={
            name: _limit(use, at("models", "agents", name)) for name, use in models.agents.items()
        },
        mode=models.mode,
    )


def _limit(use: ModelLimitUse, where: str) -> ModelLimit:
    return ModelLimit(use.models, use.providers, use.configs, where)
