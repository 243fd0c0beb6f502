"""A gate whose thresholds follow its history: never looser by itself, nor by a fault."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from adjusting_scene import a_decision, a_proposal, an_approval, scored
from admission_scene import ROUND, Desk, Scene, play
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from agno_portkey import Event, Gate
from agno_portkey.errors import ConfigurationError, GateClosed
from agno_portkey.gates import Adjust, BudgetCheck, Check, CritiqueCheck, JudgementCheck, weighted
from agno_portkey.gates.adjusting import AUTO, Adjuster, Standing, Thresholds, movable, past
from agno_portkey.gates.books import Books, books_of
from agno_portkey.gates.history import Decided, History
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Verdict

AUTOMATIC = Gate(name="release", adjust=Adjust(auto=True, every=1))
NO_ISSUE = scored(1.0, 1.0, check="critique")


@dataclass
class Place:
    """A database with decisions of the gate `release`, and who hears of adjustments."""

    database: str
    gate: Gate = AUTOMATIC
    events: list[Event] = field(default_factory=list)

    def fill(self, decided: Sequence[Decided]) -> None:
        history = History(self.database)
        for each in decided:
            history.put(each)

    @property
    def books(self) -> Books:
        return books_of(
            self.database, gates=[self.gate], swarm="Release", observers=[self.events.append]
        )

    @property
    def adjuster(self) -> Adjuster:
        adjuster = self.books.adjuster
        assert adjuster is not None
        return adjuster

    def desk(self, books: Books | None = None, run_id: str = "team") -> Desk:
        return Desk.of(self.gate, books=books or self.books, run_id=run_id)

    @property
    def log(self) -> list[tuple[str, str, float | None]]:
        log = Thresholds(self.database, swarm="Release").log("release")
        return [(each.kind, each.state, each.threshold) for each in log]


def plans(scores: Sequence[float], **fields: Any) -> list[Decided]:
    """What the gate's two checks made of plans with these scores."""
    return [a_decision(NO_ISSUE, scored(score), **fields) for score in scores]


def refused_plans(approved: int) -> list[Decided]:
    """Sixty plans, of which two thirds were refused, and some of those let run by a person."""
    refused = plans([0.6] * 40)
    return [*plans([0.9] * 20), *refused, *map(an_approval, refused[:approved])]


@pytest.fixture
def place(database: str) -> Place:
    return Place(database)


def test_a_gate_tightens_after_a_decision_and_holds_the_next_run_to_it(place: Place) -> None:
    place.fill(plans([0.9] * 60))
    desk = place.desk()
    desk.judged(9).admit()
    assert place.log == [("tightened", "applied", 0.9)]
    [event] = place.events
    assert (event.kind, event.swarm, event.verdict) == ("adjustment", "Release", None)
    assert {key: event.data[key] for key in ("gate", "check", "by", "state", "runs")} == {
        "gate": "release",
        "check": "judgement",
        "by": AUTO,
        "state": "applied",
        "runs": 61,
    }
    # What passed before is refused now, in this process and in another one.
    for books in (desk.charter.books, place.books):
        with pytest.raises(GateClosed, match=r"its score is 8, and 9 is needed"):
            place.desk(books, run_id="next").judged(8).admit()
    # What was decided since is held to the new threshold, so that evidence starts anew.
    newest = History(place.database).series(limit=1)[0]
    assert newest.checks[1].threshold == 0.9
    assert len(place.log) == 1


def test_without_auto_it_is_left_to_a_person(database: str) -> None:
    place = Place(database, replace(AUTOMATIC, adjust=Adjust(every=1)))
    place.fill(plans([0.9] * 60))
    desk = place.desk()
    desk.judged(9).admit()
    assert place.log == [("tightened", "proposed", 0.9)]
    Desk.at(desk.charter, "b").judged(8).admit()
    # The same proposal waits, and is not left again and again.
    assert len(place.log) <= 2
    Thresholds(database, swarm="Release").approve("release", "judgement", by="ann", scopes=())
    with pytest.raises(GateClosed):
        Desk.at(desk.charter, "c").judged(8).admit()


