"""Each fault in each form, through the real gateway: the whole answer, or one clear error."""

from __future__ import annotations

import pytest
from faults_case import Case, play_case
from faults_catalogue import CASES
from faults_judge import REFUSED, WHOLE
from faults_stage import OURS
from four_forms import FORMS

from agno_portkey.routing.local import LocalGateway


def test_all_sixteen_are_there() -> None:
    assert {case.number for case in CASES} == {None, *range(1, 17)}
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_whole_or_refused_for_a_reason(
    case: Case, form: str, portkey_gateway: LocalGateway
) -> None:
    played = play_case(case, form, url=portkey_gateway.url, side=OURS)
    may_refuse = case.refusal is not None and form in case.refusal.forms and not case.continued
    assert played.verdict == (REFUSED if may_refuse else WHOLE), played.outcome
