"""What is kept of a gate's decisions is told too, one `gate` event for each, also at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from admission_scene import ROUND, Scene, play
from agno.db.sqlite import SqliteDb
from agno.run.base import RunStatus
from four_forms import FORMS

from agno_portkey import Gate, Policy
from agno_portkey.gates.history import History
from agno_portkey.modes import Mode
from agno_portkey.testing import EmbeddedProvider

LOW = "its score is 2, and 7 is needed"


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(db_file=str(tmp_path / "agno.db"))


def decisions(scene: Scene) -> list[tuple[bool, str]]:
    """What the gate has decided, as it was told; what would have become of a run is none."""
    told = [each for each in scene.told("gate") if "would" not in each.data]
    return [(e.verdict.passed, e.verdict.reason) for e in told if e.verdict is not None]


def kept(db: SqliteDb) -> list[bool]:
    return [each.passed for each in History(db).series()]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rounds", [1, 2])
def test_a_refusal_in_the_last_round_is_told_before_the_end(
    form: str, rounds: int, scene: Scene, db: SqliteDb
) -> None:
    scene.judge(2)
    scene.script(*(ROUND * rounds))
    team = scene.team(Gate(max_rounds=rounds), db=db)
    assert play(team, form, session_id="s").status == RunStatus.error
    db.close()
    assert decisions(scene) == [(False, LOW)] * rounds
    assert kept(db) == [False] * rounds
    *_, last, end = scene.told("gate", "declined")
    assert (last.kind, last.role, last.swarm) == ("gate", "Release", "Release")
    assert last.verdict is not None
    assert end.verdict is not None
    assert (end.kind, end.verdict.reason, end.run_id) == ("declined", LOW, last.run_id)
    assert last.verdict.evidence["plan_digest"] == end.verdict.evidence["plan_digest"]


def test_one_that_the_runner_was_refused_with_is_told_once(scene: Scene, db: SqliteDb) -> None:
    scene.judge(2)
    scene.script(*ROUND)
    assert play(scene.team(Gate(max_rounds=3), db=db)).status == RunStatus.error
    assert (decisions(scene), kept(db)) == ([(False, LOW)], [False])


@pytest.mark.parametrize("approval", [False, True])
def test_so_is_what_nobody_asked_for(approval: bool, scene: Scene, db: SqliteDb) -> None:
    """Passed, and not run; what a person has to approve as well has not passed."""
    scene.judge(9)
    scene.script("planner", "critic", "judge")
    assert play(scene.team(Gate(approval=approval), db=db)).status == RunStatus.error
    [(passed, reason)] = decisions(scene)
    assert ([passed], passed) == (kept(db), not approval)
    assert reason == ("a person has to approve it" if approval else "passed")
    [end] = scene.told("declined")
    assert end.verdict is not None
    assert end.verdict.reason == "the gate would pass, but the Runner was never asked"


def test_a_team_that_was_never_judged_has_no_decision(scene: Scene, db: SqliteDb) -> None:
    scene.script("planner", "critic")
    assert play(scene.team(db=db)).status == RunStatus.error
    assert (decisions(scene), kept(db)) == ([], [])
    assert len(scene.told("declined")) == 1


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_what_is_only_observed_is_told_as_such(mode: Mode, scene: Scene, db: SqliteDb) -> None:
    scene.judge(2)
    scene.script("planner", "critic", "judge")
    policy = Policy.model_validate({"gate": {"mode": mode}})
    play(scene.team(Gate(max_rounds=1), db=db, governed={"policy": policy}))
    told = scene.told("gate")
    assert decisions(scene) == ([(False, LOW)] if mode == "observe" else [])
    assert [each.data["mode"] for each in told] == ([mode] * 2 if mode == "observe" else [])
    assert kept(db) == ([False] if mode == "observe" else [])
    assert scene.told("declined") == []
