"""Runs in the background: what the host begins, and what it writes before anybody is asked."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.db.utils import build_single_run_row
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.session.agent import AgentSession
from agno.session.team import TeamSession
from agno.team import Team
from host_model import pin, says

UNHEARD, WATCHED = "hooks/unheard.py", "hooks/watched.py"
KINDS = pytest.mark.parametrize("kind", ["agent", "team"])


class Noting(SqliteDb):
    """Notes what is written of runs."""

    runs: list[tuple[Any, Any, Any]]

    def upsert_run(self, run: Any, *args: Any, **options: Any) -> None:
        said = run.input.to_dict() if run.input else None
        self.runs.append((RunStatus(run.status), said, run.messages))
        super().upsert_run(run, *args, **options)


def owner_of(kind: str, folder: Path, *answers: Any) -> Any:
    db = Noting(db_file=str(folder / "agno.db"))
    db.runs = []
    if kind == "agent":
        return Agent(name="solo", model=says(*answers), db=db)
    return Team(name="crew", model=says(*answers), db=db, members=[Agent(name="a", model=says())])


async def ended() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


@KINDS
@pin("what begins a run in the background holds its output, as `run_response`", UNHEARD, WATCHED)
async def test_what_begins_a_run_holds_its_output(kind: str, tmp_path: Path) -> None:
    owner = owner_of(kind, tmp_path, "a", "b")
    plain = owner.arun("hello", background=True, session_id="s")
    streamed = owner.arun("hello", background=True, stream=True, session_id="s")
    output = RunOutput if kind == "agent" else TeamRunOutput
    for frame in (plain.cr_frame, streamed.ag_frame):
        assert type(frame.f_locals["run_response"]) is output
        assert frame.f_locals["run_response"].input.input_content == "hello"
    held = plain.cr_frame.f_locals["run_response"]
    assert await plain is held
    await ended()
    assert held.status == RunStatus.completed
    owner.db.db_engine.dispose()


@KINDS
@pin("it is written with its input when it begins and when it has its turn", UNHEARD)
async def test_what_is_written_before_anybody_is_asked(kind: str, tmp_path: Path) -> None:
    owner = owner_of(kind, tmp_path, "a")
    await owner.arun("hello", background=True, session_id="s")
    assert owner.model.calls == []
    await ended()
    said = {"input_content": "hello"}
    pending, running, last = owner.db.runs
    assert pending == (RunStatus.pending, said, None)
    assert running == (RunStatus.running, said, None)
    assert last[0] == RunStatus.completed
    assert last[2]
    owner.db.db_engine.dispose()


@KINDS
@pin("a run whose model failed has its messages", UNHEARD)
async def test_a_run_whose_model_failed_has_its_messages(kind: str, tmp_path: Path) -> None:
    owner = owner_of(kind, tmp_path, ValueError("down"))
    await owner.arun("hello", background=True, session_id="s")
    await ended()
    status, _, messages = owner.db.runs[-1]
    assert status == RunStatus.error
    assert messages
    owner.db.db_engine.dispose()


@pytest.mark.parametrize("kind", [RunOutput, TeamRunOutput])
@pin("where a run's output may say what was asked, before a model was", UNHEARD)
def test_where_an_output_may_say_what_was_asked(kind: type[Any]) -> None:
    known = """
        run_id agent_id agent_name team_id team_name session_id parent_run_id workflow_id user_id
        workflow_step_id input content content_type reasoning_content reasoning_steps
        reasoning_messages model_provider_data model model_provider messages metrics compaction
        additional_input tools images videos audio files response_audio citations references
        followups metadata session_state created_at events status queue_attempt
        cancellation_stage requirements last_checkpoint_at_message_index forked_from_run_id
        forked_from_message_index forked_from_session_id regenerated_from member_responses
    """
    assert {field.name for field in fields(kind)} <= set(known.split())


@pytest.mark.parametrize("kind", [RunOutput, TeamRunOutput])
@pin("what is written of a run is what its `to_dict` says, whichever class it is of", UNHEARD)
def test_what_is_written_of_a_run_is_its_to_dict(kind: type[Any]) -> None:
    told = type("Told", (kind,), {"to_dict": lambda self: {"run_id": "r", "content": "told"}})
    run: Any = told(run_id="r", session_id="s", content="held")
    session = AgentSession if kind is RunOutput else TeamSession
    db = InMemoryDb()  # type: ignore[no-untyped-call]
    db.upsert_session(session(session_id="s"))
    db.upsert_run(run, "s")
    row = build_single_run_row(run, "s")
    assert row["run_type"] == ("agent" if kind is RunOutput else "team")
    for written in (row["run_data"], *session(session_id="s", runs=[run]).to_dict()["runs"]):
        assert written["content"] == "told"
    assert "held" not in repr(vars(db))
    assert "told" in repr(vars(db))
