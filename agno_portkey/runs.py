"""What one governed team run knows: the plan, what was said of it, the clearance, the steps done.

There is one `Run` per outermost team run. Members share it through `run_context.dependencies`,
where it travels by reference; models and tools find it in a `Runs` registry by the id of the
run they belong to. It is not kept in `session_state`, which outlives a run and which a model
can be allowed to write.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from agno.models.message import Message
from agno.models.response import ToolExecution
from agno.run.team import TeamRunOutput
from agno.tools.function import FunctionCall

from agno_portkey.contracts import Critique, Decision, Judgement, Known, Plan, digest
from agno_portkey.modes import Mode
from agno_portkey.run_facts import Clearance, Evidence, Fingerprint, Steps, Usage, Who
from agno_portkey.verdict import Verdict

__all__ = [
    "CLEARANCE_KEY",
    "RUN_KEY",
    "TENANT_KEY",
    "Clearance",
    "Evidence",
    "Fingerprint",
    "Part",
    "Run",
    "Runs",
    "Station",
    "Steps",
    "Usage",
    "Who",
    "favour",
    "run_in",
]

# Under this key a run travels in `run_context.dependencies`.
RUN_KEY = "agno_portkey.run"
# Under these a caller says in `metadata` for whom a run is, and brings a clearance to it.
TENANT_KEY = "agno_portkey.tenant"
CLEARANCE_KEY = "agno_portkey.clearance"

Part = Literal["leader", "planner", "critic", "judge", "runner", "aide", "member"]


@dataclass(frozen=True, slots=True)
class Station:
    """Where a run id belongs: the team run it is part of, and in which part."""

    run: Run
    part: Part
    role: str | None


class Run:
    """The state of one outermost team run; every method takes its lock.

    `mode` is how strictly its gate holds, from its beginning to its end.
    """

    def __init__(self, run_id: str, swarm: str | None, mode: Mode = "enforce") -> None:
        self.id = run_id
        self.swarm = swarm
        self.mode: Mode = mode
        self.lock = threading.RLock()
        self.request: str = ""
        self.who = Who()
        self.fingerprint = Fingerprint("none")
        self.presented: str | None = None
        self.outputs: list[Any] = []
        # The plan that was last decided on, and after how many judgements.
        self.recorded: tuple[str | None, int] | None = None
        self._led: list[FunctionCall] = []
        # The tools that were called in it by whomever, also in runs that failed.
        self.tried: set[str] = set()
        self.usage = Usage()
        self.failures: list[str] = []
        # What checks have said that had to be waited for: by plan, gate and check.
        self.found: dict[str, dict[str, dict[str, Verdict]]] = {}
        self.thresholds: Mapping[str, Mapping[str, float]] = {}
        # The plans that were left for a person to decide on: the ids of their rows, and whether
        # the gates had passed them.
        self.waiting: dict[str, tuple[str, bool]] = {}
        # Whose no to a plan holds, in words, by its digest.
        self.noes: dict[str, tuple[str, ...]] = {}
        self.plan: Plan | None = None
        self.plan_digest: str | None = None
        self.shown: dict[str, str] = {}
        self.critique: Evidence | None = None
        self.judgement: Evidence | None = None
        self.judgements = 0
        self.judges: set[str] = set()
        self.clearance: Clearance | None = None
        self.spent = False
        self.steps: Steps | None = None
        self.refusals: list[Verdict] = []
        self.untold: list[str] = []
        self.held: list[str] = []
        self.declined: Verdict | None = None
        self.barred = False
        self.complaints: dict[Part, str] = {}
        self.used: set[str] = set()
        self.ended = False
        self.members: list[str] = []
        # The runs that have begun and not asked their model yet; and what those that have
        # asked it are asking with, in the host's own lists.
        self.begun: set[str] = {run_id}
        self.conversations: dict[str, list[list[Message]]] = {}
        self.refused = 0
        self._said: dict[tuple[type, str], Evidence] = {}
        self._samples: dict[str, list[Judgement]] = {}

    def __repr__(self) -> str:
        # It may reach a prompt through `add_dependencies_to_context`.
        return "<governed run>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Run:
        return self

    def __copy__(self) -> Run:
        return self

    @property
    def settled(self) -> bool:
        """Whether a plan was cleared, the Runner has finished it, and that still stands."""
        return self.clearance is not None and self.spent and self.declined is None

    def known(self) -> Known:
        """What a rule of a member's output may look at."""
        with self.lock:
            critique = self.critique.output if self.critique is not None else None
            return Known(self.plan, critique if isinstance(critique, Critique) else None)

    def propose(self, plan: Plan) -> str:
        """Take `plan` as the plan of this run; what was said of another one no longer counts."""
        with self.lock:
            fingerprint = digest(plan)
            if fingerprint != self.plan_digest:
                self.critique = self.judgement = self.clearance = self.steps = None
                self.spent = False
            self.plan, self.plan_digest = plan, fingerprint
            return fingerprint

    def show(self, run_id: str) -> Plan | None:
        """The plan for the member run `run_id`, which is bound to its digest by that."""
        with self.lock:
            if self.plan is None or self.plan_digest is None:
                return None
            self.shown[run_id] = self.plan_digest
            return self.plan

    def hear(self, run_id: str, output: Critique | Judgement) -> Evidence | None:
        """Record what the member run `run_id` said of the plan it was shown, if it was.

        Of one plan the worst that was ever said counts: asking again until it pleases is no use.
        """
        with self.lock:
            shown = self.shown.get(run_id)
            if shown is None:
                return None
            said = Evidence(output, shown)
            if isinstance(output, Judgement):
                # Once a run: by hand, a hook may be listed twice.
                self.judgements += run_id not in self.judges
                self.judges.add(run_id)
                self.judgement = self._sampled(said) or self._worst(said)
            else:
                self.critique = self._worst(said)
            return said

    def poll(self, plan_digest: str, said: Iterable[Judgement]) -> None:
        """Keep what the Judge said of a plan when it was sampled, beside what it said before."""
        with self.lock:
            self._samples.setdefault(plan_digest, []).extend(said)

    def samples_of(self, plan_digest: str) -> tuple[Judgement, ...]:
        """All that the Judge has said of a plan when it was sampled."""
        with self.lock:
            return tuple(self._samples.get(plan_digest, ()))

    def _sampled(self, said: Evidence) -> Evidence | None:
        """A judgement with its samples; one that is none of them, and worse, stands alone."""
        samples = self.samples_of(said.plan_digest)
        if said.output in samples:
            return replace(said, samples=samples)
        # It was changed on its way, which is not to raise it.
        if samples and favour(said.output) >= min(map(favour, samples)):
            return Evidence(min(samples, key=favour), said.plan_digest, samples)
        return None

    def led(self, call: FunctionCall) -> None:
        """Keep a tool call of the leader, whose own output is not there before the run's end."""
        with self.lock:
            self._led.append(call)

    def everything(self) -> tuple[Any, ...]:
        """What was put out so far: the leader's tool calls, and the outputs of the members."""
        with self.lock:
            tools = [
                ToolExecution(
                    tool_name=call.function.name,
                    tool_args=dict(call.arguments or {}),
                    tool_call_error=call.error is not None,
                )
                for call in self._led
            ]
            return (TeamRunOutput(tools=tools), *self.outputs) if tools else tuple(self.outputs)

    def used_up(self, usage: Usage) -> None:
        """Count what one request of this run took."""
        with self.lock:
            self.usage = self.usage + usage

    def _worst(self, said: Evidence) -> Evidence:
        key = (type(said.output), said.plan_digest)
        before = self._said.get(key)
        if before is None or favour(said.output) < favour(before.output):
            self._said[key] = said
        return self._said[key]

    def clear(
        self, runner_run_id: str, *, id: str | None = None, expires_at: datetime | None = None
    ) -> Clearance:
        """Give the Runner's run `runner_run_id` leave for the judged plan, which uses it up."""
        with self.lock:
            if self.plan is None or self.plan_digest is None:
                raise LookupError("no plan to clear")
            self.clearance = Clearance(self.plan, self.plan_digest, runner_run_id, id, expires_at)
            self.judgement = None
            self.used.add(self.plan_digest)
            self.steps = Steps(self.plan)
            self.spent = False
            return self.clearance

    def unclear(self, judgement: Evidence | None) -> None:
        """Take back a clearance that was not kept, as if it had never been given."""
        with self.lock:
            self.clearance = self.steps = None
            self.judgement = judgement
            self.used.discard(self.plan_digest or "")

    def refuse(self, verdict: Verdict) -> None:
        """Remember a gate's refusal, for the leader and for the run's end."""
        with self.lock:
            self.refusals.append(verdict)
            self.note_refusal(verdict.reason)

    def note_refusal(self, reason: str) -> None:
        """Count a refusal of any kind, and keep its reason for the leader."""
        with self.lock:
            self.refused += 1
            self.untold.append(reason)


