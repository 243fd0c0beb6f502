"""The charter of a governed team: its gates, its Runner, and the runs they watch over.

Hooks, the bound models and the protected tools of one team hold the same charter. It decides;
they ask. Everything it can't establish is a no; what a no does is for `Ruling` to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.contracts import Critique, Judgement, Plan
from agno_portkey.drivers import SyncIO, step
from agno_portkey.errors import ClearanceRefused, GateClosed
from agno_portkey.gates.admission import Admission
from agno_portkey.gates.asked import asked_by_another
from agno_portkey.gates.books import Books, database_failed
from agno_portkey.gates.ending import Ending
from agno_portkey.gates.gate import (
    Case,
    Gate,
    check_gates,
    decide_all,
    plan_reasons,
    verdicts_of,
)
from agno_portkey.gates.meter import Meter
from agno_portkey.gates.restoring import restored
from agno_portkey.modes import Mode
from agno_portkey.run_facts import Fingerprint
from agno_portkey.runs import Clearance, Evidence, Run, Runs, Station, Steps
from agno_portkey.verdict import Observer, Verdict

__all__ = ["Charter"]

_UNCLEARED = "the gate has not cleared this run of the Runner"


class Charter(Ending):
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
        books: Books | None = None,
    ) -> None:
        super().__init__(swarm=swarm, observers=observers, mode=mode, runs=runs)
        self.gates = check_gates(gates)
        self._books = books or Books()
        # The books in a database that the team was given since, if it was.
        self.books_since: Callable[[], Books | None] | None = None
        self._giving, self._restoring = threading.RLock(), threading.RLock()
        # What the team is at this moment, where that is known.
        self.fingerprint_now: Callable[[], Fingerprint] | None = None
        self.meter = Meter(self.runs)
        # What the Judge is asked several times for.
        self.samples = [j for gate in self.gates for j in gate.judges if j.sampling is not None]
        self.tools = tools
        self.functions = functions
        self.has_critic = has_critic

    def __deepcopy__(self, memo: dict[int, Any]) -> Charter:
        return self

    def __repr__(self) -> str:
        return f"Charter(gates={[gate.name for gate in self.gates]}, swarm={self.swarm!r})"

    @property
    def books(self) -> Books:
        """Where decisions and clearances are kept; a server gives a team its database late."""
        if self.books_since is None:
            return self._books
        with self._giving:
            if self.books_since is not None and (since := self.books_since()) is not None:
                # What was used, approved or dropped before stays so.
                since.clearances.take_over(self._books.clearances)
                self._books, self.books_since = since, None
            return self._books

    @books.setter
    def books(self, books: Books) -> None:
        self.books_since, self._books = None, books

    @property
    def name(self) -> str:
        return ", ".join(gate.name for gate in self.gates)

    # What members say

    def open(self, run_id: str, name: str, context: Any = None) -> Run:
        """Begin the team run of this id; what one of that id was cleared for is taken back.

        `context` is the host's, of who begins it: `GateClosed` where the id is that of somebody
        else's run, for a caller may choose it.
        """
        before = self.runs.find(run_id)
        foreign = None
        if before is not None and before.run.mode == "enforce" and context is not None:
            foreign = asked_by_another(before.run, context)
        if foreign is not None:
            raise self.refusal(None, f"a run of another {foreign} has this id: choose another")
        if before is not None and before.run.id == run_id and not before.run.spent:
            self.books.dropped(before.run.clearance, "its run began anew")
        return super().open(run_id, name)

    def planned(self, station: Station, plan: Plan) -> None:
        before = station.run.clearance
        fingerprint = station.run.propose(plan)
        if station.run.clearance is None:
            self.books.dropped(before, "another plan was put forward")
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
        """`aadmit` for whoever can't await it."""
        return step(self.aadmit(station, run_id, SyncIO()))

    async def aadmit(self, station: Station, run_id: str, io: IO) -> Clearance:
        """Clear the judged plan for the Runner's run `run_id`, or raise `GateClosed`."""
        run = station.run
        # Made first: it refuses a closed run, whatever that holds.
        admission = Admission(self, station, run_id, io)
        held = run.clearance
        if held is not None and held.runner_run_id == run_id and not run.spent:
            return held  # the same run again: the host retries it
        verdict, clearance = await admission.decided()
        if clearance is None:
            run.refuse(verdict)
        self.tell("gate", station, verdict)
        if clearance is None:
            raise GateClosed(
                verdict, f"{station.role or 'the Runner'} may not run: {verdict.reason}"
            )
        return clearance

    def case(self, run: Run) -> Case:
        """What the gates decide on."""
        with run.lock:
            return Case(
                plan=run.plan,
                plan_digest=run.plan_digest,
                critique=run.critique,
                judgement=run.judgement,
                tools=self.tools,
                has_critic=self.has_critic,
                used=run.plan_digest in run.used,
                request=run.request,
                outputs=run.everything(),
                tried=frozenset(run.tried),
                usage=run.usage,
                failures=tuple(run.failures),
                fingerprint=run.fingerprint.digest,
                database=self.books.database,
            )

    async def read_thresholds(self, run: Run, io: IO) -> None:
        """Have `run` decided on by the thresholds that hold now, where any was adjusted."""
        if self.books.thresholds is None:
            return
        now = await io.run(partial(self.books.thresholds_of, self.gates))
        with run.lock:
            if now != run.thresholds:
                # What was said by the thresholds of before has to be asked anew.
                run.found.clear()
            run.thresholds = now

    def decide(self, run: Run) -> Verdict:
        """All gates' verdicts on `run` as one."""
        return decide_all(self.gates, self.case(run), self._found(run), run.thresholds)

    def verdicts(self, run: Run) -> Sequence[Verdict]:
        """Each gate's verdict on `run`."""
        return verdicts_of(self.gates, self.case(run), self._found(run), run.thresholds)

    def may_pass(self, run: Run) -> bool:
        """Whether the gates would pass `run`, if what nobody has asked yet spoke for it."""
        found = {
            gate.name: {
                check.name: Verdict(True, check.name) for check in gate.leaves if check.asks
            }
            | dict(self._found(run).get(gate.name, {}))
            for gate in self.gates
        }
        return decide_all(self.gates, self.case(run), found, run.thresholds).passed

    def _found(self, run: Run) -> dict[str, dict[str, Verdict]]:
        return run.found.get(run.plan_digest or "", {})

    def has_all(self, run: Run, plan_digest: str) -> bool:
        """Whether the Judge has said all of that plan that may be asked of it."""
        most = max(judge.sampling.most for judge in self.samples if judge.sampling is not None)
        return len(run.samples_of(plan_digest)) >= most

    def wants_more(self, run: Run, plan_digest: str, said: Sequence[Judgement]) -> bool:
        """Whether the Judge is to be asked of that plan again, having said `said` of it now."""
        drawn = (*run.samples_of(plan_digest), *said)
        for gate in self.gates:
            for check in gate.judges:
                needed = check.needed(run.thresholds.get(gate.name, {}))
                if check.sampling is not None and not check.poll(drawn, needed).done:
                    return True
        return False

    def require_clearance(self, run_id: str | None) -> tuple[Station, Steps]:
        """`arequire_clearance` for whoever can't await it."""
        return step(self.arequire_clearance(run_id, SyncIO()))

    async def arequire_clearance(self, run_id: str | None, io: IO) -> tuple[Station, Steps]:
        """The steps that the Runner's run `run_id` is cleared for, or `GateClosed`."""
        station = await self.astation(run_id, io)
        if station is None or station.part != "runner" or run_id is None:
            raise self.refusal(
                station,
                "this Runner is not part of a governed team run: its hooks did not run, or the "
                "run is unknown to this process",
            )
        run = station.run
        with run.lock:
            held = run.clearance
            if run.spent and held is not None and held.runner_run_id == run_id:
                raise self.refusal(station, "the clearance is used up: the Runner has finished")
            self.require_open(station)
            if held is None or run.steps is None or held.runner_run_id != run_id:
                raise self.refusal(station, _UNCLEARED)
            if held.expires_at is not None and self.books.clock() >= held.expires_at:
                raise self.refusal(station, "the clearance has run out: have the plan judged anew")
            return station, run.steps

    def require_open(self, station: Station) -> None:
        """Refuse the Runner of a team run that is closed."""
        if (closed := self.closed(station.run)) is not None:
            raise self.refusal(station, closed)

    async def require_good(self, station: Station, io: IO) -> None:
        """Refuse a run whose clearance was taken back since, by whomever."""
        held = station.run.clearance
        if held is None:
            raise self.refusal(station, _UNCLEARED)
        try:
            await io.run(partial(self.books.still_good, held))
        except ClearanceRefused as refused:
            raise self.refusal(station, str(refused)) from None
        except Exception as error:
            raise self.refusal(station, database_failed(error)) from error

    def require_same(self, run: Run, context: Any) -> None:
        """Refuse who goes on with a run of somebody else's, or of a team that was changed since.

        `context` is the host's, of who asks now.
        """
        self.require_whose(run, context)
        known, now = run.fingerprint, self.fingerprint_now
        if now is not None and known.parts and now().digest != known.digest:
            raise self.refusal(
                None, "models, prompts, tools or policy were changed since it was cleared"
            )

    def require_whose(self, run: Run, context: Any) -> None:
        """Refuse who goes on with a run of another session or user."""
        if (other := asked_by_another(run, context)) is not None:
            raise self.refusal(None, f"it was cleared for another {other}")

    def station(self, run_id: str | None) -> Station | None:
        """Where a run belongs; one of another process by the clearance that is kept of it.

        `GateClosed` where it can't be known, or the team was changed meanwhile.
        """
        known = self.runs.find(run_id)
        if known is not None or run_id is None:
            return known
        try:
            with self._restoring:
                # Once: to begin a run takes back what another thread has just known again.
                return self.runs.find(run_id) or restored(self, run_id)
        except GateClosed:
            raise
        except ClearanceRefused as refused:
            raise self.refusal(None, str(refused)) from None
        except Exception as error:
            raise self.refusal(None, database_failed(error)) from error

    async def astation(self, run_id: str | None, io: IO) -> Station | None:
        """`station` for who waits through `io`, where nobody here knows the run."""
        return self.runs.find(run_id) or await io.run(partial(self.station, run_id))

    def unknown_tools(self, plan: Plan) -> str | None:
        """The first step of `plan` that calls a tool which the Runner does not have."""
        return next(iter(plan_reasons(plan, self.tools)), None)

    @property
    def needs_approval(self) -> bool:
        """Whether a person has to approve what the gates let pass."""
        return any(gate.approval for gate in self.gates)

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
        if missing:
            self.books.given_up(held, missing)
        else:
            self.books.spent(held)
        return missing

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
