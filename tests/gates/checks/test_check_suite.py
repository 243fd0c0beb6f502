"""`SuiteCheck`: the newest record of a suite for this very fingerprint passed, not too long ago."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.schemas.evals import EvalRunRecord, EvalType
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.eval.suite import Case as SuiteCase
from agno.eval.suite import CaseResult, SuiteResult, run_cases
from agno.exceptions import MigrationRequiredError
from agno.scorer import CodeScorer
from check_cases import case_of
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import told_by
from agno_portkey.gates.checks.suite import SuiteCheck, record_suite
from agno_portkey.gates.history.rows import KEY
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Verdict

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CASE = case_of(fingerprint="sha256:now")


def result(passed: int, of: int = 4) -> SuiteResult:
    return SuiteResult([CaseResult(f"c{n}", (), judge_passed=n < passed) for n in range(of)])


def at(ago: timedelta) -> Callable[[], datetime]:
    return lambda: NOW - ago


def record(database: Any, passed: int, ago: timedelta = timedelta(), **rest: Any) -> str:
    given_ = {"suite": "release", "fingerprint": "sha256:now", "clock": at(ago), **rest}
    return record_suite(result(passed), database=database, **given_)


def decided(database: Any, **settings: Any) -> Verdict:
    check = SuiteCheck(
        **{"suite": "release", "database": database, "clock": at(timedelta()), **settings}
    )
    return check.decide(CASE)


def test_a_suite_that_passed_passes(database: str) -> None:
    record(database, 4, timedelta(days=2))
    verdict = decided(database)
    assert (verdict.passed, verdict.score, verdict.source) == (True, 1.0, "suite")


def test_one_that_failed_refuses_with_its_share(database: str) -> None:
    record(database, 3)
    verdict = decided(database)
    assert (verdict.passed, verdict.score) == (False, 0.75)
    assert "failed at 2026-03-01 12:00 UTC, with 75% of its cases passed" in verdict.reason


def test_the_newest_record_counts(database: str) -> None:
    hours = timedelta(hours=1)
    record(database, 4, 3 * hours)
    record(database, 0, 2 * hours)
    assert not decided(database).passed
    record(database, 4, hours)
    assert decided(database).passed
    # It is the time of the run that counts, not that of its row.
    record(database, 0, 4 * hours)
    assert decided(database).passed


def test_of_records_made_at_once_the_worst_counts(database: str) -> None:
    for passed in (4, 1, 4):
        record(database, passed)
    verdict = decided(database)
    assert (verdict.passed, verdict.score) == (False, 0.25)


def test_microseconds_tell_the_newest(database: str) -> None:
    record(database, 4, timedelta(microseconds=1))
    record(database, 0, timedelta(microseconds=2))
    assert decided(database).passed


@given(st.integers(1, 20 * 24 * 3600), st.integers(1, 20))
def test_a_record_counts_for_as_many_days_as_are_given(seconds: int, days: int) -> None:
    database = InMemoryDb()
    record(database, 4, timedelta(seconds=seconds))
    verdict = decided(database, days=days)
    assert verdict.passed is (seconds <= days * 24 * 3600)
    if not verdict.passed:
        assert "days ago" in verdict.reason
        assert verdict.score == 0


def test_a_record_of_exactly_so_many_days_still_counts() -> None:
    database = InMemoryDb()
    record(database, 4, timedelta(days=7))
    assert decided(database).passed
    assert not decided(database, clock=at(-timedelta(microseconds=1))).passed


def test_a_record_from_the_future_refuses_whatever_else_there_is(database: str) -> None:
    record(database, 4)
    record(database, 4, -timedelta(seconds=1))
    verdict = decided(database)
    assert (verdict.passed, verdict.score) == (False, 0)
    assert "which is to come: set the clocks right" in verdict.reason
    assert "12:00 UTC" in verdict.reason


def test_another_fingerprint_or_suite_is_no_substitute(database: str) -> None:
    assert "is not recorded: run it" in decided(database).reason
    record(database, 4, suite="smoke")
    assert "is not recorded: run it" in decided(database).reason
    record(database, 4, fingerprint="sha256:then")
    assert "for other models, prompts, tools or policies alone" in decided(database).reason
    record(database, 0, timedelta(days=1), fingerprint="sha256:now")
    assert "failed" in decided(database).reason


def test_what_refuses_may_be_asked_again(database: str) -> None:
    check = SuiteCheck(suite="release", database=database, clock=at(timedelta()))
    for passed in (None, 1, 4):
        if passed is not None:
            record(database, passed, timedelta(hours=5 - passed))
        verdict = check.decide(CASE)
        assert bool(verdict.evidence.get("failed")) is not verdict.passed
    assert verdict.passed


def test_an_empty_suite_and_a_skipped_case_fail() -> None:
    for odd in (SuiteResult(), SuiteResult([CaseResult("a", (), skipped=True)])):
        database = InMemoryDb()
        record_suite(
            odd, suite="release", fingerprint="sha256:now", database=database, clock=at(timedelta())
        )
        assert decided(database).score == 0


def test_a_time_is_compared_as_the_moment_it_is(database: str) -> None:
    # As a text it would be the later one.
    east = (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=9)))
    record(database, 0, clock=lambda: east)
    assert not decided(database).passed
    record(database, 4)
    assert decided(database).passed


# Its row


@pytest.mark.parametrize("kind", [SqliteDb, AsyncSqliteDb])
def test_agnos_own_databases_hold_it_beside_others(kind: Any, tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    SqliteDb(db_file=str(file)).create_eval_run(
        EvalRunRecord(
            run_id="theirs",
            name="suite:release",
            eval_type=EvalType.AGENT_AS_JUDGE,
            eval_data={"status": "PASS"},
            eval_input={},
        )
    )
    database = kind(db_file=str(file))
    assert "is not recorded" in decided(database).reason
    run_id = record(database, 4)
    assert decided(database).passed
    row: Any = SqliteDb(db_file=str(file)).get_eval_run(run_id, deserialize=False)
    assert row["name"] == "suite:release"
    assert row["eval_data"]["pass_rate"] == 100.0
    assert [each["input"] for each in row["eval_data"]["results"]] == ["c0", "c1", "c2", "c3"]


def test_nothing_that_was_said_in_its_cases_is_kept(tmp_path: Path) -> None:
    said = {"output": "the secret", "judge_reason": "the secret", "error": "the secret"}
    file = str(tmp_path / "agno.db")
    record_suite(
        SuiteResult([CaseResult("c", (), judge_passed=True, **said)]),  # type: ignore[arg-type]
        suite="release",
        fingerprint="f",
        database=SqliteDb(db_file=file),
    )
    assert b"the secret" not in Path(file).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"status": "FAIL"},
        {"passed": 3},
        {"passed": 5},
        {"total": 0, "passed": 0},
        {"total": None},
        {"total": 4.0},
        {"passed": True, "total": 1},
        {"at": "2026-03-01"},
        {"at": "never"},
        {"at": "2026-03-01T12:00:00.000000"},
    ],
    ids=repr,
)
def test_a_record_that_contradicts_itself_refuses(change: dict[str, Any]) -> None:
    database = InMemoryDb()
    run_id = record(database, 4)
    (row,) = [each for each in database._eval_runs if each["run_id"] == run_id]
    row["eval_data"][KEY] = {**row["eval_data"][KEY], **change}
    check = SuiteCheck(suite="release", database=database, clock=at(timedelta()))
    verdict = told_by(check, CASE)
    assert not verdict.passed
    assert verdict.reason.startswith("the check suite failed")


# What goes wrong


def test_without_a_database_or_a_fingerprint_nothing_passes(database: str) -> None:
    record(database, 4)
    assert "it has no database" in decided(None).reason
    check = SuiteCheck(suite="release", database=database, clock=at(timedelta()))
    for none in (None, ""):
        assert "no fingerprint" in check.decide(case_of(fingerprint=none)).reason


def test_a_database_that_is_gone_refuses(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    record(f"sqlite:///{file}", 4)
    check = SuiteCheck(suite="release", database=f"sqlite:///{file}", clock=at(timedelta()))
    assert told_by(check, CASE).passed
    file.unlink()
    verdict = told_by(check, CASE)
    assert "was there and is gone" in verdict.reason


def test_a_database_that_can_not_be_read_refuses(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    file.write_bytes(b"no database" * 100)
    verdict = told_by(SuiteCheck(suite="release", database=f"sqlite:///{file}"), CASE)
    assert verdict.reasons == ("the check suite failed: DatabaseError",)


def test_what_could_not_be_recorded_raises(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    record(f"sqlite:///{file}", 4)
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE agno_eval_runs RENAME COLUMN eval_data TO data")
    connection.close()
    with pytest.raises(MigrationRequiredError):
        record(f"sqlite:///{file}", 4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"suite": ""}, "suite: a text"),
        ({"suite": None}, "suite: a text"),
        ({"days": 0}, "days"),
        ({"days": float("inf")}, "days"),
        ({"database": object()}, "database"),
        ({"database": "sqlite://"}, "database"),
    ],
)
def test_what_can_not_be_used_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SuiteCheck(**{"suite": "release", **wrong})


@pytest.mark.parametrize(
    "wrong", [{"result": "PASS"}, {"result": None}, {"suite": " "}, {"fingerprint": ""}]
)
def test_what_is_no_result_is_not_recorded(wrong: dict[str, Any]) -> None:
    given_: Any = {"result": result(4), "suite": "release", "fingerprint": "f", **wrong}
    database = InMemoryDb()
    with pytest.raises(ConfigurationError):
        record_suite(given_.pop("result"), database=database, **given_)
    assert not database.get_eval_runs()


def test_settings_hold_neither_clock_nor_address(tmp_path: Path) -> None:
    check = SuiteCheck(suite="release", days=3, database=f"sqlite:///{tmp_path / 'agno.db'}")
    assert check.settings() == {
        "check": "SuiteCheck",
        "name": "suite",
        "timeout": 60.0,
        "suite": "release",
        "days": 3,
    }


def test_what_agnos_runner_gives_can_be_recorded(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    database = InMemoryDb()
    agent = Agent(model=portkey_model)
    for word, passes in (("no", False), ("yes", True)):
        portkey_provider.reply(word)
        scorer = CodeScorer(lambda run, expected: run.content == "yes")
        ran = run_cases([SuiteCase(name="says yes", input="?", agent=agent, scorer=scorer)])
        record_suite(ran, suite="release", fingerprint="sha256:now", database=database)
        check = SuiteCheck(suite="release", database=database)
        assert check.decide(CASE).passed is passes
