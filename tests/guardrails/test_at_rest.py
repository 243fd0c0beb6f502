"""What a guard blocked or rewrote is nowhere in what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.team import Team
from four_forms import FORMS
from gathered import MASK, WORD, Beside, Mask, Whole, agent, go, sent, stored
from pydantic import BaseModel

from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.requests import Request
from agno_portkey.testing.samples import default_reply

TWO = ("run", "astream")


class Asked(BaseModel):
    about: str
    notes: list[str] = []


def _find(what: str = "") -> str:
    """Find something."""
    return f"found the {WORD} of {what}"


def _find_rows(what: str = "") -> list[dict[str, Any]]:
    """Find rows."""
    return [{"name": WORD, f"{WORD} too": 1}]


def _find_json(what: str = "") -> str:
    """Find JSON."""
    return json.dumps({"name": f"é {WORD}", "rows": [WORD]})


def _references(query: str, **_: Any) -> list[dict[str, Any]]:
    return [{"name": "a book", "content": f"The {WORD} is a bird."}]


INPUTS: dict[str, Callable[[], dict[str, Any]]] = {
    "text": lambda: {"message": f"tell of {WORD}"},
    "message": lambda: {"message": Message(role="user", content=f"all of {WORD}")},
    "mapping": lambda: {"message": {"role": "user", "content": f"all of {WORD}"}},
    "model": lambda: {"message": Asked(about=f"all of {WORD}", notes=[WORD])},
    "texts": lambda: {"message": ["tell", f"of {WORD}"]},
    "messages": lambda: {
        "message": [Message(role="user", content=t) for t in ("Hi", f"{WORD}?", f"And {WORD}!")]
    },
    "with dependencies": lambda: {
        "message": f"tell of {WORD}",
        "dependencies": {"when": "now"},
        "add_dependencies_to_context": True,
    },
}
SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "instructions": lambda: {"instructions": f"Speak of {WORD}."},
    "additional input": lambda: {
        "additional_input": [
            Message(role="user", content=f"The {WORD}."),
            Message(role="user", content=WORD),
        ]
    },
    "references": lambda: {"knowledge_retriever": _references, "add_knowledge_to_context": True},
    "input schema": lambda: {"input_schema": Asked},
    "a tool": lambda: {"tools": [_find]},
    "a tool's rows": lambda: {"tools": [_find_rows]},
    "a tool's JSON": lambda: {"tools": [_find_json]},
}
CASES = {**INPUTS, **SETTINGS}


def _script(provider: EmbeddedProvider, case: str) -> None:
    if case.startswith("a tool"):
        name = SETTINGS[case]()["tools"][0].__name__
        provider.reply(Reply("I look.", tool_calls=(ToolCall(name, {"what": "x"}),)))
    provider.reply("Well then.")


def _played(case: str, form: str, model: PortkeyModel, **settings: Any) -> Any:
    made = CASES[case]()
    options = made if case in INPUTS else {"message": f"tell of {WORD}"}
    if case == "input schema":
        options = {"message": {"about": f"all of {WORD}", "notes": ["x", WORD]}}
    if case in SETTINGS:
        settings = {**settings, **made}
    asked = agent(model, **settings)
    return asked, go(asked, form, **options)


@pytest.mark.parametrize("guard", [Whole, Beside])
@pytest.mark.parametrize("form", TWO)
def test_what_was_blocked_is_not_stored(
    form: str, guard: type[Guard], portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (guard(),)
    for case in CASES:
        portkey_provider.reset()
        _script(portkey_provider, case)
        asked, seen = _played(case, form, portkey_model)
        assert seen.failed, case
        assert "[blocked by" in stored(asked.db), case
        assert WORD not in stored(asked.db), case
        assert WORD not in sent(portkey_provider), case


@pytest.mark.parametrize("form", TWO)
def test_what_was_rewritten_is_not_stored(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(),)
    for case in CASES:
        portkey_provider.reset()
        _script(portkey_provider, case)
        asked, seen = _played(case, form, portkey_model)
        assert not seen.failed, case
        assert MASK in stored(asked.db), case
        assert WORD not in stored(asked.db), case
        assert WORD not in sent(portkey_provider), case
        assert WORD not in json.dumps(seen.output.to_dict(), default=str), case


@pytest.mark.parametrize("form", TWO)
def test_what_a_guard_may_keep_is_stored_as_it_was(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for guard in (Whole(keep_raw=True), Mask(keep_raw=True)):
        portkey_model.guards = (guard,)
        asked, _ = _played("text", form, portkey_model)
        assert WORD in stored(asked.db)
        assert WORD not in sent(portkey_provider)


class Short(Guard):
    """Replaces a number that is too short to be looked for within other texts."""

    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Rewrite | None:
        return Rewrite("<pin>") if passage.text == "4711" else None


@pytest.mark.parametrize("form", TWO)
def test_short_texts_and_numbers_are_replaced_where_they_stand_alone(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def pin(who: str) -> str:
        """Find somebody's number."""
        return "4711"

    portkey_model.guards = (Short(),)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("pin", {"who": 4711}),)))
    portkey_provider.reply("It is 47110.")
    asked = agent(portkey_model, tools=[pin])
    seen = go(asked, form, "4711")
    assert seen.output.content == "It is 47110."
    held = stored(asked.db)
    assert "4711" not in held.replace("47110", "")
    assert "<pin>" in held


