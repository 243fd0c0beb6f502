"""`govern`: puts a team behind its gate, on the gateway, with its tags, and gives it back.

It binds a model of its own to every agent, puts the gate into the Runner's tools wherever they
are held, and installs the hooks. What it can't govern it refuses, with a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from agno.agent import Agent
from agno.guardrails import BaseGuardrail
from agno.registry import Registry
from agno.team import Team
from agno.tools.function import Function

from agno_portkey.contracts import Critique, Judgement, Plan
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.gates import Charter, Gate, Seat, check_gates
from agno_portkey.gates.holdings import Tools
from agno_portkey.guardrails import check_guards
from agno_portkey.hooks import ContractHook, GateHook
from agno_portkey.hooks.gate import part_of
from agno_portkey.model import PortkeyModel
from agno_portkey.runs import Part
from agno_portkey.tags import check_tags
from agno_portkey.verdict import Observer
from agno_portkey.walk import (
    FALLBACKS,
    MANAGERS,
    OWN_MODELS,
    Owner,
    broadcasts,
    has_schema,
    identity,
    initialise,
    mode_of,
    name_of,
    speakers,
    ungoverned,
    unheld,
    walk,
)

__all__ = ["govern", "registry_of"]

Governed = TypeVar("Governed", Agent, Team)

_MARK = "_agno_portkey_governance"


def govern(
    owner: Governed,
    *,
    runner: Agent | str | None = None,
    gate: Gate | Sequence[Gate] | None = None,
    tags: Mapping[str, Any] | None = None,
    guards: Sequence[BaseGuardrail] = (),
    observers: Sequence[Observer] = (),
) -> Governed:
    """Put `owner` and all its members behind the gateway and the gate; returns `owner`.

    `runner` is the member (or its name or id) that may run only what the gate has cleared; its
    tools are protected whoever holds them. `tags` go out with every call, `guards` see every
    message of every call, `observers` hear of calls, plans, judgements, gates and tools.
    Governing again in the same way changes nothing.

    Raises `ConfigurationError` for a wrong argument, and `UngovernedPathError` listing every
    way round the gateway that it found.
    """
    if not isinstance(owner, Agent | Team):
        raise ConfigurationError(f"govern: an Agent or a Team, not {type(owner).__name__}")
    wanted = _Wanted(
        runner=runner if runner is None or isinstance(runner, str) else identity(runner),
        gates=() if gate is None else check_gates(gate),
        tags=check_tags(tags),
        guards=check_guards(guards),
        observers=tuple(observers),
    )
    known: _Governance | None = getattr(owner, _MARK, None)
    if known is not None:
        if known.wanted == wanted:
            return owner
        raise ConfigurationError(
            f"{name_of(owner)} is governed already, in another way: build it anew to change that"
        )
    work = _Work(owner, wanted)
    work.check()
    work.apply()
    setattr(owner, _MARK, _Governance(wanted, work.models, work.tools.protected))
    return owner


def registry_of(owner: Agent | Team) -> Registry:
    """An Agno `Registry` of a governed team's bound models, protected tools and schemas.

    Give it to `AgentOS` or `from_dict`: a team that comes back from a database has lost its hooks,
    and with these models it refuses to run until it is governed again.
    """
    known: _Governance | None = getattr(owner, _MARK, None)
    if known is None:
        raise ConfigurationError(f"{name_of(owner)} is not governed: call govern first")
    schemas = {o.output_schema for o, _ in walk(owner, None) if isinstance(o.output_schema, type)}
    return Registry(
        name=f"{name_of(owner)}, governed",
        models=list(known.models),
        tools=list(known.tools),
        schemas=list(schemas),
    )


@dataclass(frozen=True)
class _Wanted:
    runner: str | None
    gates: tuple[Gate, ...]
    tags: dict[str, str]
    guards: tuple[BaseGuardrail, ...]
    observers: tuple[Observer, ...]


@dataclass(frozen=True)
class _Governance:
    wanted: _Wanted
    models: list[PortkeyModel]
    tools: list[Function]


@dataclass
class _Work:
    """One go of `govern`: checks everything first, then changes everything."""

    root: Owner
    wanted: _Wanted
    models: list[PortkeyModel] = field(default_factory=list)

    def __post_init__(self) -> None:
        initialise(self.root)
        self.swarm = name_of(self.root) if isinstance(self.root, Team) else None
        self.everyone = [*walk(self.root, self.swarm)]
        self.tools = Tools()
        self.charter: Charter | None = None
        self.gate_hook: GateHook | None = None
        self.runner: Agent | None = None
        self.speakers: set[int] = set()
        self.modes = {name_of(o): mode_of(o) for o, _ in self.everyone if isinstance(o, Team)}

    def check(self) -> None:
        wanted = self.wanted
        if wanted.gates and wanted.runner is None:
            raise ConfigurationError("runner: a gate needs a Runner; name the member that acts")
        if wanted.runner is not None and not wanted.gates:
            raise ConfigurationError("gate: a Runner needs a gate; add gate=Gate()")
        paths = [path for owner, _ in self.everyone for path in ungoverned(owner)]
        if wanted.runner is not None:
            self.runner = self._find_runner(wanted.runner)
            self._require_evidence()
            paths += unheld(self.root, self.runner)
            paths += self.tools.take(self.runner)
            for owner, _ in self.everyone:
                paths += self.tools.claim(owner)
        if paths:
            raise UngovernedPathError(
                "these ways lead round the gateway or the gate:\n- " + "\n- ".join(paths)
            )

    def apply(self) -> None:
        wanted = self.wanted
        if self.runner is not None:
            self.charter = Charter(
                wanted.gates,
                swarm=self.swarm,
                tools=self.tools.names,
                functions=self.tools.functions,
                has_critic=any(has_schema(owner, Critique) for owner, _ in self.everyone),
                observers=wanted.observers,
            )
            self.gate_hook = GateHook(self.charter, runner=str(self.runner.id), late=self._late)
            self.tools.protect(self.charter)
            self.speakers = set(speakers(self.root, self.runner))
        for owner, swarm in self.everyone:
            self._bind(owner, swarm)
            self._install_hooks(owner)

    def _require_evidence(self) -> None:
        for owner, _ in self.everyone:
            hooks = (getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ())
            if any(isinstance(hook, GateHook) for hook in hooks):
                raise ConfigurationError(
                    f"{name_of(owner)} is governed in another team: build it anew for this one"
                )
        for schema in (Plan, Judgement):
            if not any(has_schema(owner, schema) for owner, _ in self.everyone):
                raise ConfigurationError(
                    f"gate: no member has output_schema={schema.__name__}, so nothing can ever "
                    "pass; give one that schema (a Critic is optional)"
                )

    def _late(self, team: Owner) -> str | None:
        """What of `team`, which may be a copy of the governed one, is not governed any more."""
        for owner, _ in walk(team, None):
            seat = getattr(owner.model, "seat", None)
            if seat is None or seat.charter is not self.charter:
                return f"{name_of(owner)} has another model"
            if held := self.tools.unprotected(owner):
                return held
            if seat.part == "runner" and (held := self.tools.unknown(owner)):
                return held
            for hooks in (owner.pre_hooks, owner.post_hooks):
                if not any(getattr(h, "__self__", h) is self.gate_hook for h in hooks or ()):
                    return f"{name_of(owner)} has lost its hooks"
            if isinstance(owner, Team) and self.modes.get(name_of(owner)) != mode_of(owner):
                return f"{name_of(owner)} is in another mode"
        return None

    def _find_runner(self, wanted: str) -> Agent:
        if not isinstance(self.root, Team):
            raise ConfigurationError("gate: only a Team can have a gated Runner")
        found = [o for o, _ in self.everyone if wanted in (identity(o), o.id, o.name)]
        names = ", ".join(name_of(o) for o, _ in self.everyone[1:])
        if not found:
            raise ConfigurationError(f"runner: {wanted!r} is not a member of the team ({names})")
        if len(found) > 1:
            raise ConfigurationError(
                f"runner: {wanted!r} names {len(found)} members: name them apart"
            )
        if not isinstance(found[0], Agent):
            raise ConfigurationError(f"runner: {wanted!r} is a team; the Runner is an Agent")
        for team in (o for o, _ in self.everyone if isinstance(o, Team)):
            if broadcasts(team):
                raise ConfigurationError(
                    f"{name_of(team)} broadcasts: its Runner would be asked before anything is "
                    "judged; use coordinate, route or tasks mode"
                )
        return found[0]

    def _part(self, owner: Owner) -> Part:
        if isinstance(owner, Team):
            return "leader"
        return part_of(owner, str(self.runner.id) if self.runner else None)

    def _bind(self, owner: Owner, swarm: str | None) -> None:
        part = self._part(owner)
        seat = Seat(
            part=part,
            role=name_of(owner),
            swarm=swarm,
            charter=self.charter,
            holds=part in ("leader", "member") and id(owner) in self.speakers,
            ends_on_text=mode_of(owner) != "tasks",
        )
        aide = Seat("aide" if part == "runner" else "member", seat.role, swarm, self.charter)
        assert isinstance(owner.model, PortkeyModel)  # noqa: S101 - checked before
        owner.model = self._bound(owner.model, seat)
        for slot in OWN_MODELS:
            if isinstance(held := getattr(owner, slot, None), PortkeyModel) and held.seat is None:
                setattr(owner, slot, self._bound(held, aide))
        for slot in MANAGERS:
            manager = getattr(owner, slot, None)
            held = getattr(manager, "model", None)
            if manager is not None and isinstance(held, PortkeyModel):
                # A copy: another agent may hold the same manager, and speaks for itself.
                manager = copy(manager)
                manager.model = self._bound(held, aide)
                setattr(owner, slot, manager)
        if (config := owner.fallback_config) is not None:
            chains: dict[str, Any] = {
                chain: [self._bound(held, seat) for held in getattr(config, chain)]
                for chain in FALLBACKS
            }
            owner.fallback_config = replace(config, **chains)

    def _bound(self, model: PortkeyModel, seat: Seat) -> PortkeyModel:
        twin = model.bound_to(
            seat, tags=self.wanted.tags, guards=self.wanted.guards, observers=self.wanted.observers
        )
        self.models.append(twin)
        return twin

    def _install_hooks(self, owner: Owner) -> None:
        before, after = list(owner.pre_hooks or []), list(owner.post_hooks or [])
        after.insert(0, ContractHook())
        if self.gate_hook is not None:
            # Last, so that nothing changes what is shown to a judge, or said by it, after it.
            before.append(self.gate_hook)
            after.append(self.gate_hook)
        owner.pre_hooks = before or None
        owner.post_hooks = after
        owner._hooks_normalised = False
