"""A suite that is run until its verdict holds: PASS, FAIL, or UNDERPOWERED."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.eval.suite import Case, JudgeMode
from agno.scorer import CodeScorer, Score

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Outcome, Sampling
from agno_portkey.gates.suites import arun_suite, run_suite
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture
def agent(portkey_provider: EmbeddedProvider) -> Agent:
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    return Agent(name="Worker", model=model, telemetry=False)


def scored(*values: Any) -> CodeScorer:
    """A scorer that gives one after the other, the last again and again."""
    left = list(values)

    def score(run: Any, expected: Any) -> Any:
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, Exception):
            raise said
        return said

    return CodeScorer(score)


def case(agent: Agent, *values: Any, name: str = "one") -> Case:
    return Case(name=name, input="Do it", agent=agent, scorer=scored(*values))


MANY = Sampling(least=2, most=8)


@pytest.mark.parametrize(
    ("values", "sampling", "outcome", "runs"),
    [
        ([True], None, Outcome.PASS, 1),
        ([False], None, Outcome.FAIL, 1),
        ([True], MANY, Outcome.PASS, None),
        ([False], MANY, Outcome.FAIL, None),
        ([True, False] * 4, MANY, Outcome.UNDERPOWERED, 8),
    ],
)
def test_a_case_is_run_until_chance_can_not_explain_it(
    agent: Agent, values: list[Any], sampling: Sampling | None, outcome: Outcome, runs: int | None
) -> None:
    said = run_suite([case(agent, *values)], sampling=sampling)
    [verdict] = said.cases
    assert (said.outcome, verdict.outcome) == (outcome, outcome)
    assert verdict.poll.samples == runs or (runs is None and 2 <= verdict.poll.samples <= 8)
    assert said.result.status == ("PASS" if outcome is Outcome.PASS else "FAIL")
    told = "not enough to tell" in verdict.reason
    assert told is (outcome is Outcome.UNDERPOWERED)


def test_a_failed_case_outweighs_one_that_can_not_be_told(agent: Agent) -> None:
    open_, bad = case(agent, *[True, False] * 4), case(agent, False, name="two")
    said = run_suite([open_, bad], sampling=MANY)
    assert [each.outcome for each in said.cases] == [Outcome.UNDERPOWERED, Outcome.FAIL]
    assert said.outcome is Outcome.FAIL


def test_a_run_that_ends_with_an_error_fails_its_case_at_once(agent: Agent) -> None:
    asked: list[int] = []
    said = run_suite(
        [case(agent, True, ValueError("no scorer"), True)],
        sampling=MANY,
        on_run=lambda _, number: asked.append(number),
    )
    [verdict] = said.cases
    assert verdict.outcome is Outcome.FAIL
    assert "no scorer" in verdict.reason
    assert asked == [1, 2]


def judged(agent: Agent, provider: EmbeddedProvider, score: int, **given: Any) -> Case:
    """A case whose judge gives that score."""
    provider.when(
        lambda request: "Criteria" in request.last_user or request.schema_name is not None,
        json.dumps({"score": score, "reason": "not bad"}),
    )
    return Case(
        name="judged",
        input="Do it",
        agent=agent,
        criteria="It is done",
        judge_mode=JudgeMode.NUMERIC,
        judge_threshold=7,
        judge_model=agent.model,
        **given,
    )


async def test_a_judge_that_gives_numbers_is_held_to_its_threshold(
    agent: Agent, portkey_provider: EmbeddedProvider
) -> None:
    said = await arun_suite([judged(agent, portkey_provider, 6)])
    [verdict] = said.cases
    assert (verdict.outcome, verdict.poll.mean) == (Outcome.FAIL, 6.0)
    assert "not bad" in verdict.reason


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"expected_tool_calls": ("search",)}, "it called no tool"),
        ({"scorer": scored(Score(0.2, False, "too short"))}, "too short"),
    ],
)
def test_a_score_counts_nothing_where_another_check_has_failed(
    agent: Agent, portkey_provider: EmbeddedProvider, other: dict[str, Any], said: str
) -> None:
    [verdict] = run_suite([judged(agent, portkey_provider, 9, **other)]).cases
    assert (verdict.outcome, verdict.poll.mean) == (Outcome.FAIL, 0.0)
    assert said in verdict.reason


@pytest.mark.parametrize(("cases", "said"), [([], "not empty"), (["a case"], "Case is needed")])
def test_what_is_no_suite_is_refused(cases: list[Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        run_suite(cases)


def test_two_cases_of_one_name_are_refused(agent: Agent) -> None:
    with pytest.raises(ConfigurationError, match="two cases are named 'one'"):
        run_suite([case(agent, True), case(agent, False)])
