"""`govern`: puts a team behind its gate, on the gateway, with its tags, and gives it back.

It binds a model of its own to every agent, puts the gate into the Runner's tools wherever they
are held, and installs the hooks. What it can't govern it refuses, with a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agno.agent import Agent
from agno.guardrails import BaseGuardrail
from agno.registry import Registry
from agno.team import Team
from agno.tools.function import Function
from agno.workflow.workflow import Workflow

from agno_portkey.errors import ConfigurationError
from agno_portkey.flow_install import FlowInstall
from agno_portkey.gates import Gate
from agno_portkey.guardrails import check_guards
from agno_portkey.install import Install, Wanted
from agno_portkey.model import PortkeyModel
from agno_portkey.policy import Policy, terms_of
from agno_portkey.reach import Allow
from agno_portkey.verdict import Observer
from agno_portkey.walk import identity, name_of, walk

__all__ = ["govern", "registry_of"]

Governed = TypeVar("Governed", Agent, Team, Workflow)

_MARK = "_agno_portkey_governance"


def govern(
    owner: Governed,
    *,
    runner: Agent | str | None = None,
    gate: Gate | Sequence[Gate] | None = None,
    tags: Mapping[str, Any] | None = None,
    guards: Sequence[BaseGuardrail] = (),
    observers: Sequence[Observer] = (),
    allow: Sequence[object] = (),
    policy: Policy | None = None,
) -> Governed:
    """Put `owner` and everything it reaches behind the gateway and the gate; returns `owner`.

    `runner` is the member (or its name or id) that may run only what the gate has cleared; its
    tools are protected whoever holds them. `tags` go out with every call, `guards` see every
    message of every call, `observers` hear of calls, plans, judgements, gates and tools.
    Governing again in the same way changes nothing.

    `policy` says the same and how strictly, part by part; `Policy.from_yaml` reads it from a file.
    Guards, tags and exceptions that are given beside it are added to its own; where it says one
    gate, Runner or value of a tag and the argument another, that is refused.

    Of a workflow everyone in its steps is governed, with its name as their swarm, and a step that
    was blocked or has failed ends it, with status ERROR and the reason as its content.

    Agents that tools, hooks or closures hold are governed like members, and what callable
    `members`, `tools` and `knowledge` make, as they make it. `allow` lists deliberate
    exceptions: paths as the error prints them, where `*` and `?` stand for anything, or the
    objects themselves.

    Raises `ConfigurationError` for a wrong argument, and `UngovernedPathError` listing every
    way round the gateway that it found.
    """
    if not isinstance(owner, Agent | Team | Workflow):
        kind = type(owner).__name__
        raise ConfigurationError(f"govern: an Agent, a Team or a Workflow, not {kind}")
    # Joined below with the policy's: what is wrong is said of the argument.
    check_guards(guards)
    Allow(allow)
    terms = terms_of(policy, runner=runner, gate=gate, tags=tags, guards=guards, allow=allow)
    named = terms.runner
    wanted = Wanted(
        runner=named if named is None or isinstance(named, str) else identity(named),
        gates=terms.gates,
        tags=terms.tags,
        guards=check_guards(terms.guards),
        given=terms.guards,
        observers=tuple(observers),
        allow=Allow(terms.allow),
        modes=terms.modes,
        database=terms.database,
    )
    known: _Governance | None = getattr(owner, _MARK, None)
    if known is not None:
        if known.wanted == wanted:
            return owner
        raise ConfigurationError(
            f"{owner.name or owner.id} is governed already, in another way: build it anew to "
            "change that"
        )
    work = FlowInstall.of(owner, wanted) if isinstance(owner, Workflow) else Install(owner, wanted)
    work.check()
    work.apply()
    setattr(owner, _MARK, _Governance(wanted, work.binding.models, work.tools.protected))
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
class _Governance:
    wanted: Wanted
    models: list[PortkeyModel]
    tools: list[Function]
