"""Decisions are kept in Agno's table, of each database, and read in the order of time."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.base import AsyncBaseDb
from agno.db.in_memory import InMemoryDb
from agno.db.postgres import PostgresDb
from agno.db.schemas.evals import EvalRunRecord, EvalType
from agno.db.sqlite import SqliteDb
from agno.eval.reliability import ReliabilityEval
from agno.os import AgentOS
from agno.run.agent import RunOutput
from gate_decisions import DECISIONS, NOON, decided, scored_at
from hypothesis import given, settings
from postgres_server import PostgresServer
from sqlalchemy import create_engine, inspect

from agno_portkey.gates.history import Decided, History, Scored
from agno_portkey.gates.history.rows import clean

MOMENT = timedelta(microseconds=1)


def test_a_decision_is_read_as_it_was_put(agno_db: Any) -> None:
    one = decided(
        reasons=("too dear", "grüße \N{OK HAND SIGN}"),
        checks=(Scored(check="a", outcome="underpowered", score=None, threshold=0.7),),
        cost=0.1,
        by="kim",
        score=None,
    )
    assert History(agno_db).series() == []
    History(agno_db).put(one)
    assert History(agno_db).series() == [one]


def test_an_address_is_enough(tmp_path: Path, postgres: PostgresServer) -> None:
    for address in (str(tmp_path / "agno.db"), postgres.new_database()):
        one = decided()
        History(address).put(one)
        assert History(address).series() == [one]


def test_the_table_and_the_schema_are_those_of_the_database(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    lite = SqliteDb(db_file=str(tmp_path / "agno.db"), eval_table="own")
    driven = url.replace("postgresql://", "postgresql+psycopg://")
    for database in (lite, PostgresDb(db_url=driven, db_schema="there", eval_table="own")):
        History(database).put(decided())
        assert len(database.get_eval_runs()) == 1
        assert len(History(database).series()) == 1
        database.db_engine.dispose()
    assert postgres.run("SELECT count(*) FROM there.own", url) == [(1,)]


def test_tables_are_made_one_after_another_with_those_of_the_database(
    agno_db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stored meanwhile makes some too, and of two that do at once one fails."""
    if isinstance(agno_db, AsyncBaseDb):
        return  # it would take its event loop
    kind, held = type(agno_db), []
    create = kind._create_table

    def creating(self: Any, *args: Any, **kwargs: Any) -> Any:
        held.append(agno_db._resolve_lock._is_owned())
        return create(self, *args, **kwargs)

    monkeypatch.setattr(kind, "_create_table", creating)
    history = History(agno_db)
    history.put(decided())
    assert held
    assert all(held)


def test_what_is_asked_for_is_given(any_db: Any) -> None:
    history = History(any_db)
    first = decided(at=NOON)
    second = decided(at=NOON + MOMENT, gate="other", swarm=None)
    third = decided(at=NOON + 2 * MOMENT, outcome="fail", passed=False)
    fourth = decided(at=NOON + timedelta(days=1), swarm="Sales")
    for each in (third, first, fourth, second):
        history.put(each)
    assert history.series() == [first, second, third, fourth]
    assert history.series(limit=None) == [first, second, third, fourth]
    assert history.series(limit=2) == [third, fourth]
    assert history.series(limit=1, until=NOON + MOMENT) == [first]
    assert history.series(gate="release") == [first, third, fourth]
    assert history.series(gate="Release") == []
    assert history.series(gate="releas_") == []
    assert history.series(swarm="Sales") == [fourth]
    assert history.series(outcome="fail") == [third]
    assert history.series(since=NOON + MOMENT, until=NOON + 2 * MOMENT) == [second]
    assert history.series(since=NOON + timedelta(days=1)) == [fourth]
    assert history.series(until=NOON) == []


def test_the_newest_of_one_second_are_found(agno_db: Any) -> None:
    history = History(agno_db)
    order = [(number * 7) % 60 for number in range(60)]
    for number in order:
        history.put(decided(id=f"{number:02}", at=NOON + number * MOMENT))
    assert [each.id for each in history.series(limit=3)] == ["57", "58", "59"]
    before = history.series(limit=3, until=NOON + 10 * MOMENT)
    assert [each.id for each in before] == ["07", "08", "09"]


async def _others(database: Any, count: int) -> None:
    """Rows that others keep in the table, one of them by the name of a gate."""
    for number in range(count):
        for kind, name in (
            (EvalType.ACCURACY, "accuracy"),
            (EvalType.AGENT_AS_JUDGE, "gate:release"),
        ):
            record = EvalRunRecord(
                run_id=f"{name}-{number}",
                eval_type=kind,
                name=name,
                eval_data={"avg_score": 9.0, "agno": {"at": "now"}},
                eval_input={},
            )
            if isinstance(database, AsyncBaseDb):
                await database.create_eval_run(record)
            else:
                database.create_eval_run(record)


async def test_rows_of_others_are_passed_over(any_db: Any) -> None:
    kept = [decided(at=NOON + timedelta(seconds=number)) for number in range(3)]
    for each in kept[:2]:
        History(any_db).put(each)
    await _others(any_db, 25)
    History(any_db).put(kept[2])
    assert History(any_db).series() == kept
    assert History(any_db).series(gate="release", limit=1) == kept[2:]


def test_an_evaluation_of_agno_goes_on_beside_it(tmp_path: Path) -> None:
    database = SqliteDb(db_file=str(tmp_path / "agno.db"))
    History(database).put(decided())
    response = RunOutput(messages=[])
    evaluation = ReliabilityEval(
        name="gate:release", agent_response=response, expected_tool_calls=["x"], db=database
    )
    evaluation.run()
    assert len(database.get_eval_runs()) == 2
    assert len(History(database).series(gate="release")) == 1