def test_a_proposal_whose_grounds_are_gone_is_withdrawn(database: str) -> None:
    place = Place(database, replace(AUTOMATIC, adjust=Adjust(every=1)))
    place.fill(plans([0.9] * 60))
    gate, adjust = place.gate, Adjust()
    assert [each.state for each in place.adjuster.look(gate, adjust)] == ["proposed"]
    assert place.adjuster.look(gate, adjust) == []
    place.fill(plans([0.9], versions={"Judge.model": "another"}))
    [change] = place.adjuster.look(gate, adjust)
    assert (change.state, change.by) == ("withdrawn", AUTO)
    assert "49 more" in str(change.reason)
    assert place.adjuster.look(gate, adjust) == []


def test_a_loosening_is_never_applied_by_itself(place: Place) -> None:
    place.fill(refused_plans(10))
    place.desk().judged(9).admit()
    assert place.log == [("loosened", "proposed", 0.6)]
    assert place.books.thresholds_of([place.gate]) == {}
    # It stays so however often it is looked at.
    Desk.of(place.gate, books=place.books, run_id="b").judged(9).admit()
    assert place.log == [("loosened", "proposed", 0.6)]
    Thresholds(place.database, swarm="Release").approve(
        "release", "judgement", by="ann", scopes=["gates:approve"]
    )
    Desk.of(place.gate, books=place.books, run_id="c").judged(6.5).admit()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(
        st.tuples(st.sampled_from([0.2, 0.5, 0.6, 0.7, 0.8, 0.9]), st.booleans()),
        min_size=5,
        max_size=40,
    ),
    floor=st.sampled_from([0.5, 0.7, 0.85]),
)
def test_whatever_the_history_it_never_loosens_and_keeps_its_least(
    plan: list[tuple[float, bool]], floor: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gate = replace(AUTOMATIC, adjust=Adjust(auto=True, every=1, least=10, floor=floor))
    place = Place(str(tmp_path_factory.mktemp("any") / "agno.db"), gate)
    decided = plans([score for score, _ in plan])
    spoken = [an_approval(each) for each, (_, by) in zip(decided, plan, strict=True) if by]
    place.fill([*decided, *spoken])
    assert gate.adjust is not None
    written = place.adjuster.look(gate, gate.adjust)
    for change in written:
        if change.state == "applied":
            assert change.value > change.before
            rate = sum(score >= change.value for score, _ in plan) / len(plan)
            assert rate > floor
    if len(plan) < 10:
        assert written == []


def test_it_looks_after_so_many_decisions(database: str) -> None:
    place = Place(database, replace(AUTOMATIC, adjust=Adjust(auto=True, every=3)))
    place.fill(plans([0.9] * 60))
    desk = place.desk()
    for number in range(1, 4):
        assert place.log == []
        Desk.at(desk.charter, f"run-{number}").judged(9).admit()
    assert place.log == [("tightened", "applied", 0.9)]


def test_a_refusal_counts_too_and_what_a_person_let_run_does_not(place: Place) -> None:
    place.fill(plans([0.9] * 60))
    with pytest.raises(GateClosed):
        place.desk().judged(3).admit()
    assert place.log == [("tightened", "applied", 0.9)]


def test_of_two_gates_only_the_one_that_says_so_is_adjusted(database: str) -> None:
    other = Gate(name="other")
    History(database).put(a_decision(NO_ISSUE, scored(0.9)))
    for number in range(60):
        for name in ("release", "other"):
            one = a_decision(NO_ISSUE, scored(0.9), gate=name, run_id=f"r{number}")
            History(database).put(one)
    books = books_of(database, gates=[other, AUTOMATIC], swarm="Release")
    Desk.of(other, AUTOMATIC, books=books).judged(9).admit()
    thresholds = Thresholds(database, swarm="Release")
    assert thresholds.current(["release", "other"]) == {"release": {"judgement": 0.9}}


@dataclass(frozen=True, kw_only=True)
class Second(Check):
    """Goes by a threshold, and gives what it is told."""

    name: str = "second"
    score: float = 0.9

    @property
    def threshold(self) -> float:
        return 0.5

    def decide(self, case: Any) -> Verdict:
        reasons = () if self.score >= case.threshold_of(self) else ("too low",)
        return self.verdict(*reasons, score=self.score)


def test_one_check_is_adjusted_at_a_time(database: str) -> None:
    """Both at once, each on its own evidence, might fall below the floor together."""
    place = Place(database, replace(AUTOMATIC, checks=(Second(),)))
    place.fill(
        [a_decision(NO_ISSUE, scored(0.9), scored(0.9, 0.5, check="second")) for _ in range(60)]
    )
    desk = place.desk()
    desk.judged(9).admit()
    Desk.at(desk.charter, "next").judged(9).admit()
    log = Thresholds(database, swarm="Release").log("release")
    assert [(each.check, each.state) for each in log] == [("judgement", "applied")]


def test_what_goes_by_yes_and_no_is_left_alone() -> None:
    assert not movable(CritiqueCheck())
    assert not movable(BudgetCheck(calls=3))
    assert not movable(JudgementCheck(min_score=0))
    assert movable(JudgementCheck())
    assert movable(weighted((CritiqueCheck(), 1), at_least=0.5))


# What fails


def test_an_adjuster_that_fails_neither_opens_nor_closes(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(database)
    place.fill(plans([0.9] * 60))
    file = tmp_path / "broken.db"
    file.write_bytes(b"no database" * 1000)
    books = place.books
    assert isinstance(books.thresholds, Thresholds)
    broken = Adjuster([AUTOMATIC], History(str(file)), books.thresholds)
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        desk = place.desk(replace(books, adjuster=broken))
        desk.judged(9).admit()
        with pytest.raises(GateClosed, match="its score is 3"):
            Desk.at(desk.charter, "bad").judged(3).admit()
    assert [r.getMessage() for r in caplog.records if "adjustment" in r.getMessage()] == [
        "the adjustment of the gate release failed: DatabaseError; its thresholds stay as they are"
    ] * 2
    told = [each for each in place.events if each.kind == "adjustment"]
    assert [each.data for each in told] == [{"gate": "release", "state": "failed"}] * 2
    assert all(each.verdict is not None and not each.verdict.passed for each in told)
    assert place.log == []


def run_in(database: str, statement: str) -> None:
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DROP TABLE agno_portkey_gate_thresholds", "DatabaseGone: its table"),
        ("UPDATE agno_portkey_gate_thresholds SET threshold = 7", "AdjustmentRefused: version 1"),
    ],
)
def test_thresholds_that_can_not_be_read_close_the_gate(
    place: Place, statement: str, reason: str
) -> None:
    desk = place.desk()
    desk.judged(9).admit()
    assert isinstance(desk.charter.books.thresholds, Thresholds)
    desk.charter.books.thresholds.put("release", "judgement", 0.8, by="ann")
    Desk.at(desk.charter, "b").judged(9).admit()
    run_in(place.database, statement)
    with pytest.raises(GateClosed, match=reason):
        Desk.at(desk.charter, "c").judged(9).admit()


