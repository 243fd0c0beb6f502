"""What is in the file of a database: no value, whichever of the host's tables it went to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agno.compaction.archive import CompactionArchive
from agno.db.base import SessionType
from agno.db.schemas.evals import EvalRunRecord, EvalType
from agno.db.schemas.knowledge import KnowledgeRow
from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.run.base import RunStatus
from agno.session import AgentSession
from agno.tracing.schemas import Span as TraceSpan
from agno.tracing.schemas import Trace
from vault_records import ALICE, CARD, a_run
from vault_sessions import KEY, tell

from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.stored import vaulted
from agno_portkey.guardrails.pii.vaults import Vaults

BOB = "Bob Dodgson"


def find(text: str) -> list[Span]:
    at = text.find(BOB)
    return [] if at < 0 else [Span(at, at + len(BOB), "PERSON", 1.0)]


class Place:
    """A vaulted database in a file, as it is made anew after each restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.vaults = Vaults(str(folder / "vaults.db"), keys=[KEY], timeout=30)
        self.raw = SqliteDb(db_file=str(folder / "agno.db"))
        self.db: Any = vaulted(self.raw, self.vaults, find=find)

    def again(self) -> Place:
        return Place(self._folder)

    def holds_no_value(self) -> bool:
        files = [*self._folder.iterdir()]
        assert len(files) >= 2
        held = b"".join(file.read_bytes() for file in files)
        return not any(said in held for said in (b"Alice", b"LIDDELL", b"Dodgson", b"%d" % CARD))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    vault = place.vaults.of("one", "ann")
    tell(vault, ALICE)
    tell(vault, str(CARD), "CREDIT_CARD")
    return place


def test_transcripts_of_another_program(place: Place) -> None:
    # The host names its own session only when it writes, and no user; ids are the program's.
    entries = [
        {"uuid": "e-1", "type": "user", "session_id": "theirs", "message": f"I am {ALICE}"},
        {"uuid": "e-2", "type": "assistant", "message": [{"text": f"{CARD} of {BOB}"}]},
    ]
    where = {"framework": "claude-agent-sdk", "project_key": "p", "session_id": "theirs"}
    place.db.append_transcript_entries(entries=entries, agno_session_id="one", **where)
    place.db.append_transcript_entries(entries=entries, agno_session_id="one", **where)
    assert place.holds_no_value()
    again = place.again()
    assert again.db.get_transcript_entries(**where) == entries
    again.vaults.forget("one")
    assert "Alice" not in json.dumps(again.db.get_transcript_entries(**where))


def test_an_id_in_a_transcript_stays(place: Place) -> None:
    # Four digits of it are a value: it would be stored twice.
    tell(place.vaults.of("one", "ann"), "4711", "PIN")
    uuid = "0a4711b0-0000-4000-8000-000000000000"
    entry = {"uuid": uuid, "sessionId": "s-4711", "message": "my pin is 4711"}
    where = {"framework": "f", "project_key": "p", "session_id": "t"}
    place.db.append_transcript_entries(entries=[entry], agno_session_id="one", **where)
    [stored] = place.raw.get_transcript_entries(**where)
    assert stored["uuid"] == uuid
    assert stored["message"].startswith("my pin is <PIN_1@")
    assert place.db.get_transcript_entries(**where) == [entry]
    # What only stands where an id would is no id.
    where["session_id"] = "u"
    entry["uuid"] = "my pin 4711"
    place.db.append_transcript_entries(entries=[entry], agno_session_id="one", **where)
    assert "4711" not in place.raw.get_transcript_entries(**where)[0]["uuid"].partition("@")[0]
    assert place.db.get_transcript_entries(**where) == [entry]


@pytest.mark.parametrize("user", ["ann", None])
def test_compactions(place: Place, user: str | None) -> None:
    class Record:
        id, run_id, first_kept_message_id, created_at = "c", "r", "m", 1
        messages_compacted, tokens_before, tokens_after = 2, 100, 10
        summary = f"{ALICE} met {BOB}"

    said = [Message(role="user", content=f"I am {ALICE}, {CARD}"), Message(role="assistant")]
    assert CompactionArchive(place.db, "one", user).write(Record(), said)
    assert place.holds_no_value()
    archive = CompactionArchive(place.again().db, "one")
    latest = archive.latest()
    assert latest is not None
    assert latest["summary"] == Record.summary
    assert ALICE in latest["archived_messages"]
    # They are searched as if nothing were hidden.
    assert archive.search("nobody|alice lid") == [latest]
    assert archive.search("nobody") == []
    assert archive.search("alice", limit=0) == []
    db = place.again().db
    assert db.search_compactions("one", "ALICE") == [latest]
    assert db.get_compaction("c") == latest
    assert db.search_compactions("two", ["alice"]) == []