async def test_agentos_shows_it(agno_db: Any) -> None:
    one = decided(reasons=("too dear",), passed=False, outcome="fail", score=0.4)
    History(agno_db).put(one)
    app = AgentOS(agents=[Agent(name="One", db=agno_db)], telemetry=False).get_app()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
        answer = await client.get("/eval-runs", params={"eval_types": "agent_as_judge"})
        by_team = await client.get("/eval-runs", params={"team_id": "team-1"})
    assert answer.status_code == 200, answer.text
    [row] = answer.json()["data"]
    assert by_team.json()["data"] == [row]
    assert (row["id"], row["name"], row["team_id"]) == (one.id, "gate:release", "team-1")
    assert row["evaluated_component_name"] == "Release"
    assert (row["user_id"], row["model_id"]) == ("kim", "gpt-4o-mini")
    assert datetime.fromisoformat(row["created_at"]) == NOON
    [result] = row["eval_data"]["results"]
    assert (result["score"], result["passed"], result["reason"]) == (4.0, False, "too dear")
    assert row["eval_data"]["pass_rate"] == 0.0
    assert row["eval_input"]["run_id"] == "run-1"
    assert row["eval_input"]["session_id"] == "session-1"


def test_characters_that_no_database_keeps_are_marked(any_db: Any) -> None:
    history = History(any_db)
    history.put(decided(gate="a\0b", swarm="S\ud800", reasons=("x\x1b[31my", "\ude00", "\t\uffff")))
    [kept] = history.series(gate="a\0b", swarm="S\ud800")
    assert kept.gate == "a\ufffdb"
    assert kept.reasons == ("x\ufffd[31my", "\ufffd", "\t\ufffd")


def _put_and_read(history: History, one: Decided) -> None:
    history.put(one)
    # Hypothesis may give an equal decision once more.
    found = history.series(since=one.at, until=one.at + MOMENT, limit=None)
    told = {each.id: each for each in found}
    assert told[one.id].as_dict() == clean(one.as_dict())


def test_every_decision_is_read_as_it_was_put(tmp_path: Path, postgres: PostgresServer) -> None:
    histories = [History(str(tmp_path / "agno.db")), History(postgres.new_database())]
    seen: set[str] = set()

    @settings(max_examples=60)
    @given(DECISIONS)
    def tried(one: Decided) -> None:
        one = one if one.id not in seen else replace(one, id=f"{one.id} {len(seen)}")
        seen.add(one.id)
        for history in histories:
            _put_and_read(history, one)

    tried()


def test_many_at_once_are_all_kept(any_db: Any) -> None:
    histories = [History(any_db) for _ in range(4)]
    several = [decided(at=NOON + timedelta(seconds=number)) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        tasks = [
            pool.submit(histories[number % 4].put, each) for number, each in enumerate(several)
        ]
        for task in tasks:
            task.result()
    assert histories[0].series() == several


def test_a_row_that_was_spoilt_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "agno.db"
    history = History(str(file))
    good, bad = decided(), decided(id="spoilt", reasons=("a secret",))
    for each in (good, bad):
        history.put(each)
    with sqlite3.connect(file) as connection:
        connection.execute(
            "UPDATE agno_eval_runs SET eval_data = json_set(eval_data, "
            "'$.agno_portkey.score', 8) WHERE run_id = 'spoilt'"
        )
    connection.close()
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        assert history.series() == [good]
    assert "'spoilt'" in caplog.text
    assert "a secret" not in caplog.text


def test_an_index_of_our_own_is_added(agno_db: Any) -> None:
    History(agno_db).put(decided())
    History(agno_db).put(decided())
    url = agno_db.db_engine.url.set(
        drivername=agno_db.db_engine.url.drivername.replace("+aiosqlite", "")
    )
    engine = create_engine(url)
    found = inspect(engine).get_indexes(
        "agno_eval_runs", schema=getattr(agno_db, "db_schema", None)
    )
    engine.dispose()
    assert ["name", "created_at"] in [each["column_names"] for each in found]


def test_without_leave_for_an_index_it_is_kept_all_the_same(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.new_database()
    driven = url.replace("postgresql://", "postgresql+psycopg://")
    # Agno makes the table, and another role may write to it.
    asked = PostgresDb(db_url=driven)
    asked.create_eval_run(
        EvalRunRecord(run_id="1", eval_type=EvalType.ACCURACY, eval_data={"a": 1}, eval_input={})
    )
    asked.db_engine.dispose()
    postgres.run("CREATE ROLE writer LOGIN", url)
    postgres.run("GRANT USAGE ON SCHEMA ai TO writer", url)
    postgres.run("GRANT ALL ON ALL TABLES IN SCHEMA ai TO writer", url)
    one = decided()
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        history = History(url.replace("postgres@", "writer@"))
        history.put(one)
    assert "no index for agno_eval_runs" in caplog.text
    assert history.series() == [one]


def test_a_copy_is_the_same() -> None:
    history = History(InMemoryDb())
    assert deepcopy({"gate": history})["gate"] is history


def test_a_time_from_a_clock_of_another_zone_is_the_same(agno_db: Any) -> None:
    history = History(agno_db)
    history.put(scored_at(0, 0.8))
    [kept] = history.series(since=NOON.astimezone(), until=(NOON + MOMENT).astimezone())
    assert kept.at.tzinfo is UTC
