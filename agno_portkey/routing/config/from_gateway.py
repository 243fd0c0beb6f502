"""Reads the gateway's own JSON config; what the gateway would pass over in silence is refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.gateway_names import did_you_mean
from agno_portkey.routing.config.leaves import ROOT, below
from agno_portkey.routing.config.parts import Guardrail, Part, PartError, part_error
from agno_portkey.routing.config.provider_options import ProviderOptions
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Single,
    Strategy,
    Target,
)

__all__ = ["from_config"]

P = TypeVar("P", bound=Part)

_SAME = (
    *("name", "weight", "retry", "cache", "override_params", "custom_host", "forward_headers"),
    "strict_open_ai_compliance",
)
_GUARDRAILS = ("input_guardrails", "output_guardrails")
_COMMON = (*_SAME, *_GUARDRAILS, "request_timeout")
_TARGET = ("provider", "api_key", "virtual_key", *ProviderOptions.model_fields)
_STRATEGIES: dict[str, type[Strategy]] = {
    "single": Single,
    "fallback": Fallback,
    "loadbalance": LoadBalance,
    "conditional": Conditional,
}
# What the class calls it: where it stands in the gateway's form.
_PLACES: dict[str, tuple[str | int, ...]] = {
    "timeout": ("request_timeout",),
    "model": ("override_params", "model"),
    "target": ("targets", 0),
    "circuit_breaker": ("strategy", "cb_config"),
    **{name: ("strategy", name) for name in ("conditions", "default", "on_status_codes")},
}
_ADVICE = {
    "model": "the gateway does not look at it; write it in override_params",
    "id": "a hosted config's own; leave it out",
    "is_open": "the client keeps the circuits; leave it out",
    "before_request_hooks": "write them as input_guardrails",
    "after_request_hooks": "write them as output_guardrails",
    "timeout": "here it is request_timeout, in milliseconds",
}


def from_config(config: Mapping[str, Any]) -> Route:
    """The route of a gateway's config, such as users of Agno's `Portkey` pass it.

    A config without provider or targets, as `{"retry": ...}`, becomes a `Target` without provider.
    `request_timeout` becomes the limit for answers and first tokens alike. Unknown keys, which
    the gateway would let pass, raise ConfigurationError with their path.
    """
    return _route(config, ROOT)


def _route(data: object, path: str) -> Route:
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{path}: a mapping, not {type(data).__name__}")
    if not data:
        raise ConfigurationError(f"{path}: it is empty; give a provider, or strategy and targets")
    if "strategy" in data:
        return _strategy(data, path)
    if "targets" in data:
        raise ConfigurationError(
            f"{path}.strategy: missing; without it the gateway does not look at the targets"
        )
    _refuse_unknown(data, (*_TARGET, *_COMMON), path)
    own = {name: data[name] for name in _TARGET if name in data}
    return _build(Target, {**own, **_common(data, path)}, path)


def _strategy(data: Mapping[str, Any], path: str) -> Route:
    _refuse_unknown(data, ("strategy", "targets", *_COMMON), path)
    strategy = data["strategy"]
    if not isinstance(strategy, Mapping):
        raise ConfigurationError(f"{path}.strategy: a mapping, not {type(strategy).__name__}")
    mode = strategy.get("mode")
    if mode not in _STRATEGIES:
        known = ", ".join(_STRATEGIES)
        raise ConfigurationError(f"{path}.strategy.mode: one of {known}, not {mode!r}")
    cls = _STRATEGIES[mode]
    asked = [name for name in ("on_status_codes", "conditions", "default") if _has(cls, name)]
    _refuse_unknown(strategy, ("mode", "cb_config", *asked), f"{path}.strategy")
    given = {name: strategy[name] for name in asked if name in strategy}
    if "cb_config" in strategy:
        given["circuit_breaker"] = strategy["cb_config"]
    return _build(cls, {**given, **_targets(data, cls, path), **_common(data, path)}, path)


def _has(cls: type[Part], name: str) -> bool:
    return name in cls.model_fields


def _targets(data: Mapping[str, Any], cls: type[Strategy], path: str) -> dict[str, Any]:
    given = data.get("targets")
    if not isinstance(given, list | tuple) or not given:
        raise ConfigurationError(f"{path}.targets: a list of at least one target")
    found = [_route(each, below(path, index)) for index, each in enumerate(given)]
    if not issubclass(cls, Single):
        return {"targets": found}
    if len(found) > 1:
        raise ConfigurationError(f"{path}.targets: mode single asks the first alone; give one")
    return {"target": found[0]}


def _common(data: Mapping[str, Any], path: str) -> dict[str, Any]:
    found = {name: data[name] for name in _SAME if name in data}
    for name in _GUARDRAILS:
        if name in data:
            found[name] = _guardrails(data[name], f"{path}.{name}")
    if "request_timeout" in data:
        milliseconds = data["request_timeout"]
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
            raise ConfigurationError(f"{path}.request_timeout: a number of milliseconds")
        found["timeout"] = dict.fromkeys(("answer", "first_token"), milliseconds / 1000)
    return found


def _guardrails(data: object, path: str) -> list[Guardrail | str]:
    if not isinstance(data, list | tuple):
        raise ConfigurationError(f"{path}: a list of guardrails or ids")
    return [
        each if isinstance(each, str) else _guardrail(each, f"{path}[{index}]")
        for index, each in enumerate(data)
    ]


def _guardrail(data: object, path: str) -> Guardrail:
    """A guardrail in the gateway's shorthand; there, one that does not say `deny` does not."""
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{path}: a mapping of checks, or an id")
    options: dict[str, Any] = {"deny": False}
    checks = []
    for key, value in data.items():
        if key in ("deny", "id", "on_fail", "on_success", "sequential"):
            options[key] = value
        elif key == "async":
            options["background"] = value
        elif not isinstance(value, Mapping):
            raise ConfigurationError(f"{path}.{key}: the parameters of a check, as a mapping")
        else:
            checks.append(_check(key, value))
    return _build(Guardrail, {**options, "checks": checks}, path)


def _check(key: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: each for name, each in parameters.items() if name not in ("id", "is_enabled")}
    enabled = parameters.get("is_enabled", True) is not False
    return {"id": parameters.get("id") or key, "parameters": own, "enabled": enabled}


def _build(cls: type[P], fields: dict[str, Any], path: str) -> P:
    """An instance of `cls`; what is wrong with it is said in terms of the gateway's form."""
    try:
        return cls(**fields)
    except PartError as error:
        problems = [(_place(where), why) for where, why in error.problems]
    raise part_error(path, problems)


def _place(where: tuple[str | int, ...]) -> tuple[str | int, ...]:
    if not where:
        return where
    first, *rest = where
    return (*_PLACES.get(str(first), (first,)), *rest)


def _refuse_unknown(data: Mapping[str, Any], known: Collection[str], path: str) -> None:
    if unknown := [str(key) for key in data if key not in known]:
        raise ConfigurationError(
            "; ".join(f"{path}.{key}: {_advice(key, known)}" for key in unknown)
        )


def _advice(key: str, known: Collection[str]) -> str:
    if key in _ADVICE:
        return _ADVICE[key]
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", key)
    return f"no such field, and the gateway would pass over it{did_you_mean(snake, known)}"
