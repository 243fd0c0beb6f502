"""`ScorerCheck`: any scorer of Agno's or one's own decides, and whatever is no score refuses."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.api.api import api
from agno.models.openai import OpenAIChat
from agno.run.agent import RunOutput
from agno.scorer import CodeScorer, JudgeScorer, Score, ToolCallScorer
from check_cases import PLAN, case_of
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import Plan
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import told_by
from agno_portkey.gates.checks.scorer import ScorerCheck
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault

CASE = case_of(request="ship 2.1 to staging")


class Sync:
    """A scorer of one's own, which blocks."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self.give = give

    def score(self, run: Any, expected: Any = None) -> Any:
        return self.give()


class Async(Sync):
    async def ascore(self, run: Any, expected: Any = None) -> Any:
        return self.give()

    def score(self, run: Any, expected: Any = None) -> Any:
        raise AssertionError("the async form is asked where there is one")


class Late(Sync):
    """One whose `score` gives something to await."""

    async def score(self, run: Any, expected: Any = None) -> Any:
        return self.give()


class Awaitless(Sync):
    """One whose `ascore` is an ordinary function."""

    def ascore(self, run: Any, expected: Any = None) -> Any:
        return self.give()


FORMS = [Sync, Async, Late, Awaitless]


def changed(value: Any) -> Score:
    """A score that was changed after it was checked."""
    score = Score(value=1.0, passed=True)
    score.value = value
    return score


@pytest.mark.parametrize("form", FORMS)
def test_it_passes_what_its_scorer_passes(form: Any) -> None:
    verdict = ScorerCheck(scorer=form(lambda: Score(value=0.25, passed=True))).decide(CASE)
    assert (verdict.passed, verdict.score, verdict.source) == (True, 0.25, "scorer")


@pytest.mark.parametrize("form", FORMS)
def test_it_refuses_what_its_scorer_refuses(form: Any) -> None:
    given_ = Score(value=0.9, passed=False, reason="step 2 does nothing")
    verdict = ScorerCheck(scorer=form(lambda: given_)).decide(CASE)
    assert (verdict.passed, verdict.score) == (False, 0.9)
    assert verdict.reasons == ("its scorer gives 0.9, and does not pass it: step 2 does nothing",)


@given(st.floats(0, 1), st.booleans(), st.none() | st.floats(0, 1))
def test_both_its_scorer_and_the_least_score_decide(
    value: float, passed: bool, least: float | None
) -> None:
    scorer = Sync(lambda: Score(value=value, passed=passed))
    verdict = ScorerCheck(scorer=scorer, min_score=least).decide(CASE)
    assert verdict.passed is (passed and (least is None or value >= least))
    assert bool(verdict.reasons) is not verdict.passed


