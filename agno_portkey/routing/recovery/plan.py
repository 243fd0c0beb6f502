"""The route of a model as the client walks it: its targets, their circuits, and what is sent."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno_portkey.routing.config.conditions import branch_of
from agno_portkey.routing.config.emit import ROOT, Emitted, Leaf, Phase, Profile, emit, leaves
from agno_portkey.routing.config.parts import Timeout
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Strategy,
    Target,
    children,
)
from agno_portkey.routing.experiments.arms import pick
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.routing.unkeyed import references_in
from agno_portkey.secrets.hidden import Hidden

__all__ = ["Place", "Plan", "Who", "continues"]

# The gateway's address, and the provider, host and key that headers name.
Place = tuple[str | None, ...]
# The child to ask of each balanced strategy, by its path.
Picks = tuple[tuple[str, int], ...]

# Whose API documents that it goes on with an assistant message at the end of the request. Others
# take one and begin anew.
_PREFILLS = frozenset({"anthropic"})

# How many forms of one config are kept ready to send; most calls need the first.
_READY = 256
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, as far as an arm sticks to them."""

    user: str | None = None
    session: str | None = None
    run: str | None = None

    @classmethod
    def of(cls, run_response: Any) -> Who:
        """The user, session and run of Agno's run output."""
        return cls(
            getattr(run_response, "user_id", None),
            getattr(run_response, "session_id", None),
            getattr(run_response, "run_id", None),
        )

    def key(self, sticky: str | None) -> str | None:
        """What an arm sticks to; where that is not known, the next best."""
        if sticky is None:
            return None
        named = (self.user, self.session, self.run)
        return next((each for each in named[sticky != "user" :] if each), None)


class Plan:
    """What the calls of one model share.

    `route` is none where headers name the provider, or a hosted config's id (`opaque`) the route:
    then there is one leaf, of which only its outcome is known. `keys` are the names of the
    leaves' circuits, by path.
    """

    def __init__(
        self,
        route: Route | None,
        *,
        profile: Profile,
        recovery: Recovery,
        model_id: str,
        place: Place,
        opaque: str | None = None,
    ) -> None:
        self.route = route
        self.profile: Profile = profile
        self.recovery = recovery
        self.opaque = opaque
        self._place = place
        self.leaves = leaves(route) if route is not None else (_lone(opaque or "", place),)
        self.keys = {leaf.path: _circuit_key(leaf, model_id, place) for leaf in self.leaves}
        self._alone = Emitted(opaque or "", self.leaves, False, {ROOT: self.leaves[0]})
        self._strategies = dict(_walk(route, ROOT)) if route is not None else {}
        self._references = tuple(sorted(set(references_in(route))))
        self._ready: dict[Any, Any] = {}
        self._lock = threading.Lock()

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells whom the calls go to from what other models' go to; no key is in it."""
        url, provider, host, _key, virtual_key = self._place
        route = self.route.model_dump_json() if self.route is not None else self.opaque
        return (url, provider, host, virtual_key, route)

    def emit(
        self,
        closed: frozenset[str],
        picks: Picks = (),
        phase: Phase = "answer",
        *,
        patient: bool = False,
    ) -> Emitted | None:
        """What is sent while the leaves at the paths in `closed` are not to be asked.

        `patient` is who has nobody else to ask: a first token may take as long as an answer.
        """
        if self.route is None:
            return None if closed else self._alone
        # A key may have another value by now: references are read when a request is made.
        keys = tuple(Hidden(os.environ.get(name, "")) for name in self._references)
        asked = (closed, picks, phase, patient, keys)
        ready: Any = self._ready.get(asked, _MISSING)
        if ready is _MISSING:
            made = emit(
                self.route,
                profile=self.profile,
                closed=closed,
                picks=dict(picks),
                one_at_a_time=self.recovery.by == "client",
                default_timeout=self.limit(Timeout(), phase, patient=patient),
                phase=phase,
            )
            with self._lock:
                while len(self._ready) >= _READY:
                    del self._ready[next(iter(self._ready))]
                self._ready[asked] = made
            return made
        found: Emitted | None = ready
        return found

    def only(self, target: str | None) -> Callable[[Leaf], bool] | None:
        """Who may be asked where one target of the route is to answer; none where all may be."""
        if target is None or self.route is None:
            return None
        return lambda leaf: leaf.name == target

    def may_answer_alone(self, target: str) -> bool:
        """Whether a request comes to `target` while no other may be asked."""
        others = frozenset(leaf.path for leaf in self.leaves if leaf.name != target)
        leaf = next(leaf for leaf in self.leaves if leaf.name == target)
        if any(isinstance(self._strategies[path], Conditional) for path in leaf.parents):
            return False
        return self.route is not None and _can_answer(self.route, ROOT, others)

    def limit(self, timeout: Timeout, phase: Phase, *, patient: bool = False) -> float | None:
        """Seconds that an answer, or its first token, may take."""
        if phase == "first_token" and timeout.first_token:
            return timeout.first_token
        if phase == "answer" or patient:
            return timeout.answer or self.recovery.answer_timeout
        return self.recovery.first_token_timeout

    def arms(self, who: Who, closed: Collection[str]) -> tuple[Picks, dict[str, str]]:
        """The arm of each balanced strategy for `who`, by its path; and an experiment's tags.

        Chosen here, so that it is known who was asked even if nobody answers.
        """
        if self.recovery.by == "gateway":
            return (), {}
        picks: list[tuple[str, int]] = []
        tags: dict[str, str] = {}
        for path, node in self._strategies.items():
            if not isinstance(node, LoadBalance):
                continue
            named = [
                (each.name or f"arm-{index}", 1.0 if each.weight is None else each.weight)
                for index, each in enumerate(node.targets)
            ]
            among = [
                index
                for index in range(len(named))
                if named[index][1] > 0
                and _can_answer(node.targets[index], f"{path}.targets[{index}]", closed)
            ]
            if among:
                salt = node.experiment or path
                chosen = pick(named, who.key(node.sticky), salt=salt, among=among)
                picks.append((path, chosen))
                if not tags and (node.sticky or node.experiment):
                    tags = {"experiment": salt, "arm": named[chosen][0]}
        return tuple(picks), tags

    def barred(self, leaf: Leaf, status: int) -> frozenset[str]:
        """The paths that may not be asked after `leaf` failed with `status`.

        They stand beside it in a `Fallback` that falls back on other statuses only.
        """
        out: frozenset[str] = frozenset()
        for path, codes in self._codes(leaf):
            if status not in codes:
                out |= self._within(path)
        return out - {leaf.path}

    def lists(self, leaf: Leaf, status: int) -> bool:
        """Whether a `Fallback` above `leaf` names `status` as one to fall back on."""
        return any(status in codes for _, codes in self._codes(leaf))

    def elsewhere(self, leaf: Leaf) -> frozenset[str]:
        """The paths that the conditions which led to `leaf` have ruled out for this call."""
        out: frozenset[str] = frozenset()
        steps = (*leaf.parents, leaf.path)
        for path, taken in zip(leaf.parents, steps[1:], strict=True):
            if isinstance(self._strategies[path], Conditional):
                out |= self._within(path) - self._within(taken)
        return out

    def taken(
        self, live: Sequence[Leaf], tags: Mapping[str, Any], params: Mapping[str, Any]
    ) -> tuple[Leaf, ...]:
        """Those of `live` that the conditions lead a request to; all where that can't be told."""
        ruled_out: frozenset[str] = frozenset()
        for path, node in self._strategies.items():
            if isinstance(node, Conditional):
                index = branch_of(node, metadata=tags, params=params)
                if index is not None:
                    branch = f"{path}.targets[{index}]"
                    ruled_out |= self._within(path) - self._within(branch)
        return tuple(leaf for leaf in live if leaf.path not in ruled_out) or tuple(live)

    def _codes(self, leaf: Leaf) -> Iterator[tuple[str, Collection[int]]]:
        for path in leaf.parents:
            node = self._strategies[path]
            if isinstance(node, Fallback) and node.on_status_codes is not None:
                yield path, node.on_status_codes

    def _within(self, path: str) -> frozenset[str]:
        return frozenset(
            leaf.path for leaf in self.leaves if leaf.path == path or path in leaf.parents
        )


