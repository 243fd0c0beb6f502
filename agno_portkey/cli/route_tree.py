"""A route as it is shown: its tree for reading, and its JSON without secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from rich.text import Text
from rich.tree import Tree

from agno_portkey.routing.config.emit import Profile, emit
from agno_portkey.routing.config.leaves import ROOT, Leaf, below, leaves
from agno_portkey.routing.config.parts import GatewayCheck, Part
from agno_portkey.routing.config.references import is_reference
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Target,
    children,
)
from agno_portkey.routing.unkeyed import without_secrets

__all__ = ["route_tree", "shown_config"]

_HIDDEN = "<hidden>"
_FROM = "<from "
_SIGNS = {
    "$eq": "==",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$in": "in",
    "$nin": "not in",
    "$regex": "matches",
}


def route_tree(route: Route) -> Tree:
    """Strategies with their targets below them: names, providers, models, weights, conditions."""
    found = {leaf.path: leaf for leaf in leaves(route)}
    tree = Tree(_label(route, ROOT, found, None))
    _grow(tree, route, ROOT, found)
    return tree


def _grow(tree: Tree, route: Route, path: str, found: Mapping[str, Leaf]) -> None:
    for index, child in enumerate(children(route)):
        place = below(path, index)
        branch = tree.add(_label(child, place, found, route))
        _grow(branch, child, place, found)


def _label(route: Route, path: str, found: Mapping[str, Leaf], parent: Route | None) -> Text:
    label = Text()
    if isinstance(parent, Conditional):
        label.append(_condition(parent, route) + " ", "dim")
    if isinstance(route, Target):
        leaf = found[path]
        label.append(leaf.name, "bold")
        label.append(f"  {leaf.provider or 'provider of the request'}", "cyan")
        label.append(f" {leaf.model or 'model of the request'}")
    else:
        label.append(_strategy(route), "magenta")
        if route.name:
            label.append(f"  {route.name}", "bold")
    if isinstance(parent, LoadBalance):
        label.append(f"  weight {1 if route.weight is None else route.weight:g}", "yellow")
    return label.append(_extras(route), "dim")


def _strategy(route: Route) -> str:
    if isinstance(route, Fallback):
        codes = ", ".join(map(str, route.on_status_codes or ()))
        return f"fallback on {codes}" if codes else "fallback"
    if isinstance(route, LoadBalance):
        sticky = f", sticky by {route.sticky}" if route.sticky else ""
        experiment = f", experiment {route.experiment}" if route.experiment else ""
        return f"loadbalance{sticky}{experiment}"
    return "conditional" if isinstance(route, Conditional) else "single"


def _condition(parent: Conditional, child: Route) -> str:
    """When a child of `parent` is taken."""
    said = [_query(when.query.as_json()) for when in parent.conditions if when.then == child.name]
    if said:
        else_too = ", else" if parent.default == child.name else ""
        return f"when {' or '.join(said)}{else_too}:"
    return "else:" if parent.default == child.name else "never:"


def _query(query: Mapping[str, Any]) -> str:
    [(key, value)] = query.items()
    if key in ("$and", "$or"):
        return f"({f' {key[1:]} '.join(map(_query, value))})"
    [(operator, operand)] = value.items()
    return f"{key} {_SIGNS[operator]} {json.dumps(operand, ensure_ascii=False)}"


def _extras(route: Route) -> str:
    parts = []
    if route.custom_host:
        parts.append(f"at {route.custom_host}")
    if route.timeout:
        given = route.timeout.model_dump(exclude_none=True)
        parts.append(", ".join(f"{name} {seconds:g} s" for name, seconds in given.items()))
    if route.retry and route.retry.attempts:
        parts.append(f"{route.retry.attempts} retries")
    if route.cache:
        parts.append(f"{route.cache.mode} cache")
    guardrails = [*(route.input_guardrails or ()), *(route.output_guardrails or ())]
    if guardrails:
        parts.append("guarded")
    return "".join(f"  {part}" for part in parts)


# Its JSON


def shown_config(route: Route, *, profile: Profile) -> dict[str, Any]:
    """The gateway's JSON of the whole of `route`: of secrets, it shows the variable's name at most.

    No variable need be set.
    """
    emitted = emit(_veiled(route), profile=profile, one_at_a_time=False)
    config: dict[str, Any] = json.loads(emitted.header) if emitted else {}
    shown: dict[str, Any] = _marked(config, without_secrets(config))
    return shown


def _veiled(value: Any) -> Any:
    """A copy of a part in which no secret is left that sending would look up or send."""
    if isinstance(value, GatewayCheck):
        return value.model_copy(update={"parameters": _without_references(value.parameters)})
    if isinstance(value, Part):
        update = {name: _veiled(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, Target) and value.vertex_service_account_json is not None:
            # Sending takes it for the text of an object.
            source = update["vertex_service_account_json"].get_secret_value()
            update["vertex_service_account_json"] = SecretStr(json.dumps({"json": source}))
        return value.model_copy(update=update)
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return SecretStr(_source(text) if is_reference(text) else _HIDDEN)
    return tuple(map(_veiled, value)) if isinstance(value, tuple) else value


def _without_references(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_references(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_references(each) for each in value]
    return _source(value) if isinstance(value, str) and is_reference(value) else value


def _source(reference: str) -> str:
    return f"{_FROM}{reference[2:-1]}>"


def _marked(value: Any, kept: Any) -> Any:
    """`value` with a mark in place of all that is missing from `kept`."""
    if isinstance(value, Mapping) and isinstance(kept, Mapping):
        return {
            name: _marked(each, kept[name]) if name in kept else _hidden(each)
            for name, each in value.items()
        }
    if isinstance(value, list) and isinstance(kept, list):
        return [_marked(*both) for both in zip(value, kept, strict=True)]
    return kept


def _hidden(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return value if isinstance(value, str) and value.startswith(_FROM) else _HIDDEN
