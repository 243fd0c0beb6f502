"""A suite of evaluations run until its verdict holds: each case as often as it takes.

A case here is Agno's, `agno.eval.suite.Case`; `agno_portkey.gates.Case` is what a gate decides on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agno.eval.suite import Case, CaseResult, JudgeMode, SuiteResult, arun_cases

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.checks.base import Outcome, counted
from agno_portkey.gates.sampling import Poll, Sampling

__all__ = ["CaseVerdict", "SuiteVerdict", "arun_suite", "run_suite"]

# Points for a case that knows only yes and no.
_YES, _NO, _HALF = 10.0, 0.0, 5.0


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """What the runs of one case come to, and the worst of them."""

    case: Case
    outcome: Outcome
    poll: Poll
    worst: CaseResult
    seconds: float

    @property
    def reason(self) -> str:
        """Why it did not pass, in a line: what was found, and what was needed."""
        if self.outcome is Outcome.PASS:
            return ""
        told = self._score()
        if self.outcome is Outcome.UNDERPOWERED:
            more = self.poll.more
            runs = f"about {counted(more, 'more run')}" if more else "no number of runs"
            told += f", which is not enough to tell: {runs} would"
        said = self.worst
        score = said.score.reason if said.score is not None else None
        error = f"a run ended with an error, and none may: {said.error}" if said.error else None
        grounds = [each for each in (error, said.judge_reason, score) if each]
        if said.reliability_passed is False:
            grounds.append(self._calls())
        return "; ".join([told, *grounds])

    def _score(self) -> str:
        runs = self.poll.samples
        if _is_numeric(self.case):
            needed = _needed(self.case)
            return f"score {self.poll.mean:.2g} of 10 in {counted(runs, 'run')}, {needed:g} needed"
        passed = round(self.poll.mean * runs / _YES)
        return f"{passed} of {counted(runs, 'run')} passed, {math.ceil(runs / 2)} needed"

    def _calls(self) -> str:
        called = ", ".join(self.worst.tools_called) or "no tool"
        expected = ", ".join(self.case.expected_tool_calls or ())
        alone = "" if self.case.allow_additional_tool_calls else ", and nothing else"
        return f"it called {called} (expected: {expected}{alone})"


@dataclass(frozen=True, slots=True)
class SuiteVerdict:
    """What a suite comes to: FAIL if a case fails, else UNDERPOWERED if one can't be told."""

    cases: tuple[CaseVerdict, ...]

    @property
    def outcome(self) -> Outcome:
        said = [case.outcome for case in self.cases]
        for outcome in (Outcome.FAIL, Outcome.UNDERPOWERED):
            if outcome in said or not said:
                return outcome
        return Outcome.PASS

    @property
    def result(self) -> SuiteResult:
        """As Agno's own result, in which a case that is not told is none that passed."""
        return SuiteResult(results=[_told(case) for case in self.cases])


def run_suite(cases: Iterable[Case], **options: Any) -> SuiteVerdict:
    """`arun_suite` for whoever can't await it."""
    return asyncio.run(arun_suite(cases, **options))


async def arun_suite(
    cases: Iterable[Case],
    *,
    sampling: Sampling | None = None,
    judge_model: Any = None,
    seconds: int = 120,
    on_run: Callable[[Case, int], None] = lambda case, number: None,
) -> SuiteVerdict:
    """Run each case with Agno's own runner, again and again until `sampling` has enough of it.

    A run counts with its judge's score where that is a number, else with 10 or 0; one that ended
    with an error counts 0, and fails its case, and one of more than `seconds` ends so. Without
    `sampling` each is run once. `on_run` is called before each run. Raises ConfigurationError where
    there is no case.
    """
    several = tuple(cases)
    if not several or not all(isinstance(case, Case) for case in several):
        raise ConfigurationError("suite: a list of agno.eval.suite.Case is needed, not empty")
    names = [case.name for case in several]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"suite: two cases are named {twice[0]!r}: tell them apart")
    how = sampling or Sampling(least=1, most=1)
    return SuiteVerdict(
        tuple([await _one(case, how, judge_model, seconds, on_run) for case in several])
    )


async def _one(
    case: Case,
    sampling: Sampling,
    judge_model: Any,
    seconds: int,
    on_run: Callable[[Case, int], None],
) -> CaseVerdict:
    runs = _Runs(case, sampling)
    while not runs.done:
        on_run(case, len(runs.results) + 1)
        said = await arun_cases([case], judge_model=judge_model, default_timeout=seconds)
        runs.results.extend(said.results)
    return runs.verdict()


@dataclass
class _Runs:
    """The runs of one case so far."""

    case: Case
    sampling: Sampling
    results: list[CaseResult] = field(default_factory=list)

    @property
    def done(self) -> bool:
        if not self.results:
            return False
        return bool(self.results[-1].error) or self.poll().done

    def poll(self) -> Poll:
        points = [_points(result) for result in self.results]
        return self.sampling.poll(points, _needed(self.case))

    def verdict(self) -> CaseVerdict:
        poll = self.poll()
        failed = [result for result in self.results if result.error]
        worst = failed[0] if failed else min(self.results, key=_points)
        outcome = Outcome.FAIL if failed else poll.outcome
        seconds = sum(result.duration_seconds for result in self.results)
        return CaseVerdict(self.case, outcome, poll, worst, seconds)


def _is_numeric(case: Case) -> bool:
    return bool(case.criteria) and case.judge_mode == JudgeMode.NUMERIC


def _needed(case: Case) -> float:
    """The points from which a case passes."""
    return float(case.judge_threshold) if _is_numeric(case) else _HALF


def _points(result: CaseResult) -> float:
    """What one run counts, in 0-10: the judge's score, if the run's other checks passed."""
    others = [result.reliability_passed, result.score.passed if result.score else None]
    if result.error or False in others:
        return _NO
    if result.judge_score is not None:
        return float(result.judge_score)
    return _YES if result.passed else _NO


def _told(verdict: CaseVerdict) -> CaseResult:
    worst = verdict.worst
    if verdict.outcome is Outcome.PASS:
        return CaseResult(name=worst.name, tags=worst.tags, judge_passed=True)
    return CaseResult(name=worst.name, tags=worst.tags, judge_passed=False, error=verdict.reason)
