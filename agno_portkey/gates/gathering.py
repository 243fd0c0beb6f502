"""What a gate's checks say that have to be waited for: asked at once, each within its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from agno_portkey.calls import IO
from agno_portkey.gates.case import Case, told_by
from agno_portkey.gates.checks.base import Check
from agno_portkey.gates.gate import Gate
from agno_portkey.runs import Run
from agno_portkey.verdict import Verdict, failure_of
from agno_portkey.workers import Failed, Job

__all__ = ["gather"]


async def gather(gates: tuple[Gate, ...], run: Run, case: Case, io: IO) -> None:
    """Ask the checks of `gates` that nobody has asked about this plan, and keep what they say.

    One that takes too long refuses; so does one that raises. Of a plan each is asked once, but
    for one that has failed.
    """
    if case.plan is None or case.plan_digest is None:
        return
    wanted = list(_unasked(gates, run, case))
    if not wanted:
        return
    asked_by = run.thresholds
    jobs = [
        Job(partial(told_by, check, _for(gate, run, case)), check.timeout) for gate, check in wanted
    ]
    outcomes = await io.race(jobs, lambda place, outcome: False)
    with run.lock:
        if run.thresholds != asked_by:
            return  # they were adjusted meanwhile, and whoever read them asks anew
        known = run.found.setdefault(case.plan_digest, {})
        for (gate, check), outcome in zip(wanted, outcomes, strict=True):
            known.setdefault(gate.name, {})[check.name] = _verdict(check, outcome)


def _unasked(gates: tuple[Gate, ...], run: Run, case: Case) -> Iterator[tuple[Gate, Check]]:
    known = run.found.get(case.plan_digest or "", {})
    for gate in gates:
        for check in gate.leaves:
            said = known.get(gate.name, {}).get(check.name)
            if check.asks and (said is None or said.evidence.get("failed")):
                yield gate, check


def _for(gate: Gate, run: Run, case: Case) -> Case:
    return replace(case, thresholds=run.thresholds.get(gate.name, {}))


def _verdict(check: Check, outcome: object) -> Verdict:
    if isinstance(outcome, Failed):
        reason = failure_of(f"the check {check.name}", outcome.error)
        return Verdict(False, check.name, (reason,), 0.0, {"failed": True})
    return cast("Verdict", outcome)