def test_an_adjusted_threshold_is_the_one_that_holds() -> None:
    check = ScorerCheck(scorer=Sync(lambda: Score(value=0.5, passed=True)))
    assert check.threshold == 0
    verdict = check.decide(case_of(thresholds={"scorer": 0.6}))
    assert verdict.reasons == ("its score is 0.5, and 0.6 is needed",)
    assert not check.decide(case_of(thresholds={"scorer": math.nan})).passed


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "junk",
    [
        None,
        True,
        1.0,
        "approve me",
        {"value": 1.0, "passed": True},
        Score,
        changed(math.nan),
        changed(math.inf),
        changed(7),
        changed(-0.1),
        changed("1"),
        changed(None),
        Score(value=1.0, passed=1),  # type: ignore[arg-type]
        Score(value=1.0, passed="no"),  # type: ignore[arg-type]
        Score(value=1.0, passed=None),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_is_no_score_refuses(form: Any, junk: Any) -> None:
    verdict = ScorerCheck(scorer=form(lambda: junk)).decide(CASE)
    assert (verdict.passed, verdict.score) == (False, 0)
    assert verdict.evidence["failed"]
    assert "approve me" not in verdict.reason


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("error", [KeyError("secret words"), ValueError("x"), TimeoutError()])
def test_a_scorer_that_raises_refuses_and_is_not_quoted(form: Any, error: Exception) -> None:
    def give() -> Any:
        raise error

    verdict = told_by(ScorerCheck(scorer=form(give)), CASE)
    assert verdict.reasons == (f"the check scorer failed: {type(error).__name__}",)


def test_a_scorer_that_never_ends_is_ended() -> None:
    ended: list[bool] = []

    class Hanging:
        async def ascore(self, run: Any, expected: Any = None) -> Score:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            raise AssertionError("it hangs")

    verdict = told_by(ScorerCheck(scorer=Hanging(), timeout=0.01), CASE)
    assert verdict.reasons == ("the check scorer failed: TimeoutError",)
    assert ended == [True]


def test_the_run_holds_the_plan_and_the_request() -> None:
    seen: list[Any] = []

    def look(run: Any, expected: Any) -> bool:
        seen.extend([run, expected])
        return isinstance(run.content, Plan)

    assert ScorerCheck(scorer=CodeScorer(look), expected={"steps": 3}).decide(CASE).passed
    run, expected = seen
    assert isinstance(run, RunOutput)
    assert run.content == PLAN
    assert run.input is not None
    assert run.input.input_content_string() == "ship 2.1 to staging"
    assert expected == {"steps": 3}


@pytest.mark.parametrize(("gives", "passes"), [(0.5, True), (0.49, False), (False, False)])
def test_agnos_scorer_of_code_is_one(gives: Any, passes: bool) -> None:
    async def score(run: Any, expected: Any) -> Any:
        return gives

    for function in (lambda run, expected: gives, score):
        assert ScorerCheck(scorer=CodeScorer(function)).decide(CASE).passed is passes


def test_without_a_plan_nobody_is_asked() -> None:
    def give() -> Any:
        raise AssertionError("it was asked")

    assert "ask the Planner" in ScorerCheck(scorer=Sync(give)).decide(case_of(None)).reason


# Agno's judge


def test_agnos_judge_is_asked_through_the_gateway(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    judge = JudgeScorer(portkey_model, "it names a test", mode="numeric", threshold=7)
    check = ScorerCheck(scorer=judge)
    for points, passes in ((7, True), (6, False)):
        portkey_provider.reply({"score": points, "reason": f"a {points}"})
        verdict = check.decide(CASE)
        assert verdict.passed is passes
        assert verdict.score == pytest.approx((points - 1) / 9)
    assert verdict.reasons == ("its scorer gives 6, and 7 is needed: a 6",)
    asked = portkey_provider.calls[-1].last_user
    assert "it names a test" in asked
    assert PLAN.steps[0].action in asked
    assert "ship 2.1 to staging" in asked


@pytest.mark.parametrize("answer", ["yes", {}, {"score": 11, "reason": "x"}, Fault.status(500)])
def test_a_judge_that_gives_no_score_refuses(
    answer: Any, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, answer)
    judge = JudgeScorer(portkey_model, "it names a test", mode="numeric")
    verdict = told_by(ScorerCheck(scorer=judge), CASE)
    assert verdict.reasons == ("the check scorer failed: ValueError",)


def test_agno_hears_nothing_of_its_judge(
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.delenv("AGNO_TELEMETRY")
    monkeypatch.setattr(api, "post_in_background", lambda *said: told.append(said))

    async def hear(*said: Any) -> None:
        told.append(said)

    monkeypatch.setattr(api, "apost_in_background", hear)
    portkey_provider.when(lambda request: True, {"passed": True, "reason": "fine"})
    judge = JudgeScorer(portkey_model, "it names a test")
    assert asyncio.run(judge.ascore(RunOutput(content="x"))).passed
    assert told, "a judge as it is reports its runs, which is how this test would tell"
    told.clear()
    assert ScorerCheck(scorer=judge).decide(CASE).passed
    assert not told


class Own:
    """A scorer of one's own with a model."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def score(self, run: Any, expected: Any = None) -> Score:
        return Score(value=1.0, passed=True)


class Hidden(Own):
    """One that keeps it in an agent, as Agno's judge does."""

    def __init__(self, model: Any) -> None:
        super().__init__("named elsewhere")
        self._evaluator = Agent(model=model)


@pytest.mark.parametrize(
    "scorer",
    [
        lambda foreign: JudgeScorer(foreign, "c"),
        lambda foreign: Own(foreign),
        lambda foreign: Hidden(foreign),
    ],
)
def test_a_foreign_model_is_refused(scorer: Any, portkey_model: PortkeyModel) -> None:
    with pytest.raises(ConfigurationError, match="OpenAIChat would go round the gateway"):
        ScorerCheck(scorer=scorer(OpenAIChat(id="gpt-4o", api_key="k")))
    assert ScorerCheck(scorer=scorer(portkey_model))


def test_a_judge_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing would go round the gateway"):
        ScorerCheck(scorer=JudgeScorer(None, "c"))  # type: ignore[arg-type]


# Settings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scorer": None}, "an object with ascore or score"),
        ({"scorer": lambda run: 1}, "an object with ascore or score"),
        ({"scorer": Sync}, "an object with ascore or score"),
        ({"scorer": ToolCallScorer(["search"])}, "use a ReliabilityCheck"),
        ({"min_score": 7}, "min_score: from 0 to 1"),
        ({"min_score": math.nan}, "min_score: a number"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_what_can_not_be_used_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ScorerCheck(**{"scorer": Sync(lambda: None), **wrong})


def test_its_settings_tell_one_scorer_from_another(portkey_model: PortkeyModel) -> None:
    def settings(scorer: Any) -> Any:
        return ScorerCheck(scorer=scorer).settings()["scorer"]

    def judge(criteria: str = "c", **rest: Any) -> JudgeScorer:
        model = PortkeyModel(**{"base_url": "http://127.0.0.1:1", "api_key": "k", **rest})
        return JudgeScorer(model, criteria)

    assert settings(judge()) == settings(judge(base_url="http://127.0.0.1:2"))
    assert settings(judge()) != settings(judge("other"))
    assert settings(judge()) != settings(judge(temperature=0.5))
    strict, lax = (CodeScorer(lambda run, expected: 1.0, pass_threshold=t) for t in (0.9, 0.1))
    assert settings(strict) != settings(lax)
    assert settings(Sync(lambda: None))["digest"] is None
    assert settings(CodeScorer(len))["digest"] is None
    assert settings(Sync(lambda: None)) != settings(Late(lambda: None))


def test_no_cache_answers_for_a_judge(portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(lambda request: True, '{"score": 9, "reason": "good"}')
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    judge = JudgeScorer(criteria="It is safe", model=model, mode="numeric")
    assert ScorerCheck(scorer=judge).decide(CASE).passed
    [asked] = portkey_provider.calls
    assert asked.headers["x-portkey-cache-force-refresh"] == "true"
    assert not model.fresh
