"""What leaves a model, for databases, registries and pickles: never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agno_portkey.cache.policy import CachePolicy
from agno_portkey.contracts import Repair
from agno_portkey.contracts.check import wanted
from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.breaker.circuits import CircuitBreaker
from agno_portkey.routing.config.files import to_mapping
from agno_portkey.routing.config.routes import Route
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.routing.unkeyed import without_secrets
from agno_portkey.secrets.base import Secret

__all__ = ["data_of", "state_of", "values_of"]

# Kept out altogether; of the others, what stands under a secret's name.
_SECRET_FIELDS = (
    "api_key",
    "client_params",
    "default_headers",
    "extra_headers",
    "http_client",
    "portkey_api_key",
    "secrets",
    "virtual_key",
)
_MAY_HOLD_SECRETS = ("config", "default_query", "extra_body", "extra_query", "request_params")
# Made anew wherever the model comes to.
_LIVE = ("_begun", "_clients", "_notes", "kept", "named", "outputs", "router")


def state_of(model: Any) -> dict[str, Any]:
    """The state to pickle; a governed model is refused, since elsewhere it would have no gate."""
    if model.seat is not None:
        raise ConfigurationError(f"{model!r} is governed and can't be pickled: govern it there")
    state = {name: value for name, value in vars(model).items() if name not in _LIVE}
    state.update(dict.fromkeys(_SECRET_FIELDS))
    if isinstance(state["portkey_provider"], Secret):
        state["portkey_provider"] = None
    state.update({name: without_secrets(state[name]) for name in _MAY_HOLD_SECRETS})
    return state


def data_of(model: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Agno's own `data` of a model with what is ours, as plain JSON.

    Guards and a seat are named only, so that a copy without them is not made unnoticed.
    """
    ours = {
        name: getattr(model, name)
        for name in ("base_url", "config", "portkey_provider", "custom_host", "profile", "tags")
    }
    told = {k: v for k, v in ours.items() if v not in (None, {}) and not isinstance(v, Secret)}
    ours = {**data, **told}
    kept = {name: value for name, value in ours.items() if name not in _SECRET_FIELDS}
    kept.update({k: without_secrets(kept[k]) for k in _MAY_HOLD_SECRETS if k in kept})
    if isinstance(kept.get("config"), Route):
        kept["config"] = to_mapping(kept["config"])
    if model.recovery is not None:
        kept["recovery"] = model.recovery.model_dump()
    if model.breaker is not None:
        kept["breaker"] = model.router.circuits.settings.model_dump()
    if model.repair is not None:
        kept["repair"] = model.repair.model_dump()
    if model.cache is not None:
        kept["cache"] = model.cache.as_data()
    if model.output_schema is not None:
        schema = wanted(model.output_schema)
        kept["output_schema"] = schema.name if schema is not None else "none"
    if model.contracts:
        names = [(each.of or each.handed) for each in model.contracts]
        kept["contracts"] = [schema.name for schema in names if schema is not None]
    if model.guards:
        kept["guards"] = [guard.name for guard in model.checked_guards]
    if model.seat is not None:
        kept["seat"] = f"{model.seat.swarm or ''}/{model.seat.role}"
    return kept


def values_of(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a model of `kind` that `data` holds; lost guards or a seat are refused."""
    named = [name for name in ("guards", "contracts", "output_schema", "seat") if data.get(name)]
    if lost := [*named, *(["cache"] if isinstance(data.get("cache"), str) else [])]:
        raise ConfigurationError(
            f"{lost[0]}: {data[lost[0]]} can't be rebuilt from data; give a Registry that "
            "holds the model (registry_of makes one of a governed team)"
        )
    known = {field.name for field in fields(kind) if field.init}
    values = {name: value for name, value in data.items() if name in known}
    for name, settings in (
        ("recovery", Recovery),
        ("breaker", CircuitBreaker),
        ("repair", Repair),
        ("cache", CachePolicy),
    ):
        if isinstance(values.get(name), dict):
            values[name] = settings(**values[name])
    return values
