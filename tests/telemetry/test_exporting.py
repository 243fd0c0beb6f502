"""Where spans go: a collector, Agno's own table; and that nobody waits for who is down."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.db.base import BaseDb
from agno.db.postgres import PostgresDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.os import AgentOS
from collector import Collector
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.genai.agno import patch
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from seen_spans import Seen
from shapes import Stage, asked_twice, given_up, plain, with_a_tool

from agno_portkey import telemetry
from agno_portkey.errors import ConfigurationError
from agno_portkey.spans import tracing
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Stage:
    return Stage(portkey_provider, tmp_path)


def test_a_collector_gets_every_span(stage: Stage) -> None:
    with (
        Collector() as collector,
        telemetry.setup(otlp=collector.url, otlp_headers={"x-team": "seven"}) as held,
    ):
        with_a_tool(stage, "run")
        assert held.flush()
        kinds = sorted(name.split(" ")[0] for name in collector.names)
    assert kinds == ["attempt", "attempt", "chat", "chat", "execute_tool", "invoke_agent"]
    assert collector.headers[0]["x-team"] == "seven"


@pytest.mark.parametrize("manner", ["junk", "error", "silent", "down"])
def test_a_collector_that_fails_breaks_no_run(
    manner: str, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    # OpenTelemetry tells of it itself.
    caplog.set_level(logging.CRITICAL, "opentelemetry")
    with Collector(manner) as collector:
        url = collector.url if manner != "down" else "http://127.0.0.1:9"
        held = telemetry.setup(otlp=url)
        try:
            for form in ("run", "arun", "stream", "astream"):
                plain(stage, form)
        finally:
            held.shutdown(timeout=0.2)
    assert len(stage.provider.calls) == 4


class Held(SpanExporter):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.go, self.taken = threading.Event(), 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go.wait()
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


def test_what_nobody_takes_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "opentelemetry")
    exporter = Held()
    with telemetry.setup(exporters=[exporter]) as held:
        tracer = trace.get_tracer("mine")
        for _ in range(20_000):
            tracer.start_span("one").end()
        exporter.go.set()
        assert held.flush(30)
    # Those that wait, and those that were on their way.
    assert 0 < exporter.taken <= 4_096 + 512


def test_who_never_lets_go_is_not_waited_for() -> None:
    exporter = Held()
    held = telemetry.setup(exporters=[exporter])
    trace.get_tracer("mine").start_span("one").end()
    assert held.flush(0.05) is False
    assert held.shutdown(0.05) is False
    exporter.go.set()


def test_without_a_thread_what_waits_is_exported_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        if thread.name == "agno-portkey-spans":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        begin(thread)

    begin = threading.Thread.start
    exporters = Held(), Held()
    held = telemetry.setup(exporters=exporters)
    trace.get_tracer("mine").start_span("one").end()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for each in exporters:
        each.go.set()
    assert held.shutdown() is True
    assert [each.taken for each in exporters] == [1, 1]


class Lying(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise ValueError(f"I quote {spans[0].name}")


def test_an_exporter_that_raises_is_logged_without_its_words(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with telemetry.setup(exporters=[Lying()]) as held:
        plain(stage, "run")
        held.flush()
    told = [record.getMessage() for record in caplog.records if record.name == "agno_portkey"]
    assert any("were not exported (ValueError)" in each for each in told)
    assert "I quote" not in caplog.text


class Falling(SpanExporter):
    def __init__(self) -> None:
        self.falls = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.falls:
            raise OSError("the database is down")
        return SpanExportResult.SUCCESS


def test_an_exporter_that_goes_on_raising_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = Falling()
    with telemetry.setup(exporters=[exporter]) as held:
        for falls in (True, True, False, False, True):
            exporter.falls = falls
            trace.get_tracer("mine").start_span("one").end()
            held.flush()
    told = [record.getMessage() for record in caplog.records if record.name == "agno_portkey"]
    assert ["not exported (OSError)" in each for each in told] == [True, False, True]
    assert "takes spans again" in told[1]


@contextmanager
def _db(address: str) -> Iterator[BaseDb]:
    kind: Any = SqliteDb if address.startswith("sqlite") else PostgresDb
    db = kind(db_url=address)
    yield db
    db.db_engine.dispose()


def test_agnos_table_has_the_trace(stage: Stage, database: str) -> None:
    with _db(database) as db:
        with telemetry.setup(db=db) as held:
            with_a_tool(stage, "run")
            given_up(stage, "astream")
            assert held.flush()
        _require_traces(db)


def _require_traces(db: BaseDb) -> None:
    found, count = db.get_traces()
    assert count == 2
    by_status = {each.status: each for each in found}
    assert set(by_status) == {"OK", "ERROR"}
    good = by_status["OK"]
    assert good.total_spans == 6
    assert good.agent_id == "helper"
    assert good.run_id
    spans = db.get_spans(trace_id=good.trace_id)
    kinds = {span.attributes["openinference.span.kind"] for span in spans}
    assert kinds == {"AGENT", "LLM", "TOOL", "CHAIN"}


def test_an_attempt_that_failed_does_not_make_its_run_a_failure(stage: Stage) -> None:
    db = SqliteDb(db_file=str(stage.folder / "agno.db"))
    with telemetry.setup(db=db) as held:
        asked_twice(stage, "run")
        assert held.flush()
    [found], _ = db.get_traces()
    assert found.status == "OK"
    assert found.error_count == 1


@pytest.mark.parametrize("failed", [True, False])
def test_a_trace_is_what_its_first_span_says_in_the_end(
    failed: bool, stage: Stage, database: str
) -> None:
    with _db(database) as db:
        with telemetry.setup(db=db) as held:
            with trace.get_tracer("mine").start_as_current_span("request") as span:
                stage.says("Hello")
                stage.agent().run("Hi")
                assert held.flush()
                [begun], _ = db.get_traces()
                span.set_status(trace.StatusCode.ERROR if failed else trace.StatusCode.OK)
            assert held.flush()
            with trace.use_span(span):
                trace.get_tracer("mine").start_span("afterwards").end()
            assert held.flush()
        [ended], _ = db.get_traces()
    assert begun.trace_id == ended.trace_id
    assert begun.name != "request"
    assert (ended.name, ended.status) == ("request", "ERROR" if failed else "OK")
    assert ended.total_spans == 5


def test_agentos_shows_the_trace(stage: Stage) -> None:
    db = SqliteDb(db_file=str(stage.folder / "agno.db"))
    agent = stage.agent(db=db)
    with telemetry.setup(db=db) as held:
        stage.says("Hello")
        agent.run("Hi", session_id="s-1")
        assert held.flush()
    app = AgentOS(agents=[agent], telemetry=False).get_app()

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://os"
        ) as client:
            return await client.get("/traces", params={"session_id": "s-1"})

    answer = asyncio.run(asked())
    assert answer.status_code == 200, answer.text
    [told] = answer.json()["data"]
    assert told["name"] == "invoke_agent Helper"


def test_a_run_behind_a_route_is_its_own_trace_and_a_route_is_none(
    stage: Stage, seen: Seen
) -> None:
    app, agent = FastAPI(), stage.agent()

    @app.get("/run")
    async def run() -> str:
        return str((await agent.arun("Hi")).content)

    @app.get("/health")
    def health() -> str:
        return "well"

    async def asked() -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://app"
        ) as client:
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/run")).json() == "Hello"

    stage.says("Hello")
    asyncio.run(asked())
    assert seen.spans().roots == ["invoke_agent Helper"]


def test_a_database_that_is_down_breaks_no_run(stage: Stage) -> None:
    with (
        _db("postgresql+psycopg://nobody@127.0.0.1:9/none") as db,
        telemetry.setup(db=db) as held,
    ):
        plain(stage, "run")
        held.flush()
    assert len(stage.provider.calls) == 1


def test_what_can_be_no_exporter_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="SpanExporter"):
        telemetry.setup(exporters=[print])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="AsyncSqliteDb"):
        telemetry.setup(db=AsyncSqliteDb(db_url="sqlite+aiosqlite://"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="otlp"):
        telemetry.setup(otlp="localhost:4318")
    with pytest.raises(ConfigurationError, match="otlp"):
        telemetry.setup(otlp=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="exporters"):
        telemetry.setup(exporters=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="prices"):
        telemetry.setup(prices="prices.json")  # type: ignore[arg-type]


def test_it_is_set_up_once_at_a_time(stage: Stage) -> None:
    before = vars(patch).copy()
    first = telemetry.setup()
    assert vars(patch) != before
    with pytest.raises(ConfigurationError, match="already"):
        telemetry.setup()
    assert first.shutdown()
    assert first.shutdown()
    telemetry.setup().shutdown()
    assert tracing() is None
    # Nothing of it is left, in the instrumentation of Agno either.
    changed = {name for name, value in vars(patch).items() if value is not before[name]}
    assert changed <= {"_instrumentation_generation", "_is_instrumented"}
    plain(stage, "run")
    assert not trace.get_current_span().get_span_context().is_valid


OTHER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
from agno_portkey import telemetry
from agno_portkey.errors import ConfigurationError
try:
    telemetry.setup()
except ConfigurationError as error:
    assert "provider already" in str(error), error
else:
    raise SystemExit("not refused")
"""
QUIET = """
import socket
from agno_portkey import telemetry

def refuse(*args, **kwargs):
    raise AssertionError(f"the network was asked for: {args}")

socket.socket.connect = socket.getaddrinfo = refuse
with telemetry.setup():
    from opentelemetry import _logs
    from opentelemetry.sdk._logs import LoggerProvider

    # OpenLIT would print with it.
    assert not isinstance(_logs.get_logger_provider(), LoggerProvider)
"""


LAST = """
import sys
from agno.db.sqlite import SqliteDb
from opentelemetry import trace
from agno_portkey import telemetry
telemetry.setup(db=SqliteDb(db_file=sys.argv[1]))
trace.get_tracer("mine").start_span("last words").end()
"""


def test_what_waits_at_the_end_of_a_process_is_exported(tmp_path: Path) -> None:
    file = str(tmp_path / "agno.db")
    subprocess.run([sys.executable, "-c", LAST, file], check=True)
    found, _ = SqliteDb(db_file=file).get_traces()
    assert [trace.name for trace in found] == ["last words"]


@pytest.mark.parametrize("code", [OTHER, QUIET])
def test_in_a_process_of_its_own(code: str) -> None:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
