"""One go of `govern` for a workflow: everyone in its steps, and what its functions hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from agno.agent import Agent
from agno.team import Team
from agno.workflow.workflow import Workflow

from agno_portkey.beyond import vault_databases
from agno_portkey.binding import Binding
from agno_portkey.contracts import Judgement, Plan
from agno_portkey.errors import ConfigurationError
from agno_portkey.fingerprint import fingerprint_of, together
from agno_portkey.gates.holdings import Tools
from agno_portkey.gates.step import GateQuestion, StepCharter
from agno_portkey.hooks import AuditHook, GateHook
from agno_portkey.hooks.watch import WatchHook
from agno_portkey.install import Install, Wanted
from agno_portkey.reach import Survey
from agno_portkey.run_facts import Fingerprint
from agno_portkey.runs import Part
from agno_portkey.walk import Owner, has_schema, identity, initialise, mode_of, name_of, walk
from agno_portkey.workflows import (
    FlowGate,
    StepHook,
    convert,
    executors,
    functions,
    prepare,
    question_of,
    refuse_steps,
    steps_of,
    title,
    ungoverned_steps,
)

__all__ = ["FlowInstall"]


class FlowInstall(Install):
    """Checks all of a workflow first, then changes all of it; its name is everyone's swarm.

    Whoever in it is governed already, as a gated team is, stays as it is, and is stopped with the
    workflow as well; where that is to be on record, it has to have an audit. A gate's step has its
    Runner, tools and evidence held as in a gated team.
    """

    charter_kind = StepCharter
    hook_kind = StepHook

    @classmethod
    def of(cls, flow: Workflow, wanted: Wanted) -> FlowInstall:
        root: Any = flow  # an install of a team has its leader there
        return cls(root, wanted)

    def __post_init__(self) -> None:
        flow: Any = self.root
        if self.wanted.gates or self.wanted.runner is not None:
            raise ConfigurationError(
                "gate: a workflow has no Runner of its own; leave gate and runner out and put "
                "gate.step(runner=...) before the Runner's step, or govern the team in its step "
                "with them first"
            )
        prepare(flow)
        refuse_steps([*ungoverned_steps(flow)])
        self.question = _question(flow)
        if self.question is not None:
            held = self.question.runner
            named = held if isinstance(held, str) else identity(held)
            self.wanted = replace(self.wanted, gates=self.question.gates, runner=named)
        self.swarm = title(flow)
        owners = {id(owner): owner for owner, _ in executors(flow)}
        heads = {key: owner for key, owner in owners.items() if not _has_hooks(owner)}
        self.governed = [owner for key, owner in owners.items() if key not in heads]
        for head in heads.values():
            initialise(head)
        everyone = {id(owner): owner for head in heads.values() for owner, _ in walk(head, None)}
        self.everyone = [(owner, self.swarm) for owner in everyone.values()]
        self.binding = binding = self._bound_by(_FlowBinding)
        binding.flow = flow
        self.tools = Tools()
        self.charter = self.runner = None
        self.speakers = set()
        self.modes = {name_of(o): mode_of(o) for o, _ in self.everyone if isinstance(o, Team)}

    def check(self) -> None:
        super().check()
        if self.wanted.audit_hook is None:
            return
        for owner in (member for head in self.governed for member, _ in walk(head, None)):
            if not all(map(_is_recorded, (owner.pre_hooks, owner.post_hooks))):
                raise ConfigurationError(
                    f"audit: {name_of(owner)} is governed already, and what it does would be on no "
                    "record: give an audit= where it is governed, too"
                )

    def apply(self) -> None:
        super().apply()
        for owner in self.governed:
            self.binding.brakes.join(owner)
        flow: Any = self.root
        gate = None
        if self.question is not None and isinstance(self.charter, StepCharter):
            gate = FlowGate(self.charter, self._fingerprint)
            self.question.charter = self.charter
        convert(flow, _has_hooks, lambda each: vault_databases([each], self.wanted.guards), gate)

    def _find_runner(self, wanted: str) -> Agent:
        agents = {id(step.agent): step.agent for step in steps_of(self._flow) if step.agent}
        found = [a for a in agents.values() if wanted in (identity(a), a.id, a.name)]
        if len(found) != 1:
            names = ", ".join(map(name_of, agents.values())) or "none"
            said = f"names {len(found)} agents: name them apart" if found else "is not one of them"
            raise ConfigurationError(
                f"runner: the Runner is an agent that has a step of its own ({names}); {wanted!r} "
                f"{said}"
            )
        if any(found[0] is owner for owner in self.governed):
            raise ConfigurationError(f"runner: {wanted!r} is governed already: build it anew")
        return found[0]

    def _require_evidence(self) -> None:
        # Who is in a workflow inside this one is in another run.
        heads = [head for step in steps_of(self._flow) for head in (step.agent, step.team) if head]
        owners = [owner for head in heads for owner, _ in walk(head, None)]
        for schema in (Plan, Judgement):
            if not any(has_schema(owner, schema) for owner in owners):
                raise ConfigurationError(
                    f"gate: no agent in a step has output_schema={schema.__name__}, so nothing can "
                    "ever pass; give one that schema (a Critic is optional)"
                )

    def _round_the_gate(self, runner: Agent, owners: Sequence[Owner]) -> list[str]:
        paths = super()._round_the_gate(runner, owners)
        for owner in (member for head in self.governed for member, _ in walk(head, None)):
            if (held := self.tools.unprotected(owner)) is not None:
                paths.append(f"{held}, which is the Runner's: it would run without the gate")
        return paths

    def _fingerprint(self, team: Any) -> Fingerprint:
        """That of everyone in the workflow, which stands for a team here, or in a copy of it."""
        gates, guards = self.wanted.gates, self.wanted.given
        return together(fingerprint_of(head, gates, guards) for head, _ in executors(team))

    def _part(self, owner: Owner) -> Part:
        # No team in it leads the Runner.
        return "member" if isinstance(owner, Team) else super()._part(owner)

    @property
    def _flow(self) -> Workflow:
        return cast("Workflow", self.root)


def _has_hooks(owner: Owner) -> bool:
    """Whether `owner`, which may be a copy of a governed one, has the hooks of `govern`."""
    hooks = (getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ())
    return any(isinstance(hook, WatchHook | GateHook) for hook in hooks)


def _is_recorded(hooks: Iterable[Any] | None) -> bool:
    return any(isinstance(getattr(hook, "__self__", hook), AuditHook) for hook in hooks or ())


def _question(flow: Workflow) -> GateQuestion | None:
    """What the one gate of a prepared workflow asks, if it has one."""
    asked = [question for step in steps_of(flow) if (question := question_of(step))]
    inner = [step.workflow for step in steps_of(flow) if step.workflow is not None]
    if any(not hasattr(each, "terms") and _any_gate(each) for each in inner):
        raise ConfigurationError(
            "gate: a step is in a workflow inside this one: govern that one first, by itself"
        )
    if len({id(each) for each in asked}) > 1:
        raise ConfigurationError(
            "gate: two steps are gates: make one of them, gate_step([one, two], runner=...)"
        )
    if asked and asked[0].charter is not None:
        raise ConfigurationError("gate: its step is in another governed workflow: make it anew")
    return asked[0] if asked else None


def _any_gate(flow: Workflow) -> bool:
    return any(
        question_of(step) or (step.workflow is not None and _any_gate(step.workflow))
        for step in steps_of(flow)
    )


class _FlowBinding(Binding):
    """A binding that looks into the workflow's functions as well."""

    flow: Workflow

    def install_hooks(self, owner: Owner, *, hidden: bool = False) -> None:
        super().install_hooks(owner, hidden=hidden)
        if isinstance(owner, Team) and self.watch not in (owner.pre_hooks or ()):
            # Its gate hook leaves that to the run of the workflow.
            owner.pre_hooks = [self.watch, *(owner.pre_hooks or ())]

    def survey(self, owners: Iterable[Owner], runner: Owner | None = None) -> Survey:
        everyone = list(owners)
        found = super().survey(everyone, runner)
        for function, where in functions(self.flow):
            if isinstance(function, GateQuestion):
                continue  # the models of a gate's checks are asked by the gate alone
            # Who is found in it belongs to the workflow's swarm, like everyone else.
            found.look(where, function, holder=everyone[0] if everyone else None)
        found.finish()
        return found
