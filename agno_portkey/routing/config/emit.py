"""What goes into `x-portkey-config`: a route as the gateway's JSON, and whom it may reach.

The gateway skips a target that is marked `is_open`, if the config has an `id`; if all targets of
a strategy are, it asks them all the same. So the strategy above is marked then, up to the root.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.gateway_form import strategy_form, target_form
from agno_portkey.routing.config.leaves import ROOT, Leaf, below, leaves
from agno_portkey.routing.config.routes import (
    AnyStrategy,
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Target,
    children,
)
from agno_portkey.secrets.hidden import Hidden

__all__ = ["ROOT", "Emitted", "Leaf", "Phase", "Profile", "emit", "leaves"]

Phase = Literal["answer", "first_token"]
Profile = Literal["hosted", "open_source"]

# Any id makes the gateway heed `is_open`.
_CONFIG_ID = "agno-portkey"
_NO_PICKS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Emitted:
    """A config as sent, and whom it may reach: `header` is the JSON, in ASCII, with its keys."""

    header: str = field(repr=False)
    live: tuple[Leaf, ...]
    output_guardrails: bool
    _sent: Mapping[str, Leaf] = field(repr=False)

    def leaf(self, option_index: str | None) -> Leaf | None:
        """Whom `x-portkey-last-used-option-index` names, if anybody of this route."""
        return self._sent.get(option_index) if option_index is not None else None


def emit(
    route: Route,
    *,
    profile: Profile = "open_source",
    closed: Collection[str] = (),
    picks: Mapping[str, int] = _NO_PICKS,
    one_at_a_time: bool = True,
    default_timeout: float | None = None,
    phase: Phase = "answer",
) -> Emitted | None:
    """The config to send, or None where everybody it may ask is `closed`.

    `closed` are paths of leaves not to be asked. `picks` says which child of a load balancer
    (by its path) to ask; one that is closed closes the balancer. With `one_at_a_time` a fallback
    keeps its first live child alone. `default_timeout` is in seconds, for leaves without one.
    A condition whose target is closed is never led to another: the gateway answers 400 then
    (hosted Portkey asks the target all the same).
    """
    plan = _Plan(
        {leaf.path: leaf for leaf in leaves(route)},
        hosted=profile == "hosted",
        closed=frozenset(closed),
        picks=picks,
        one_at_a_time=one_at_a_time,
        default_timeout=default_timeout,
        phase=phase,
    )
    if not plan.is_live(route, ROOT):
        return None
    config = plan.form(route, ROOT, ROOT)
    if plan.flagged:
        config["id"] = _CONFIG_ID
    header = Hidden(json.dumps(config, separators=(",", ":"), allow_nan=False))
    live = tuple(plan.live)
    return Emitted(header, live, any(leaf.output_guardrails for leaf in live), plan.sent)


@dataclass(slots=True)
class _Plan:
    """One emission: what is to be sent, and what came of it so far."""

    leaves: Mapping[str, Leaf]
    hosted: bool
    closed: frozenset[str]
    picks: Mapping[str, int]
    one_at_a_time: bool
    default_timeout: float | None
    phase: Phase
    flagged: bool = False
    live: list[Leaf] = field(default_factory=list)
    sent: dict[str, Leaf] = field(default_factory=dict)

    def is_live(self, route: Route, path: str) -> bool:
        """Whether a target in `route` may be asked."""
        if isinstance(route, Target):
            return path not in self.closed
        return any(
            self._choosable(route, path, index) and self.is_live(child, below(path, index))
            for index, child in enumerate(children(route))
        )

    def form(
        self, route: Route, path: str, sent_path: str, *, asked: bool = True, forced: bool = False
    ) -> dict[str, Any]:
        """`route` as JSON; `asked` if the gateway may come here, `forced` if all of it has to stay.

        `sent_path` is its path in what is sent, where children may be missing.
        """
        if isinstance(route, Target):
            leaf = self.leaves[path]
            self.sent[sent_path] = leaf
            if asked:
                self.live.append(leaf)
            return target_form(route, path=path, timeout=self._timeout(leaf))
        kept = self._kept(route, path, forced)
        # The conditions name all branches; without one, a condition would lead to nowhere.
        leaves_out = self.hosted and not isinstance(route, Conditional)
        forms: list[dict[str, Any]] = []
        for index, child in enumerate(children(route)):
            stays = index in kept
            if leaves_out and not stays:
                continue
            form = self.form(
                child,
                below(path, index),
                below(sent_path, len(forms)),
                asked=asked and (stays or self.hosted) and self._choosable(route, path, index),
                forced=forced or (self.hosted and not stays),
            )
            if not stays and not self.hosted:
                form["is_open"] = self.flagged = True
            if path in self.picks and child.weight == 0:
                form["weight"] = 1
            forms.append(form)
        return strategy_form(cast("AnyStrategy", route), forms, path=path)

    def _kept(self, route: Route, path: str, forced: bool) -> list[int]:
        """The children that stay as they are."""
        live = [
            index
            for index, child in enumerate(children(route))
            if forced or self.is_live(child, below(path, index))
        ]
        if isinstance(route, Fallback) and self.one_at_a_time:
            return live[:1]
        if isinstance(route, LoadBalance) and path in self.picks:
            return [index for index in live if index == self.picks[path]]
        return live

    def _choosable(self, route: Route, path: str, index: int) -> bool:
        """Whether the strategy may choose this child at all, be it live or not."""
        if isinstance(route, Conditional):
            named = (route.default, *(each.then for each in route.conditions))
            return route.targets[index].name in named
        if not isinstance(route, LoadBalance):
            return True
        if (pick := self.picks.get(path)) is None:
            return route.targets[index].weight != 0
        if not 0 <= pick < len(route.targets):
            last = len(route.targets) - 1
            raise ConfigurationError(f"picks[{path!r}]: {pick}, but its children are 0 to {last}")
        return index == pick

    def _timeout(self, leaf: Leaf) -> int | None:
        """The gateway's limit for the time to the answer's headers, in milliseconds."""
        own = leaf.timeout.answer if self.phase == "answer" else leaf.timeout.first_token
        seconds = own or self.default_timeout
        return max(1, round(seconds * 1000)) if seconds else None
