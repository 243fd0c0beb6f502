"""A check that refuses says what it found, and what it needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.eval.suite import Case, CaseResult, JudgeMode, SuiteResult
from agno.models.response import ToolExecution
from agno.run.agent import RunOutput
from agno.scorer import CodeScorer, JudgeScorer, Score
from check_cases import case_of

from agno_portkey import PortkeyModel
from agno_portkey.gates import (
    AccuracyCheck,
    BudgetCheck,
    GuardCheck,
    ReliabilityCheck,
    Sampling,
    ScorerCheck,
    SuiteCheck,
    any_of,
    record_suite,
)
from agno_portkey.gates.suites import run_suite
from agno_portkey.runs import Usage
from agno_portkey.testing import EmbeddedProvider

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ran(*tools: tuple[str, dict[str, Any]]) -> RunOutput:
    return RunOutput(tools=[ToolExecution(tool_name=name, tool_args=args) for name, args in tools])


def test_tools_that_were_expected_are_named() -> None:
    case = case_of(outputs=(ran(("plan", {})),))
    check = ReliabilityCheck(expected=("plan", "deploy"))
    assert check.decide(case).reason == (
        "deploy was not called (expected: plan, deploy): have it called"
    )
    assert "(expected: plan, deploy)" in check.decide(case_of()).reason
    planned = ReliabilityCheck(expected=("search", "backup"), of="plan").decide(case_of())
    assert "backup is not called by the plan (expected: search, backup)" in planned.reason


def test_arguments_that_were_expected_are_named() -> None:
    case = case_of(outputs=(ran(("deploy", {"to": "a"}), ("deploy", {"to": "b"})),))
    check = ReliabilityCheck(arguments={"deploy": [{"to": "c", "n": 1}, {"to": "d"}]})
    assert check.decide(case).reason == (
        "none of 2 calls of deploy has the arguments that are expected of it "
        "(to='c', n=1; and to='d')"
    )


def test_a_suite_says_how_new_its_pass_has_to_be(tmp_path: Path) -> None:
    check = SuiteCheck(suite="release", days=1, database=str(tmp_path / "a.db"), clock=lambda: NOW)

    def decided(fingerprint: str = "f1") -> str:
        return check.decide(case_of(fingerprint=fingerprint)).reason

    def record(at: datetime, *passed: bool) -> None:
        said = SuiteResult([CaseResult(str(n), (), judge_passed=p) for n, p in enumerate(passed)])
        record_suite(
            said,
            suite="release",
            fingerprint="f1",
            database=str(tmp_path / "a.db"),
            clock=lambda: at,
        )

    needed = "since a pass of the last 1 day is needed"
    assert decided().startswith("the suite release is not recorded")
    assert decided().endswith(needed)
    record(NOW - timedelta(days=2), True)
    assert "was last run 2.0 days ago, and 1 day is the limit" in decided()
    assert decided("f2").endswith(needed)
    record(NOW, True, False)
    assert "with 50% of its cases passed, and all have to" in decided()


def test_a_guard_says_which_may_refuse() -> None:
    case = case_of(failures=("pii",))
    assert GuardCheck().decide(case).reason.endswith("or failed, and none may")
    allowing = GuardCheck(allow=("moderation", "secrets")).decide(case)
    assert allowing.reason.endswith("and none but moderation, secrets may")


def test_any_says_that_one_is_enough() -> None:
    case = case_of(failures=("pii",), usage=Usage(calls=2))
    said = any_of(BudgetCheck(calls=1), GuardCheck()).decide(case)
    assert said.reasons[0] == "none of budget, guards passes, and one has to"
    assert said.reasons[1] == "the run has taken 2 calls, and 1 call is the limit"
    assert len(said.reasons) == 3


def test_a_scorer_says_what_it_gave(portkey_provider: EmbeddedProvider) -> None:
    def score(run: Any, expected: Any) -> Score:
        return Score(0.62, passed=False)

    plain = ScorerCheck(scorer=CodeScorer(score)).decide(case_of())
    assert plain.reason == "its scorer gives 0.62, and does not pass it"
    portkey_provider.when(lambda request: True, '{"score": 4, "reason": "no test"}')
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    judge = JudgeScorer(model, "It is tested", mode="numeric", threshold=8)
    assert ScorerCheck(scorer=judge).decide(case_of()).reason == (
        "its scorer gives 4, and 8 is needed: no test"
    )


def test_one_sample_is_one(portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(
        lambda request: True, '{"accuracy_score": 2, "accuracy_reason": "another plan"}'
    )
    check = AccuracyCheck(
        expected="Ship it.",
        model=PortkeyModel(base_url=portkey_provider.url, api_key="k"),
        min_score=8,
        sampling=Sampling(noise=0.5),
    )
    [figures, _] = check.decide(case_of()).reasons
    assert figures.startswith("its accuracy is 2 after 1 sample (")
    assert figures.endswith("and 8 is needed")


# The cases of a suite


def worker(provider: EmbeddedProvider) -> Agent:
    model = PortkeyModel(base_url=provider.url, api_key="k")
    return Agent(name="Worker", model=model, telemetry=False)


def scored(*values: Any) -> CodeScorer:
    left = [*values]
    return CodeScorer(lambda run, expected: left.pop(0) if len(left) > 1 else left[0])


@pytest.mark.parametrize(
    ("values", "sampling", "said"),
    [
        ((False,), None, "0 of 1 run passed, 1 needed"),
        ((False,), Sampling(least=3, most=8), "0 of 3 runs passed, 2 needed"),
        (
            (True, False),
            Sampling(least=2, most=2),
            "1 of 2 runs passed, 1 needed, which is not enough to tell: ",
        ),
    ],
)
def test_a_case_says_how_many_runs_had_to_pass(
    portkey_provider: EmbeddedProvider, values: Any, sampling: Sampling | None, said: str
) -> None:
    case = Case(name="one", input="Do it", agent=worker(portkey_provider), scorer=scored(*values))
    [verdict] = run_suite([case], sampling=sampling).cases
    assert verdict.reason.startswith(said)


def test_a_case_says_its_judges_threshold_and_the_tools_that_were_expected(
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when(
        lambda request: "Criteria" in request.last_user or request.schema_name is not None,
        '{"score": 6, "reason": "not bad"}',
    )
    agent = worker(portkey_provider)
    given = {"input": "Do it", "agent": agent, "criteria": "It is done", "judge_model": agent.model}
    numeric: Any = {**given, "judge_mode": JudgeMode.NUMERIC, "judge_threshold": 7}
    judged, called = (
        Case(name="judged", **numeric),
        Case(
            name="called",
            expected_tool_calls=("plan", "deploy"),
            allow_additional_tool_calls=False,
            **numeric,
        ),
    )
    [one, two] = run_suite([judged, called]).cases
    assert one.reason == "score 6 of 10 in 1 run, 7 needed; not bad"
    assert two.reason == (
        "score 0 of 10 in 1 run, 7 needed; not bad; "
        "it called no tool (expected: plan, deploy, and nothing else)"
    )


def test_a_run_that_ends_with_an_error_says_that_none_may(
    portkey_provider: EmbeddedProvider,
) -> None:
    def score(run: Any, expected: Any) -> bool:
        raise ValueError("no scorer")

    case = Case(name="one", input="Do it", agent=worker(portkey_provider), scorer=CodeScorer(score))
    [verdict] = run_suite([case]).cases
    assert "a run ended with an error, and none may: " in verdict.reason
