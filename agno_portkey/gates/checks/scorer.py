"""`ScorerCheck`: any of Agno's scorers, or one of yours, passes the plan."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.run.agent import RunInput, RunOutput
from agno.scorer import FingerprintError, JudgeScorer, Score, ToolCallScorer

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, number
from agno_portkey.gates.checks.models import (
    NO_PLAN,
    fenced,
    fresh,
    identity_of,
    require_gateway,
    silence,
)
from agno_portkey.verdict import Verdict

__all__ = ["ScorerCheck"]


@dataclass(frozen=True, kw_only=True)
class ScorerCheck(Check):
    """Passes a plan that `scorer` passes, with at least `min_score` (0-1) if that is given.

    `scorer` has `ascore(run, expected)` or `score(run, expected)` and gives a `Score` of
    `agno.scorer`. The run holds the plan as its content and the request as its input; `expected`
    is handed on as it is. Anything but a score refuses.
    """

    name: str = "scorer"
    scorer: Any = field(hash=False)
    expected: Any = field(default=None, hash=False)
    min_score: float | None = None

    asks = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_score is not None:
            number(self, "min_score", least=0, most=1)
        self._check_scorer(self.scorer)

    def _check_scorer(self, scorer: Any) -> None:
        methods = [getattr(scorer, name, None) for name in ("ascore", "score")]
        if isinstance(scorer, type) or not any(map(callable, methods)):
            raise ConfigurationError(f"{self.name}.scorer: an object with ascore or score")
        if isinstance(scorer, ToolCallScorer):
            raise ConfigurationError(
                f"{self.name}.scorer: a plan has called no tools; use a ReliabilityCheck"
            )
        if isinstance(scorer, JudgeScorer) or isinstance(getattr(scorer, "model", None), Model):
            require_gateway(scorer.model, f"{self.name}.scorer.model")
        if isinstance(evaluator := getattr(scorer, "_evaluator", None), Agent):
            require_gateway(evaluator.model, f"{self.name}.scorer's model")
            silence(evaluator)
            evaluator.model = fresh(evaluator.model)

    @property
    def threshold(self) -> float:
        """`min_score`, without which the scorer alone decides."""
        return self.min_score or 0.0

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "scorer": _identity(self.scorer)}

    def decide(self, case: Case) -> Verdict:
        if case.plan is None:
            return self.verdict(NO_PLAN)
        run = RunOutput(content=case.plan, input=RunInput(input_content=self._shown(case.request)))
        said = self._asked(run)
        if (wrong := _wrong(said)) is not None:
            return self.verdict(wrong, failed=True)
        needed = case.threshold_of(self)
        reasons = []
        if not said.passed:
            reasons.append(self._refusal(said))
        if not said.value >= needed:
            reasons.append(f"its score is {said.value:.2g}, and {needed:.2g} is needed")
        return self.verdict(*reasons, score=float(said.value), threshold=needed)

    def _refusal(self, said: Score) -> str:
        """What its scorer gave, and what it would pass where that is known."""
        given = f"its scorer gives {said.value:.2g}, and does not pass it"
        if isinstance(self.scorer, JudgeScorer) and self.scorer.mode == "numeric":
            # Of its points from 1 to 10 it makes a value from 0 to 1.
            points = 1 + 9 * said.value
            given = f"its scorer gives {points:.2g}, and {self.scorer.threshold} is needed"
        return f"{given}: {said.reason}" if said.reason else given

    def _shown(self, request: str) -> str:
        """The request; Agno's judge, which fences what it judges alone, is shown it in a fence."""
        agnos = isinstance(self.scorer, JudgeScorer) and request
        return fenced(request, "request") if agnos else request

    def _asked(self, run: RunOutput) -> Any:
        if callable(getattr(self.scorer, "ascore", None)):
            # One that hangs is left no thread to hang in.
            return asyncio.run(asyncio.wait_for(self._awaited(run), self.timeout))
        said = self.scorer.score(run, self.expected)
        return asyncio.run(_result(said)) if isawaitable(said) else said

    async def _awaited(self, run: RunOutput) -> Any:
        said = self.scorer.ascore(run, self.expected)
        return await said if isawaitable(said) else said


async def _result(said: Awaitable[Any]) -> Any:
    return await said


def _wrong(said: Any) -> str | None:
    """What keeps `said` from being a score, if anything does."""
    if not isinstance(said, Score):
        return f"its scorer gave {type(said).__name__} in place of a Score: have it return one"
    # It may have been changed since it was made.
    passed: object = said.passed
    value: object = said.value
    if not isinstance(passed, bool):
        return f"its score says {type(passed).__name__} in passed: give True or False"
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        return "its score has a value that is no number from 0 to 1: have its scorer give one"
    return None


def _identity(scorer: Any) -> dict[str, Any]:
    """What tells `scorer` from one that scores otherwise, as far as it says so."""
    kind = {"class": f"{type(scorer).__module__}.{type(scorer).__qualname__}"}
    if isinstance(scorer, JudgeScorer):
        # Its digest is also that of the gateway's address.
        rule = {name: getattr(scorer, name) for name in ("criteria", "mode", "threshold")}
        return {**kind, **rule, "model": identity_of(scorer.model)}
    digest = getattr(scorer, "digest", None)
    try:
        return {**kind, "digest": digest() if callable(digest) else None}
    except FingerprintError:
        return {**kind, "digest": None}
