"""Approvals that nobody has written down, debts that hold up all others, and late databases."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from admission_scene import ROUND, Desk, Scene, play
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.tools.function import Function
from dropping import superseded
from fastapi import FastAPI

from agno_portkey import Gate, PortkeyModel
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates import approving
from agno_portkey.gates.books import Books
from agno_portkey.gates.books import books_of as books_in
from agno_portkey.gates.clearance import Clearances, Grant
from agno_portkey.gates.history import Decided, History
from agno_portkey.gates.owed import Owed
from agno_portkey.serving import gate_router
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


# An approval, and its entry in the history


class Failing(History):
    """A history that can't be written, from some moment on."""

    fails = False

    def put(self, decided: Decided) -> None:
        if self.fails:
            raise OSError("the server has gone")
        super().put(decided)


def waiting(file: str, **changed: Any) -> tuple[Books, Grant]:
    """A plan that waits, and the books as in a process of their own."""
    Desk.of(Gate(approval=True), books=books_in(file)).judged(9).refused()
    books = replace(books_in(file), owed=Owed(600, 600), history=Failing(file), **changed)
    [waits] = books.clearances.waiting()
    return books, waits


def said_of(file: str) -> list[tuple[str, str | None]]:
    return [(each.outcome, each.by) for each in History(file).series() if each.by is not None]


def falls(books: Books, *, after: bool) -> Callable[..., Any]:
    """A change of a row with which the database falls, before or after it has committed."""
    store: Any = books.clearances._store
    swap = store.swap

    def changed(old: Any, new: Any) -> bool:
        if after:
            swap(old, new)
        vars(store).update(swap=gone, get=gone)
        books.history.fails = True  # type: ignore[union-attr]
        raise OSError("the server has gone")

    def gone(*args: Any) -> Any:
        raise OSError("the server has gone")

    return changed


def comes_back(books: Books) -> None:
    vars(books.clearances._store).pop("swap")
    vars(books.clearances._store).pop("get")
    books.history.fails = False  # type: ignore[union-attr]


def test_no_approval_is_good_that_is_in_no_history(file: str) -> None:
    books, waits = waiting(file)
    vars(books.clearances._store)["swap"] = falls(books, after=True)
    with pytest.raises(OSError, match="has gone"):
        approving.approve(books, waits.id, by="eve")
    # Whoever looks now sees who it was.
    assert Clearances(file).get(waits.id).state == "granted"
    assert said_of(file) == [("pass", "eve")]
    comes_back(books)
    books.owed.settle()
    assert Clearances(file).get(waits.id).state == "revoked"


def test_one_that_could_not_be_granted_is_in_the_history_as_such(file: str) -> None:
    books, waits = waiting(file)
    swap = books.clearances._store.swap

    def lies(old: Any, new: Any) -> bool:
        del vars(books.clearances._store)["swap"]
        swap(old, new)
        raise OSError("connection lost")

    vars(books.clearances._store)["swap"] = lies
    with pytest.raises(OSError, match="connection lost"):
        approving.approve(books, waits.id, by="eve")
    assert books.clearances.get(waits.id).state == "revoked"
    assert said_of(file) == [("pass", "eve"), ("fail", "eve")]
    assert History(file).series()[-1].reasons == (
        "could not be approved by eve",
        "the gate's database failed: OSError",
    )


def test_what_another_has_approved_meanwhile_stays_so(file: str) -> None:
    books, waits = waiting(file)
    swap = books.clearances._store.swap

    def overtaken(old: Any, new: Any) -> bool:
        del vars(books.clearances._store)["swap"]
        approving.approve(books_in(file), waits.id, by="bob")
        return swap(old, new)

    vars(books.clearances._store)["swap"] = overtaken
    with pytest.raises(ClearanceRefused, match="only one that waits"):
        approving.approve(books, waits.id, by="eve")
    kept = books.clearances.get(waits.id)
    assert (kept.state, kept.approved_by) == ("granted", "bob")
    assert said_of(file) == [("pass", "eve"), ("pass", "bob"), ("fail", "eve")]


def test_one_that_met_a_lock_can_be_given_again(file: str) -> None:
    books, waits = waiting(file)
    books = replace(books, history=History(file, seconds=0.1))
    lock = sqlite3.connect(file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="locked"):
        approving.approve(books, waits.id, by="eve")
    lock.close()
    assert approving.approve(books, waits.id, by="eve").state == "granted"
    assert said_of(file)[-1] == ("pass", "eve")


# Debts


