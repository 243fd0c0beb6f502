"""`GuardCheck`: whatever a guard refused in the run closes the gate, unless it is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from check_cases import case_of
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import told_by
from agno_portkey.gates.checks.guards import GuardCheck

NAMES = st.lists(st.sampled_from(["PII", "PII: a", "Secrets", "pii"]))


def test_a_run_without_a_failure_passes() -> None:
    verdict = GuardCheck().decide(case_of())
    assert (verdict.passed, verdict.score, verdict.source) == (True, 1.0, "guards")


def test_a_failure_refuses_and_names_the_guard_once() -> None:
    verdict = GuardCheck().decide(case_of(failures=("PII", "PII")))
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert verdict.reasons == (
        "the guard PII refused something in this run, or failed, and none may",
    )


@given(NAMES, NAMES)
def test_only_what_is_allowed_by_its_whole_name_is_passed_over(
    failures: list[str], allowed: list[str]
) -> None:
    verdict = GuardCheck(allow=tuple(allowed)).decide(case_of(failures=tuple(failures)))
    assert verdict.passed is ({*failures} <= {*allowed})


def test_one_name_may_be_given_as_it_is() -> None:
    assert GuardCheck(allow="PII").allow == ("PII",)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, ("",), (" ",), (1,), 7])
def test_what_is_no_name_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"guards\.allow: the names of guards"):
        GuardCheck(allow=wrong)


@pytest.mark.parametrize("junk", [None, 5])
def test_junk_in_place_of_failures_refuses(junk: Any) -> None:
    assert not told_by(GuardCheck(), case_of(failures=junk)).passed
