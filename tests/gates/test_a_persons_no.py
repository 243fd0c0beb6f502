"""A person's no is said once, and holds for that very plan until a person says yes to it."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from admission_scene import ROUND, SHIPPED, STEPS, Desk, Scene, books_of, charter_of, play, to
from agno.db.sqlite import SqliteDb
from agno.run.base import RunStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agno_portkey import Event, Gate
from agno_portkey.cli import app
from agno_portkey.contracts import digest
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates import Charter
from agno_portkey.gates.approving import approve, entry_of, revoke
from agno_portkey.gates.books import Books
from agno_portkey.gates.books import books_of as open_books
from agno_portkey.gates.clearance import Clearances, Grant
from agno_portkey.gates.history import Decided, History
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import SOUND

NO = "ann said no to this very plan"
APPROVAL = Gate(approval=True)
ANOTHER = SOUND.model_copy(update={"goal": "Ship 2.2"})


class Sheets:
    """A charter whose runs are begun one after the other, all in one session."""

    def __init__(self, books: Books, gate: Gate | None = None, **options: Any) -> None:
        self.desk = Desk.of(gate or Gate(), books=books, **options)
        self.charter: Charter = self.desk.charter
        self.books = books
        self.runs = 0

    def ask(self, *scores: float, **who: Any) -> Desk:
        """A new run that asks for the same, whose plan the Judge gives these scores."""
        self.runs += 1
        desk = Desk.at(self.charter, f"run {self.runs}")
        plan = who.pop("plan", SOUND)
        desk.run.swarm = self.charter.swarm
        desk.run.who = replace(desk.run.who, **who)
        return desk.judged(*(scores or (9,)), plan=plan)

    def refused(self, *scores: float, **who: Any) -> str:
        return self.ask(*scores, **who).refused().reason

    @property
    def left(self) -> Grant:
        *_, newest = self.books.clearances.waiting()
        return newest

    def said_no(self, reason: str | None = "not on a Friday") -> Grant:
        return revoke(self.books, self.left.id, by="ann", reason=reason)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


# Once


def test_the_second_time_it_is_said_who_did_and_when_and_nothing_is_written(database: str) -> None:
    sheets = Sheets(open_books(database), APPROVAL)
    sheets.refused()
    before, grant = datetime.now(UTC), sheets.said_no()
    kept, told = History(database).series(), list[Event]()
    for by in ("bob", "ann"):
        with pytest.raises(ClearanceRefused) as caught:
            revoke(sheets.books, grant.id, by=by, reason="again", observers=[told.append])
        assert caught.value.code == "revoked_before"
        said = str(caught.value)
        assert said.startswith(f"clearance {grant.id} was revoked before, by ann on ")
        assert said.endswith(" UTC (not on a Friday): there is nothing more to take back")
        at = re.search(r"on (\S+) at (\S+) UTC", said)
        assert at is not None
        when = datetime.fromisoformat(f"{at[1]}T{at[2]}:00+00:00")
        assert before - timedelta(minutes=1) < when <= datetime.now(UTC)
    assert (History(database).series(), told) == (kept, [])
    assert sheets.books.clearances.get(grant.id) == grant


def test_the_command_ends_as_approving_what_is_approved_does(file: str) -> None:
    sheets = Sheets(open_books(file), APPROVAL)
    sheets.refused()
    id = sheets.left.id

    def gate(act: str, by: str) -> tuple[int, str]:
        command = ["gate", act, id, "--db", file, "--by", by]
        ended = CliRunner().invoke(app, command, terminal_width=300)
        return ended.exit_code, ended.output

    assert gate("approve", "ann")[0] == 0
    code, _ = gate("approve", "bob")
    assert gate("revoke", "ann")[0] == 0
    again, said = gate("revoke", "bob")
    assert (again, code) == (1, 1)
    assert f"clearance {id} was revoked before, by ann on 20" in said
    assert [(d.by, d.passed) for d in History(file).series() if d.by] == [
        ("ann", True),
        ("ann", False),
    ]


def test_without_a_history_nobody_knows_when() -> None:
    sheets = Sheets(Books(), APPROVAL)
    sheets.refused()
    grant = sheets.said_no(None)
    with pytest.raises(ClearanceRefused, match="was revoked before, by ann: there is nothing"):
        revoke(sheets.books, grant.id, by="bob")


def test_of_two_at_once_one_is_written_down(file: str) -> None:
    sheets = Sheets(open_books(file), APPROVAL)
    sheets.refused()
    id, refused = sheets.left.id, list[str]()
    begin = threading.Barrier(2)

    def says(by: str) -> None:
        books = open_books(file)
        begin.wait()
        try:
            revoke(books, id, by=by)
        except ClearanceRefused as error:
            refused.append(error.code)

    people = [threading.Thread(target=says, args=(by,)) for by in ("ann", "bob")]
    for each in people:
        each.start()
    for each in people:
        each.join()
    assert refused == ["revoked_before"]
    [kept] = [each for each in History(file).series() if each.by]
    assert kept.by == sheets.books.clearances.get(id).revoked_by


class Full(History):
    """Keeps nothing, once."""

    full = True

    def put(self, decided: Decided) -> None:
        if self.full:
            self.full = False
            raise OSError("no room")
        super().put(decided)


def test_what_could_not_be_written_down_is_when_they_say_it_again(file: str) -> None:
    sheets = Sheets(open_books(file), APPROVAL)
    sheets.refused()
    books = replace(sheets.books, history=Full(file))
    id, before = sheets.left.id, len(History(file).series())
    with pytest.raises(OSError, match="no room"):
        revoke(books, id, by="ann", reason="no")
    assert books.clearances.get(id).state == "revoked"
    for by, more in (("bob", 0), ("ann", 1), ("ann", 1)):
        with pytest.raises(ClearanceRefused, match="was revoked before, by ann"):
            revoke(books, id, by=by, reason="again")
        assert len(History(file).series()) == before + more
    assert History(file).series()[-1].reasons == ("revoked by ann", "no")


def test_what_the_gate_has_taken_back_is_told_as_such(file: str) -> None:
    sheets = Sheets(open_books(file), APPROVAL)
    sheets.refused()
    id = sheets.left.id
    sheets.books.clearances.revoke(id, by=sheets.charter.name, reason="a later plan was cleared")
    with pytest.raises(ClearanceRefused, match=r"before, by gate \(a later plan was cleared\)"):
        revoke(sheets.books, id, by="ann")
    assert [each for each in History(file).series() if each.by] == []


# Until a person says yes


def places(database: str) -> dict[str, Books]:
    return {"a database": open_books(database), "this process": Books()}


@pytest.fixture(params=["a database", "this process"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Books:
    return places(str(tmp_path / "agno.db"))[request.param]


def test_asked_again_it_is_told_whose_no_it_is(books: Books) -> None:
    sheets = Sheets(books, APPROVAL)
    first = sheets.refused()
    assert NO not in first
    grant = sheets.said_no()
    waits, no = sheets.ask().refused().reasons
    assert waits.startswith("a person has to approve this plan")
    assert (sheets.left.id in waits, grant.id in waits) == (True, False)
    at = " on 20" if books.history is not None else " (not"
    assert no.startswith(f"{NO}{at}")
    assert no.endswith(" (not on a Friday)")


def test_so_is_a_plan_that_the_gate_refuses_anyway(books: Books) -> None:
    sheets = Sheets(books)
    low = "its score is 3, and 7 is needed"
    assert sheets.refused(3) == low
    sheets.said_no()
    first, no = sheets.ask(3).refused().reasons
    assert first == low
    assert no.startswith(NO)
    # Who looks at what waits is told as well.
    assert NO in str(sheets.left.reason)


def test_a_gate_that_passes_it_later_does_not_outrank_the_person(books: Books) -> None:
    """Asking until the Judge is pleased is no way round somebody's no."""
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    waits, no = sheets.ask(9).refused().reasons
    assert waits.startswith("a person has to approve this plan")
    assert no.startswith(NO)
    if books.history is not None:
        last = books.history.series()[-1]
        assert (last.outcome, last.passed) == ("waiting", False)
        assert last.reasons == (f"a person has to approve it (clearance {sheets.left.id})",)
    # The person's yes is the newest word then: it is used, and the next one needs none.
    left = sheets.left
    assert left.passed
    approve(books, left.id, by="bob")
    assert sheets.ask(9).admit().id == left.id
    assert books.clearances.get(left.id).state == "claimed"
    assert sheets.ask(9).admit().id != left.id


