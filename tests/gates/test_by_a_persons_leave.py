"""By whose leave a run of the Runner is admitted, and for what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from admission_scene import (
    REQUEST,
    ROUND,
    SHIPPED,
    STEPS,
    Desk,
    Scene,
    books_of,
    charter_of,
    play,
    to,
)
from agno.db.sqlite import SqliteDb
from agno.run.base import RunStatus
from agno.team import Team

from agno_portkey import Gate
from agno_portkey.contracts import Plan, Step
from agno_portkey.errors import GateClosed
from agno_portkey.gates.books import Books
from agno_portkey.gates.clearance import Clearances, export, new_key
from agno_portkey.gates.history import History
from agno_portkey.runs import CLEARANCE_KEY, TENANT_KEY
from agno_portkey.testing.story import SOUND

APPROVED = Gate(approval=True)
GO_ON = "Go on."


def _desk(db: SqliteDb, **books: Any) -> Desk:
    kept = Books(History(db, seconds=0.1), Clearances(db, timeout=0.1))
    return Desk.of(books=replace(kept, **books)).judged()


def _waiting(scene: Scene, db: Any, gate: Gate = APPROVED, **options: Any) -> tuple[Team, Any]:
    """A team whose plan waits for a person, and the row of it; it then asks its Runner at once."""
    plans = options.pop("plans", (SOUND,))
    scene.provider.when("Ask the Planner", [*to(*ROUND), "It waits.", *to("runner"), SHIPPED])
    scene.script(plans=plans)
    team = scene.team(gate, db=db)
    asked = {"session_id": "s", "user_id": "ann", **options}
    assert play(team, **asked).status == RunStatus.error
    [left] = books_of(team).clearances.waiting()
    return team, left


@pytest.mark.parametrize("form", ["run", "astream"])
@pytest.mark.parametrize("anew", [False, True], ids=["the same team", "after a restart"])
@pytest.mark.parametrize("names_it", [False, True], ids=["the same", "by its id"])
def test_what_a_person_has_approved_runs_when_it_is_asked_for_again(
    form: str, anew: bool, names_it: bool, scene: Scene, db: SqliteDb
) -> None:
    team, left = _waiting(scene, db)
    assert (left.passed, left.plan) == (True, SOUND)
    assert f"agno-portkey gate approve {left.id}" in scene.refusals[0]
    assert (scene.release.done, scene.runner_calls) == ([], [])
    Clearances(db).approve(left.id, by="boss")
    planned = len([r for r in scene.provider.calls if r.schema_name == "Plan"])
    team = scene.team(APPROVED, db=db) if anew else team
    if form == "astream":
        db.close()
    message = f"Go on with {left.id}." if names_it else f" {REQUEST}\n"
    assert play(team, form, message, session_id="s", user_id="ann").shipped
    assert scene.release.done == STEPS
    assert len([r for r in scene.provider.calls if r.schema_name == "Plan"]) == planned
    used = books_of(team).clearances.get(left.id)
    assert (used.state, used.approved_by, used.done) == ("spent", "boss", {1, 2})
    passed = next(e.verdict for e in scene.told("gate") if e.verdict.passed)
    assert passed.reasons == (f"approved by boss, clearance {left.id}",)


@pytest.mark.parametrize("message", [GO_ON, f"{REQUEST} Then wipe it.", REQUEST.upper()])
def test_another_request_of_the_same_user_is_not_what_was_approved(
    message: str, scene: Scene, db: SqliteDb
) -> None:
    team, left = _waiting(scene, db)
    Clearances(db).approve(left.id, by="boss")
    asked = {"session_id": "s", "user_id": "ann"}
    scene.provider.reset()
    scene.script("runner")
    assert play(team, message=message, **asked).status == RunStatus.error
    assert (scene.release.done, scene.runner_calls) == ([], [])
    scene.provider.reset()
    scene.script("runner")
    assert play(team, **asked).shipped


def test_a_plan_that_is_made_anew_for_the_same_request_gives_way_to_the_approved_one(
    db: SqliteDb,
) -> None:
    desk = _desk(db)
    desk.charter.gates = (APPROVED,)
    desk.run.request = "Ship 2.1"
    desk.refused("r1")
    clearances = desk.charter.books.clearances
    [left] = clearances.waiting()
    clearances.approve(left.id, by="boss")
    otherwise = Plan(goal="Ship it otherwise", steps=SOUND.steps)
    for request, runs in (("Ship 2.2", False), ("Ship  2.1", True)):
        again = Desk.at(desk.charter, request).judged(plan=otherwise)
        again.run.request = request
        if not runs:
            assert again.refused().evidence["waiting"]
            continue
        again.admit()
        assert again.run.plan == left.plan
        assert clearances.get(left.id).state == "claimed"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"session_id": "s2"}, "is for the session s, not for s2"),
        ({"user_id": "bob"}, "was given to the user ann, not to bob"),
        ({"tenant": "acme"}, "is for the tenant (none), not for acme"),
        ({"instructions": "Hurry."}, "was given to other models, prompts, tools or policy"),
    ],
    ids=["session", "user", "tenant", "fingerprint"],
)
def test_it_is_nobody_elses(asked: dict[str, str], why: str, scene: Scene, db: SqliteDb) -> None:
    _, left = _waiting(scene, db)
    Clearances(db).approve(left.id, by="boss")

    def change(team: Team) -> None:
        if "instructions" in asked:
            team.members[-1].instructions = asked["instructions"]

    for presented in (True, False):
        team = scene.team(APPROVED, change, db=db)
        scene.provider.reset()
        scene.script("runner")
        metadata = {CLEARANCE_KEY: left.id} if presented else {}
        if "tenant" in asked:
            metadata[TENANT_KEY] = asked["tenant"]
        options = {k: v for k, v in asked.items() if k in ("session_id", "user_id")}
        options = {"session_id": "s", "user_id": "ann", **options, "metadata": metadata}
        scene.events.clear()
        assert play(team, **options).status == RunStatus.error
        expected = why if presented else "there is no plan yet: ask the Planner for one"
        assert expected in scene.refusals[0]
    assert scene.release.done == []
    assert Clearances(db).get(left.id).state == "granted"


@pytest.mark.parametrize("how", ["id", "token"])
def test_a_clearance_that_is_brought_along_runs_once(how: str, scene: Scene, db: SqliteDb) -> None:
    _, left = _waiting(scene, db)
    keys = new_key()
    granted = Clearances(db).approve(left.id, by="boss")
    brought = left.id if how == "id" else export(granted, keys.private)
    metadata = {CLEARANCE_KEY: brought}
    team = scene.team(APPROVED, db=db)
    charter_of(team).books = replace(books_of(team), keys=(keys.public,))
    asked = {"session_id": "s", "user_id": "ann", "metadata": metadata}
    assert play(team, message=GO_ON, **asked).shipped
    assert scene.release.done == STEPS
    scene.provider.reset()
    scene.script("runner")
    scene.events.clear()
    assert play(team, message=GO_ON, **asked).status == RunStatus.error
    assert "was used by the run" in scene.refusals[0] or "holds clearance" in scene.refusals[0]
    assert scene.release.done == STEPS


@pytest.mark.parametrize("brought", ["", "no such", "a.b.c", 7])
def test_what_is_no_clearance_is_refused(brought: Any, scene: Scene, db: SqliteDb) -> None:
    scene.script(*ROUND)
    team = scene.team(db=db)
    asked = {"metadata": {CLEARANCE_KEY: brought}, "session_id": "s"}
    assert play(team, **asked).status == RunStatus.error
    verdict = next(e.verdict for e in scene.told("gate"))
    assert verdict.evidence["code"] in ("malformed", "unknown", "no_keys")
    assert scene.release.done == []


@pytest.mark.parametrize("again", [False, True], ids=["goes on", "is planned again"])
def test_a_plan_that_the_gate_refused_runs_if_a_person_says_so(
    again: bool, scene: Scene, db: SqliteDb
) -> None:
    scene.provider.reset()
    scene.judge(2)
    members = ROUND if again else ("runner",)
    scene.provider.when("Ask the Planner", [*to(*ROUND), "Refused.", *to(*members), SHIPPED])
    scene.script()
    team = scene.team(db=db)
    asked = {"session_id": "s", "user_id": "ann"}
    assert play(team, **asked).status == RunStatus.error
    [left] = books_of(team).clearances.waiting()
    assert (left.passed, left.reason) == (False, "its score is 2, and 7 is needed")
    Clearances(db).approve(left.id, by="boss", reason="it has to go out")
    assert play(team, **asked).shipped
    assert scene.release.done == STEPS


def test_a_plan_that_waits_twice_has_one_row(db: SqliteDb) -> None:
    desk = _desk(db)
    desk.charter.gates = (APPROVED,)
    first, again = desk.refused("r1"), desk.refused("r2")
    assert first.evidence["clearance"] == again.evidence["clearance"]
    assert len(desk.charter.books.clearances.waiting()) == 1


def test_one_that_passes_in_the_end_waits_as_passed(db: SqliteDb) -> None:
    desk = _desk(db)
    desk.charter.gates = (APPROVED,)
    desk.run.judgement = None
    desk.refused("r1")
    [left] = desk.charter.books.clearances.waiting()
    assert (left.passed, left.reason) == (
        False,
        "the Judge has not judged this plan yet: ask it",
    )
    desk.judged()
    told = desk.refused("r2")
    [now] = desk.charter.books.clearances.waiting()
    assert (now.id, now.passed) == (told.evidence["clearance"], True)
    assert desk.charter.books.clearances.get(left.id).state == "revoked"


def test_once_a_plan_is_cleared_nobody_need_decide_on_those_before(db: SqliteDb) -> None:
    desk = _desk(db).judged(2, plan=Plan(goal="Worse", steps=SOUND.steps))
    desk.refused("r1")
    clearances = desk.charter.books.clearances
    [left] = clearances.waiting()
    desk.judged()
    desk.admit()
    assert clearances.waiting() == []
    assert clearances.get(left.id).reason == "a later plan of the run was cleared"
    assert desk.run.waiting == {}


def test_an_approved_plan_with_a_tool_that_the_runner_lacks_is_refused_for_good(
    db: SqliteDb,
) -> None:
    lacking = Plan(goal="Wipe", steps=(*SOUND.steps, Step(action="wipe it", tool="wipe")))
    desk = _desk(db).judged(plan=lacking)
    desk.refused("r1")
    clearances = desk.charter.books.clearances
    [left] = clearances.waiting()
    clearances.approve(left.id, by="boss", reason="do")
    refused = Desk.at(desk.charter, "again").refused()
    assert "step 3 calls wipe, which the Runner does not have" in refused.reason
    # Claimed as it is, no other process takes it for leave to run its other steps.
    assert clearances.get(left.id).state == "revoked"
    elsewhere = Desk.of(books=Books(clearances=clearances)).charter
    with pytest.raises(GateClosed, match="was revoked"):
        elsewhere.require_clearance("again-r")


def test_what_was_approved_too_long_ago_is_not_taken(db: SqliteDb) -> None:
    desk = _desk(db)
    desk.charter.gates = (APPROVED,)
    desk.refused("r1")
    clearances = desk.charter.books.clearances
    [left] = clearances.waiting()
    clearances.approve(left.id, by="boss")
    late = replace(desk.charter.books, clock=lambda: left.expires_at)
    desk.charter.books = late
    again = Desk.at(desk.charter, "again")
    assert "there is no plan yet" in again.refused().reason
    brought = Desk.at(desk.charter, "brought")
    brought.run.presented = left.id
    assert brought.refused().evidence["code"] == "expired"
