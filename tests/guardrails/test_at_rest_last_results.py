"""What a tool says last, when no model is asked again, is looked at before it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.exceptions import RetryAgentRun, StopAgentRun
from agno.models.message import Message
from agno.team import Team
from agno.tools import tool
from four_forms import FORMS
from gathered import MASK, WORD, Beside, Mask, Whole, go, sent

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Guard, Passage, raise_on_block
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@tool(stop_after_tool_call=True, show_result=False)
def quiet() -> str:
    """Find something, and say nothing more."""
    return f"Found the {WORD}."


def stops_with_words() -> str:
    """Stop."""
    raise StopAgentRun(
        f"No {WORD} here.", user_message=f"Why {WORD}?", agent_message=f"It is a {WORD}."
    )


def stops_with_messages() -> str:
    """Stop."""
    own = Message(role="assistant", content=f"I saw the {WORD}.")
    raise StopAgentRun("No.", messages=[own, {"role": "user", "content": f"A {WORD}?"}])


def finds() -> str:
    """Find something."""
    return f"Found the {WORD}."


@tool(requires_confirmation=True)
def asks() -> str:
    """Do something that somebody has to confirm."""
    return "done"


CASES: dict[str, list[Any]] = {
    "a result that is not shown": [quiet],
    "a stop with words": [stops_with_words],
    "a stop with messages": [stops_with_messages],
    "a pause for another tool": [finds, asks],
    "a pause before another tool": [asks, finds],
}


def _name(each: Any) -> str:
    return str(getattr(each, "name", None) or each.__name__)


def _played(case: str, form: str, folder: Path, provider: EmbeddedProvider, model: Any) -> Any:
    provider.reply(Reply(tool_calls=[ToolCall(_name(each), {}) for each in CASES[case]]))
    db = SqliteDb(db_file=str(folder / "agno.db"))
    asked = Agent(model=model, db=db, store_events=True, tools=CASES[case])
    seen = go(asked, form, "Hi")
    db.db_engine.dispose()
    assert len(provider.calls) == 1
    return seen, b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", FORMS)
def test_what_would_be_rewritten_is_not_stored(
    form: str,
    case: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (Mask(),)
    seen, kept = _played(case, form, tmp_path, portkey_provider, portkey_model)
    assert WORD.encode() not in kept
    assert MASK.encode() in kept
    assert not seen.events or not seen.failed
    assert WORD not in str(getattr(seen.output, "messages", ""))


@pytest.mark.parametrize("made", [Whole, Beside])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", FORMS)
def test_what_would_be_blocked_ends_the_run_and_is_not_stored(
    form: str,
    case: str,
    made: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (made(),)
    seen, kept = _played(case, form, tmp_path, portkey_provider, portkey_model)
    assert WORD.encode() not in kept
    assert f"[blocked by {made.__name__}]".encode() in kept
    assert seen.failed
    with pytest.raises(InputBlocked, match="a secret project is named"):
        raise_on_block(seen.last)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", FORMS)
def test_what_a_guard_may_keep_or_does_not_mind_is_stored(
    form: str,
    case: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    for guard in (Mask(keep_raw=True), Mask(mode="observe"), Mask(on="output")):
        portkey_provider.reset()
        portkey_model.guards = (guard,)
        seen, kept = _played(case, form, tmp_path, portkey_provider, portkey_model)
        assert WORD.encode() in kept
        assert not seen.events or not seen.failed


@pytest.mark.parametrize("form", FORMS)
def test_a_retry_is_looked_at_as_it_is_sent_and_no_result_twice(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    seen: list[str] = []

    class Notes(Mask):
        def inspect(self, passage: Passage) -> Any:
            if passage.scene.stage == "model" and passage.direction == "input":
                seen.append(passage.text)
            return super().inspect(passage)

    def again() -> str:
        """Ask to be called again."""
        raise RetryAgentRun("Try once more.", user_message=f"With the {WORD}.")

    portkey_model.guards = (Notes(),)
    portkey_provider.reply(Reply(tool_calls=[ToolCall("again", {})]))
    portkey_provider.reply("Well then.")
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    assert not go(Agent(model=portkey_model, db=db, tools=[again]), form, "Hi").failed
    db.db_engine.dispose()
    assert WORD not in sent(portkey_provider)
    assert WORD.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert seen.count(f"With the {WORD}.") == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_leader_that_pauses_with_its_member(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """The leader is not asked again before somebody has confirmed what its member would do."""
    portkey_model.guards = (Mask(),)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    member = Agent(name="Scout", model=portkey_model, tools=[asks])
    team = Team(members=[member], model=portkey_model, db=db, tools=[finds], store_events=True)
    task = ToolCall("delegate_task_to_member", {"member_id": "scout", "task": "go"})
    portkey_provider.reply(Reply(tool_calls=[ToolCall("finds", {}), task]))
    portkey_provider.reply(Reply(tool_calls=[ToolCall("asks", {})]))
    go(team, form, "Hi")
    db.db_engine.dispose()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(portkey_provider.calls) == 2
    assert MASK.encode() in kept
    assert WORD.encode() not in kept