def favour(output: Critique | Judgement) -> tuple[float, float]:
    """How much a critique or judgement speaks for its plan; less is worse."""
    if isinstance(output, Judgement):
        return (output.decision is Decision.APPROVE, output.score)
    return (-len(output.blocking), -len(output.issues))


class Runs:
    """Finds the `Run` of a run id; bounded, thread-safe, the same object after a deep copy.

    Past `limit` outermost runs the oldest ended one is forgotten, else the oldest; a forgotten
    run is refused wherever it is asked for.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._lock = threading.RLock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._stations: dict[str, Station] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Runs:
        return self

    def open(self, run_id: str, swarm: str | None, mode: Mode = "enforce") -> Run:
        """Begin the run of this id; one known by it is forgotten, whatever it was cleared for.

        The host lets a caller choose a run's id, and begins a run again that it retries.
        """
        with self._lock:
            if (known := self._runs.get(run_id)) is not None:
                self._forget(known)
            self._make_room()
            run = self._runs[run_id] = Run(run_id, swarm, mode)
            self._stations[run_id] = Station(run, "leader", swarm)
            return run

    def join(self, run_id: str, run: Run, part: Part, role: str | None) -> Station:
        """Bind a member's run id to `run`; one that has ended or is forgotten takes no more."""
        with self._lock:
            station = Station(run, part, role)
            if self.is_live(run):
                self._stations[run_id] = station
                run.members.append(run_id)
                # The host begins a run again that it retries.
                run.begun.add(run_id)
            return station

    def is_live(self, run: Run) -> bool:
        """Whether `run` is known here and has not ended."""
        return self._runs.get(run.id) is run and not run.ended

    def find(self, run_id: str | None) -> Station | None:
        if run_id is None:
            return None
        with self._lock:
            return self._stations.get(run_id)

    def any_cleared(self, now: datetime) -> bool:
        """Whether some run holds a clearance that is neither spent nor run out.

        What is only observed is no leave.
        """
        with self._lock:
            return any(
                run.clearance is not None
                and run.mode == "enforce"
                and not run.spent
                and not run.ended
                and (run.clearance.expires_at is None or now < run.clearance.expires_at)
                for run in self._runs.values()
            )

    def _make_room(self) -> None:
        while len(self._runs) >= self._limit:
            oldest = next((run for run in self._runs.values() if run.ended), None)
            self._forget(oldest or next(iter(self._runs.values())))

    def _forget(self, run: Run) -> None:
        del self._runs[run.id]
        for run_id in (run.id, *run.members):
            self._stations.pop(run_id, None)


def run_in(dependencies: Mapping[str, Any] | None) -> Run | None:
    """The run that travels in `dependencies`, if one does."""
    run = (dependencies or {}).get(RUN_KEY)
    return run if isinstance(run, Run) else None
