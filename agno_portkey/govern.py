"""`govern`: puts a team behind its gate, on the gateway, with its tags, and gives it back.

It binds a model of its own to every agent, puts the gate into the Runner's tools wherever they
are held, and installs the hooks. What it can't govern it refuses, with a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agno.agent import Agent
from agno.guardrails import BaseGuardrail
from agno.models.base import Model
from agno.registry import Registry
from agno.team import Team
from agno.tools.function import Function

from agno_portkey.contracts import Critique
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.gates import Charter, Gate, Seat, check_gates
from agno_portkey.holdings import Tools
from agno_portkey.hooks import ContractHook, GateHook
from agno_portkey.hooks.gate import part_of
from agno_portkey.model import PortkeyModel
from agno_portkey.runs import Part
from agno_portkey.tags import check_tags
from agno_portkey.verdict import Observer

__all__ = ["govern", "registry_of"]

Owner = Agent | Team
O = TypeVar("O", Agent, Team)

_MARK = "_agno_portkey_governance"
_OWN_MODELS = ("reasoning_model", "parser_model", "output_model", "followup_model")
_MANAGERS = ("memory_manager", "session_summary_manager", "compression_manager")


def govern(
    owner: O,
    *,
    runner: Agent | str | None = None,
    gate: Gate | Sequence[Gate] | None = None,
    tags: Mapping[str, Any] | None = None,
    guards: Sequence[BaseGuardrail] = (),
    observers: Sequence[Observer] = (),
) -> O:
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
        runner=runner if runner is None or isinstance(runner, str) else _identity(runner),
        gates=() if gate is None else check_gates(gate),
        tags=check_tags(tags),
        guards=tuple(guards),
        observers=tuple(observers),
    )
    known: _Governance | None = getattr(owner, _MARK, None)
    if known is not None:
        if known.wanted == wanted:
            return owner
        raise ConfigurationError(
            f"{_name(owner)} is governed already, in another way: build it anew to change that"
        )
    work = _Work(owner, wanted)
    work.check()
    work.apply()
    setattr(owner, _MARK, _Governance(wanted, work.models, work.tools.protected))
    return owner


def registry_of(owner: Agent | Team) -> Registry:
    """An Agno `Registry` of a governed team's bound models and protected tools.

    Give it to `AgentOS` or `from_dict`: a team that comes back from a database has lost its hooks,
    and with these models it refuses to run until it is governed again.
    """
    known: _Governance | None = getattr(owner, _MARK, None)
    if known is None:
        raise ConfigurationError(f"{_name(owner)} is not governed: call govern first")
    return Registry(
        name=f"{_name(owner)}, governed", models=list(known.models), tools=list(known.tools)
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
        _initialise(self.root)
        self.swarm = _name(self.root) if isinstance(self.root, Team) else None
        self.everyone = [*_walk(self.root, self.swarm)]
        self.tools = Tools()
        self.charter: Charter | None = None
        self.gate_hook: GateHook | None = None
        self.runner: Agent | None = None

    def check(self) -> None:
        wanted = self.wanted
        if (wanted.runner is None) != (not wanted.gates):
            missing = "runner" if wanted.runner is None else "gate"
            raise ConfigurationError(f"{missing}: a gate needs a Runner, and a Runner a gate")
        paths = [path for owner, _ in self.everyone for path in _ungoverned(owner)]
        if wanted.runner is not None:
            self.runner = self._find_runner(wanted.runner)
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
                has_critic=any(_has_schema(owner, Critique) for owner, _ in self.everyone),
                observers=wanted.observers,
            )
            self.gate_hook = GateHook(self.charter, runner=str(self.runner.id))
            self.tools.protect(self.charter)
        for owner, swarm in self.everyone:
            self._bind(owner, swarm)
            self._install_hooks(owner)

    def _find_runner(self, wanted: str) -> Agent:
        if not isinstance(self.root, Team):
            raise ConfigurationError("gate: only a Team can have a gated Runner")
        found = [o for o, _ in self.everyone if wanted in (_identity(o), o.id, o.name)]
        names = ", ".join(_name(o) for o, _ in self.everyone[1:])
        if not found:
            raise ConfigurationError(f"runner: {wanted!r} is not a member of the team ({names})")
        if len(found) > 1:
            raise ConfigurationError(
                f"runner: {wanted!r} names {len(found)} members: name them apart"
            )
        if not isinstance(found[0], Agent):
            raise ConfigurationError(f"runner: {wanted!r} is a team; the Runner is an Agent")
        for team in (o for o, _ in self.everyone if isinstance(o, Team)):
            if _broadcasts(team):
                raise ConfigurationError(
                    f"{_name(team)} broadcasts: its Runner would be asked before anything is "
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
            role=_name(owner),
            swarm=swarm,
            charter=self.charter,
            ends_on_text=_mode(owner) != "tasks",
        )
        aide = Seat("aide" if part == "runner" else "member", seat.role, swarm, self.charter)
        assert isinstance(owner.model, PortkeyModel)  # noqa: S101 - checked before
        model = owner.model
        owner.model = self._bound(model, seat)
        if (
            getattr(owner, "reasoning", False)
            and owner.reasoning_model is None
            and owner.reasoning_agent is None
        ):
            owner.reasoning_model = self._bound(model, aide)
        for slot in _OWN_MODELS:
            if isinstance(held := getattr(owner, slot, None), PortkeyModel) and held.seat is None:
                setattr(owner, slot, self._bound(held, aide))
        for slot in _MANAGERS:
            manager = getattr(owner, slot, None)
            if isinstance(held := getattr(manager, "model", None), PortkeyModel):
                manager.model = held if held.seat else self._bound(held, aide)
        config = owner.fallback_config
        for chain in ("on_error", "on_rate_limit", "on_context_overflow"):
            if config is not None and getattr(config, chain, None):
                setattr(config, chain, [self._bound(m, seat) for m in getattr(config, chain)])

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


def _initialise(owner: Owner) -> None:
    if isinstance(owner, Team):
        if not isinstance(owner.members, list):
            raise UngovernedPathError(f"{_name(owner)}.members is made at run time; give a list")
        if owner.model is None:
            raise UngovernedPathError(
                f"{_name(owner)}.model is not set: the host would take its own default; "
                "give a PortkeyModel"
            )
        owner.initialize_team()
    elif owner.model is None:
        raise UngovernedPathError(f"{_name(owner)}.model is not set; give a PortkeyModel")
    else:
        owner.initialize_agent()


def _walk(owner: Owner, swarm: str | None) -> Iterator[tuple[Owner, str | None]]:
    """`owner` and all its members, each with the name of the team it is in."""
    yield owner, swarm
    if not isinstance(owner, Team):
        return
    if not isinstance(owner.members, list):
        raise UngovernedPathError(f"{_name(owner)}.members is made at run time; give a list")
    for member in owner.members:
        if not isinstance(member, Agent | Team):
            raise UngovernedPathError(
                f"{_name(owner)}: {type(member).__name__} runs elsewhere and can't be governed"
            )
        if isinstance(member, Agent) and member.model is None:
            member.model = owner.model
        yield from _walk(member, _name(member) if isinstance(member, Team) else swarm)


def _ungoverned(owner: Owner) -> Iterator[str]:
    """Where `owner` holds a model that is not a `PortkeyModel`."""
    name = _name(owner)
    if not isinstance(owner.model, PortkeyModel):
        yield f"{name}.model is {_kind(owner.model)}"
    for slot in _OWN_MODELS:
        held = getattr(owner, slot, None)
        if held is not None and not isinstance(held, PortkeyModel):
            yield f"{name}.{slot} is {_kind(held)}"
    for slot in _MANAGERS:
        held = getattr(getattr(owner, slot, None), "model", None)
        if held is not None and not isinstance(held, PortkeyModel):
            yield f"{name}.{slot}.model is {_kind(held)}"
    if owner.reasoning_agent is not None:
        yield f"{name}.reasoning_agent is an agent of its own; give a reasoning_model"
    config = owner.fallback_config
    for chain in ("on_error", "on_rate_limit", "on_context_overflow"):
        for held in getattr(config, chain, None) or ():
            if not isinstance(held, PortkeyModel):
                yield f"{name}.fallback_config.{chain} holds {_kind(held)}"


def _has_schema(owner: Owner, schema: type) -> bool:
    held = owner.output_schema
    return isinstance(held, type) and issubclass(held, schema)


def _broadcasts(team: Team) -> bool:
    return _mode(team) == "broadcast" or bool(team.delegate_to_all_members)


def _mode(owner: Owner) -> str | None:
    mode = getattr(owner, "mode", None)
    value = getattr(mode, "value", mode)
    return None if value is None else str(value)


def _identity(owner: Owner) -> str:
    if not isinstance(owner, Agent | Team):
        raise ConfigurationError(f"runner: an Agent or its name, not {type(owner).__name__}")
    if owner.id is None:
        owner.set_id()
    return str(owner.id)


def _name(owner: Owner) -> str:
    return str(owner.name or owner.id or type(owner).__name__)


def _kind(held: object) -> str:
    return (
        f"{held!r}, a name"
        if isinstance(held, str)
        else f"a {type(held).__name__}"
        if isinstance(held, Model)
        else type(held).__name__
    )
