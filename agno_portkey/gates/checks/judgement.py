"""`JudgementCheck`: the team's Judge approves of this plan, with a score that is high enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agno_portkey.contracts import Decision, Judgement
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, Outcome, counted, number
from agno_portkey.gates.sampling import Poll, Sampling
from agno_portkey.runs import Evidence, favour
from agno_portkey.verdict import Verdict

__all__ = ["Broken", "JudgementCheck"]

# What a sample that does not approve can count at most, in points below what is needed: a high
# score beside a no is no yes.
_BELOW = 1.0


class Broken(Judgement):
    """A sample that is no judgement: it counts as a refusal, for else the others would decide."""

    @classmethod
    def of(cls, problem: str) -> Broken:
        said = f"one of its answers is no judgement, which counts as a refusal: {problem}"
        return cls(decision=Decision.REJECT, score=0, reasons=(said,))


@dataclass(frozen=True, kw_only=True)
class JudgementCheck(Check):
    """Passes a plan that its Judge approves, with at least `min_score` (0-10).

    With `sampling` the Judge is asked several times, and passes or fails a plan only where that is
    not chance; else it is underpowered, which blocks, and says how many more samples it would take.
    Its score is a tenth of the Judge's.
    """

    name: str = "judgement"
    min_score: float = 7.0
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self, "min_score", least=0, most=10)
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise ConfigurationError(f"{self.name}.sampling: a Sampling, not {self.sampling!r}")

    @property
    def threshold(self) -> float:
        return self.min_score / 10

    def needed(self, thresholds: Mapping[str, float]) -> float:
        """The points (0-10) that it takes now: adjusted ones, else `min_score` to the digit."""
        adjusted = thresholds.get(self.name)
        return self.min_score if adjusted is None else round(adjusted * 10, 6)

    def decide(self, case: Case) -> Verdict:
        said, needed = case.judgement, self.needed(case.thresholds)
        if said is None or said.plan_digest != case.plan_digest:
            again = "again, since its clearance was used" if case.used else "yet"
            return self.verdict(f"the Judge has not judged this plan {again}: ask it")
        if not isinstance(said.output, Judgement):
            return self.verdict("the Judge gave no judgement")
        if self.sampling is None:
            # Of all that was said of it: another check may have had it sampled.
            return self._once(min((said.output, *said.samples), key=favour), needed)
        return self._sampled(said, needed)

    def _once(self, judgement: Judgement, needed: float) -> Verdict:
        reasons = []
        if judgement.decision is not Decision.APPROVE:
            reasons.append(_says(judgement))
        if not judgement.score >= needed:
            reasons.append(f"its score is {judgement.score:g}, and {needed:g} is needed")
        return self.verdict(*reasons, score=judgement.score / 10, threshold=needed / 10)

    def _sampled(self, said: Evidence, needed: float) -> Verdict:
        samples = said.samples or (said.output,)
        judgements = self._counting([each for each in samples if isinstance(each, Judgement)])
        poll = self.poll(judgements, needed)
        noes = [one for one in judgements if one.decision is not Decision.APPROVE]
        told: dict[str, object] = {
            "threshold": needed / 10,
            "samples": poll.samples,
            "low": poll.low,
            "high": poll.high,
            "approvals": len(judgements) - len(noes),
            "broken": sum(isinstance(one, Broken) for one in judgements),
        }
        mean = min(10.0, max(0.0, poll.mean)) / 10
        if 2 * len(noes) >= len(judgements) and poll.outcome is not Outcome.UNDERPOWERED:
            return self.verdict(_says(noes[0]), _counted(poll, needed), score=mean, **told)
        if poll.outcome is Outcome.PASS:
            return self.verdict(score=mean, **told)
        reasons = [*([_says(noes[0])] if noes else []), _counted(poll, needed)]
        if poll.outcome is Outcome.UNDERPOWERED:
            told |= {"outcome": Outcome.UNDERPOWERED, "more": poll.more}
            reasons.append(_lacking(poll))
        return self.verdict(*reasons, score=mean, **told)

    def poll(self, judgements: Sequence[Judgement], needed: float) -> Poll:
        """What `judgements` come to together, in points of 0-10; one alone counts as it is."""
        sampling = self.sampling or Sampling(least=1, most=1)
        return sampling.poll([_worth(one, needed) for one in self._counting(judgements)], needed)

    def _counting(self, judgements: Sequence[Judgement]) -> Sequence[Judgement]:
        """Those that count: what is said beyond `most` came of asking on."""
        return judgements if self.sampling is None else judgements[: self.sampling.most]


def _worth(judgement: Judgement, needed: float) -> float:
    if judgement.decision is Decision.APPROVE:
        return judgement.score
    return max(0.0, min(judgement.score, needed - _BELOW))


def _says(judgement: Judgement) -> str:
    return f"the Judge says {judgement.decision.value}: {'; '.join(judgement.reasons)}"


def _counted(poll: Poll, needed: float) -> str:
    return (
        f"its score is {poll.mean:.2g} after {counted(poll.samples, 'sample')} "
        f"({poll.low:.2g} to {poll.high:.2g}), and {needed:g} is needed"
    )


def _lacking(poll: Poll) -> str:
    if not poll.more:
        return "that can't be told apart by any number of samples: put forward a better plan"
    more = counted(poll.more, "more sample")
    return f"that is not enough to tell: it would take about {more}"
