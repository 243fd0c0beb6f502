"""Rows of traces that something else stands above, or that a forked process writes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.team import Team
from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from shapes import USED, Stage, asked_twice
from sqlalchemy.exc import OperationalError

from agno_portkey import telemetry
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Stage:
    return Stage(portkey_provider, tmp_path)


def test_under_a_caller_in_another_process(stage: Stage) -> None:
    db = SqliteDb(db_file=str(stage.folder / "agno.db"))
    carrier = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    token = context.attach(TraceContextTextMapPropagator().extract(carrier))
    try:
        with telemetry.setup(db=db) as held:
            with trace.get_tracer("mine").start_as_current_span("request"):
                asked_twice(stage, "run")
                assert held.flush()
            assert held.flush()
    finally:
        context.detach(token)
    [found], _ = db.get_traces()
    assert (found.trace_id, found.name) == ("a" * 32, "request")
    # An attempt that failed does not make it a failure.
    assert (found.status, found.error_count) == ("OK", 1)


def test_tables_that_another_process_makes_at_the_same_time_cost_no_span(stage: Stage) -> None:
    db = SqliteDb(db_file=str(stage.folder / "agno.db"))
    find, failed = db._get_table, [OperationalError("CREATE TABLE", {}, Exception("exists"))]

    def found(*args: Any, **asked: Any) -> Any:
        if failed:
            raise failed.pop()
        return find(*args, **asked)

    db._get_table = found  # type: ignore[method-assign]
    with telemetry.setup(db=db) as held:
        asked_twice(stage, "run")
        assert held.flush()
    [trace], _ = db.get_traces()
    assert trace.total_spans == len(db.get_spans(trace_id=trace.trace_id)) > 1


def test_agentos_finds_what_it_was_asked_for_itself(stage: Stage, database: str) -> None:
    """Its requests are spans above the runs; whose a trace is, is the outermost run's to say."""
    kind = SqliteDb if database.startswith("sqlite") else PostgresDb
    db = kind(db_url=database)
    stage.provider.when(
        lambda request: len(request.messages) == 2 and bool(request.tools),
        Reply(tool_calls=[ToolCall("delegate_task_to_member", {"member_id": "one", "task": "Do"})]),
    )
    stage.provider.when(lambda request: True, Reply("Done", usage=USED))
    team = Team(
        name="Crew", id="crew", model=stage.model(), members=[stage.agent("One", id="one")], db=db
    )
    app = AgentOS(teams=[team], telemetry=False).get_app()

    async def asked(held: telemetry.Telemetry) -> list[Mapping[str, object]]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://os"
        ) as client:
            for stream in ("false", "true"):
                said = {"message": "Hi", "session_id": "s-1", "stream": stream}
                answer = await client.post("/teams/crew/runs", data=said)
                assert answer.status_code == 200, answer.text
            assert held.flush()
            answer = await client.get("/traces", params={"session_id": "s-1"})
            found: list[Mapping[str, object]] = answer.json()["data"]
            return found

    with telemetry.setup(db=db) as held:
        found = asyncio.run(asked(held))
    db.db_engine.dispose()
    assert [(each["team_id"], each.get("agent_id")) for each in found] == [("crew", None)] * 2
    assert all(each["run_id"] for each in found)


def test_whose_it_is_comes_with_whatever_batch(stage: Stage, database: str) -> None:
    kind = SqliteDb if database.startswith("sqlite") else PostgresDb
    db = kind(db_url=database)
    stage.calls(ToolCall("delegate_task_to_member", {"member_id": "one", "task": "Do"}))
    stage.says("One is done", "All is done")
    team = Team(name="Crew", id="crew", model=stage.model(), members=[stage.agent("One")])
    with telemetry.setup(db=db) as held:
        with trace.get_tracer("mine").start_as_current_span("request"):
            # What has ended of it is written while the rest goes on.
            for _ in team.run("Hi", stream=True, stream_events=True, session_id="s-1"):
                assert held.flush()
            assert held.flush()
            [begun], _ = db.get_traces()
        assert held.flush()
    [ended], _ = db.get_traces()
    db.db_engine.dispose()
    assert ended.name == "request"
    for each in (begun, ended):
        assert (each.session_id, each.team_id, each.agent_id) == ("s-1", "crew", None)


FORKED = """
import os, sys
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from opentelemetry import trace
from agno_portkey import telemetry

db = (SqliteDb if sys.argv[1].startswith("sqlite") else PostgresDb)(db_url=sys.argv[1])
held = telemetry.setup(db=db, metrics=telemetry.Metrics(port=0))
trace.get_tracer("mine").start_span("before").end()
assert held.flush()
child = os.fork()
for number in range(20):
    trace.get_tracer("mine").start_span(f"{'parent' if child else 'child'} {number}").end()
    assert held.flush(), "not flushed"
assert held.shutdown(60), "not shut down"
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_writes_beside_its_parent(database: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKED, database], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert "not exported" not in ended.stderr
    db = (SqliteDb if database.startswith("sqlite") else PostgresDb)(db_url=database)
    found, _ = db.get_traces(limit=100)
    db.db_engine.dispose()
    whose = [f"{who} {number}" for who in ("parent", "child") for number in range(20)]
    assert sorted(each.name for each in found) == sorted([*whose, "before"])