class Overtaking(Thresholds):
    """Another one changes the gate each time after it was read."""

    def standing(self, gate: str) -> Standing:
        standing = super().standing(gate)
        if standing.version < 2:
            other = Thresholds(self.other, swarm="Release", written={"release": {"second": 0.5}})
            other.put("release", "second", 0.6 + standing.version / 10, by="another")
        return standing

    other: str = ""


def test_one_that_was_overtaken_leaves_it_at_that(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.fill(plans([0.9] * 60))
    thresholds = Overtaking(place.database, swarm="Release", observers=[place.events.append])
    thresholds.other = place.database
    adjuster = Adjuster([AUTOMATIC], History(place.database), thresholds)
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        adjuster.decided()
    assert place.log == [("set", "applied", 0.6)]
    assert (place.events, caplog.records) == ([], [])


def test_of_many_that_look_at_once_one_adjusts(place: Place) -> None:
    place.fill(plans([0.9] * 60))
    adjusters = [place.adjuster for _ in range(3)] * 2
    begin = threading.Barrier(len(adjusters))

    def look(adjuster: Adjuster) -> None:
        begin.wait()
        adjuster.decided()

    threads = [threading.Thread(target=look, args=[each]) for each in adjusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.log == [("tightened", "applied", 0.9)]
    assert [each.data["state"] for each in place.events] == ["applied"]


# Where it is set


def test_it_takes_a_database_on_sql(portkey_provider: EmbeddedProvider) -> None:
    scene = Scene(portkey_provider)
    several: list[dict[str, Any]] = [{}, {"db": InMemoryDb()}]
    for options in several:
        with pytest.raises(ConfigurationError, match=r"Gate\.adjust: the gate 'release'"):
            scene.team(AUTOMATIC, **options)


def test_without_it_no_threshold_is_asked_for(tmp_path: Path) -> None:
    books = books_of(str(tmp_path / "agno.db"), gates=[Gate()], swarm="Release")
    assert (books.thresholds, books.adjuster) == (None, None)


def played(form: str, database: Any, score: float) -> tuple[bool, Scene]:
    """Whether a new team ships whose Judge gives that score, and what was told."""
    with EmbeddedProvider() as provider:
        scene = Scene(provider)
        scene.judge(score)
        scene.script(*ROUND)
        return play(scene.team(AUTOMATIC, db=database), form).shipped, scene


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("run", SqliteDb),
        ("stream", SqliteDb),
        ("arun", SqliteDb),
        ("arun", AsyncSqliteDb),
        ("astream", AsyncSqliteDb),
    ],
)
def test_a_governed_team_follows_its_history(form: str, kind: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "agno.db")
    shipped, scene = played(form, kind(db_file=file), 9)
    assert shipped
    [first] = past(History(file), "release", "Release")
    assert len(first.checks) == 2
    kept = Thresholds(file, swarm="Release")
    assert kept.log("release") == []
    # Fifty-nine plans like that one.
    for number in range(59):
        History(file).put(replace(first, id=f"d{number}", run_id=f"r{number}"))
    shipped, scene = played(form, kind(db_file=file), 9)
    assert shipped
    assert kept.current(["release"]) == {"release": {"judgement": 0.9}}
    assert [event.data["state"] for event in scene.told("adjustment")] == ["applied"]
    shipped, scene = played(form, kind(db_file=file), 8)
    assert not shipped
    assert "its score is 8, and 9 is needed" in " ".join(scene.refusals)


