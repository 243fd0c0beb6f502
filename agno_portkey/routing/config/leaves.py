"""The targets of a route with what they inherit, in the order in which they are preferred."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from agno_portkey.routing.config.parts import Timeout
from agno_portkey.routing.config.routes import Route, Target, children

__all__ = ["ROOT", "Leaf", "below", "leaves"]

# The gateway's name for the outermost route.
ROOT = "config"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One target with what it inherits.

    `path` is as the gateway names it, `config.targets[1].targets[0]`; `name` unique within the
    route; `model` is None where the request's own stays; `parents` are the paths of the
    strategies above, outermost first; `output_guardrails` tells whether any apply.
    """

    path: str
    name: str
    target: Target
    model: str | None
    provider: str | None
    custom_host: str | None
    timeout: Timeout
    parents: tuple[str, ...]
    output_guardrails: bool = False


def leaves(route: Route) -> tuple[Leaf, ...]:
    """The targets of `route`, depth first, which is their order of preference."""
    found: list[Leaf] = []
    _collect(route, ROOT, (), _Inherited(), found)
    times = Counter(leaf.name for leaf in found)
    paths = {leaf.path for leaf in found}
    return tuple(
        replace(leaf, name=leaf.path) if times[leaf.name] > 1 or leaf.name in paths else leaf
        for leaf in found
    )


def below(path: str, index: int) -> str:
    """The path of a strategy's child."""
    return f"{path}.targets[{index}]"


@dataclass(frozen=True, slots=True)
class _Inherited:
    model: str | None = None
    custom_host: str | None = None
    timeout: Timeout = field(default_factory=Timeout)
    output_guardrails: bool = False

    def of(self, route: Route) -> _Inherited:
        model = route.model if isinstance(route, Target) else route.override_params.get("model")
        guardrails = route.output_guardrails
        return _Inherited(
            self.model if model is None else str(model),
            route.custom_host or self.custom_host,
            route.timeout.or_else(self.timeout) if route.timeout else self.timeout,
            self.output_guardrails if guardrails is None else bool(guardrails),
        )


def _collect(
    route: Route, path: str, parents: tuple[str, ...], above: _Inherited, found: list[Leaf]
) -> None:
    here = above.of(route)
    if isinstance(route, Target):
        # Hosted Portkey's `@slug/model` says it all.
        named = f"{route.provider}/{here.model}" if route.provider else here.model
        found.append(
            Leaf(
                path,
                route.name or (here.model and named) or path,
                route,
                here.model,
                route.provider or _slug_of(here.model),
                here.custom_host,
                here.timeout,
                parents,
                here.output_guardrails,
            )
        )
    for index, child in enumerate(children(route)):
        _collect(child, below(path, index), (*parents, path), here, found)


def _slug_of(model: str | None) -> str | None:
    """The provider in hosted Portkey's `@slug/model`."""
    return model.partition("/")[0] if model and model.startswith("@") else None
