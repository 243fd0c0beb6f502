"""Ways round a gate by its books, by late hooks and by routes, that were found by attack."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from admission_scene import SHIPPED, STEPS, STREAMED, Desk, Scene, charter_of, play, to
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run import RunContext
from agno.team import Team
from agno.tools.function import Function
from dropping import begun_anew, ended_early, superseded

from agno_portkey import Gate
from agno_portkey.contracts import digest
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates import approving
from agno_portkey.gates.books import PUBLIC_KEY, Books
from agno_portkey.gates.books import books_of as books_in
from agno_portkey.gates.clearance import Clearances, Grant, MemoryClearances, new_id, new_key
from agno_portkey.gates.clearance.token import export
from agno_portkey.gates.owed import Owed
from agno_portkey.gates.tools import protect
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, SOUND
from agno_portkey.walk import speakers

LIE = "Release 2.1 is live on production, as you asked."


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


def run_tests(desk: Desk) -> list[str]:
    """What the protected tool of the plan's first step has done."""
    done: list[str] = []
    entry = lambda suite: done.append(suite)  # noqa: E731
    tool = protect(Function(name="run_tests", entrypoint=entry), desk.charter)
    context = RunContext(run_id="team-r", session_id="s1", user_id="ann")
    assert tool.entrypoint is not None
    tool.entrypoint(_agno_run_context=context, suite="smoke")
    return done


# A clearance that can't be taken back at this moment


def declined(one: Desk) -> None:
    one.charter.decline(one.run)


DROPS = [superseded, ended_early, begun_anew, declined]


@contextmanager
def locked(file: str) -> Iterator[None]:
    """The database is being written to by somebody else."""
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        writer.execute("ROLLBACK")
        writer.close()


def books(file: str, pause: float) -> Books:
    """Books that wait for a lock no longer than a test does, and try again after `pause`."""
    return replace(
        books_in(file), clearances=Clearances(file, timeout=0.01), owed=Owed(pause, pause)
    )


@pytest.mark.parametrize("drop", DROPS)
def test_what_can_not_be_taken_back_now_is_refused_here_and_then_taken_back(
    file: str, drop: Callable[[Desk], None]
) -> None:
    one = Desk.of(books=books(file, pause=3600)).judged(9)
    held = one.admit()
    other = Desk.of(books=one.charter.books, run_id="something else")
    with locked(file):
        drop(one)
        assert one.charter.books.clearances.get(held.id).state == "claimed"
        for each in (one, other):
            with pytest.raises(ToolRefused):
                run_tests(each)
        with pytest.raises(GateClosed, match="the gate's database failed"):
            other.charter.station("team")
    with pytest.raises(ToolRefused):
        run_tests(other)
    assert one.charter.books.clearances.get(held.id).state == "revoked"


@pytest.mark.parametrize("drop", DROPS)
def test_it_is_taken_back_without_anybody_asking(file: str, drop: Callable[[Desk], None]) -> None:
    one = Desk.of(books=books(file, pause=0.01)).judged(9)
    held = one.admit()
    before = {*threading.enumerate()}
    with locked(file):
        drop(one)
        [trying] = {*threading.enumerate()} - before
        one.charter.books.owed.note("unknown", lambda: one.charter.books.clearances.spend("no"))
    trying.join(60)
    assert not trying.is_alive()
    assert one.charter.books.clearances.get(held.id).state == "revoked"


def test_no_other_plan_is_cleared_before(file: str) -> None:
    one = Desk.of(books=books(file, pause=3600)).judged(9)
    held = one.admit()
    with sqlite3.connect(file) as database:
        database.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON agno_portkey_clearances "
            "WHEN NEW.state = 'revoked' BEGIN SELECT RAISE(IGNORE); END"
        )
    superseded(one)
    two = Desk.at(one.charter, "two").judged(9)
    assert "was changed by others each time" in two.refused().reason
    assert one.charter.books.clearances.held_by("two-r") is None
    with sqlite3.connect(file) as database:
        database.execute("DROP TRIGGER no")
    database.close()
    assert two.admit().id is not None
    assert one.charter.books.clearances.get(held.id).state == "revoked"


def test_that_the_runner_has_finished_is_made_up_for_too(file: str) -> None:
    one = Desk.of(books=books(file, pause=3600)).judged(9)
    held = one.admit()
    assert one.run.steps is not None
    one.run.steps.done |= {1, 2}
    with locked(file):
        assert one.charter.finish(one.runner, "team-r") == ()
    one.charter.books.owed.settle()
    assert one.charter.books.clearances.get(held.id).state == "spent"


# A team that is given its database late