def test_results_of_tools(place: Place) -> None:
    row = {"result_id": "t", "namespace": "n", "path": "p", "session_id": "one", "run_id": "r"}
    row |= {"tool_call_id": "c", "tool_name": "look", "args_hash": "h", "content_type": "text"}
    said: dict[str, Any] = {"size_bytes": 1, "line_count": 1, "preview": f"of {ALICE}, {BOB}"}
    place.db.upsert_tool_result({**row, **said, "created_at": 1, "expires_at": 2})
    assert place.holds_no_value()
    db = place.again().db
    assert db.get_tool_result("t")["preview"] == said["preview"]
    assert db.get_tool_results_for_session("one")[0]["preview"] == said["preview"]
    assert db.get_expired_tool_results(3)[0]["preview"] == said["preview"]


def test_what_belongs_to_nobody(place: Place) -> None:
    """It is hidden on the disk, and read by anybody, as it is without a vault."""
    record = EvalRunRecord(run_id="e", eval_type=EvalType.ACCURACY, eval_data={"said": BOB})
    place.db.create_eval_run(record)
    place.db.upsert_learning("l", "entity", {"name": BOB, "user_id": "ann"}, namespace="global")
    place.db.upsert_knowledge_content(KnowledgeRow(id="k", name=f"{BOB}.txt", description=BOB))
    assert place.holds_no_value()
    again = place.again()
    assert again.db.get_eval_run("e").eval_data == {"said": BOB}
    assert again.db.get_learning_by_id("l")["content"] == {"name": BOB, "user_id": "ann"}
    assert again.db.get_knowledge_content("k").name == f"{BOB}.txt"
    assert again.db.rename_eval_run("e", f"of {BOB}").name == f"of {BOB}"
    # Also once it has become somebody's.
    again.db.update_eval_run_user_id("e", "ann")
    assert again.db.get_eval_run("e").eval_data == {"said": BOB}
    assert place.holds_no_value()


def test_what_names_a_session_and_no_user(place: Place) -> None:
    by_nobody = AgentSession("one", agent_id="a", user_id="ann", created_at=1)
    place.db.upsert_session(by_nobody)
    run = a_run()
    run.user_id, run.status = None, RunStatus.pending
    place.db.upsert_run(run, session_id="one", run_index=0)
    renamed = place.db.rename_session("one", SessionType.AGENT, f"on {ALICE}")
    assert renamed.session_data["session_name"] == f"on {ALICE}"
    assert place.db.cancel_pending_run("r1", session_id="one", reason=f"{ALICE}: no")
    assert place.holds_no_value()
    read = place.again().db.get_session("one", SessionType.AGENT)
    assert read.session_data["session_name"] == f"on {ALICE}"
    assert ALICE in read.runs[0].input.input_content


def test_content_can_not_name_its_owner(place: Place) -> None:
    """What a model wrote into a record does not choose the vault."""
    tell(place.vaults.of("two", "ben"), "Carol")
    content = {"user_id": "ben", "session_id": "two", "who": ALICE}
    place.db.upsert_learning("l", "user_profile", content, user_id="ann")
    assert place.holds_no_value()
    assert place.again().db.get_learning_by_id("l")["content"] == content


def test_spans_go_with_those_of_their_trace(place: Place) -> None:
    now = datetime.now(UTC)
    tell(place.vaults.of("two", "ben"), "Carol Dodgson")

    def span(id: str, trace: str, said: dict[str, Any]) -> TraceSpan:
        return TraceSpan(id, trace, None, "llm", "LLM", "OK", None, now, now, 1, said, now)

    spans = [
        span("a", "t1", {"input": ALICE}),
        span("b", "t2", {"input": "Carol Dodgson"}),
        span("c", "t1", {"session.id": "one", "user.id": "ann"}),
        span("d", "t2", {"session.id": "two", "user.id": "ben"}),
        span("e", "t3", {"input": BOB}),
    ]
    for trace, session, user in (("t1", "one", "ann"), ("t2", "two", "ben"), ("t3", None, None)):
        whose = {"run_id": None, "session_id": session, "user_id": user, "agent_id": None}
        times = {"start_time": now, "end_time": now, "duration_ms": 1, "created_at": now}
        counts: dict[str, Any] = {"total_spans": 2, "error_count": 0}
        whose |= {"team_id": None, "workflow_id": None}
        place.db.upsert_trace(Trace(trace, f"{BOB} of {session}", "OK", **counts, **whose, **times))
    place.db.create_spans(spans)
    assert place.holds_no_value()
    read = {each.span_id: each.attributes for each in place.again().db.get_spans()}
    assert read == {each.span_id: each.attributes for each in spans}
    # A span that is asked for alone names nobody: only what belongs to nobody is opened.
    assert place.db.get_span("e").attributes == {"input": BOB}
    assert "Alice" not in repr(place.db.get_span("a"))
