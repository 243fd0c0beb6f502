"""A decision that is not kept is an error, whatever the database says of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from agno.db.schemas.evals import EvalRunRecord
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from gate_decisions import decided
from postgres_server import PostgresServer
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from agno_portkey.errors import ConfigurationError, DatabaseGone
from agno_portkey.gates.history import History


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agno.db"


def test_a_locked_database_is_an_error(file: Path) -> None:
    history = History(str(file), seconds=0.2)
    history.put(decided())
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        history.put(decided())
    holder.execute("ROLLBACK")
    holder.close()
    assert len(history.series()) == 1
    history.put(decided())
    assert len(history.series()) == 2


def test_a_server_that_is_down_is_an_error() -> None:
    with PostgresServer() as server:
        history = History(server.new_database(), seconds=2)
        history.put(decided())
        server.kill()
        with pytest.raises(SQLAlchemyError):
            history.put(decided())
        with pytest.raises(SQLAlchemyError):
            history.series()
        server.start()
        history.put(decided())
        assert len(history.series()) == 2


def test_a_server_that_never_was_is_an_error() -> None:
    history = History("postgresql://kim:pa55word@127.0.0.1:1/x", seconds=2)
    for call in (lambda: history.put(decided()), history.series):
        with pytest.raises(SQLAlchemyError) as failed:
            call()
        assert "pa55word" not in str(failed.value)


def test_a_file_that_is_gone_is_not_made_anew(file: Path) -> None:
    history = History(str(file))
    history.put(decided())
    for each in file.parent.iterdir():
        each.unlink()
    with pytest.raises(DatabaseGone):
        history.put(decided())
    with pytest.raises(DatabaseGone):
        history.series()
    assert [*file.parent.iterdir()] == []


def test_a_table_that_is_gone_is_an_error(file: Path) -> None:
    history = History(str(file))
    history.put(decided())
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE agno_eval_runs")
    connection.close()
    with pytest.raises(DatabaseGone, match="agno_eval_runs was there and is gone"):
        history.series()
    with pytest.raises((SQLAlchemyError, DatabaseGone)):
        history.put(decided())


def test_a_table_of_another_shape_is_an_error_and_not_an_empty_history(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE agno_eval_runs (other TEXT)")
    connection.close()
    with pytest.raises(OperationalError, match="no such column"):
        History(str(file)).series()


def test_a_file_that_is_no_database_is_an_error(file: Path) -> None:
    file.write_text("no database at all, but long enough to be looked at as one\n" * 20)
    history = History(str(file))
    for call in (lambda: history.put(decided()), history.series):
        with pytest.raises(SQLAlchemyError):
            call()


def test_one_id_is_kept_once(file: Path) -> None:
    history = History(str(file))
    history.put(decided(id="one", reasons=("secret",)))
    with pytest.raises(IntegrityError) as failed:
        history.put(decided(id="one", reasons=("secret",)))
    assert "secret" not in str(failed.value)


def _nothing(self: Any, eval_run: EvalRunRecord) -> None:
    return None


def _says_so(self: Any, eval_run: EvalRunRecord) -> EvalRunRecord:
    return eval_run


def _alters(self: Any, eval_run: EvalRunRecord) -> EvalRunRecord | None:
    kept = {**eval_run.eval_data, "agno_portkey": {}}
    original: Callable[..., EvalRunRecord | None] = type(self).__mro__[1].create_eval_run
    return original(self, eval_run.model_copy(update={"eval_data": kept}))


@pytest.mark.parametrize("lie", [_nothing, _says_so, _alters])
def test_a_database_that_says_it_has_kept_it_is_not_believed(lie: Any) -> None:
    lying = type("Lying", (InMemoryDb,), {"create_eval_run": lie})
    with pytest.raises(DatabaseGone, match="has not kept gate:release"):
        History(lying()).put(decided())


@pytest.mark.parametrize("lie", [_nothing, _says_so])
def test_nor_is_one_on_sql(file: Path, lie: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(SqliteDb(db_file=str(file)))
    history.put(decided())
    monkeypatch.setattr(SqliteDb, "create_eval_run", lie)
    with pytest.raises(DatabaseGone, match="has not kept gate:release"):
        history.put(decided())


def test_a_table_that_never_is_made_is_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteDb, "create_eval_run", _says_so)
    with pytest.raises(SQLAlchemyError):
        History(SqliteDb(db_file=str(file))).put(decided())


class _Async(InMemoryDb):
    async def create_eval_run(self, eval_run: EvalRunRecord) -> Any:  # type: ignore[override]
        return eval_run


@pytest.mark.parametrize(
    ("database", "said"),
    [
        (None, "NoneType"),
        (object(), "object"),
        (_Async(), "_Async"),
        ("mysql://kim:pa55word@host/x", "an address of it"),
        ("sqlite://", "in memory"),
        (" ", "not nothing"),
        (lambda: SqliteDb(db_url="sqlite://"), "a database for each thread"),
        (lambda: AsyncSqliteDb(db_url="sqlite+aiosqlite://"), "AsyncSqliteDb"),
    ],
)
def test_a_database_that_can_not_hold_it_is_refused(database: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        History(database() if callable(database) else database)
    assert "pa55word" not in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"limit": 0}, "limit: a number from 1"),
        ({"limit": True}, "limit: a number from 1"),
        ({"since": datetime(2026, 5, 1)}, "since: a time with its zone"),
        ({"until": "now"}, "until: a time with its zone"),
    ],
)
def test_a_question_that_is_none_is_refused(wanted: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        History(InMemoryDb()).series(**wanted)
