"""The fifteenth case: the primary is down for seconds, and twenty requests come meanwhile."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from faults_case import Case, Played, at_primary
from faults_judge import BROKEN, GOOD, HAMMERED, WHOLE, Verdict, judge
from faults_stage import PRIMARY, Outcome, Route, Stage

from agno_portkey.routing.breaker.circuits import CircuitBreaker
from agno_portkey.testing import Fault

__all__ = ["OUTAGE"]

REQUESTS = 20
# Seconds; the last of the requests begins before the outage ends.
DOWN, PACE = 3.0, 0.13
BREAKER = CircuitBreaker(failure_threshold=3, cooldown=0.5)
_RECOVERY_SECONDS = 10.0


def through_an_outage(case: Case, stage: Stage, form: str) -> Played:
    """Twenty requests over an outage of the primary, then more until it serves again."""
    began = time.monotonic()

    def ask(number: int) -> Outcome:
        time.sleep(max(0.0, began + number * PACE - time.monotonic()))
        # Which request to the provider is whose can't be told: they are counted together.
        return replace(stage.run(form), calls=())

    with ThreadPoolExecutor(REQUESTS) as pool:
        outcomes = [*pool.map(ask, range(REQUESTS))]
    calls = stage.provider.calls
    for outcome in outcomes:
        if (verdict := judge(outcome, case.expected)) not in GOOD:
            return Played(verdict, len(calls), outcome)
    asked = [request.at for request in calls if request.model == PRIMARY]
    in_vain = [at for at in asked if at < asked[0] + DOWN]
    # Those that were under way when it opened, on a machine that has much else to do.
    under_way = REQUESTS // 4
    probes = math.ceil(DOWN / BREAKER.cooldown)
    if len(in_vain) > BREAKER.failure_threshold + probes + under_way:
        return Played(HAMMERED, len(calls))
    return Played(_until_back(case, stage, form), len(calls))


def _until_back(case: Case, stage: Stage, form: str) -> Verdict:
    """Whole once the primary has answered two calls in a row."""
    deadline = time.monotonic() + _RECOVERY_SECONDS
    row = 0
    while row < 2:
        if time.monotonic() > deadline:
            return BROKEN
        outcome = stage.run(form)
        if (verdict := judge(outcome, case.expected)) != WHOLE:
            return verdict
        row = row + 1 if outcome.asked == [PRIMARY] else 0
        if not row:
            time.sleep(BREAKER.cooldown / 5)
    return WHOLE


OUTAGE = Case(
    15,
    "an outage and twenty requests",
    at_primary(Fault.outage(DOWN)),
    Route(breaker=BREAKER),
    play=through_an_outage,
)
