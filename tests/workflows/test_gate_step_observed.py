"""A gate's step that is only observed: what passes is told as passed, and nothing is used up."""

from __future__ import annotations

from pathlib import Path

import pytest
from four_forms import FORMS
from gated_flow import Scene

from agno_portkey import Gate, PortkeyModel
from agno_portkey.contracts import Critique, Decision, Judgement
from agno_portkey.gates import approving
from agno_portkey.modes import variable_of
from agno_portkey.runs import CLEARANCE_KEY
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import SOUND, tell

APPROVED = Judgement(decision=Decision.APPROVE, score=9, reasons=("as it is",))


@pytest.fixture
def model(portkey_provider: EmbeddedProvider) -> PortkeyModel:
    # Where it is only observed, nobody is handed the plan, and the story's Judge would see none.
    for schema, said in (("Critique", Critique()), ("Judgement", APPROVED)):
        portkey_provider.when(lambda request, schema=schema: request.schema_name == schema, said)
    tell(portkey_provider, plans=[SOUND])
    return PortkeyModel(base_url=portkey_provider.url, api_key="key of the provider")


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_that_passes_is_told_as_passed(
    form: str, model: PortkeyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable_of("gate"), "observe")
    scene = Scene(tmp_path, model)
    scene.play(form)
    told = [event.verdict for event in scene.gates_heard()]
    assert [(each.passed, each.reasons) for each in told if each is not None] == [(True, ())]


def test_an_approval_is_looked_at_and_left(
    model: PortkeyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, model, gate=Gate(min_score=8, approval=True))
    scene.play("run")
    books = scene.charter.books
    [waits] = books.clearances.waiting()
    granted = approving.approve(books, waits.id, by="ann")
    monkeypatch.setenv(variable_of("gate"), "observe")
    scene.play("run", metadata={CLEARANCE_KEY: waits.id})
    told = scene.gates_heard()[-1].verdict
    assert told is not None
    assert told.passed, told.reason
    assert waits.id in told.reason
    assert books.clearances.of_swarm("Flow") == [granted]
