"""The survey: walks everything that owners can reach, and sorts what it finds.

Breadth first, so that the shortest path to a thing is the one that is printed. What is reached
without an excuse is looked at first: nothing is excused that can be reached otherwise as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agno.agent import Agent
from agno.knowledge.protocol import KnowledgeProtocol
from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function

from agno_portkey.errors import UngovernedPathError
from agno_portkey.model import PortkeyModel
from agno_portkey.reach.allow import Allow
from agno_portkey.reach.children import Edge, edges_of, is_plain
from agno_portkey.reach.code import functions_of, sdk_named_by
from agno_portkey.reach.finds import Factory, Hidden, Place
from agno_portkey.reach.providers import defaulted, overrides, reaches
from agno_portkey.walk import FALLBACKS, MANAGERS, OWN_MODELS, Owner, name_of

__all__ = ["Survey", "refuse_paths"]

# Far beyond what a team holds; more than that is data that nobody should hand to a tool whole.
_MOST = 200_000
# Sessions, databases, and what the host keeps for itself; `_team` leads up, to another owner.
_SKIPPED = frozenset(
    {
        "db",
        "media_storage",
        "session_state",
        "_team",
        "_cached_session",
        "_cached_session_db",
        "_formatter",
        "_background_executor",
        "_callable_tools_cache",
        "_callable_knowledge_cache",
        "_callable_members_cache",
        "_result_store",
        "_result_store_setting",
        "_inherited_result_store",
    }
)
# What the host calls to get its tools, members or knowledge, and the callables that it does not.
_FACTORIES: dict[str, tuple[type[Any], ...]] = {
    "tools": (Toolkit, Function),
    "members": (),
    "knowledge": (KnowledgeProtocol,),
}
_UNSET = "is not set: the host would take its own default; give a PortkeyModel"


@dataclass(frozen=True, slots=True)
class _Way:
    """How something was reached. `lenient` is inside a factory, whose products come later."""

    aide: bool = False
    bare: bool = False
    lenient: bool = False
    excuse: object | None = None
    holder: Owner | None = None

    @property
    def rank(self) -> int:
        return 2 if self.excuse is not None else int(self.lenient)


class Survey:
    """What can be reached from the owners and objects that it was told to look at.

    `refused` lists the ways round the gateway; `fixed` the `PortkeyModel`s that can't be
    replaced by bound copies, since a closure or a global holds them; `places` those that can;
    `slots` the models that owners hold by themselves, `hidden` the agents and teams that are no
    members, `factories` what makes more at run time.
    `known` owners are looked at only where they are given; `prepare` is called with each that
    is found. One that is `taken`, by another governance, is refused, or, where that is excused,
    one of `shared`, beneath which nothing is looked at.
    """

    def __init__(
        self,
        *,
        allow: Allow,
        known: Iterable[Owner] = (),
        prepare: Callable[[Owner], object] = lambda owner: None,
        taken: Callable[[Owner], bool] = lambda owner: False,
    ) -> None:
        self.refused: list[tuple[str, str]] = []
        self.fixed: list[tuple[str, PortkeyModel]] = []
        self.places: list[Place] = []
        self.slots: list[tuple[str, PortkeyModel]] = []
        self.hidden: list[Hidden] = []
        self.shared: list[Owner] = []
        self.factories: list[Factory] = []
        self.used: list[object] = []
        self._allow = allow
        self._prepare, self._taken = prepare, taken
        self._known = {id(owner) for owner in known}
        self._seen: set[int] = set()
        self._managers: set[int] = set()
        # Strict, then what factories hold, then what is excused.
        self._queues: tuple[deque[tuple[str, Any, _Way]], ...] = (deque(), deque(), deque())
        self._kept: list[Any] = []

    def owner(self, owner: Owner, path: str | None = None, *, aide: bool = False) -> None:
        """Look at a member, and at everything it holds; printed by its name."""
        self._known.add(id(owner))
        self._queues[0].append((path or name_of(owner), owner, _Way(aide=aide)))
        self._walk()

    def look(
        self, path: str, held: object, *, bare: bool = False, holder: Owner | None = None
    ) -> None:
        """Look at one object, printed as `path`, that `holder` gets."""
        if not is_plain(held):
            self._meet(path, Edge("", held), _Way(bare=bare, holder=holder))
            self._walk()

    def finish(self) -> None:
        """Look at what factories hold and at what is excused, once all else is known."""
        for rank in (1, 2):
            while self._queues[rank]:
                self._queues[0].append(self._queues[rank].popleft())
                self._walk()

    @property
    def example(self) -> str | None:
        """The path of something that could be allowed."""
        return next((path for path, _ in (*self.refused, *self.fixed)), None)

    def check_allowed(self) -> None:
        """Refuse what was allowed and is not found."""
        self._allow.check(self.used, [factory.path for factory in self.factories])

    def _walk(self) -> None:
        queue = self._queues[0]
        while queue:
            path, held, way = queue.popleft()
            if id(held) in self._seen:
                continue
            self._seen.add(id(held))
            # Bound methods and the like are made when asked for: kept, so that no id is used twice.
            self._kept.append(held)
            if len(self._seen) > _MOST:
                self._refuse(path, f"is beyond the first {_MOST} objects: too many to see", way)
                queue.clear()
            elif isinstance(held, Agent | Team):
                self._of_owner(path, held, way)
            else:
                self._of_object(path, held, way)

    def _of_object(self, path: str, held: Any, way: _Way) -> None:
        if (said := defaulted(held)) is not None:
            self._refuse(f"{path}.model", said, way)
        if (package := sdk_named_by(type(held))) is not None:
            name = type(held).__name__
            self._refuse(path, f"is agno's {name}: it asks {package} by itself", way)
            return
        slot = id(held) in self._managers
        for edge in edges_of(held, makes_things=not way.lenient):
            self._meet(path + edge.name, edge, way, slot=slot and edge.key == "model")

    def _of_owner(self, path: str, owner: Owner, way: _Way) -> None:
        if id(owner) not in self._known:
            self._known.add(id(owner))
            if self._taken(owner):
                self.shared.append(owner)
                self._refuse(path, _TAKEN, way)
                return
            if getattr(owner, "model", None) is not None:
                self._prepare(owner)
            self.hidden.append(Hidden(path, owner, way.aide, way.bare, way.holder))
        way = replace(way, holder=owner)
        self._of_class(path, type(owner), way)
        for edge in _slots_of(owner):
            if edge.held is None or isinstance(edge.held, str):
                said = _UNSET if edge.held is None else f"is the name {edge.held!r}: " + _GIVE
                self._refuse(path + edge.name, said, way)
            else:
                self._meet(path + edge.name, edge, way, slot=True)
        for name, held in list(vars(owner).items()):
            if name in _SKIPPED or name in _MODEL_SLOTS or name.startswith("_agno_portkey"):
                continue
            if is_plain(held):
                continue
            if name in MANAGERS:
                self._managers.add(id(held))
            self._of_slot(path, owner, name, held, way)

    def _of_class(self, path: str, kind: type[Any], way: _Way) -> None:
        """Look at what a user's kind of agent, team or model adds to the host's or ours."""
        for name, held in functions_of(kind, built=True):
            if not is_plain(held):
                self._meet(f"{path}.{name}", Edge("", held), way)

    def _of_slot(self, path: str, owner: Owner, name: str, held: Any, way: _Way) -> None:
        where = f"{path}.{name}"
        if name in _FACTORIES and _is_factory(name, held):
            self.factories.append(Factory(where, owner, name))
            way = replace(way, lenient=True)
        elif name == "members":
            if not isinstance(held, list):
                self._refuse(where, "is made at run time; give a list", way)
            for at, member in enumerate(held if isinstance(held, list) else ()):
                if not isinstance(member, Agent | Team) and reaches(member) is None:
                    kind = type(member).__name__
                    self._refuse(f"{where}[{at}]", f"is a {kind}, and no Agent or Team", way)
        elif name in ("pre_hooks", "post_hooks"):
            for at, hook in enumerate(held if isinstance(held, list) else ()):
                if isinstance(hook, type):
                    said = f"is the class {hook.__name__}, which never runs: make one"
                    self._refuse(f"{where}[{at}]", said, way)
        self._meet(where, Edge(f".{name}", held, owner, name), way)

    def _meet(self, path: str, edge: Edge, way: _Way, *, slot: bool = False) -> None:
        """Sort one thing that is held: refuse it, note it, or look at it later."""
        held = edge.held
        if way.excuse is None and (entry := self._allow.of(path, held)) is not None:
            way = replace(way, excuse=entry)
        said = edge.wrong or reaches(held)
        if said is not None:
            self._refuse(path, said, way)
        elif isinstance(held, PortkeyModel):
            self._of_model(path, edge, way, slot)
        elif id(held) not in self._known and id(held) not in self._seen:
            self._queues[way.rank].append((path, held, way))

    def _of_model(self, path: str, edge: Edge, way: _Way, slot: bool) -> None:
        model: PortkeyModel = edge.held
        if slot:
            self.slots.append((path, model))
        elif edge.holder is not None:
            self.places.append(Place(path, edge, way.aide, way.bare, way.holder))
        elif not way.lenient:
            if way.excuse is None:
                self.fixed.append((path, model))
            else:
                self.used.append(way.excuse)
        if (said := overrides(type(model))) is not None:
            self._refuse(path, said, way)
        self._of_class(path, type(model), way)
        bare = replace(way, bare=True)
        for name in ("guards", "observers"):
            for at, held in enumerate(getattr(model, name)):
                self._meet(f"{path}.{name}[{at}]", Edge("", held), bare)

    def _refuse(self, path: str, said: str, way: _Way) -> None:
        entry = way.excuse if way.excuse is not None else self._allow.of(path, None)
        if entry is not None:
            self.used.append(entry)
        elif (path, said) not in self.refused:
            self.refused.append((path, said))


def refuse_paths(paths: Sequence[str], found: Survey) -> None:
    """Raise `UngovernedPathError` with all `paths`, if there are any, and how to allow one."""
    if paths:
        said = "these ways lead round the gateway or the gate:\n- " + "\n- ".join(paths)
        if (example := found.example) is not None:
            said += f"\nOne that is meant to be there: govern(..., allow=[{example!r}])"
        raise UngovernedPathError(said)


_GIVE = "give a PortkeyModel"
_TAKEN = (
    "is governed already, by itself or with another: give each its own (a deep_copy() made before "
    "it was governed), or allow it to be asked as it is"
)
_MODEL_SLOTS = frozenset({"model", *OWN_MODELS, "fallback_models"})


def _slots_of(owner: Owner) -> Iterator[Edge]:
    """The models that an owner holds by itself, which are bound to it where they stand."""
    yield Edge(".model", owner.model, owner, "model")
    for slot in OWN_MODELS:
        if (held := getattr(owner, slot, None)) is not None:
            yield Edge(f".{slot}", held, owner, slot)
    for chain in FALLBACKS:
        models = getattr(owner.fallback_config, chain, None) or []
        for at, held in enumerate(models):
            yield Edge(f".fallback_config.{chain}[{at}]", held, models, at)


def _is_factory(name: str, held: object) -> bool:
    return callable(held) and not isinstance(held, (*_FACTORIES[name], type))