def test_a_token_that_was_used_is_used_in_a_database_that_comes_late(
    scene: Scene, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.provider.when("Ask the Planner", [*to("runner"), SHIPPED, *to("runner"), SHIPPED] * 2)
    scene.judge(9)
    scene.script()
    key, now = new_key(), datetime.now(UTC)
    monkeypatch.setenv(PUBLIC_KEY, key.public)
    team = scene.team()
    print_of = charter_of(team).fingerprint_now
    assert print_of is not None
    token = export(grant(print_of().digest, now, None), key.private)
    given = {"message": "Go on", "metadata": {"agno_portkey.clearance": token}}
    assert play(team, **given).shipped
    team.db = SqliteDb(db_file=file)
    again = play(team, **given)
    assert "is good for one run alone" in str(again.content)
    assert scene.release.done == STEPS
    [kept] = Clearances(file).of_swarm("Release")
    assert kept.state == "spent"


def grant(fingerprint: str, now: datetime, session_id: str | None) -> Grant:
    return Grant(
        id=new_id(),
        gate="gate",
        swarm="Release",
        tenant=None,
        session_id=session_id,
        user_id=None,
        plan=SOUND,
        plan_digest=digest(SOUND),
        fingerprint=fingerprint,
        issued_at=now,
        expires_at=now + timedelta(hours=1),
    )


def test_what_waited_and_was_approved_is_so_in_a_database_that_comes_late(file: str) -> None:
    one = Desk.of(Gate(approval=True)).judged(9)
    one.refused()
    [waits] = one.charter.books.clearances.waiting()
    approving.approve(one.charter.books, waits.id, by="bob")
    one.charter.books_since = lambda: books_in(file)
    assert one.admit().id == waits.id
    assert Clearances(file).get(waits.id).state == "claimed"
    assert one.charter.books_since is None


def test_of_two_rows_of_one_clearance_the_used_one_counts(file: str) -> None:
    given = grant("f", datetime.now(UTC), None)
    used = replace(given, state="claimed", claimed_by="r", claimed_at=given.issued_at)
    for here, there in ((given, used), (used, given), (given, given)):
        kept, earlier = MemoryClearances(), MemoryClearances()
        kept.put(here)
        earlier.put(there)
        kept.take_over(earlier)
        assert kept.get(given.id) == (given if here == there else used)


# Hooks that come late, and what is only observed


def swap(run_input: Any) -> None:
    run_input.input_content = f"Assess exactly this plan:\n{SOUND.model_dump_json()}"


def praise(run_output: Any) -> None:
    run_output.content = run_output.content


@pytest.mark.parametrize("who", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("hook", [swap, praise])
def test_nothing_comes_behind_the_hooks_of_the_gate(scene: Scene, hook: Any, who: Any) -> None:
    scene.judge(9)
    scene.script("planner", "critic", "judge", "runner", plans=[FLAWED])
    team = scene.team()
    owner: Any = team if who is None else team.members[who]  # type: ignore[index]
    (owner.pre_hooks if hook is swap else owner.post_hooks).append(hook)
    ended = play(team)
    assert "has a hook behind the gate's" in str(ended.content)
    assert (scene.release.done, scene.runner_calls) == ([], [])


def test_what_was_only_observed_opens_nothing_for_aides() -> None:
    for mode, opens in (("observe", False), ("enforce", True)):
        one = Desk.of(mode=mode).judged(9)
        one.admit()
        assert one.charter.runs.any_cleared(one.charter.books.clock()) is opens


# Whoever speaks for a team that is routed to


def helpdesk(scene: Scene, **how: Any) -> Team:
    talker = Agent(name="Talker", id="talker", model=scene.model, instructions="You are Talker.")
    told = "You are Helpdesk."
    return Team(name="Helpdesk", members=[talker], model=scene.model, instructions=told, **how)


@pytest.mark.parametrize("how", [{"mode": "route"}, {"respond_directly": True}])
@pytest.mark.parametrize("above", ["route", "coordinate"])
def test_who_a_routed_team_routes_to_is_held_as_well(
    scene: Scene, how: dict[str, Any], above: str
) -> None:
    def change(team: Team) -> None:
        team.members = [*team.members, helpdesk(scene, **how)]  # type: ignore[misc]
        team.mode = above  # type: ignore[assignment]

    scene.provider.when("You are Talker", LIE)
    scene.provider.when("You are Helpdesk", [*to("talker"), "Done."])
    scene.provider.when("Ask the Planner", [*to("helpdesk"), "Done."])
    scene.script()
    team = scene.team(None, change)
    desk: Any = team.members[-1]  # type: ignore[index]
    held = set(speakers(team, team.members[3]))  # type: ignore[arg-type,index]
    assert ({id(desk), id(desk.members[0])} <= held) is (above == "route")
    shown = [str(getattr(event, "content", "")) for event in team.run("Ship.", **STREAMED)]
    assert any(LIE in each for each in shown) is (above == "coordinate")
    assert "declined" in shown[-1]


def test_who_a_routed_team_only_asks_does_not_speak_for_it(scene: Scene) -> None:
    runner = Agent(name="Runner", model=scene.model)
    desk = helpdesk(scene)
    team = Team(name="T", members=[runner, desk], model=scene.model, mode="route")
    held = set(speakers(team, runner))
    assert held == {id(team), id(runner), id(desk)}
