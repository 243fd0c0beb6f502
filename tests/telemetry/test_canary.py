"""What is planted in all that a run is made of is in nothing that is told of it."""

from __future__ import annotations

import logging
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shapes import FORMS, Stage, play

from agno_portkey import Judgement, govern, telemetry
from agno_portkey.guardrails import SecretsGuardrail
from agno_portkey.hooks import AuditHook
from agno_portkey.telemetry import Metrics
from agno_portkey.telemetry.audit import AuditLog
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

# One of its own for each place, so that a leak says where it came from.
PLACES = (
    *("input", "system", "argument", "result", "error", "answer", "tool_name", "description"),
    *("call_id", "structured", "body", "response_id", "finish_reason", "model"),
)
PERSON = {place: f"{place}.canary@planted-mail.com" for place in PLACES}
SECRET = {place: f"sk-proj-{place:a<14}T3BlbkFJ9xQ2vLm8Rw5Zt7Kc" for place in PLACES}


def planted(place: str) -> str:
    return f"{PERSON[place]} has {SECRET[place]}"


def _team_member(stage: Stage, observers: list[Any]) -> Agent:
    def look_up(name: str) -> str:
        return planted("result")

    def fails(name: str) -> str:
        raise ValueError(planted("error"))

    look_up.__doc__ = planted("description")
    agent = Agent(
        name="Helper",
        model=stage.model(),
        instructions=planted("system"),
        tools=[look_up, fails],
        db=SqliteDb(db_file=str(stage.folder / "agno.db")),
    )
    return govern(agent, pii="mask", guards=[SecretsGuardrail(action="mask")], observers=observers)


def _said(stage: Stage) -> None:
    stage.provider.fault(Fault.error_chunk(message=planted("body")))
    for name in ("look_up", "fails", planted("tool_name")):
        argument = {"name": planted("argument")}
        stage.provider.reply(Reply(tool_calls=[ToolCall(name, argument, id=planted("call_id"))]))
    stage.provider.reply(
        Reply(
            planted("answer"),
            model=planted("model"),
            finish_reason=None,
            body_extra={"id": planted("response_id")},
        )
    )


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Stage:
    return Stage(portkey_provider, tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_none_of_it_is_told(form: str, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    exporter = InMemorySpanExporter()
    spans_db = SqliteDb(db_file=str(stage.folder / "spans.db"))
    log = AuditLog(stage.folder / "audit.jsonl", key_file=stage.folder / "audit.key")
    audit = AuditHook(log)
    ledger = Ledger(str(stage.folder / "ledger.db"))
    metrics = Metrics(port=0)
    with telemetry.setup(exporters=[exporter], db=spans_db, metrics=metrics) as held:
        agent = _team_member(stage, [audit, ledger])
        agent.pre_hooks, agent.post_hooks = (
            [audit, *(agent.pre_hooks or [])],
            [*(agent.post_hooks or []), audit],
        )
        _said(stage)
        play(agent, form, planted("input"))
        stage.provider.fault(Fault.status(400, message=planted("body")))
        play(agent, form, planted("input"))
        stage.says(planted("structured"), planted("structured"), planted("structured"))
        play(stage.agent(output_schema=Judgement), form, "Hi")
        assert held.flush()
        ledger.flush()
        address = f"http://127.0.0.1:{metrics.port}/metrics"
        with urllib.request.urlopen(address) as answer:
            measured = answer.read().decode()
    assert "gen_ai_client_token_usage" in measured
    told = {
        "metrics": measured,
        "spans": "".join(span.to_json() for span in exporter.get_finished_spans()),
        "logs": caplog.text,
    }
    assert exporter.get_finished_spans()
    for file in stage.folder.iterdir():
        told[file.name] = file.read_bytes().decode("utf-8", "replace")
    for where, text in told.items():
        leaked = [place for place in PLACES if PERSON[place] in text or SECRET[place] in text]
        assert not leaked, f"{where} tells what was planted as {leaked}"
