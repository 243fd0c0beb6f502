"""One go of `govern` for a workflow: everyone in its steps, and what its functions hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agno.workflow.workflow import Workflow

from agno_portkey.beyond import vault_databases
from agno_portkey.binding import Binding
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.holdings import Tools
from agno_portkey.hooks import GateHook
from agno_portkey.hooks.watch import WatchHook
from agno_portkey.install import Install, Wanted
from agno_portkey.reach import Survey
from agno_portkey.walk import Owner, initialise, walk
from agno_portkey.workflows import (
    convert,
    executors,
    functions,
    prepare,
    refuse_steps,
    title,
    ungoverned_steps,
)

__all__ = ["FlowInstall", "is_governed"]


def is_governed(owner: Owner) -> bool:
    """Whether `owner`, which may be a copy of a governed one, has the hooks of `govern`."""
    hooks = (getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ())
    return any(isinstance(hook, WatchHook | GateHook) for hook in hooks)


class FlowInstall(Install):
    """Checks all of a workflow first, then changes all of it; its name is everyone's swarm.

    Whoever in it is governed already, as a gated team is, stays as it is, and is stopped with the
    workflow as well.
    """

    @classmethod
    def of(cls, flow: Workflow, wanted: Wanted) -> FlowInstall:
        root: Any = flow  # an install of a team has its leader there
        return cls(root, wanted)

    def __post_init__(self) -> None:
        flow: Any = self.root
        wanted = self.wanted
        if wanted.gates or wanted.runner is not None:
            raise ConfigurationError(
                "gate: a workflow has no Runner of its own; leave gate and runner out, or govern "
                "the team in its step with them first"
            )
        prepare(flow)
        refuse_steps([*ungoverned_steps(flow)])
        self.swarm = title(flow)
        owners = {id(owner): owner for owner, _ in executors(flow)}
        heads = {key: owner for key, owner in owners.items() if not is_governed(owner)}
        self.governed = [owner for key, owner in owners.items() if key not in heads]
        for head in heads.values():
            initialise(head)
        everyone = {id(owner): owner for head in heads.values() for owner, _ in walk(head, None)}
        self.everyone = [(owner, self.swarm) for owner in everyone.values()]
        self.binding = _FlowBinding(
            tags=wanted.tags,
            guards=wanted.guards,
            observers=wanted.observers,
            allow=wanted.allow,
            modes=wanted.modes,
            contracts=wanted.contracts,
            repair=wanted.repair,
            strict=bool(wanted.guards),
            switch=self._switch(),
            swarm=self.swarm,
        )
        self.binding.flow = flow
        self.tools = Tools()
        self.charter = self.runner = None
        self.speakers = set()

    def apply(self) -> None:
        super().apply()
        for owner in self.governed:
            self.binding.brakes.join(owner)
        flow: Any = self.root
        convert(flow, is_governed, lambda each: vault_databases([each], self.wanted.guards))


class _FlowBinding(Binding):
    """A binding that looks into the workflow's functions as well."""

    flow: Workflow

    def survey(self, owners: Iterable[Owner], runner: Owner | None = None) -> Survey:
        everyone = list(owners)
        found = super().survey(everyone, runner)
        for function, where in functions(self.flow):
            # Who is found in it belongs to the workflow's swarm, like everyone else.
            found.look(where, function, holder=everyone[0] if everyone else None)
        found.finish()
        return found
