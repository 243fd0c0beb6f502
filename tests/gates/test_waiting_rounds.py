"""A leader that goes round again and again, while a plan waits for a person, is stopped in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from admission_scene import ROUND, Scene, books_of, judgement, play
from agno.db.sqlite import SqliteDb
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS

from agno_portkey import Gate
from agno_portkey.contracts import Judgement
from agno_portkey.testing import EmbeddedProvider, Request


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_plan_that_waits_uses_up_rounds(
    form: str, rounds: int, scene: Scene, tmp_path: Path
) -> None:
    scene.judge(9)
    scene.script(*(ROUND * 6))
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = scene.team(Gate(max_rounds=rounds, approval=True), db=db)
    ended = play(team, form, session_id="s")
    assert ended.status == RunStatus.error
    assert "a person has to approve this plan" in str(ended.content)
    assert len(scene.judged) == rounds
    [left] = books_of(team).clearances.waiting()
    assert left.passed


def test_who_is_approved_meanwhile_is_not_stopped(scene: Scene, tmp_path: Path) -> None:
    """Between two rounds a person says yes: what is asked again runs."""
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    teams: list[Team] = []

    def judged(request: Request) -> Judgement:
        if len(scene.judged) == 2:
            clearances = books_of(teams[0]).clearances
            for left in clearances.waiting():
                clearances.approve(left.id, by="ann")
        return judgement(9)

    scene.provider.when(lambda request: request.schema_name == "Judgement", judged)
    scene.script(*(ROUND * 2))
    team = scene.team(Gate(max_rounds=2, approval=True), db=db)
    teams.append(team)
    ended = play(team, session_id="s")
    assert ended.shipped
    assert len(scene.release.done) == 2
