"""What `govern` gives to everyone that it finds: bound models, hooks, and a watch over both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import takewhile
from typing import Any
from weakref import WeakSet

from agno.agent import Agent
from agno.guardrails import BaseGuardrail
from agno.team import Team

from agno_portkey.beyond import vault_databases
from agno_portkey.brakes import Brakes
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.contracts import Contract, Repair
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Charter, Seat
from agno_portkey.hooks import AuditHook, ContractHook, GateHook, TagHook
from agno_portkey.hooks.watch import WatchHook
from agno_portkey.hooks.watched import watched_kind
from agno_portkey.model import PortkeyModel
from agno_portkey.modes import Modes, mode_now
from agno_portkey.reach import Allow, Factory, Hidden, Survey, refuse_paths, seeing
from agno_portkey.routing.limits import LimitTable, reached_by
from agno_portkey.routing.recovery.allowance import Allowance
from agno_portkey.stopping import LateSwitch, StopSwitch
from agno_portkey.verdict import Observer
from agno_portkey.walk import (
    FALLBACKS,
    MANAGERS,
    OWN_MODELS,
    Owner,
    held_models,
    identity,
    initialise,
    name_of,
    place_of,
    walk,
)

__all__ = ["Binding"]

_MINE = "_agno_portkey_binding"


class Binding:
    """One governance: hands out bound models and hooks, and knows its own again.

    `strict` says that a model without them would be a way round: guards or a gate are wanted.
    What runs at one time may come from several threads: factories make things in each run.
    """

    def __init__(
        self,
        *,
        tags: Mapping[str, str],
        guards: Sequence[BaseGuardrail],
        observers: Sequence[Observer],
        allow: Allow,
        modes: Modes,
        strict: bool,
        contracts: Sequence[Contract] = (),
        repair: Repair | None = None,
        caches: Mapping[str, CachePolicy] | None = None,
        switch: StopSwitch | LateSwitch | None = None,
        swarm: str | None = None,
        budgets: Sequence[Allowance] = (),
        models: LimitTable | None = None,
        lineage: bool = False,
        audit: AuditHook | None = None,
    ) -> None:
        self.models: list[PortkeyModel] = []
        self.charter: Charter | None = None
        self.gate_hook: GateHook | None = None
        self.watch = WatchHook(self.late, lineage=lineage)
        self._tags, self._guards, self.observers = tags, guards, tuple(observers)
        self._allow, self._modes, self._strict = allow, modes, strict
        self._contracts, self._repair = contracts, repair
        self._caches = caches or {}
        self._budgets = budgets
        self._audit = audit
        self._limits = models or LimitTable()
        self.brakes = Brakes(switch, swarm, mode=modes.stop, observers=observers)
        # Only asked whether a seat is in it: one that nobody holds any more is not missed.
        self._seats: WeakSet[Seat] = WeakSet()
        self._bare: WeakSet[Seat] = WeakSet()
        self._settled = False
        # The ids of everyone who was there, which copies of them bear as well.
        self._known: set[str] = set()
        self._paths: dict[str, str] = {}
        self._lock = threading.RLock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Binding:
        return self

    # Looking

    def survey(self, owners: Iterable[Owner], runner: Owner | None = None) -> Survey:
        """Everything that `owners` reach; what the Runner reaches is its aide, first of all."""
        everyone = list(owners)
        self.brakes.learn(everyone)
        found = self._survey(known=everyone, prepare=initialise)
        for at, guard in enumerate(self._guards):
            found.look(f"guards[{at}]", guard, bare=True)
        if runner is not None:
            found.owner(runner, aide=True)
        for owner in everyone:
            found.owner(owner)
        found.finish()
        return found

    def ungoverned(self, found: Survey) -> list[str]:
        """What of a survey can't be governed."""
        paths = [f"{path} {said}" for path, said in found.refused]
        if self._strict:
            paths += [
                f"{path} is a PortkeyModel that can't be bound where it is: hold it in an "
                "attribute, a list or a dict"
                for path, model in found.fixed
                if not self._is_mine(model)
            ]
        return paths

    def require_free(self, members: Iterable[Owner]) -> None:
        """Refuse a member that another governance has in hand."""
        everyone = list(members)
        for owner in everyone:
            if self._is_taken(owner):
                where = place_of(owner, everyone)
                raise ConfigurationError(
                    f"{name_of(owner)} is governed in another team{where and f' ({where})'}: build "
                    "it anew for this one; no member can be excused from its team's governance"
                )

    def beneath(self, shared: Iterable[Owner]) -> list[Owner]:
        """Everyone that owners reach which another governance has, themselves included."""
        found = Survey(allow=Allow(("*",)))
        for owner in shared:
            found.look(name_of(owner), owner)
        found.finish()
        return [hidden.owner for hidden in found.hidden]

    def _survey(self, **options: Any) -> Survey:
        return Survey(allow=self._allow, taken=self._is_taken, **options)

    def _is_taken(self, owner: Owner) -> bool:
        hooks = (getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ())
        return any(
            isinstance(hook, GateHook | WatchHook) and not self._is_my_hook(hook) for hook in hooks
        )

    def check_models(self, owner: Owner, part: str) -> None:
        """Raise ConfigurationError if a model of `owner` can come to what it may not ask."""
        helps = "aide" if part in ("runner", "aide") else "member"
        for path, model, speaks in held_models(owner):
            self._check_model(path, model, part if speaks else helps, name_of(owner))

    def check_places(self, found: Survey) -> None:
        """The same of what a survey found beside its owners' own."""
        for place in found.places:
            role, _ = self._whose(place.holder)
            self._check_model(place.path, place.model, "aide" if place.aide else "member", role)

    def _check_model(self, path: str, model: PortkeyModel, part: str, role: str) -> None:
        limits = self._limits.of(part, role, None)
        if limits is None or mode_now("models", limits.mode) != "enforce":
            return
        if (why := limits.refusal(reached_by(model))) is not None:
            raise ConfigurationError(f"{path}: {why}")

    # Binding

    def bind(self, owner: Owner, seat: Seat, aide: Seat, *, bare: bool = False) -> None:
        """Bind the models that `owner` holds by itself: its own to `seat`, others to `aide`."""
        seat, aide = self.brakes.on(seat, owner), self.brakes.on(aide, owner)
        if isinstance(owner.model, PortkeyModel):
            owner.model = self._bound(owner.model, seat, bare)
        for slot in OWN_MODELS:
            held = getattr(owner, slot, None)
            if isinstance(held, PortkeyModel) and not self._is_mine(held):
                # The host asks an output model for no JSON, and has nothing else to show then.
                schema = owner.output_schema if slot == "output_model" else None
                setattr(owner, slot, self._bound(held, aide, bare, schema))
        for slot in MANAGERS:
            manager = getattr(owner, slot, None)
            held = getattr(manager, "model", None)
            if manager is not None and isinstance(held, PortkeyModel):
                # A copy: another agent may hold the same manager, and speaks for itself.
                manager = copy(manager)
                manager.model = self._bound(held, aide, bare)
                setattr(owner, slot, manager)
        if (config := owner.fallback_config) is not None:
            chains: dict[str, Any] = {
                chain: [
                    self._bound(held, seat, bare) if isinstance(held, PortkeyModel) else held
                    for held in getattr(config, chain)
                ]
                for chain in FALLBACKS
            }
            owner.fallback_config = replace(config, **chains)

    def take(self, found: Survey) -> None:
        """Govern what a survey found beside the members."""
        self.brakes.learn_hidden(found.hidden)
        for hidden in found.hidden:
            if not self._has_my_hooks(hidden.owner):
                self._take_hidden(hidden)
        for place in found.places:
            if not self._is_mine(place.model):
                holder, swarm = self._whose(place.holder)
                seat = self._seat("aide" if place.aide else "member", holder, swarm)
                seat = self.brakes.on(seat, place.holder)
                place.edge.put(self._bound(place.model, seat, place.bare))
        for factory in found.factories:
            held = getattr(factory.owner, factory.slot)
            if getattr(held, _MINE, None) is not self:
                setattr(factory.owner, factory.slot, self._governed(held, factory))

    def install_hooks(self, owner: Owner, *, hidden: bool = False) -> None:
        """Put the hooks into `owner`, where nothing changes what they see."""
        before, after = list(owner.pre_hooks or []), list(owner.post_hooks or [])
        contract = ContractHook(mode=self._modes.contracts, observers=self.observers)
        if self._audit is not None:
            _record(self._audit, before, after)
        if contract.is_needed_before(owner):
            # First: what guards rewrite of an input is not what it was handed.
            before.insert(0, contract)
        after.insert(0, contract)
        gate = None if hidden else self.gate_hook
        if gate is None or isinstance(owner, Agent):
            before.append(self.watch)
        if gate is not None:
            # Last, so that nothing changes what is shown to a judge, or said by it, after it.
            before.append(gate)
            after.append(gate)
        owner.pre_hooks = before
        owner.post_hooks = after
        owner._hooks_normalised = False
        # Where the host asks a model without a pre-hook, the class asks.
        owner.__class__ = watched_kind(type(owner))

    def _take_hidden(self, hidden: Hidden) -> None:
        owner = hidden.owner
        swarm = name_of(owner) if isinstance(owner, Team) else self._whose(hidden.holder)[1]
        seat = self._seat("aide" if hidden.aide else "member", name_of(owner), swarm)
        if not self._settled:
            self._paths[str(owner.id)] = hidden.path
        self.bind(owner, seat, seat, bare=hidden.bare)
        self.install_hooks(owner, hidden=True)

    def _whose(self, holder: Owner | None) -> tuple[str, str | None]:
        seat = getattr(getattr(holder, "model", None), "seat", None)
        return name_of(holder) if holder else "govern", seat.swarm if seat is not None else None

    def _seat(self, part: Any, role: str, swarm: str | None) -> Seat:
        return Seat(part, role, swarm, self.charter, modes=self._modes)

    def _bound(
        self, model: PortkeyModel, seat: Seat, bare: bool = False, schema: Any = None
    ) -> PortkeyModel:
        seat = replace(
            seat, limits=self._limits.of(seat.part, seat.role, seat.swarm, self.observers)
        )
        # A guard's own model can't be guarded by that guard.
        guards = () if bare else self._guards
        twin = model.bound_to(
            seat,
            tags=self._tags,
            guards=guards,
            contracts=self._contracts,
            repair=self._repair,
            output_schema=schema,
            observers=self.observers,
            budgets=self._budgets,
            cache=self._caches.get(seat.role),
        )
        self._seats.add(seat)
        if bare:
            self._bare.add(seat)
        if not self._settled:
            self.models.append(twin)
        return twin

    def _is_mine(self, model: object) -> bool:
        seat = getattr(model, "seat", None)
        return seat is not None and seat in self._seats

    def _has_my_guards(self, model: PortkeyModel) -> bool:
        held = {id(guard) for guard in model.guards}
        return model.seat in self._bare or all(id(guard) in held for guard in self._guards)

    def _is_my_hook(self, hook: object) -> bool:
        return hook is self.watch or hook is self.gate_hook

    def _has_my_hooks(self, owner: Owner) -> bool:
        return any(self._is_my_hook(getattr(h, "__self__", h)) for h in owner.pre_hooks or ())

    # What is made at run time

    def _governed(self, inner: Callable[..., Any], factory: Factory) -> Callable[..., Any]:
        """`inner`, whose products are governed before anybody gets them."""

        produce = seeing(inner, lambda made: self._produced(made, factory))
        setattr(produce, _MINE, self)
        return produce

    def _produced(self, result: Any, factory: Factory) -> None:
        with self._lock:
            if factory.slot == "members" and isinstance(result, list | tuple):
                _hand_down(factory.owner.model, result)
            found = self._survey(prepare=initialise)
            found.look(f"{factory.path}()", result, holder=factory.owner)
            found.finish()
            refuse_paths(self.ungoverned(found), found)
            self.take(found)
            self.settle(hidden.owner for hidden in found.hidden)

    # What was changed since

    def settle(self, owners: Iterable[Owner]) -> None:
        """Take what `owners` hold now as governed."""
        self._settled = True
        self.brakes.forget()
        for owner in owners:
            self._known.add(identity(owner))
            self.watch.note(owner)

    def added(self, owners: Iterable[Owner]) -> str | None:
        """Who of `owners` came after all was governed, if anybody did, and what to do about it."""
        for owner in owners:
            if identity(owner) not in self._known:
                return f"the member {name_of(owner)} was added; build the team and govern it anew"
        return None

    def late(self, owner: Owner) -> str | None:
        """What of `owner`, which may be a copy of the governed one, is not governed any more."""
        everyone = [member for member, _ in walk(owner, None)]
        reason = self._late(owner, everyone)
        return reason and (self.added(everyone) or reason)

    def _late(self, owner: Owner, everyone: Sequence[Owner]) -> str | None:
        found = self._survey(known=everyone)
        for member in everyone:
            found.owner(member, self._paths.get(str(member.id)))
        found.finish()
        # A server gives its database to whom it serves, after all was governed.
        vault_databases((*everyone, *(h.owner for h in found.hidden)), self._guards)
        if paths := self.ungoverned(found):
            return paths[0]
        for path, model in (*found.slots, *((p.path, p.model) for p in found.places)):
            if not self._is_mine(model):
                return f"{path} is another model"
            if not self._has_my_guards(model):
                return f"{path} has lost its guards"
        for factory in found.factories:
            if getattr(getattr(factory.owner, factory.slot), _MINE, None) is not self:
                return f"{factory.path} is made by another function"
        # What the host makes late of bound models, as context providers do, never had hooks.
        hidden = [h.owner for h in found.hidden if str(h.owner.id) in self._paths]
        for member in (*everyone, *hidden):
            if (lost := self._lost(member)) is not None:
                return f"{name_of(member)} has lost its {lost}"
        return None

    def _lost(self, owner: Owner) -> str | None:
        if not self._has_my_hooks(owner):
            return "hooks"
        recorded = self._audit is None or _records(self._audit, owner)
        return None if recorded else "audit"


def _records(audit: AuditHook, owner: Owner) -> bool:
    """Whether `audit` still hears of the starts and the ends of `owner`."""
    return all(
        any(getattr(hook, "__self__", hook) is audit for hook in hooks or ())
        for hooks in (owner.pre_hooks, owner.post_hooks)
    )


def _record(audit: AuditHook, before: list[Any], after: list[Any]) -> None:
    """Have `audit` hear of a start first, but for the tags that are in it, and of an end last."""
    tags = takewhile(lambda hook: isinstance(getattr(hook, "__self__", hook), TagHook), before)
    for hooks, place in ((before, sum(1 for _ in tags)), (after, len(after))):
        if not any(getattr(hook, "__self__", hook) is audit for hook in hooks):
            hooks.insert(place, audit)


def _hand_down(model: Any, members: Iterable[Any]) -> None:
    """Give members without a model their team's, as the host does with those it knows."""
    for member in members:
        if isinstance(member, Agent | Team) and member.model is None:
            member.model = model
