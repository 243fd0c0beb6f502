"""The one target of a model's route that a batch is at: its headers, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.leaves import ROOT, Leaf, below
from agno_portkey.routing.config.routes import Route, children
from agno_portkey.routing.connection import without_made_up_key

__all__ = ["OneTarget"]


class OneTarget:
    """Where the files and batches of `model` go; `name` is needed where its route has several."""

    def __init__(self, model: PortkeyModel, name: str | None) -> None:
        self._model = model
        plan = model.router.plan(model)
        known = {leaf.name: leaf for leaf in plan.leaves}
        if name is None and len(known) > 1:
            raise ConfigurationError(
                f"target: a batch is at one provider; name one of {', '.join(known)}"
            )
        if name is not None and (plan.route is None or name not in known):
            raise ConfigurationError(
                f"target: {name!r} is no target of the model's route "
                f"({', '.join(known) if plan.route is not None else 'it has none'})"
            )
        self._leaf = known[name] if name is not None else plan.leaves[0]
        self._others = frozenset(leaf.path for leaf in plan.leaves) - {self._leaf.path}
        way = _way(plan.route, self._leaf)
        _refuse_checks(way)
        self._overrides: dict[str, Any] = {}
        for each in way:
            self._overrides |= each.override_params
        if self._leaf.model is not None:
            self._overrides["model"] = self._leaf.model

    def asked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request as the gateway would make it for the target."""
        # It changes no lines of files.
        return {**body, **self._overrides}

    def headers(self, who: Any) -> dict[str, Any]:
        """What goes with each request: the tags of `who`, the route and the user's own."""
        model = self._model
        emitted = model.router.plan(model).emit(self._others)
        if emitted is None:
            raise ConfigurationError(f"target: {self._leaf.name} can't be asked by itself")
        headers = {**(model.extra_headers or {}), **model.metadata_of(who, {})}
        if emitted.header:
            headers["x-portkey-config"] = emitted.header
        return without_made_up_key(model, headers)


def _way(route: Route | None, leaf: Leaf) -> list[Route]:
    """The strategies down to `leaf`, and its target."""
    if route is None:
        return []
    way, path = [route], ROOT
    while path != leaf.path:
        for index, child in enumerate(children(way[-1])):
            at = below(path, index)
            if leaf.path == at or leaf.path.startswith(f"{at}."):
                path = at
                way.append(child)
                break
        else:
            break
    return way


def _refuse_checks(way: list[Route]) -> None:
    for name in ("input_guardrails", "output_guardrails"):
        said = [held for each in way if (held := getattr(each, name)) is not None]
        if said and said[-1]:
            raise ConfigurationError(
                f"config.{name}: the gateway's guardrails do not look into the files of a batch; "
                "give the model guards, or the batch another target"
            )
