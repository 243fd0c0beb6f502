"""What checks make of rare cases: scores on the threshold, calls of no tool, a suite under way."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from agno.eval.suite import CaseResult, SuiteResult
from agno.models.message import Message
from agno.run.agent import RunOutput
from check_cases import case_of

from agno_portkey.gates import Outcome, Sampling, outcome_of
from agno_portkey.gates.checks.accuracy import AccuracyCheck
from agno_portkey.gates.checks.reliability import ReliabilityCheck
from agno_portkey.gates.checks.suite import SuiteCheck, record_suite, recording
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

CASE = case_of(request="ship 2.1", fingerprint="sha256:now")


def test_scores_that_lie_on_the_threshold_itself_are_never_enough(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for points in (6, 8, 6, 8):
        portkey_provider.reply({"accuracy_score": points, "accuracy_reason": "so"})
    sampling = Sampling(least=2, most=4, noise=1.0)
    verdict = AccuracyCheck(expected="search", model=portkey_model, sampling=sampling).decide(CASE)
    assert outcome_of(verdict) is Outcome.UNDERPOWERED
    assert verdict.evidence["more"] is None
    assert "no number of samples would tell: put forward a better plan" in verdict.reasons


def test_a_call_that_names_no_tool_is_none() -> None:
    calls = [{"id": "1", "type": "function"}, {"id": "2", "function": {"name": "search"}}]
    run = RunOutput(messages=[Message(role="assistant", tool_calls=calls)])
    case = case_of(outputs=(run,))
    assert ReliabilityCheck(forbidden="deploy").decide(case).passed
    assert not ReliabilityCheck(forbidden="search").decide(case).passed


# A suite that is run for the record, by a team whose own gate asks for that record


@pytest.fixture
def check(tmp_path: Path) -> SuiteCheck:
    return SuiteCheck(suite="release", database=str(tmp_path / "agno.db"))


def test_while_a_suite_is_run_for_the_record_its_record_is_not_waited_for(
    check: SuiteCheck,
) -> None:
    for other in (None, "another"):
        with recording(other):
            assert not check.decide(CASE).passed
    with recording("release"), recording("release"):
        verdict = check.decide(CASE)
        assert (verdict.passed, verdict.evidence["recording"]) == (True, True)
    with pytest.raises(ZeroDivisionError), recording("release"):
        raise ZeroDivisionError
    assert not check.decide(CASE).passed


def test_a_copy_looks_for_the_record_where_the_first_one_does(check: SuiteCheck) -> None:
    twin = copy.deepcopy(check)
    good = SuiteResult([CaseResult("one", (), judge_passed=True)])
    record_suite(good, suite="release", fingerprint="sha256:now", database=check.database)
    assert twin.decide(CASE).passed
    assert check.decide(CASE).passed
