"""Clearances that an attack got used up, held up, or left lying about."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from admission_scene import Desk, Scene, books_of, judgement, play, to
from agno.db.sqlite import SqliteDb

from agno_portkey import Gate
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates import approving
from agno_portkey.gates.books import Books
from agno_portkey.gates.books import books_of as books_in
from agno_portkey.gates.clearance import Asking, Grant, export, new_key, present
from agno_portkey.modes import variable_of
from agno_portkey.runs import CLEARANCE_KEY, Who
from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.testing.story import SOUND

SHIPPED = "Release 2.1 is live on staging."


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


# An approval that is only looked at


def led(scene: Scene) -> None:
    """A leader that has all asked for a plan, and the Runner alone if it is to go on."""

    def say(request: Any) -> Reply | str:
        user = max(n for n, m in enumerate(request.messages) if m.get("role") == "user")
        since = request.messages[user:]
        words = str(since[0].get("content"))
        members = to("runner") if "Go on" in words else to("planner", "critic", "judge", "runner")
        asked = sum(len(message.get("tool_calls") or ()) for message in since)
        return members[asked] if asked < len(members) else SHIPPED

    scene.provider.when(lambda request: "delegate_task_to_member" in request.tools, say)
    scene.judge(9)
    scene.script()


@pytest.mark.parametrize("how", ["asked again", "brought along"])
def test_an_observed_run_leaves_an_approval_as_it_is(
    how: str, scene: Scene, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    led(scene)
    team = scene.team(Gate(approval=True), db=SqliteDb(db_file=file))
    play(team, session_id="s")
    books = books_of(team)
    [waits] = books.clearances.waiting()
    granted = approving.approve(books, waits.id, by="ann")
    brought = {"message": "Go on", "metadata": {CLEARANCE_KEY: waits.id}, "session_id": "s"}
    monkeypatch.setenv(variable_of("gate"), "observe")
    before = len(scene.told("gate"))
    play(team, **(brought if how == "brought along" else {"session_id": "s"}))
    told = [event.verdict for event in scene.told("gate")[before:]]
    # What would have been is told.
    assert any(each.passed and waits.id in each.reason for each in told if each is not None)
    assert books.clearances.get(waits.id) == granted
    monkeypatch.delenv(variable_of("gate"))
    assert play(team, **brought).shipped
    assert books.clearances.get(waits.id).state == "spent"


def looked(books: Books, presented: str, run: str = "r", **asks: Any) -> Grant:
    return books.claim(presented, asking(run, **asks), look=True)


def asking(run: str, **asks: Any) -> Asking:
    whom = {"swarm": "Release", "tenant": "acme", "session_id": "s1", "user_id": "ann"}
    return Asking(runner_run_id=run, fingerprint="sha256:f1", **{**whom, **asks})


def test_to_look_refuses_what_to_claim_refuses(file: str) -> None:
    books = books_in(file)
    desk = Desk.of(Gate(approval=True), books=books).judged(9)
    desk.refused()
    [waits] = books.clearances.waiting()
    with pytest.raises(ClearanceRefused, match="waits for a person"):
        looked(books, waits.id)
    approving.approve(books, waits.id, by="ann")
    with pytest.raises(ClearanceRefused, match="is for the tenant"):
        looked(books, waits.id, tenant="evil")
    assert looked(books, waits.id).plan == SOUND
    books.claim(waits.id, asking("r"))
    assert looked(books, waits.id).id == waits.id
    with pytest.raises(ClearanceRefused, match="holds clearance"):
        looked(books, waits.id, "another")


def test_a_token_that_is_looked_at_is_not_used(file: str) -> None:
    books, keys = books_in(file), new_key()
    desk = Desk.of(Gate(approval=True), books=books_in(None)).judged(9)
    desk.refused()
    [waits] = desk.charter.books.clearances.waiting()
    token = export(approving.approve(desk.charter.books, waits.id, by="ann"), keys.private)
    store = books.clearances
    for run in ("r1", "r2"):
        assert present(store, [keys.public], token, asking(run), look=True).id == waits.id
    with pytest.raises(ClearanceRefused, match="no clearance"):
        store.get(waits.id)
    assert present(store, [keys.public], token, asking("r1")).claimed_by == "r1"
    assert present(store, [keys.public], token, asking("r1"), look=True).id == waits.id
    with pytest.raises(ClearanceRefused, match="was used by the run r1"):
        present(store, [keys.public], token, asking("r2"), look=True)


# A second clearance in one run


def test_what_a_run_was_cleared_with_before_is_taken_back(file: str) -> None:
    desk = Desk.of(books=books_in(file)).judged(9)
    first = desk.admit()
    desk.run.show("again")
    desk.run.hear("again", judgement(9))
    station = desk.charter.runs.join("team-r2", desk.run, "runner", "Runner")
    second = desk.charter.admit(station, "team-r2")
    states = {each.id: each.state for each in books_in(file).clearances.of_swarm("Release")}
    assert states == {first.id: "revoked", second.id: "claimed"}


def test_so_is_what_it_held_when_it_is_cleared_by_an_approval(file: str) -> None:
    gate, books = Gate(), books_in(file)
    left = Desk.of(gate, books=books, run_id="before").judged(1)
    left.refused()
    [waits] = books.clearances.waiting()
    approving.approve(books, waits.id, by="ann", reason="it is known to be fine")
    desk = Desk.of(gate, books=books).judged(9)
    first = desk.admit()
    desk.run.presented = waits.id
    station = desk.charter.runs.join("team-r2", desk.run, "runner", "Runner")
    assert desk.charter.admit(station, "team-r2").id == waits.id
    assert books.clearances.get(first.id).state == "revoked"
    assert books.clearances.get(waits.id).state == "claimed"


def test_what_a_run_has_finished_stays_spent(file: str) -> None:
    books = books_in(file)
    # Where its tools are not known, none is waited for.
    desk = Desk.of(books=books, tools=None).judged(9)
    first = desk.admit()
    assert desk.charter.finish(desk.runner, "team-r") == ()
    desk.run.show("again")
    desk.run.hear("again", judgement(9))
    station = desk.charter.runs.join("team-r2", desk.run, "runner", "Runner")
    desk.charter.admit(station, "team-r2")
    assert books.clearances.get(first.id).state == "spent"


# One altered row


def alter(file: str, id: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute("update agno_portkey_clearances set reason='x' where id=?", (id,))
    connection.commit()
    connection.close()


def waits_for(file: str, run_id: str, user: str) -> tuple[Desk, Grant]:
    desk = Desk.of(Gate(approval=True), books=books_in(file), run_id=run_id)
    desk.run.who = Who("s-" + user, user, "acme", "release")
    desk.judged(9).refused()
    waiting = desk.charter.books.clearances.waiting()
    return desk, next(each for each in waiting if each.user_id == user)


def test_an_altered_row_holds_up_nobody_else(file: str, caplog: pytest.LogCaptureFixture) -> None:
    desk, anns = waits_for(file, "t1", "ann")
    _, eves = waits_for(file, "t2", "eve")
    books = desk.charter.books
    for each in (anns, eves):
        approving.approve(books, each.id, by="boss")
    alter(file, eves.id)
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        assert desk.admit().id == anns.id
    assert f"passed over: the row {eves.id}" in caplog.text
    assert [each.id for each in books.clearances.of_swarm("Release")] == [anns.id]
    with pytest.raises(ClearanceRefused, match="changed by hand"):
        books.clearances.get(eves.id)
    with pytest.raises(ClearanceRefused, match="changed by hand"):
        books.claim(eves.id, asking("r", session_id="s-eve", user_id="eve"))


def test_a_list_passes_over_an_altered_row_and_tells_of_it(file: str) -> None:
    _, anns = waits_for(file, "t1", "ann")
    desk, eves = waits_for(file, "t2", "eve")
    clearances = desk.charter.books.clearances
    assert clearances.altered() == []
    alter(file, eves.id)
    assert [each.id for each in clearances.waiting()] == [anns.id]
    [wrong] = clearances.altered()
    assert eves.id in wrong
    assert "it was changed by hand" in wrong
