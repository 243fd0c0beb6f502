"""What is stored holds placeholders, and what is read holds values, in every database."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agno.db.base import SessionType
from agno.db.in_memory import InMemoryDb
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from agno.db.schemas.evals import EvalRunRecord, EvalType
from agno.db.schemas.memory import UserMemory
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.run.base import RunStatus
from agno.session import AgentSession
from agno.tracing.schemas import Span as TraceSpan
from agno.tracing.schemas import Trace
from vault_records import ALICE, CARD, a_run, a_session
from vault_sessions import tell

from agno_portkey.guardrails.pii.stored import vaulted
from agno_portkey.guardrails.pii.vaults import Vaults

SQL = ["sqlite", "postgres", "asqlite", "apostgres"]


@pytest.fixture(params=["memory", *SQL])
def db(request: Any, tmp_path: Path) -> Any:
    match request.param:
        case "memory":
            return InMemoryDb()
        case "sqlite":
            return SqliteDb(db_file=str(tmp_path / "agno.db"))
        case "asqlite":
            return AsyncSqliteDb(db_file=str(tmp_path / "agno.db"))
    url = request.getfixturevalue("server").new_database()
    if request.param == "apostgres":
        return AsyncPostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg_async:"))
    return PostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg:"))


class Both:
    """A database, plain or async, asked in the plain way."""

    def __init__(self, db: Any, loop: asyncio.Runner) -> None:
        self._db, self._loop = db, loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._db, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            said = method(*args, **kwargs)
            return self._loop.run(_wait(said)) if hasattr(said, "__await__") else said

        return call


async def _wait(said: Any) -> Any:
    return await said


@pytest.fixture
def two(db: Any) -> Iterator[tuple[Any, Any, Vaults]]:
    """The database as it is, its twin, and the vaults, one of which knows a name and a number."""
    vaults = Vaults()
    vault = vaults.of("one", "ann")
    tell(vault, ALICE)
    tell(vault, str(CARD), "CREDIT_CARD")
    with asyncio.Runner() as loop:
        raw = Both(db, loop)
        raw._create_all_tables()
        yield raw, Both(vaulted(db, vaults), loop), vaults
        raw.close()


def test_a_session_and_its_runs(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, vaults = two
    session = a_session()
    before = copy.deepcopy(session)
    written = twin.upsert_session(session)
    for run in session.runs or []:
        twin.upsert_run(run, session_id="one", user_id="ann", run_index=0)
    assert session == before
    assert written.session_data == session.session_data
    stored = json.dumps(raw.get_session("one", SessionType.AGENT, deserialize=False), default=str)
    assert "one" in stored
    assert "liddell" not in stored.lower()
    assert str(CARD) not in stored
    read = twin.get_session("one", SessionType.AGENT)
    assert read.session_data == session.session_data
    assert read.metadata == session.metadata
    assert read.summary.summary == f"{ALICE} wrote"
    [run] = read.runs
    said = a_run()
    assert run.content == said.content
    assert run.input.input_content == f"write to {ALICE}"
    assert [m.content for m in run.messages] == [m.content for m in said.messages or []]
    assert run.messages[1].tool_calls == (said.messages or [])[1].tool_calls
    assert run.tools[0].tool_args == {"to": ALICE, "card": CARD}
    plain = twin.get_session("one", SessionType.AGENT, deserialize=False)
    assert ALICE in json.dumps(plain["session_data"])
    [found] = twin.get_sessions(session_type=SessionType.AGENT)
    assert found.metadata == session.metadata
    # Whoever forgets can't restore.
    vaults.forget("one")
    gone = twin.get_session("one", SessionType.AGENT)
    assert "liddell" not in json.dumps(gone.to_dict(), default=str).lower()


def test_a_name_of_a_session(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, _ = two
    twin.upsert_session(a_session())
    renamed = twin.rename_session("one", SessionType.AGENT, f"on {ALICE}", user_id="ann")
    assert renamed.session_data["session_name"] == f"on {ALICE}"
    stored = raw.get_session("one", SessionType.AGENT)
    assert "Alice" not in stored.session_data["session_name"]
    assert stored.session_data["session_state"]["who"].startswith("<PERSON_1@")


def test_memories(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, vaults = two
    memory = UserMemory(memory=f"{ALICE} is kind", topics=[ALICE], user_id="ann", memory_id="m")
    assert twin.upsert_user_memory(memory).memory == f"{ALICE} is kind"
    assert memory.memory == f"{ALICE} is kind"
    [stored] = raw.get_user_memories(user_id="ann")
    assert "Alice" not in stored.memory + stored.topics[0]
    [read] = twin.get_user_memories(user_id="ann")
    assert (read.memory, read.topics) == (f"{ALICE} is kind", [ALICE])
    assert twin.get_user_memory("m", user_id="ann").memory == f"{ALICE} is kind"
    assert twin.get_all_memory_topics(user_id="ann") == [ALICE]
    if hasattr(twin._db, "upsert_memories"):
        many = [UserMemory(memory=ALICE, user_id="ann", memory_id=f"m{n}") for n in range(2)]
        twin.upsert_memories(many)
        assert "Alice" not in raw.get_user_memory("m1").memory
        assert twin.get_user_memory("m1").memory == ALICE
    other = UserMemory(memory=stored.memory, user_id="ben", memory_id="b")
    twin.upsert_user_memory(other)
    assert twin.get_user_memory("b").memory == stored.memory
    vaults.forget("one")
    assert "Alice" not in twin.get_user_memory("m", user_id="ann").memory


@pytest.mark.parametrize("db", SQL, indirect=True)
def test_what_was_learned(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, _ = two
    what = {"id": "l", "learning_type": "user_profile", "user_id": "ann"}
    twin.upsert_learning(content={"name": ALICE, "card": CARD}, **what)
    assert "Alice" not in json.dumps(raw.get_learning_by_id("l")["content"])
    assert twin.get_learning_by_id("l")["content"] == {"name": ALICE, "card": CARD}
    twin.update_learning("l", {"name": f"{ALICE}!"})
    assert "Alice" not in json.dumps(raw.get_learning_by_id("l")["content"])
    assert twin.get_learning("user_profile", user_id="ann")["content"] == {"name": f"{ALICE}!"}


@pytest.mark.parametrize("db", SQL, indirect=True)
def test_traces(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, _ = two
    now = datetime.now(UTC)
    when = {"start_time": now, "end_time": now, "duration_ms": 1, "created_at": now}
    ids = {"run_id": "r", "session_id": "one", "user_id": "ann", "agent_id": "a"}
    twin.upsert_trace(
        Trace(
            "t",
            f"for {ALICE}",
            "OK",
            total_spans=2,
            error_count=0,
            team_id=None,
            workflow_id=None,
            **ids,
            **when,
        )
    )
    spans = [
        TraceSpan(f"s{n}", "t", None, "llm", "LLM", "OK", f"of {ALICE}", attributes=said, **when)
        for n, said in enumerate([{"input": ALICE}, {"session.id": "one", "user.id": "ann"}])
    ]
    twin.create_spans(spans)
    assert spans[0].attributes == {"input": ALICE}
    stored = repr(raw.get_spans(trace_id="t")) + repr(raw.get_trace(trace_id="t"))
    assert "Alice" not in stored
    assert twin.get_trace(trace_id="t").name == f"for {ALICE}"
    assert {span.status_message for span in twin.get_spans(trace_id="t")} == {f"of {ALICE}"}


@pytest.mark.parametrize("db", SQL, indirect=True)
def test_approvals(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, _ = two
    approval = {
        "id": "p",
        "run_id": "r",
        "session_id": "one",
        "user_id": "ann",
        "status": "pending",
        "source_type": "agent",
        "pause_type": "confirmation",
        "tool_name": "send",
        "tool_args": {"to": ALICE, "card": CARD},
        "created_at": 1,
    }
    twin.create_approval(approval)
    twin.update_approval("p", resolution_data={"note": f"ask {ALICE}"})
    stored = json.dumps(raw.get_approval("p"), default=str)
    assert "Alice" not in stored
    assert str(CARD) not in stored
    assert twin.get_approval("p")["tool_args"] == {"to": ALICE, "card": CARD}
    assert twin.get_approval("p")["resolution_data"] == {"note": f"ask {ALICE}"}


def test_an_evaluation_of_nobody_is_stored_as_it_is(two: tuple[Any, Any, Vaults]) -> None:
    _, twin, _ = two
    record = EvalRunRecord(run_id="e", eval_type=EvalType.ACCURACY, eval_data={"said": "x"})
    twin.create_eval_run(record)
    assert twin.get_eval_run("e").eval_data == {"said": "x"}


@pytest.mark.parametrize("db", ["sqlite", "postgres"], indirect=True)
def test_why_a_run_was_cancelled(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, _ = two
    run = a_run()
    run.status = RunStatus.pending
    twin.upsert_session(a_session())
    twin.upsert_run(run, session_id="one", user_id="ann", run_index=0)
    what = {"session_id": "one", "user_id": "ann", "expected_status": "PENDING"}
    assert twin.cancel_pending_run("r1", reason=f"{ALICE} says so", **what)
    assert "Alice" not in repr(raw.get_run("r1"))
    assert ALICE in repr(twin.get_run("r1"))


def test_what_was_hidden_before_a_session_was_anybodys(two: tuple[Any, Any, Vaults]) -> None:
    raw, twin, vaults = two
    tell(vaults.of("one", None), "Bob Dodgson")
    by = {"by": "Bob Dodgson"}
    twin.upsert_session(AgentSession("one", user_id="ann", metadata=by, created_at=1))
    assert "Bob" not in repr(raw.get_session("one", SessionType.AGENT).metadata)
    assert twin.get_session("one", SessionType.AGENT).metadata == by
