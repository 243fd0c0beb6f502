"""One go of `govern`: checks a team and its gate first, then changes everything."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from agno.agent import Agent
from agno.guardrails import BaseGuardrail
from agno.team import Team

from agno_portkey.beyond import redact_logs, vault_databases
from agno_portkey.binding import Binding
from agno_portkey.brakes import brake_tools
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.contracts import Contract, Critique, Judgement, Plan, Repair
from agno_portkey.contracts.check import wanted
from agno_portkey.errors import ConfigurationError
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.gates import Charter, Gate, Seat
from agno_portkey.gates.books import Books, books_of
from agno_portkey.gates.holdings import Tools
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.hooks import AuditHook, GateHook
from agno_portkey.hooks.gate import part_of
from agno_portkey.model import PortkeyModel
from agno_portkey.modes import Modes
from agno_portkey.production import check_owners
from agno_portkey.reach import Allow, refuse_paths
from agno_portkey.routing.limits import LimitTable
from agno_portkey.routing.recovery.allowance import Allowance
from agno_portkey.run_facts import Fingerprint
from agno_portkey.runs import Part
from agno_portkey.stopping import LateSwitch, StopSwitch, switch_of
from agno_portkey.verdict import Observer
from agno_portkey.walk import (
    Owner,
    broadcasts,
    has_schema,
    identity,
    initialise,
    mode_of,
    name_of,
    speakers,
    unheld,
    walk,
)

if TYPE_CHECKING:
    from agno_portkey.telemetry.ledger import Budget, Ledger

__all__ = ["Install", "Wanted"]

B = TypeVar("B", bound=Binding)


@dataclass(frozen=True)
class Wanted:
    """What `govern` was asked for; equal for two goes that ask for the same."""

    runner: str | None
    gates: tuple[Gate, ...]
    tags: dict[str, str]
    # As the models take them; made anew of what was given, which is what two goes compare.
    guards: tuple[BaseGuardrail, ...] = field(compare=False)
    given: tuple[BaseGuardrail, ...]
    observers: tuple[Observer, ...]
    allow: Allow
    modes: Modes
    contracts: tuple[Contract, ...] = ()
    repair: Repair | None = None
    # What is cached, by role.
    caches: dict[str, CachePolicy] = field(default_factory=dict)
    # The address of the database that holds the gate's books, where it is not the team's own.
    gate_database: str | None = field(default=None, repr=False)
    clearance_keys: tuple[str, ...] = ()
    # The address of the database that holds the kill switch, where it is not the owner's own.
    database: str | None = field(default=None, repr=False)
    # Which models and providers who may ask.
    models: LimitTable = field(default_factory=LimitTable)
    ledger: Ledger | None = None
    budgets: tuple[Budget, ...] = ()
    # Where runs are recorded, as it was given, and the hook that does so.
    audit: Any = None
    audit_hook: AuditHook | None = field(default=None, compare=False)

    @property
    def hearers(self) -> tuple[Observer, ...]:
        """Who hears of what happens: the observers, and the audit."""
        hook = self.audit_hook
        added = hook is not None and not any(each is hook for each in self.observers)
        return (*self.observers, hook) if hook is not None and added else self.observers

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """What each model is to ask before it sends a request."""
        return () if self.ledger is None else self.ledger.budgets(*self.budgets)


@dataclass
class Install:
    """One go of `govern`: checks everything first, then changes everything."""

    root: Owner
    wanted: Wanted

    charter_kind: ClassVar[type[Charter]] = Charter
    hook_kind: ClassVar[type[GateHook]] = GateHook

    def __post_init__(self) -> None:
        initialise(self.root)
        self.swarm = name_of(self.root) if isinstance(self.root, Team) else None
        self.everyone = [*walk(self.root, self.swarm)]
        self.binding: Binding = self._bound_by(Binding)
        self.tools = Tools()
        self.charter: Charter | None = None
        self.runner: Agent | None = None
        self.speakers: set[int] = set()
        self.modes = {name_of(o): mode_of(o) for o, _ in self.everyone if isinstance(o, Team)}

    def _bound_by(self, kind: type[B]) -> B:
        """The binding of this kind that does what is wanted."""
        wanted = self.wanted
        return kind(
            tags=wanted.tags,
            guards=wanted.guards,
            observers=wanted.hearers,
            allow=wanted.allow,
            modes=wanted.modes,
            contracts=wanted.contracts,
            repair=wanted.repair,
            caches=wanted.caches,
            strict=bool(wanted.guards or wanted.gates),
            switch=self._switch(),
            swarm=self.swarm,
            models=wanted.models,
            budgets=wanted.allowances,
            lineage=wanted.ledger is not None,
            audit=wanted.audit_hook,
        )

    def _switch(self) -> StopSwitch | LateSwitch:
        named = self.wanted.database
        return StopSwitch(named) if named is not None else switch_of(self.root)

    def check(self) -> None:
        wanted = self.wanted
        if wanted.gates and wanted.runner is None:
            raise ConfigurationError("runner: a gate needs a Runner; name the member that acts")
        if wanted.runner is not None and not wanted.gates:
            raise ConfigurationError("gate: a Runner needs a gate; add gate=Gate()")
        if wanted.runner is not None:
            self.runner = self._find_runner(wanted.runner)
            self._require_evidence()
        members = [owner for owner, _ in self.everyone]
        self.found = self.binding.survey(members, self.runner)
        owners = [*members, *(hidden.owner for hidden in self.found.hidden)]
        self.binding.require_free(members)
        # A workflow is none of its owners.
        check_owners([*owners, self.root], wanted.modes, gated=bool(wanted.gates))
        _refuse_early_stores(owners, wanted.guards)
        paths = self.binding.ungoverned(self.found)
        if self.runner is not None:
            paths += self._round_the_gate(self.runner, owners)
        refuse_paths(list(dict.fromkeys(paths)), self.found)
        self.found.check_allowed()
        self._check_contracts(owners)
        self._check_caches(owners)
        self._check_models(owners)

    def _check_contracts(self, owners: Sequence[Owner]) -> None:
        """Say which contracts nobody is known to need: a mistake there would hold nothing."""
        wanted_by = [wanted(owner.output_schema) for owner in owners]
        for contract in self.wanted.contracts:
            if contract.of is not None and not any(map(contract.is_for, wanted_by)):
                logging.getLogger("agno_portkey").warning(
                    "contracts: nobody in %s has the output_schema %s (a run may be given it)",
                    name_of(self.root),
                    contract.of.name,
                )

    def _check_caches(self, owners: Sequence[Owner]) -> None:
        """Refuse to cache nobody, and who acts or judges: what they said before decides nothing."""
        roles = {name_of(owner): owner for owner in owners}
        for role in self.wanted.caches:
            owner = roles.get(role)
            if owner is None:
                known = ", ".join(roles)
                raise ConfigurationError(f"cache: nobody is called {role!r} (there are: {known})")
            if owner is self.runner:
                raise ConfigurationError(f"cache: {role} is the Runner, and acts each time")
            if has_schema(owner, Judgement):
                raise ConfigurationError(f"cache: {role} is a Judge, and judges each plan anew")

    def _check_models(self, owners: Sequence[Owner]) -> None:
        """Refuse who could ask, as things are, what the policy does not let them."""
        known = {name_of(owner) for owner in owners}
        for name, limit in self.wanted.models.agents.items():
            if name not in known:
                raise ConfigurationError(
                    f"{limit.where}: nobody is called {name!r} (there are: {', '.join(known)})"
                )
        parts: dict[int, str] = {
            id(hidden.owner): "aide" if hidden.aide else "member" for hidden in self.found.hidden
        }
        parts |= {id(owner): self._part(owner) for owner, _ in self.everyone}
        for owner in owners:
            self.binding.check_models(owner, parts[id(owner)])
        self.binding.check_places(self.found)

    def _round_the_gate(self, runner: Agent, owners: Sequence[Owner]) -> list[str]:
        """What may be without a gate, but not with one, allowed or not."""
        paths = [
            f"{name_of(owner)}.model holds the gate: give a PortkeyModel"
            for owner, _ in self.everyone
            if not isinstance(owner.model, PortkeyModel)
        ]
        paths += unheld(self.root, runner)
        paths += self.tools.take(runner)
        for owner in owners:
            paths += self.tools.claim(owner)
        for owner in self.binding.beneath(self.found.shared):
            if (held := self.tools.unprotected(owner)) is not None:
                paths.append(f"{held}, which is the Runner's: it would run without the gate")
        return paths

    def apply(self) -> None:
        wanted, binding = self.wanted, self.binding
        if self.runner is not None:
            self.charter = binding.charter = self.charter_kind(
                wanted.gates,
                swarm=self.swarm,
                tools=self.tools.names,
                functions=self.tools.functions,
                has_critic=any(has_schema(owner, Critique) for owner, _ in self.everyone),
                observers=wanted.hearers,
                mode=wanted.modes.gate,
                books=self._books(self._database()),
            )
            if self._database() is None:
                self.charter.books_since = self._books_since
            self.charter.fingerprint_now = lambda: self._fingerprint(self.root)
            binding.observers = (*binding.observers, self.charter.meter)
            binding.gate_hook = self.hook_kind(
                self.charter,
                runner=str(self.runner.id),
                late=self._late,
                fingerprint=self._fingerprint,
            )
            self.tools.protect(self.charter)
            self.speakers = set(speakers(self.root, self.runner))
        for owner, swarm in self.everyone:
            self._bind(owner, swarm)
            binding.install_hooks(owner)
        if self.runner is not None:
            brake_tools(self.tools.protected, self.runner)
        binding.take(self.found)
        owners = [owner for owner, _ in self.everyone] + [h.owner for h in self.found.hidden]
        vault_databases(owners, wanted.guards)
        redact_logs(wanted.guards)
        binding.settle(owners)

    def _database(self) -> Any:
        """The one that the gate's books are kept in: that of the team's sessions, if it has one."""
        return self.wanted.gate_database or self.root.db

    def _books_since(self) -> Books | None:
        return None if (database := self._database()) is None else self._books(database)

    def _books(self, database: Any) -> Books:
        wanted = self.wanted
        return books_of(
            database,
            keys=wanted.clearance_keys,
            gates=wanted.gates,
            swarm=self.swarm,
            observers=wanted.hearers,
        )

    def _fingerprint(self, team: Owner) -> Fingerprint:
        return fingerprint_of(team, self.wanted.gates, self.wanted.given)

    def _require_evidence(self) -> None:
        for schema in (Plan, Judgement):
            if not any(has_schema(owner, schema) for owner, _ in self.everyone):
                raise ConfigurationError(
                    f"gate: no member has output_schema={schema.__name__}, so nothing can ever "
                    "pass; give one that schema (a Critic is optional)"
                )

    def _late(self, team: Owner) -> str | None:
        """What of `team`, which may be a copy of the governed one, is not governed any more."""
        reason = self._changed(team)
        return reason and (self.binding.added(owner for owner, _ in walk(team, None)) or reason)

    def _changed(self, team: Owner) -> str | None:
        gate_hook = self.binding.gate_hook
        for owner, _ in walk(team, None):
            seat = getattr(owner.model, "seat", None)
            if seat is None or seat.charter is not self.charter:
                return f"{name_of(owner)} has another model"
            if held := self.tools.unprotected(owner):
                return held
            if seat.part == "runner" and (held := self.tools.unknown(owner)):
                return held
            for hooks in (owner.pre_hooks, owner.post_hooks):
                own = [getattr(hook, "__self__", hook) for hook in hooks or ()]
                if gate_hook not in own:
                    return f"{name_of(owner)} has lost its hooks"
                if own[-1] is not gate_hook:
                    # It would change what is shown to a judge, or said by it, after it was noted.
                    return f"{name_of(owner)} has a hook behind the gate's"
            if isinstance(owner, Team) and self.modes.get(name_of(owner)) != mode_of(owner):
                return f"{name_of(owner)} is in another mode"
        return self.binding.watch.changed(team)

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
        if (part := part_of(found[0], None)) != "member":
            raise ConfigurationError(
                f"runner: {wanted!r} is the {part}; name the member that does what the plan says"
            )
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
            modes=self.wanted.modes,
        )
        aide = replace(seat, part="aide" if part == "runner" else "member", holds=False)
        self.binding.bind(owner, seat, aide)


def _refuse_early_stores(owners: Sequence[Owner], guards: Sequence[BaseGuardrail]) -> None:
    """Refuse to store the results of tools before the guards of the next call look at them.

    Without a database as well: a server gives its own to whom it serves.
    """
    if not (names := ", ".join(g.name for g in check_guards(guards) if not g.keep_raw)):
        return
    for owner in owners:
        if owner.checkpoint in ("tool-batch", "tools"):
            raise ConfigurationError(
                f"{name_of(owner)}.checkpoint: {owner.checkpoint!r} stores what tools return "
                f"before {names} looked at it; use 'runs', or guards that keep_raw"
            )
        if owner.offload_tool_results:
            raise ConfigurationError(
                f"{name_of(owner)}.offload_tool_results: it stores what tools return before "
                f"{names} looked at it; leave it out, or use guards that keep_raw"
            )