def test_a_yes_after_it_needs_no_second_one_where_the_gate_refuses(books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    sheets.refused(3)
    approve(books, sheets.left.id, by="bob", reason="hotfix")
    sheets.ask(3).admit()
    assert sheets.refused(3) == "its score is 3, and 7 is needed"


def test_a_yes_stays_one_when_its_run_was_called_off(books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    sheets.refused(3)
    given = approve(books, sheets.left.id, by="bob", reason="hotfix")
    books.clearances.revoke(given.id, by="gate", reason="its run was called off")
    assert sheets.ask(9).admit().id != given.id


@pytest.mark.parametrize("said", ["cleared before", "taken back"])
def test_what_became_of_another_clearance_since_is_no_word(said: str, file: str) -> None:
    sheets = Sheets(open_books(file))
    sheets.refused(3)
    grant = sheets.said_no()
    at = datetime.now(UTC)
    sheets.books.record([entry_of(grant, said == "cleared before", said, "bob", None, at)])
    assert NO in sheets.refused(9)


def test_a_no_after_the_yes_holds_again(books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    grant = sheets.left
    approve(books, grant.id, by="bob", reason="hotfix")
    revoke(books, grant.id, by="ann")
    assert NO in sheets.refused(9)


OTHERS: dict[str, dict[str, Any]] = {
    "session": {"session_id": "s2"},
    "user": {"user_id": "eve"},
    "tenant": {"tenant": "other"},
    "plan": {"plan": ANOTHER},
}


@pytest.mark.parametrize("other", OTHERS)
def test_it_is_of_that_plan_in_that_session_alone(other: str, books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    assert sheets.ask(9, **OTHERS[other]).admit()
    assert NO in sheets.refused(9)


def test_a_yes_to_another_plan_is_none_to_this(books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    sheets.refused(3, plan=ANOTHER)
    approve(books, sheets.left.id, by="bob", reason="hotfix")
    # It is used by whoever asks for the same first.
    assert sheets.ask(3, plan=ANOTHER).admit().plan == ANOTHER
    assert NO in sheets.refused(9)


def test_another_teams_is_none(books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    assert Sheets(books, swarm="Payments").ask(9).admit()


@pytest.mark.parametrize("by", ["gate", "the gate", "agno-portkey"])
def test_what_is_taken_back_by_no_person_is_no_word(by: str, books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    books.clearances.revoke(sheets.left.id, by=by, reason="its run was called off")
    assert sheets.ask(9).admit()


def test_one_of_a_gate_of_another_name_is_a_persons_all_the_same(books: Books) -> None:
    sheets = Sheets(books)
    sheets.refused(3)
    sheets.said_no()
    renamed = Sheets(books, Gate(name="another"))
    assert NO in renamed.refused(9)
    # And what that gate takes back by itself is none, whatever gate it was left by.
    assert Sheets(books, Gate(name="ann")).ask(9).admit()


def test_in_the_same_run_it_waits_anew(books: Books) -> None:
    desk = Sheets(books).ask(9)
    held = desk.admit()
    assert held.id is not None
    revoke(books, held.id, by="ann", reason="stop")
    desk.run.spent = True
    desk.run.show("again")
    desk.judged(9)
    other = desk.charter.runs.join("other-r", desk.run, "runner", "Runner")
    desk = Desk(desk.charter, desk.run, other)
    assert NO in desk.refused("other-r").reason
    [left] = books.clearances.waiting()
    # One that was refused there is not what waits next.
    revoke(books, left.id, by="ann")
    assert left.id not in desk.refused("other-r").reason
    [anew] = books.clearances.waiting()
    assert anew.id != left.id


class Broken(Clearances):
    def of_plan(self, *args: Any, **same: Any) -> list[Grant]:
        raise OSError("gone")


class Lost(History):
    def series(self, **asked: Any) -> list[Decided]:
        raise OSError("gone")


def test_what_was_said_and_can_not_be_read_lets_nothing_through(file: str) -> None:
    sheets = Sheets(open_books(file))
    sheets.refused(3)
    sheets.said_no()
    for changed in ({"clearances": Broken(file)}, {"history": Lost(file)}):
        sheets.charter.books = replace(sheets.books, **changed)
        assert sheets.refused(9) == "the gate's database failed: OSError"


def test_where_only_observed_it_changes_nothing(file: str) -> None:
    sheets = Sheets(open_books(file))
    sheets.refused(3)
    sheets.said_no()
    observing = Sheets(sheets.books, mode="observe")
    assert NO in observing.refused(9)
    assert sheets.books.clearances.waiting() == []


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(["no", "yes", "ask"]), max_size=6))
def test_the_newest_word_is_what_holds(
    tmp_path_factory: pytest.TempPathFactory, said: list[str]
) -> None:
    file = tmp_path_factory.mktemp("words") / "agno.db"
    sheets = Sheets(open_books(str(file)))
    held = refused = False  # whether a no holds, and whether there ever was one
    leave = 0  # each yes that nobody has used yet
    for word in said:
        if word == "ask":
            desk = sheets.ask(9)
            if held and not leave:
                assert NO in desk.refused().reason
            else:
                assert desk.admit()
                # Where nobody has ever said no, a gate that passes looks for no yes.
                leave -= leave > 0 and refused
            continue
        if not sheets.books.clearances.waiting():
            # A run that its gate refuses leaves its plan to be decided on, or uses up the yes.
            desk = sheets.ask(3)
            while leave:
                desk.admit()
                leave, desk = leave - 1, sheets.ask(3)
            desk.refused()
        if word == "no":
            sheets.said_no()
        else:
            approve(sheets.books, sheets.left.id, by="bob", reason="it may")
        # A yes that nobody has used stands: the no was to another clearance of the plan.
        held, leave = word == "no", leave + (word == "yes")
        refused = refused or held


# Whole teams


@pytest.mark.parametrize("form", ["run", "astream"])
def test_a_team_is_told_and_does_not_run_it(
    form: str, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    scene, db = Scene(portkey_provider), SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(3, 9)
    # It asks for the Runner, ends, and does so again.
    leads: list[Any] = [*to(*ROUND), "No.", *to(*ROUND), "No.", *to("runner"), SHIPPED]
    scene.provider.when("Ask the Planner", leads)
    scene.script(plans=[SOUND])
    team = scene.team(db=db)
    asked = {"session_id": "s", "user_id": "ann"}
    assert play(team, "run", **asked).status == RunStatus.error
    [left] = books_of(team).clearances.waiting()
    revoke(books_of(team), left.id, by="ann", reason="not on a Friday")
    if form == "astream":
        db.close()
    ended = play(team, form, **asked)
    assert (ended.status, scene.release.done) == (RunStatus.error, [])
    assert NO in str(ended.content)
    assert "(not on a Friday)" in str(ended.content)
    [left] = books_of(team).clearances.waiting()
    approve(books_of(team), left.id, by="bob")
    play(team, form, **asked)
    assert scene.release.done == STEPS
    assert charter_of(team).books.clearances.get(left.id).plan_digest == digest(SOUND)


@pytest.mark.parametrize("readable", [True, False])
def test_a_team_that_ends_before_its_runner_asks_is_told_too(
    readable: bool, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    scene, file = Scene(portkey_provider), str(tmp_path / "agno.db")
    scene.judge(3)
    scene.script(*(*ROUND[:3], *ROUND[:3]))
    team = scene.team(Gate(max_rounds=1), db=SqliteDb(db_file=file))
    asked = {"session_id": "s", "user_id": "ann"}
    low = "its score is 3, and 7 is needed"
    assert play(team, **asked).content.reasons == (low,)
    [left] = books_of(team).clearances.waiting()
    revoke(books_of(team), left.id, by="ann")
    if not readable:
        charter_of(team).books = replace(books_of(team), history=Lost(file))
    # Declined it is either way.
    ended = play(team, **asked)
    first, *no = ended.content.reasons
    assert (ended.status, first, len(no)) == (RunStatus.error, low, int(readable))
    assert all(said.startswith(f"{NO} on 20") for said in no)