def test_the_event_loop_goes_on_while_it_looks(place: Place) -> None:
    """The look waits for the loop's next step: on the loop itself it would wait for ever."""
    place.fill(plans([0.9] * 60))
    books, passed = place.books, threading.Event()
    assert isinstance(books.thresholds, Thresholds)

    class Waiting(History):
        def series(self, **asked: Any) -> list[Decided]:
            assert passed.wait(60)
            return super().series(**asked)

    adjuster = Adjuster([AUTOMATIC], Waiting(place.database), books.thresholds)

    async def admitted() -> None:
        await place.desk(replace(books, adjuster=adjuster)).judged(9).aadmit()
        assert place.log == []
        passed.set()

    asyncio.run(admitted())
    assert place.log == [("tightened", "applied", 0.9)]


def test_what_persons_decide_is_read_with_the_gate_they_decided_for(tmp_path: Path) -> None:
    history = History(str(tmp_path / "agno.db"))
    assert past(history, "release", "Release") == []
    own = a_decision(scored(0.6))
    other = a_decision(scored(0.6), swarm="Sales")
    # A clearance may be that of several gates.
    word = replace(an_approval(own), gate="release, other")
    for each in (own, other, word, replace(word, id="x", swarm="Sales"), a_decision(gate="other")):
        history.put(each)
    assert past(history, "release", "Release") == [own, word]
    assert past(history, "release", "Sales") == [other, replace(word, id="x", swarm="Sales")]
    assert past(history, "release", None) == []
    assert a_proposal().gate == "release"
