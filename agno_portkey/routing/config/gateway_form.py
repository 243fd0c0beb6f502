"""The gateway's JSON of routes and their parts, secrets resolved; client-side fields left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import SecretStr

from agno_portkey.routing.config.leaves import ROOT
from agno_portkey.routing.config.parts import GatewayCheck, Guardrail, Part
from agno_portkey.routing.config.provider_options import ProviderOptions
from agno_portkey.routing.config.references import resolve, resolve_all, resolve_object
from agno_portkey.routing.config.routes import AnyStrategy, Conditional, Fallback, Route, Target

__all__ = ["strategy_form", "target_form"]

_PLAIN = ("name", "weight", "custom_host", "strict_open_ai_compliance")
_KEYED = ("provider", "api_key", "virtual_key", *ProviderOptions.model_fields)
_OBJECTS = frozenset({"vertex_service_account_json"})


def target_form(target: Target, *, path: str = ROOT, timeout: int | None = None) -> dict[str, Any]:
    """A target as the gateway reads it; `timeout` in milliseconds."""
    form: dict[str, Any] = {}
    for name in _KEYED:
        value = getattr(target, name)
        if isinstance(value, SecretStr):
            read = resolve_object if name in _OBJECTS else resolve
            form[name] = read(value, path=f"{path}.{name}")
        elif value is not None:
            form[name] = value
    form.update(_common(target, path))
    if timeout is not None:
        form["request_timeout"] = timeout
    return form


def strategy_form(
    route: AnyStrategy, targets: list[dict[str, Any]], *, path: str = ROOT
) -> dict[str, Any]:
    """A strategy over `targets`, which are in the gateway's form already."""
    strategy: dict[str, Any] = {"mode": route.mode}
    if isinstance(route, Fallback) and route.on_status_codes is not None:
        strategy["on_status_codes"] = list(route.on_status_codes)
    if isinstance(route, Conditional):
        strategy["conditions"] = [
            {"query": each.query.as_json(), "then": each.then} for each in route.conditions
        ]
        if route.default is not None:
            strategy["default"] = route.default
    if route.circuit_breaker is not None:
        strategy["cb_config"] = _given(route.circuit_breaker)
    return {"strategy": strategy, "targets": targets, **_common(route, path)}


def _common(route: Route, path: str) -> dict[str, Any]:
    form = {name: value for name in _PLAIN if (value := getattr(route, name)) is not None}
    if route.retry is not None:
        form["retry"] = _given(route.retry)
    if route.cache is not None:
        form["cache"] = _given(route.cache)
    overrides = dict(route.override_params)
    if isinstance(route, Target) and route.model is not None:
        overrides["model"] = route.model
    if overrides:
        form["override_params"] = overrides
    if route.forward_headers is not None:
        form["forward_headers"] = list(route.forward_headers)
    for name in ("input_guardrails", "output_guardrails"):
        if (given := getattr(route, name)) is not None:
            form[name] = _guardrails(given, f"{path}.{name}")
    return form


def _given(part: Part) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude_none=True)


def _guardrails(given: Iterable[Guardrail | str], path: str) -> list[dict[str, Any] | str]:
    return [
        each if isinstance(each, str) else _guardrail(each, f"{path}[{index}]")
        for index, each in enumerate(given)
    ]


def _guardrail(guardrail: Guardrail, path: str) -> dict[str, Any]:
    """The gateway's shorthand: each check's parameters under its id, beside the options."""
    form: dict[str, Any] = {"deny": guardrail.deny}
    for name in ("id", "on_fail", "on_success"):
        if (value := getattr(guardrail, name)) is not None:
            form[name] = value
    if guardrail.background:
        form["async"] = True
    if guardrail.sequential:
        form["sequential"] = True
    for index, check in enumerate(guardrail.checks):
        form.update(_check(check, index, f"{path}.checks[{index}].parameters", taken=form))
    return form


def _check(
    check: GatewayCheck, index: int, path: str, *, taken: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    parameters = resolve_all(check.parameters, path=path)
    if not check.enabled:
        parameters["is_enabled"] = False
    if check.id not in taken:
        return {check.id: parameters}
    # The same check once more: the gateway takes the id from the parameters then.
    return {f"{check.id} {index}": {**parameters, "id": check.id}}
