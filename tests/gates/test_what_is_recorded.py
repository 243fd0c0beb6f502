"""Every decision is kept: one that ends a run, and the use of a clearance given before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from admission_scene import SHIPPED, Scene, books_of, charter_of, judgement, play, to
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS

from agno_portkey import Gate
from agno_portkey.gates import Sampling, approving
from agno_portkey.gates.history import History
from agno_portkey.testing import EmbeddedProvider

FORMS = ("run", "arun", "stream", "astream")


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.mark.parametrize("form", FORMS)
def test_the_judgement_that_ends_a_run_is_kept(scene: Scene, tmp_path: Path, form: str) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(3)
    # The Runner is never asked.
    scene.script("planner", "critic", "judge")
    ended = play(scene.team(Gate(min_score=8, max_rounds=1), db=db), form)
    assert not ended.shipped
    [kept] = History(db).series()
    assert (kept.passed, kept.score) == (False, 0.3)
    assert kept.reasons == ("its score is 3, and 8 is needed",)


@pytest.mark.parametrize("form", FORMS)
def test_the_plan_that_ends_a_run_can_be_let_through(
    scene: Scene, tmp_path: Path, form: str
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(3)
    scene.provider.when(
        "Ask the Planner", [*to("planner", "critic", "judge"), *to("runner"), SHIPPED]
    )
    scene.script()
    team = scene.team(Gate(min_score=8, max_rounds=1), db=db)
    assert not play(team, form, session_id="s").shipped
    books = books_of(team)
    [waits] = books.clearances.waiting()
    assert (waits.passed, waits.plan_digest) == (False, decided_last(db))
    assert waits.reason == "its score is 3, and 8 is needed"
    approving.approve(books, waits.id, by="ann", reason="it is urgent")
    assert play(team, form, session_id="s").shipped


def decided_last(db: SqliteDb) -> str | None:
    """The digest of the plan that was decided on last."""
    return History(db).series()[-1].plan_digest


def test_what_is_only_observed_is_left_to_nobody(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", "observe")
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(3)
    scene.script("planner", "critic", "judge")
    team = scene.team(Gate(min_score=8, max_rounds=1), db=db)
    play(team, session_id="s")
    assert len(History(db).series()) == 1
    assert [*books_of(team).clearances.waiting()] == []


def test_a_decision_is_kept_once(scene: Scene, tmp_path: Path) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(3)
    scene.script("planner", "critic", "judge", "runner")
    assert not play(scene.team(Gate(min_score=8), db=db)).shipped
    # The Runner was refused by it, and then it ended the run.
    assert len(scene.refusals) == 1
    assert [kept.passed for kept in History(db).series()] == [False]


def test_an_end_that_can_not_be_kept_opens_nothing(scene: Scene, tmp_path: Path) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(3)
    scene.script("planner", "critic", "judge")
    team = scene.team(Gate(min_score=8, max_rounds=1), db=db)

    class Broken(History):
        def put(self, decided: Any) -> None:
            raise OSError("no space")

    charter_of(team).books = replace(books_of(team), history=Broken(db))
    ended = play(team)
    assert not ended.shipped
    assert "its score is 3, and 8 is needed" in str(ended.content)


def test_the_use_of_an_approved_plan_is_kept(scene: Scene, tmp_path: Path) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(9)
    run = [*to("planner", "critic", "judge", "runner"), "It waits."]
    scene.provider.when("Ask the Planner", [*run, *to("runner"), SHIPPED])
    scene.script()
    team = scene.team(Gate(min_score=8, approval=True), db=db)
    play(team, session_id="s")
    books = books_of(team)
    [waits] = books.clearances.waiting()
    approving.approve(books, waits.id, by="ann")
    assert play(team, session_id="s").shipped
    *_, approved, used = History(db).series()
    assert (approved.by, used.by) == ("ann", "ann")
    assert used.passed
    assert used.reasons == ("cleared before by ann", f"clearance {waits.id} was used")


class Adjusted:
    """Thresholds that were adjusted since the gate was written."""

    def __init__(self, needed: float | Exception) -> None:
        self.needed = needed

    def current(self, gates: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        if isinstance(self.needed, Exception):
            raise self.needed
        return {gate: {"judgement": self.needed} for gate in gates}


def test_a_judge_is_sampled_by_the_threshold_of_now(scene: Scene) -> None:
    sampling = Sampling(least=2, most=8, noise=0.5)
    scene.judge(*[judgement(8.0 + (number % 2) / 5) for number in range(8)])
    scene.script("planner", "critic", "judge", "runner")
    team = scene.team(Gate(min_score=2, sampling=sampling))
    charter_of(team).books = replace(books_of(team), thresholds=Adjusted(0.79))
    play(team)
    # By the threshold that is written two samples would do.
    assert len(scene.judged) == 8


def test_thresholds_that_can_not_be_read_close_the_gate(scene: Scene) -> None:
    scene.judge(9)
    scene.script("planner", "critic", "judge", "runner")
    team = scene.team(Gate(min_score=2, sampling=Sampling(least=2, most=4)))
    broken = Adjusted(OSError("down"))
    charter_of(team).books = replace(books_of(team), thresholds=broken)
    assert not play(team).shipped
    assert not scene.runner_calls
    assert "OSError" in scene.refusals[0]


@pytest.mark.parametrize("server", [False, True])
def test_a_database_that_comes_late_is_kept_in(scene: Scene, tmp_path: Path, server: bool) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(9)
    scene.script("planner", "critic", "judge", "runner")
    team = scene.team(Gate(min_score=8))
    assert books_of(team).history is None
    if server:
        AgentOS(teams=[team], db=db, telemetry=False)
    else:
        team.db = db
    assert play(team).shipped
    assert [kept.passed for kept in History(db).series()] == [True]
    assert books_of(team) is books_of(team)