def test_a_row_that_can_not_be_read_holds_up_nobody(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = Desk.of(books=books_in(file)).judged(9)
    held = one.admit()
    with sqlite3.connect(file) as connection:
        spoil = "update agno_portkey_clearances set reason=CAST(x'ff' AS TEXT) where id=?"
        connection.execute(spoil, (held.id,))
    connection.close()
    superseded(one)
    assert "can't be noted" in caplog.text
    assert Desk.at(one.charter, "another").judged(9).admit().id is not None


def test_nor_does_one_whose_driver_can_not_decode_it(caplog: pytest.LogCaptureFixture) -> None:
    owed = Owed(600, 600)
    owed.note("g1", lambda: b"\xff".decode())
    owed.settle()
    assert "its row can't be read" in caplog.text


def _forked(owed: Owed, made: Any) -> None:
    """A child that owes something of its own, whose database lets it at the second time."""
    times: list[int] = []
    done = threading.Event()

    def change() -> None:
        times.append(1)
        if len(times) == 1:
            raise OSError("down")
        done.set()

    owed.note("g2", change)
    made.put(done.wait(30))


def test_a_child_process_makes_up_for_what_it_owes() -> None:
    free, parent = threading.Event(), os.getpid()

    def change() -> None:
        if os.getpid() == parent and not free.is_set():
            raise OSError("down")

    owed = Owed(0.01, 0.01)
    owed.note("g1", change)
    # As the thread in the background may be about to do at that moment.
    fork = multiprocessing.get_context("fork")
    made = fork.SimpleQueue()
    with owed._lock:
        child = fork.Process(target=_forked, args=(owed, made))
        child.start()
    free.set()
    child.join(60)
    alive = child.is_alive()
    child.kill()
    assert not alive
    assert made.get() is True


# A request in another role


@pytest.mark.parametrize("role", ["user", "human"])
def test_a_runner_is_not_asked_anew_in_whatever_role(role: str, scene: Scene, file: str) -> None:
    scene.judge(9)
    scene.script(*ROUND)

    def change(team: Any) -> None:
        deploy = Function.from_callable(scene.release.deploy)
        deploy.requires_confirmation = True
        runner = team.members[3]
        runner.tools = [scene.release.run_tests, deploy]
        runner.user_message_role = role
        runner.model = PortkeyModel(base_url=scene.provider.url, api_key="key of the provider")
        roles = ("system", "user", "assistant", "tool")
        runner.model.role_map = {**{each: each for each in roles}, "human": "user"}

    team = scene.team(change=change, db=SqliteDb(db_file=file))
    output = play(team, session_id="s").output
    assert output is not None
    assert output.status == RunStatus.paused
    [paused] = [each for each in output.member_responses if each.agent_name == "Runner"]
    for need in paused.active_requirements or ():
        need.confirm()
    asked = len(scene.runner_calls)
    got = team.members[3].continue_run(
        run_response=paused, session_id="s", input="Say that production is live."
    )
    assert got.status == RunStatus.error
    assert "continued with another request" in str(got.content)
    assert len(scene.runner_calls) == asked


def test_a_runner_of_that_role_goes_on_with_what_it_was_asked(scene: Scene, file: str) -> None:
    scene.judge(9)
    scene.script(*ROUND)

    def change(team: Any) -> None:
        deploy = Function.from_callable(scene.release.deploy)
        deploy.requires_confirmation = True
        team.members[3].tools = [scene.release.run_tests, deploy]
        team.members[3].user_message_role = "human"
        team.members[3].model.role_map = {
            **{each: each for each in ("system", "user", "assistant", "tool")},
            "human": "user",
        }

    team = scene.team(change=change, db=SqliteDb(db_file=file))
    paused = play(team, session_id="s").output
    assert paused is not None
    for need in paused.active_requirements or ():
        need.confirm()
    got = team.continue_run(run_response=paused, session_id="s")
    assert got.status == RunStatus.completed
    assert [name for name, _ in scene.release.done] == ["run_tests", "deploy"]


# The routes of a team that is given its database late


def test_routes_show_what_is_in_the_database_of_now(scene: Scene, file: str) -> None:
    scene.judge(9)
    scene.script(*ROUND)
    team = scene.team(Gate(approval=True))
    app = FastAPI()
    app.include_router(gate_router(team, allow_unauthenticated=True))
    served = AgentOS(teams=[team], base_app=app, telemetry=False, db=SqliteDb(db_file=file))
    transport = httpx.ASGITransport(app=served.get_app())

    def told(method: str, path: str, **options: Any) -> Any:
        async def asks() -> Any:
            async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
                return (await client.request(method, path, **options)).json()

        return asyncio.run(asks())

    asked = {"message": REQUEST, "stream": "false", "session_id": "s"}
    told("POST", f"/teams/{team.id}/runs", data=asked)
    [waits] = Clearances(file).waiting("Release")
    assert [each["id"] for each in told("GET", "/gates")["gates"]] == [waits.id]
    assert told("POST", f"/gates/{waits.id}/approve")["state"] == "granted"
    decisions = told("GET", "/gates/history")["decisions"]
    assert [each["outcome"] for each in decisions] == ["waiting", "pass"]
    revoked = told("POST", f"/gates/{waits.id}/revoke", json={"reason": "wrong one"})
    assert revoked["state"] == "revoked"
    assert Clearances(file).get(waits.id).state == "revoked"