def continues(leaf: Leaf) -> bool:
    """Whether `leaf` goes on with an answer that it is given the beginning of."""
    if leaf.target.prefill is not None:
        return leaf.target.prefill
    return leaf.provider in _PREFILLS


def _can_answer(route: Route, path: str, closed: Collection[str]) -> bool:
    """Whether a request may come to a target of `route` that is not closed."""
    if isinstance(route, Target):
        return path not in closed
    named: set[str | None] | None = None
    if isinstance(route, Conditional):
        named = {route.default, *(each.then for each in route.conditions)}
    return any(
        _can_answer(child, f"{path}.targets[{index}]", closed)
        for index, child in enumerate(children(route))
        if (named is None or child.name in named)
        and not (isinstance(route, LoadBalance) and child.weight == 0)
    )


def _walk(route: Route, path: str) -> Iterator[tuple[str, Strategy]]:
    """The strategies of a route by their paths, outermost first."""
    if isinstance(route, Strategy):
        yield path, route
    for index, child in enumerate(children(route)):
        yield from _walk(child, f"{path}.targets[{index}]")


def _lone(opaque: str, place: Place) -> Leaf:
    """The one leaf of a route that the client can't see."""
    return Leaf(
        path=ROOT, name=opaque or "the provider", target=Target(), model=None, provider=place[1],
        custom_host=place[2], timeout=Timeout(), parents=(),
    )  # fmt: skip


def _circuit_key(leaf: Leaf, model_id: str, place: Place) -> str:
    """The same for the same target wherever it stands, and telling to read.

    Behind the `#` a digest of all that makes it another target: gateway, address, key.
    """
    held = (leaf.target.api_key, leaf.target.virtual_key)
    secrets = [str(getattr(each, "get_secret_value", lambda: None)()) for each in held]
    told = repr([place, leaf.provider, leaf.custom_host, leaf.model or model_id, secrets])
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return f"{leaf.provider or leaf.name}/{leaf.model or model_id}#{digest}"