@pytest.mark.parametrize("form", FORMS)
def test_in_a_file_the_next_turn_and_its_history_hold_nothing_either(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(),)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = agent(
        portkey_model,
        db=db,
        tools=[_find],
        add_history_to_context=True,
        store_history_messages=True,
    )
    for _ in range(2):
        call = ToolCall("_find", {"what": WORD})
        portkey_provider.reply(Reply(f"I look for {WORD}. ", reasoning=WORD, tool_calls=(call,)))
        portkey_provider.reply(f"It is {WORD}.")
        assert not go(asked, form, f"tell of {WORD}", session_id="s").failed
    db.db_engine.dispose()
    assert len(portkey_provider.calls[2].messages) > len(portkey_provider.calls[1].messages)
    assert WORD not in sent(portkey_provider)
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert WORD.encode() not in raw
    assert MASK.encode() in raw or MASK.replace("<", "\\u003c").encode() in raw


@pytest.mark.parametrize("form", FORMS)
def test_a_team_keeps_nothing_of_what_its_leader_or_members_were_refused(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """The leader's tool arguments, the members' own runs, and what comes back of them."""
    portkey_model.guards = (Mask(),)
    db = InMemoryDb()  # type: ignore[no-untyped-call]
    settings: dict[str, Any] = {"model": portkey_model, "store_events": True}
    team = Team(
        members=[Agent(name="Scout", tools=[_find], **settings)],
        db=db,
        store_member_responses=True,
        stream_member_events=True,
        **settings,
    )
    task = {"member_id": "scout", "task": f"find the {WORD}"}
    portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
    portkey_provider.reply(Reply(tool_calls=(ToolCall("_find", {"what": WORD}),)))
    portkey_provider.reply(f"The scout's {WORD}.")
    portkey_provider.reply(f"The team's {WORD}.")
    seen = go(team, form, f"tell of {WORD}")
    assert not seen.failed
    assert seen.output.content == f"The team's {MASK}."
    assert seen.output.member_responses[0].content == f"The scout's {MASK}."
    assert WORD not in sent(portkey_provider)
    assert WORD not in stored(db)
    assert f"find the {MASK}" in stored(db)
    assert WORD not in seen.text


@pytest.mark.parametrize("form", TWO)
def test_a_session_keeps_its_name_whatever_is_blocked(
    form: str, portkey_model: PortkeyModel
) -> None:
    """Somebody says just what a session, a user and an agent are called."""
    portkey_model.guards = (Whole(),)
    asked = agent(portkey_model, name=WORD, id=WORD, metadata={"project": WORD})
    go(asked, form, WORD, session_id=WORD, user_id=WORD, metadata={"about": WORD})
    [session] = asked.db.get_sessions()
    [run] = session.runs
    assert (session.session_id, session.user_id, session.agent_id) == (WORD, WORD, WORD)
    assert (run.session_id, run.user_id, run.agent_id, run.agent_name) == (WORD,) * 4
    assert run.input.input_content == "[blocked by Whole]"
    # What the agent was made with is nobody's words, and serves other runs.
    assert asked.metadata == {"project": WORD}


@pytest.mark.parametrize("form", TWO)
def test_what_tools_put_into_the_session_state_is_their_own(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """A guard masks what a model sees; who reads the state reads what was written there."""
    portkey_model.guards = (Mask(),)

    def note(run_context: Any) -> str:
        """Note what was found."""
        run_context.session_state["found"] = WORD
        return WORD

    portkey_provider.reply(Reply(tool_calls=(ToolCall("note", {}),)))
    portkey_provider.reply("Noted.")
    asked = agent(portkey_model, tools=[note], session_state={"a": 1})
    seen = go(asked, form, WORD)
    assert WORD not in sent(portkey_provider)
    [session] = asked.db.get_sessions()
    assert session.session_data["session_state"]["found"] == WORD
    assert seen.output.session_state["found"] == WORD


def test_the_callers_own_objects_are_left_alone(portkey_model: PortkeyModel) -> None:
    for guard in (Whole(), Mask()):
        portkey_model.guards = (guard,)
        mine = {"about": WORD, "notes": [WORD]}
        metadata = {"a": [WORD]}
        go(agent(portkey_model, input_schema=Asked), "run", mine, metadata=metadata)
        assert mine == {"about": WORD, "notes": [WORD]}
        assert metadata == {"a": [WORD]}


@pytest.mark.parametrize("form", TWO)
def test_memories_and_summaries_hold_none_of_it_behind_a_pre_hook(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """The host notes beside a memory what the user said, as the pre-hooks left it."""
    portkey_model.guards = (mask := Mask(),)

    def answer(request: Request) -> Any:
        if "Memory Manager" in request.system and not request.tool_results:
            memory = {"memory": f"likes the {WORD}", "topics": [WORD]}
            return Reply(tool_calls=(ToolCall("add_memory", memory),))
        return default_reply(request) if request.response_format else f"It is {WORD}."

    portkey_provider.when(lambda request: True, answer)
    settings = {"update_memory_on_run": True, "enable_session_summaries": True}
    asked = agent(portkey_model, pre_hooks=[mask], **settings)
    assert not go(asked, form, f"tell of {WORD}", session_id="s", user_id="u").failed
    [memory] = asked.db.get_user_memories()
    assert (memory.memory, memory.input) == (f"likes the {MASK}", f"tell of {MASK}")
    assert WORD not in stored(asked.db) + sent(portkey_provider)
