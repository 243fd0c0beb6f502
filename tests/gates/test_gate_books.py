"""The books of a gate: where they are kept, the steps they note, what a decision becomes."""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from admission_scene import Desk
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb

from agno_portkey.contracts import Plan, digest
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Gate
from agno_portkey.gates.books import Books, books_of, entry, now
from agno_portkey.gates.clearance import Clearances
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Verdict

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_books_are_in_the_database_if_it_is_one_on_sql(tmp_path: Path) -> None:
    for database in (str(tmp_path / "a.db"), SqliteDb(db_file=str(tmp_path / "b.db"))):
        kept = books_of(database, keys=("key",))
        assert kept.history is not None
        assert "this process" not in kept.clearances.place
        assert kept.keys == ("key",)
    for nowhere in (None, InMemoryDb(), SqliteDb(db_url="sqlite://")):
        kept = books_of(nowhere, keys=("key",))
        assert (kept.history, kept.clearances.place) == (None, "this process")
        assert kept.keys == ("key",)


def test_they_are_the_same_after_a_copy() -> None:
    books = Books()
    assert copy.deepcopy(books) is books
    assert abs((now() - books.clock()).total_seconds()) < 3600
    assert books.thresholds_of([Gate()]) == {}


# Steps


class Down(Clearances):
    def take_step(self, *args: Any) -> Any:
        raise ZeroDivisionError("secret")

    finish_step = release_step = spend = take_step


class Unread(Clearances):
    def get(self, id: str) -> Any:
        raise AssertionError("it was asked for")


def test_steps_are_noted_once_in_all_that_share_them() -> None:
    desk = Desk.of().judged()
    books, held = desk.charter.books, desk.admit()
    kept = lambda: books.clearances.get(held.id)  # noqa: E731
    assert books.step_taken(held, 1) is None
    assert "step 1 of clearance" in books.step_taken(held, 1)
    books.step_dropped(held, 1)
    assert books.step_taken(held, 1) is None
    books.step_done(held, 1)
    assert (kept().taken, kept().done, kept().state) == ({1}, {1}, "claimed")
    books.spent(held)
    assert kept().state == "spent"


def test_what_can_not_be_noted_is_logged_and_a_step_not_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = Desk.of().judged().admit()
    books = Books(clearances=Down())
    assert books.step_taken(held, 1) == "the gate's database failed: ZeroDivisionError"
    with caplog.at_level(logging.ERROR, "agno_portkey"):
        books.step_done(held, 1)
        books.step_dropped(held, 1)
        books.spent(held)
    assert caplog.text.count(f"clearance {held.id} can't be noted") == 3


def test_without_a_row_there_is_nothing_to_note() -> None:
    books = Books(clearances=Down())
    for held in (None, replace(Desk.of().judged().admit(), id=None)):
        assert books.step_taken(held, 1) is None
        books.step_done(held, 1)
        books.spent(held)


# What the books still say of a clearance


def put_forward(desk: Desk, plan: Plan) -> None:
    planner = desk.charter.runs.join("planner", desk.run, "planner", "Planner")
    desk.charter.planned(planner, plan)


def test_the_same_plan_put_forward_again_keeps_its_clearance() -> None:
    desk = Desk.of().judged()
    held = desk.admit()
    put_forward(desk, SOUND.model_copy())
    assert desk.run.clearance is held
    assert desk.charter.books.clearances.get(held.id).state == "claimed"
    put_forward(desk, SOUND.model_copy(update={"goal": "another"}))
    assert desk.run.clearance is None
    assert desk.charter.books.clearances.get(held.id).state == "revoked"


async def test_of_what_was_only_observed_the_books_are_not_asked() -> None:
    desk = Desk.of(mode="observe").judged()
    assert desk.admit().id is None
    desk.charter.books = Books(clearances=Unread())
    await desk.charter.require_good(desk.runner, AsyncIO())


async def test_a_clearance_that_was_dropped_meanwhile_is_none() -> None:
    desk = Desk.of().judged()
    desk.admit()
    put_forward(desk, SOUND.model_copy(update={"goal": "another"}))
    with pytest.raises(GateClosed, match="has not cleared this run of the Runner"):
        await desk.charter.require_good(desk.runner, AsyncIO())


# What a decision becomes


def _entry(verdict: Verdict, **thresholds: Any) -> Any:
    desk = Desk.of().judged()
    desk.run.thresholds = thresholds
    return entry(Gate(), verdict, desk.run, desk.run.judgement, at=AT)


def test_a_decision_is_kept_in_figures_digests_and_reasons() -> None:
    desk = Desk.of().judged(8)
    gate = Gate()
    kept = entry(gate, gate.decide(desk.charter.case(desk.run)), desk.run, None, at=AT)
    assert (kept.gate, kept.passed, kept.outcome, kept.score, kept.at) == (
        "gate",
        True,
        "pass",
        0.8,
        AT,
    )
    assert [(c.check, c.score, c.threshold, c.samples) for c in kept.checks] == [
        ("critique", 1.0, 1.0, None),
        ("judgement", 0.8, 0.7, None),
    ]
    assert kept.versions == {"Judge.model": "gpt-4o-mini"}
    assert kept.evidence == {"plan": digest(SOUND)}
    assert (kept.team_id, kept.session_id, kept.tenant) == ("release", "s1", "acme")
    assert SOUND.goal not in str(kept)
    judged = entry(gate, Verdict(True, "g"), desk.run, desk.run.judgement, at=AT)
    assert judged.evidence["judgement"] == digest(desk.run.judgement.output)
    assert judged.checks == ()


@pytest.mark.parametrize(
    ("score", "kept"), [(0.5, 0.5), (7.0, 1.0), (-1.0, 0.0), (math.nan, None), (None, None)]
)
def test_a_score_that_is_out_of_range_is_kept_within_it(
    score: float | None, kept: float | None
) -> None:
    told = {"outcome": "pass", "score": score, "reasons": []}
    said = _entry(Verdict(True, "gate", (), score, {"checks": {"critique": told}}))
    assert said.score == kept
    assert said.checks[0].score == kept


def test_the_threshold_that_held_is_kept() -> None:
    told = {"outcome": "pass", "score": 1.0, "reasons": ["so"]}
    verdict = Verdict(True, "gate", (), 1.0, {"checks": {"critique": told}})
    assert _entry(verdict).checks[0].threshold == 1.0
    assert _entry(verdict, gate={"critique": 0.4}).checks[0].threshold == 0.4
    told = {**told, "threshold": 0.3, "samples": 4}
    verdict = Verdict(True, "gate", (), 1.0, {"checks": {"critique": told}})
    [check] = _entry(verdict, gate={"critique": 0.4}).checks
    assert (check.threshold, check.samples, check.reasons) == (0.3, 4, ("so",))


def test_a_run_without_a_plan_has_no_digest_of_one() -> None:
    desk = Desk.of()
    kept = entry(Gate(), Verdict(False, "gate"), desk.run, None, at=AT)
    assert (kept.evidence, kept.plan_digest) == ({}, None)
