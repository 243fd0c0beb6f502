"""`govern`: puts a team behind its gate, on the gateway, with its tags, and gives it back.

It binds a model of its own to every agent, puts the gate into the Runner's tools wherever they
are held, and installs the hooks. What it can't govern it refuses, with a list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from agno.agent import Agent
from agno.agent.factory import AgentFactory
from agno.factory import BaseFactory
from agno.guardrails import BaseGuardrail
from agno.registry import Registry
from agno.team import Team
from agno.team.factory import TeamFactory
from agno.tools.function import Function
from agno.workflow.factory import WorkflowFactory
from agno.workflow.workflow import Workflow

from agno_portkey.cache.policy import CachePolicy
from agno_portkey.contracts import Contract
from agno_portkey.contracts.contract import check_contracts
from agno_portkey.errors import ConfigurationError
from agno_portkey.flow_install import FlowInstall
from agno_portkey.gates import Gate
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.hooks import AuditHook
from agno_portkey.install import Install, Wanted
from agno_portkey.model import PortkeyModel
from agno_portkey.modes import Modes
from agno_portkey.policy import Policy, terms_of
from agno_portkey.reach import Allow, seeing
from agno_portkey.verdict import Observer
from agno_portkey.walk import identity, walk
from agno_portkey.workflows import executors, functions

if TYPE_CHECKING:
    from agno_portkey.telemetry.ledger import Budget, Ledger

__all__ = ["govern", "is_governed", "registry_of"]

PII = Literal["block", "mask", "pseudonymize"]
Audit = AuditHook | str | os.PathLike[str] | Callable[[dict[str, Any]], Any]
Governed = TypeVar("Governed", Agent, Team, Workflow, AgentFactory, TeamFactory, WorkflowFactory)

_MARK = "_agno_portkey_governance"
# What the fields of `Wanted` are called where they are asked for.
_CALLED = {
    "gates": "gate",
    "given": "guards",
    "database": "stop database",
    "gate_database": "gate database",
    "caches": "cache",
    "clearance_keys": "clearance keys",
}


def govern(
    owner: Governed,
    *,
    runner: Agent | str | None = None,
    gate: Gate | Sequence[Gate] | None = None,
    tags: Mapping[str, Any] | None = None,
    guards: Sequence[BaseGuardrail] = (),
    contracts: Sequence[Contract] = (),
    observers: Sequence[Observer] = (),
    pii: PII | BaseGuardrail | None = None,
    allow: Sequence[object] = (),
    cache: Mapping[str, CachePolicy] | None = None,
    ledger: Ledger | None = None,
    budgets: Sequence[Budget] = (),
    policy: Policy | None = None,
    audit: Audit | None = None,
) -> Governed:
    """Put `owner` and everything it reaches behind the gateway and the gate; returns `owner`.

    `runner` is the member (or its name or id) that may run only what the gate has cleared; its
    tools are protected whoever holds them. `tags` go out with every call, `guards` see every
    message of every call, `pii` (block, mask, pseudonymize, or a `PIIGuardrail`) says what becomes
    of personal data, `contracts` what structured outputs have to be beyond their schemas;
    `observers` hear of calls, plans, judgements, gates and tools. `cache` says, by the names of
    members, whose answers are served again; never the Runner's or a Judge's. `ledger` books what
    each request takes, and `budgets` say how much that may be. `audit` is an `AuditHook` for
    everyone, or what one writes to: an `AuditLog`, a file or a function.
    Governing again in the same way changes nothing.

    `policy` says the same and how strictly, part by part; `Policy.from_yaml` reads it from a file.
    Guards, tags, budgets and exceptions that are given beside it are added to its own; where it
    says one gate, Runner or value of a tag and the argument another, that is refused.

    Of a workflow everyone in its steps is governed, with its name as their swarm, and a step that
    was blocked or has failed ends it, with status ERROR and the reason as its content. Of a factory
    (`AgentFactory`, `TeamFactory`, `WorkflowFactory`) whatever it makes is governed as it is made.

    Agents that tools, hooks or closures hold are governed like members, and what callable
    `members`, `tools` and `knowledge` make, as they make it. `allow` lists deliberate
    exceptions: paths as the error prints them, where `*` and `?` stand for anything, or the
    objects themselves.

    Raises `ConfigurationError` for a wrong argument, and `UngovernedPathError` listing every
    way round the gateway that it found.
    """
    if not isinstance(owner, Agent | Team | Workflow | BaseFactory):
        kind = type(owner).__name__
        raise ConfigurationError(
            f"govern: an Agent, a Team, a Workflow or a factory of them, not {kind}"
        )
    # Joined below with the policy's: what is wrong is said of the argument.
    check_guards(guards)
    Allow(allow)
    terms = terms_of(
        policy,
        runner=runner,
        gate=gate,
        tags=tags,
        guards=guards,
        allow=allow,
        pii=pii,
        cache=cache,
        budgets=budgets,
    )
    named = terms.runner
    with terms.placing():
        booked = _checked(ledger, terms.budgets)
    wanted = Wanted(
        runner=named if named is None or isinstance(named, str) else identity(named),
        gates=terms.gates,
        tags=terms.tags,
        guards=check_guards(terms.guards),
        given=terms.guards,
        observers=tuple(observers) if ledger is None else (*observers, ledger),
        allow=Allow(terms.allow, idle=isinstance(owner, BaseFactory)),
        modes=terms.modes,
        contracts=_shared(contracts),
        repair=terms.repair,
        caches=terms.caches,
        database=terms.database,
        gate_database=terms.gate_database,
        clearance_keys=terms.clearance_keys,
        models=terms.models,
        ledger=booked,
        budgets=terms.budgets,
        audit=audit,
        audit_hook=_hook_of(audit),
    )
    with terms.placing():
        _govern(owner, wanted)
    return owner


def _checked(ledger: Ledger | None, budgets: Sequence[Budget]) -> Ledger | None:
    if ledger is None:
        if budgets:
            raise ConfigurationError("budgets: they need a ledger: give ledger=Ledger(db)")
        return None
    if not callable(getattr(ledger, "budgets", None)):
        raise ConfigurationError(f"ledger: a Ledger, not {type(ledger).__name__}")
    ledger.budgets(*budgets)
    return ledger


def _hook_of(audit: Audit | None) -> AuditHook | None:
    if audit is None or isinstance(audit, AuditHook):
        return audit
    if not (callable(audit) or isinstance(audit, str | os.PathLike)):
        raise ConfigurationError(
            "audit: an AuditHook, or what one writes to: an AuditLog, a file or a function; "
            f"not {type(audit).__name__}"
        )
    try:
        return AuditHook(audit)
    except ConfigurationError as error:
        raise ConfigurationError(f"audit: {str(error).removeprefix('to: ')}") from None


def _shared(contracts: Sequence[Contract]) -> tuple[Contract, ...]:
    """Contracts for everyone: each for an output, as one without would hold the leader as well."""
    several = check_contracts(contracts)
    for number, one in enumerate(several):
        if one.of is None:
            raise ConfigurationError(
                f"contracts[{number}]: without an output it would be for everyone; give it to the "
                "model of the member that is handed this input: PortkeyModel(contracts=[...])"
            )
    return several


def registry_of(owner: Agent | Team | Workflow) -> Registry:
    """An Agno `Registry` of what is governed: bound models, protected tools and schemas.

    Give it to `AgentOS` or `from_dict`: what comes back from a database has lost its hooks, and a
    gated team with these models refuses to run until it is governed again. A workflow's holds the
    functions of its steps and those governed before it, too.
    """
    name = str(owner.name or owner.id)
    if getattr(owner, _MARK, None) is None:
        raise ConfigurationError(f"{name} is not governed: call govern first")
    flow = owner if isinstance(owner, Workflow) else None
    heads: list[Any] = [owner] if flow is None else [head for head, _ in executors(flow)]
    known = [getattr(each, _MARK) for each in (owner, *heads) if hasattr(each, _MARK)]
    members = [member for head in heads for member, _ in walk(head, None)]
    schemas = {m.output_schema for m in members if isinstance(m.output_schema, type)}
    return Registry(
        name=f"{name}, governed",
        models=[*{id(model): model for each in known for model in each.models}.values()],
        tools=[*{id(tool): tool for each in known for tool in each.tools}.values()],
        schemas=list(schemas),
        functions=[function for function, _ in functions(flow)] if flow is not None else [],
    )


@dataclass(frozen=True)
class _Governance:
    wanted: Wanted
    models: Sequence[PortkeyModel] = ()
    tools: Sequence[Function] = ()


def is_governed(owner: object) -> bool:
    """Whether `govern` has been given `owner` itself."""
    return getattr(owner, _MARK, None) is not None


def _govern(owner: Any, wanted: Wanted) -> None:
    known: _Governance | None = getattr(owner, _MARK, None)
    if known is not None:
        _require_same(owner, known.wanted, wanted)
    elif isinstance(owner, BaseFactory):
        _govern_products(owner, wanted)
        setattr(owner, _MARK, _Governance(wanted))
    else:
        flow = isinstance(owner, Workflow)
        work = FlowInstall.of(owner, wanted) if flow else Install(owner, wanted)
        work.check()
        work.apply()
        setattr(owner, _MARK, _Governance(wanted, work.binding.models, work.tools.protected))


def _require_same(owner: Any, known: Wanted, wanted: Wanted) -> None:
    """Refuse to govern anew what is governed in another way, naming what differs."""
    if changed := [*_differing(known, wanted), *_differing(known.modes, wanted.modes)]:
        raise ConfigurationError(
            f"{owner.name or owner.id} is governed already, in another way (with another "
            f"{', '.join(changed)}): build it anew to change that"
        )


def _differing(known: Any, wanted: Any) -> list[str]:
    """What two goes were given differently, by the names it was given under."""
    both = (
        (field.name, getattr(known, field.name), getattr(wanted, field.name))
        for field in fields(known)
        if field.compare
    )
    mode = " mode" if isinstance(known, Modes) else ""
    return [
        f"{_CALLED.get(name, name)}{mode}"
        for name, one, two in both
        if one != two and not isinstance(one, Modes)
    ]


def _govern_products(factory: BaseFactory[Any], wanted: Wanted) -> None:
    """Have what `factory` makes governed before anybody gets it, be it for a request or a job."""
    if wanted.gates and not isinstance(factory, TeamFactory):
        raise ConfigurationError("gate: only a Team can have a gated Runner")
    made = factory.factory

    def seen(product: Any) -> None:
        if not isinstance(product, Agent | Team | Workflow):
            kind = type(product).__name__
            raise ConfigurationError(
                f"{factory.id}: it made a {kind}, and no Agent, Team or Workflow to govern"
            )
        # As the host does afterwards: the kill switch is in the database.
        product.id, product.db = product.id or factory.id, product.db or factory.db
        _govern(product, wanted)

    factory.factory = seeing(made, seen)
