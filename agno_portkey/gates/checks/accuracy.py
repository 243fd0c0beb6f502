"""`AccuracyCheck`: a model finds the plan close enough to the one that was expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from agno.eval.accuracy import AccuracyAgentResponse, AccuracyEval
from agno.run.agent import RunOutput

from agno_portkey.contracts import canonical
from agno_portkey.errors import ConfigurationError, Told
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, Outcome, counted, number
from agno_portkey.gates.checks.models import (
    NO_PLAN,
    fenced,
    fresh,
    identity_of,
    require_gateway,
    silence,
)
from agno_portkey.gates.sampling import Poll, Sampling
from agno_portkey.verdict import OwnWords, Verdict

__all__ = ["AccuracyCheck"]


@dataclass(frozen=True, kw_only=True)
class AccuracyCheck(Check):
    """Passes a plan that `model` finds as good as the expected one, with at least `min_score`.

    `expected` is that plan as a text, or is called with the request and returns it. `model` is a
    `PortkeyModel`; it gives 1 to 10, by the instructions of Agno's `AccuracyEval` and your
    `rubric`. With `sampling` it is asked several times, each time anew, and what chance would
    decide is underpowered. Its score is a tenth of the model's. A model that gives no score
    refuses.
    """

    name: str = "accuracy"
    expected: str | Callable[[str], str]
    model: Any = field(hash=False)
    min_score: float = 7.0
    rubric: str | Iterable[str] = ()
    sampling: Sampling | None = None

    asks = True

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self, "min_score", least=1, most=10)
        require_gateway(self.model, f"{self.name}.model")
        if not callable(self.expected) and not _is_text(self.expected):
            raise ConfigurationError(
                f"{self.name}.expected: the text of a plan, or a function of the request"
            )
        object.__setattr__(self, "rubric", _lines(self.rubric, f"{self.name}.rubric"))
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise ConfigurationError(f"{self.name}.sampling: a Sampling, not {self.sampling!r}")

    @property
    def threshold(self) -> float:
        return self.min_score / 10

    def settings(self) -> dict[str, Any]:
        sampling = None if self.sampling is None else asdict(self.sampling)
        return {**super().settings(), "model": identity_of(self.model), "sampling": sampling}

    def decide(self, case: Case) -> Verdict:
        if case.plan is None:
            return self.verdict(NO_PLAN)
        expected = self.expected if isinstance(self.expected, str) else self.expected(case.request)
        if not _is_text(expected):
            return self.verdict("expected gave no text for this request: return the plan's")
        prompt = _Prompt(case.request, expected, canonical(case.plan))
        needed = case.threshold_of(self)
        try:
            if self.sampling is None:
                return self._once(self._sample(prompt), needed)
            return self._sampled(prompt, needed, self.sampling)
        except _NoScore as error:
            # That it failed has it asked again.
            return self.verdict(str(error), threshold=needed, failed=True)

    def _once(self, said: AccuracyAgentResponse, needed: float) -> Verdict:
        score = said.accuracy_score / 10
        reasons = []
        if not score >= needed:
            reasons.append(f"its accuracy is {said.accuracy_score}, and {10 * needed:g} is needed")
            reasons.append(f"the model says: {said.accuracy_reason}")
        return self.verdict(*reasons, score=score, threshold=needed, samples=1)

    def _sampled(self, prompt: _Prompt, needed: float, sampling: Sampling) -> Verdict:
        said: list[AccuracyAgentResponse] = []
        poll: Poll | None = None
        # Who waits for it has given up by then.
        ends = time.monotonic() + self.timeout
        while poll is None or not poll.done:
            if time.monotonic() >= ends:
                raise _NoScore(
                    f"it took too long: {counted(len(said), 'sample')} in {self.timeout:g} s, and "
                    "more are needed to tell"
                )
            said.append(self._sample(prompt))
            poll = sampling.poll([float(each.accuracy_score) for each in said], 10 * needed)
        return self._polled(poll, said, needed)

    def _polled(self, poll: Poll, said: list[AccuracyAgentResponse], needed: float) -> Verdict:
        told: dict[str, Any] = {"threshold": needed, "samples": poll.samples}
        told |= {"low": poll.low, "high": poll.high}
        score = min(10.0, max(0.0, poll.mean)) / 10
        if poll.outcome is Outcome.PASS:
            return self.verdict(score=score, **told)
        worst = min(said, key=lambda each: each.accuracy_score)
        reasons = [
            f"its accuracy is {poll.mean:.2g} after {counted(poll.samples, 'sample')} "
            f"({poll.low:.2g} to {poll.high:.2g}), and {10 * needed:g} is needed"
        ]
        if poll.outcome is Outcome.UNDERPOWERED:
            told |= {"outcome": Outcome.UNDERPOWERED, "more": poll.more}
            reasons.append(_lacking(poll))
        reasons.append(f"the model says: {worst.accuracy_reason}")
        return self.verdict(*reasons, score=score, **told)

    def _sample(self, prompt: _Prompt) -> AccuracyAgentResponse:
        """One score, of a new agent and a prompt that was never sent: no cache has its answer."""
        evaluation = AccuracyEval(
            input=prompt.request,
            expected_output=prompt.expected,
            model=fresh(self.model),
            additional_guidelines=list(self.rubric) or None,
            show_spinner=False,
            telemetry=False,
        )
        # Its own way to ask takes every error for no result, and fences nothing.
        run = silence(evaluation.get_evaluator_agent()).run(prompt.text(), stream=False)
        said = run.content
        if not isinstance(said, AccuracyAgentResponse):
            raise _NoScore(_unscored(run))
        # The host's schema has no bounds.
        if not 1 <= said.accuracy_score <= 10:
            raise _NoScore(
                f"the model gave {said.accuracy_score}, which is no score from 1 to 10: ask "
                "again, or another model"
            )
        return said


class _NoScore(OwnWords):
    """The model gave no score that counts; says why."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    request: str
    expected: str
    plan: str

    def text(self) -> str:
        """What is compared, in fences that are new each time: none of it is an instruction."""
        parts = (
            (self.request, "agent_input"),
            (self.expected, "expected_output"),
            (self.plan, "agent_output"),
        )
        return "\n\n".join(fenced(text, label) for text, label in parts)


def _unscored(run: RunOutput) -> str:
    """Why a run has no score, without the words of a provider."""
    if isinstance(run.content, Told):
        return f"the model was not heard: {run.content.verdict.reason}"
    return f"the model gave no score (its run ended as {run.status}): ask again, or another model"


def _lacking(poll: Poll) -> str:
    if not poll.more:
        return "no number of samples would tell: put forward a better plan"
    return f"that is not enough to tell: it would take about {poll.more} more"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _lines(rubric: object, field: str) -> tuple[str, ...]:
    given = (rubric,) if isinstance(rubric, str) else rubric
    if isinstance(given, Iterable):
        lines = tuple(given)
        if all(map(_is_text, lines)):
            return lines
    raise ConfigurationError(f"{field}: a text or several, each saying something")
