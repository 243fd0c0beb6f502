"""The charter of a governed team: its gates, its Runner, and the runs they watch over.

Hooks, the bound models and the protected tools of one team hold the same charter. It decides;
they ask. Everything it can't establish is a no; what a no does is for `Ruling` to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agno_portkey.contracts import Critique, Judgement, Plan
from agno_portkey.errors import GateClosed, RunDeclined
from agno_portkey.gates.gate import Case, Gate, check_gates, decide_all
from agno_portkey.gates.ruling import Ruling
from agno_portkey.modes import Mode
from agno_portkey.runs import Clearance, Evidence, Run, Runs, Station, Steps
from agno_portkey.verdict import Observer, Verdict

__all__ = ["Charter"]

# How often members may be refused for each round that the gates allow.
_REFUSALS_A_ROUND = 4


class Charter(Ruling):
    """What one team's gates decide on; shared, so a deep copy is the same object.

    `tools` are the names of the protected tools; `None` where they are not known (hooks that
    were installed by hand), and then a plan's steps are not matched to them. `functions` holds
    the `id` of the users' functions under them.
    """

    def __init__(
        self,
        gates: Gate | Iterable[Gate],
        *,
        swarm: str | None = None,
        tools: frozenset[str] | None = None,
        functions: frozenset[int] = frozenset(),
        has_critic: bool = False,
        observers: Iterable[Observer] = (),
        mode: Mode = "enforce",
        runs: Runs | None = None,
    ) -> None:
        super().__init__(swarm=swarm, observers=observers, mode=mode, runs=runs)
        self.gates = check_gates(gates)
        self.tools = tools
        self.functions = functions
        self.has_critic = has_critic

    def __deepcopy__(self, memo: dict[int, Any]) -> Charter:
        return self

    def __repr__(self) -> str:
        return f"Charter(gates={[gate.name for gate in self.gates]}, swarm={self.swarm!r})"

    @property
    def name(self) -> str:
        return ", ".join(gate.name for gate in self.gates)

    # What members say

    def planned(self, station: Station, plan: Plan) -> None:
        fingerprint = station.run.propose(plan)
        station.run.complaints.pop("planner", None)
        self.tell("plan", station, data={"plan_digest": fingerprint, "steps": len(plan.steps)})

    def heard(self, station: Station, run_id: str, output: Critique | Judgement) -> Evidence:
        """Record a critique or judgement; one whose author was shown no plan is refused."""
        said = station.run.hear(run_id, output)
        if said is None:
            raise self.refusal(
                station,
                f"{station.role or station.part} spoke of a plan that it was not shown",
            )
        station.run.complaints.pop(station.part, None)
        self.tell(
            type(output).__name__.lower(),
            station,
            data={"plan_digest": said.plan_digest, **_summary(output)},
        )
        return said

    # The Runner

    def admit(self, station: Station, run_id: str) -> Clearance:
        """Clear the judged plan for the Runner's run `run_id`, or raise `GateClosed`."""
        run = station.run
        with run.lock:
            held = run.clearance
            if held is not None and held.runner_run_id == run_id and not run.spent:
                return held  # the same run again: the host retries it
            verdict = self.decide(run)
            clearance = run.clear(run_id) if verdict.passed else None
            if clearance is None:
                run.refuse(verdict)
        self.tell("gate", station, verdict)
        if clearance is None:
            raise GateClosed(
                verdict, f"{station.role or 'the Runner'} may not run: {verdict.reason}"
            )
        return clearance

    def decide(self, run: Run) -> Verdict:
        """All gates' verdicts on `run` as one."""
        case = Case(
            plan=run.plan,
            plan_digest=run.plan_digest,
            critique=run.critique,
            judgement=run.judgement,
            tools=self.tools,
            has_critic=self.has_critic,
            used=run.plan_digest in run.used,
        )
        return decide_all(self.gates, case)

    def require_clearance(self, run_id: str | None) -> tuple[Station, Steps]:
        """The steps that the Runner's run `run_id` is cleared for, or `GateClosed`."""
        station = self.runs.find(run_id)
        if station is None or station.part != "runner" or run_id is None:
            raise self.refusal(
                station,
                "this Runner is not part of a governed team run: its hooks did not run, or the "
                "run is unknown to this process",
            )
        run = station.run
        with run.lock:
            held = run.clearance
            if held is None or run.steps is None or held.runner_run_id != run_id:
                raise self.refusal(station, "the gate has not cleared this run of the Runner")
            if run.spent:
                raise self.refusal(station, "the clearance is used up: the Runner has finished")
            return station, run.steps

    def finish(self, station: Station, run_id: str) -> tuple[int, ...]:
        """Use up the clearance of the Runner's run `run_id`.

        Returns the plan's protected steps that were not done; `GateClosed` without a clearance.
        """
        run = station.run
        with run.lock:
            held = run.clearance
            if held is None or run.steps is None or held.runner_run_id != run_id:
                if run.mode == "observe":
                    return ()  # it was not stopped then, and that it would have been is told
                raise self.refusal(station, "another plan was put forward while the Runner ran")
            missing = run.steps.missing(self.tools or frozenset())
            if missing:
                run.refuse(Verdict(False, "runner", (_not_done(run.steps, missing),)))
                run.clearance = None
            else:
                run.spent = True
        return missing

    # The team's result

    def bar(self, run: Run, reason: str) -> None:
        """Decline `run` before its leader says anything."""
        verdict = Verdict(False, self.name, (reason,))
        run.refuse(verdict)
        run.barred = True
        if run.mode == "observe":
            self.tell_declined(Station(run, "leader", self.swarm), verdict)

    def out_of_rounds(self, run: Run) -> bool:
        """Whether the gates' rounds are used up and no plan is cleared.

        A round is a judgement; a team that is refused without ever getting to one ends too.
        """
        rounds = min(gate.max_rounds for gate in self.gates)
        with run.lock:
            if run.clearance is None and run.refused > rounds * _REFUSALS_A_ROUND:
                return True
            return (
                run.judgements >= rounds
                and run.clearance is None
                and not (run.judgement is not None and self.decide(run).passed)
            )

    def decline(self, run: Run) -> RunDeclined:
        """The error that ends `run` without a result; its verdict lists every reason."""
        with run.lock:
            verdict, first = run.declined, run.declined is None
            if verdict is None:
                last = run.refusals[-1].reasons if run.refusals else ()
                verdict = run.declined = Verdict(
                    False,
                    self.name,
                    tuple(dict.fromkeys((*last, *self._open_end(run)))),
                    evidence={
                        "plan_digest": run.plan_digest,
                        "refusals": [v.as_dict() for v in run.refusals],
                        "judgements": run.judgements,
                    },
                )
                run.ended = True
        if first:
            self.tell_declined(Station(run, "leader", self.swarm), verdict)
        return RunDeclined(verdict, f"declined: {verdict.reason}")

    def decline_unknown(self) -> RunDeclined:
        """The error that ends a team run of which nothing is known here."""
        reason = "the team's hooks did not run, or it was rebuilt without them: govern it"
        verdict = Verdict(False, self.name, (reason,))
        self.tell_declined(None, verdict)
        return RunDeclined(verdict, f"declined: {reason}")

    def _open_end(self, run: Run) -> Iterable[str]:
        if run.clearance is not None:
            yield "the Runner was cleared but has not finished"
            return
        if run.refusals and run.refusals[-1].source == "runner":
            return  # it was cleared, and the refusal says what became of it
        verdict = self.decide(run)
        if verdict.passed:
            yield "the gate would pass, but the Runner was never asked"
        else:
            yield from run.complaints.values()
            yield from verdict.reasons

    # Telling

    def refusal(self, station: Station | None, reason: str) -> GateClosed:
        """A `GateClosed` for `reason`, told to the observers."""
        verdict = Verdict(False, self.name, (reason,))
        if station is not None:
            station.run.note_refusal(reason)
        self.tell("gate", station, verdict)
        return GateClosed(verdict)


def _summary(output: Critique | Judgement) -> dict[str, Any]:
    if isinstance(output, Judgement):
        return {
            "decision": output.decision.value,
            "score": output.score,
            "reasons": list(output.reasons),
        }
    return {"issues": len(output.issues), "blocking": len(output.blocking)}


def _not_done(steps: Steps, missing: tuple[int, ...]) -> str:
    """Which steps were not done, and why the first of them was not, as far as is known."""
    tools = [str(steps.plan.steps[number - 1].tool) for number in missing]
    named = ", ".join(f"{n} ({tool})" for n, tool in zip(missing, tools, strict=True))
    because = f": {steps.failed[tools[0]]}" if tools[0] in steps.failed else ""
    return f"the Runner ended without doing step {named}{because}"
