"""What an attack found: a text that two readers read differently, and one that was kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.tools import tool
from four_forms import FORMS, ask, play
from pydantic import BaseModel

from agno_portkey import Block, Guard, Passage, PortkeyModel, Rewrite
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

WORD = "bluebird"


class Blocks(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if WORD in passage.text else None


class Masks(Guard):
    rewrites = True

    def inspect(self, passage: Passage) -> Rewrite | None:
        return Rewrite(passage.text.replace(WORD, "<X>")) if WORD in passage.text else None


class Wraps(Guard):
    rewrites = True
    on = "output"

    def inspect(self, passage: Passage) -> Rewrite | None:
        if passage.source != "assistant":
            return None
        return Rewrite(passage.text + " [checked]")


class Breaks(Guard):
    def inspect(self, passage: Passage) -> None:
        if passage.source == "tool_call":
            raise LookupError("its list is gone")


class Note(BaseModel):
    note: str


def sent(provider: EmbeddedProvider) -> str:
    return "\n".join(json.dumps(call.body, ensure_ascii=False) for call in provider.calls)


def stored(db: InMemoryDb) -> str:
    return json.dumps([session.to_dict() for session in db.get_sessions()], default=str)


def a_database() -> InMemoryDb:
    return InMemoryDb()  # type: ignore[no-untyped-call]


GLUED = '{"note": "the \\bluebird plan"}'  # to who reads JSON, a control character and "luebird"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("guard", [Blocks(), Masks()], ids=["blocks", "masks"])
def test_an_escape_that_eats_a_letter_hides_nothing(
    guard: Guard, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (guard,)
    db = a_database()
    play(Agent(model=portkey_model, db=db), form, GLUED)
    assert WORD not in sent(portkey_provider).replace("\\\\", "\\")
    assert WORD not in stored(db).replace("\\\\", "\\")


@pytest.mark.parametrize("form", FORMS)
def test_nor_in_a_tool_result(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def find() -> str:
        """Find it."""
        return '{"path": "C:\\bluebird"}'

    portkey_model.guards = (Masks(),)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("find", {}),)))
    portkey_provider.reply("Found.")
    play(Agent(model=portkey_model, tools=[find]), form)
    assert WORD not in sent(portkey_provider).replace("\\\\", "\\")


@pytest.mark.parametrize(
    "answer",
    [
        '{"note": "x"} {"other": "blue\\u0062ird"}',
        '[1] {"note": "blue\\u0062ird"}',
        '{"note": "blue\x01bird"}',
    ],
)
@pytest.mark.parametrize("guard", [Blocks(), Masks()], ids=["blocks", "masks"])
def test_nor_in_what_the_host_mends(
    guard: Guard,
    answer: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_CONTRACTS_MODE", "observe")
    portkey_model.guards = (guard,)
    portkey_provider.reply(answer)
    run = Agent(model=portkey_model, output_schema=Note).run("Hi")
    assert WORD not in repr(run.content)


@pytest.mark.parametrize("form", FORMS)
def test_a_rewrite_that_holds_what_it_rewrites_is_made_once(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (Wraps(),)
    portkey_provider.reply("All is well today.")
    db = a_database()
    ended = play(Agent(model=portkey_model, db=db), form)
    assert ended.content == "All is well today. [checked]"
    assert "[checked] [checked]" not in stored(db)


@pytest.mark.parametrize("form", FORMS)
def test_what_nobody_can_look_into_is_not_kept(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (Blocks(),)
    db = a_database()
    ended = play(
        Agent(model=portkey_model, db=db), form, "[" * 150 + f'"{WORD} \\u0041"' + "]" * 150
    )
    assert ended.status.value == "ERROR"
    assert portkey_provider.calls == []
    assert WORD not in stored(db)


@pytest.mark.parametrize("form", FORMS)
def test_the_arguments_that_a_guard_broke_on_are_not_kept(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (Breaks(on="input"),)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("find", {"what": f"the {WORD} plan"}),)))
    db = a_database()

    def find(what: str) -> str:
        """Find it."""
        return "found"

    # It looks at what is sent: at the arguments when they come back as history.
    ended = play(Agent(model=portkey_model, db=db, tools=[find]), form)
    assert ended.status.value == "ERROR"
    assert WORD not in stored(db)


def test_what_a_person_filled_in_is_not_kept_where_it_was_refused(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    looked: list[str] = []

    @tool(requires_user_input=True, user_input_fields=["what"])
    def find(what: str = "") -> str:
        """Find it."""
        looked.append(what)
        return "found"

    portkey_model.guards = (Blocks(),)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("find", {}),)))
    portkey_provider.reply("Done.")
    db = a_database()
    agent = Agent(model=portkey_model, tools=[find], db=db)
    run = agent.run("Hi", session_id="s")
    run.active_requirements[0].provide_user_input({"what": f"the {WORD} plan"})
    agent.continue_run(run_id=run.run_id, requirements=run.requirements, session_id="s")
    assert looked == []
    assert WORD not in sent(portkey_provider)
    assert WORD not in stored(db)


PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "hi", "note": WORD},
    {"type": "image_url", "image_url": {"url": "data:,"}, "note": WORD},
]
CALL = {"id": "c", "type": "function", "extra": {"x": WORD}}
CALL["function"] = {"name": "f", "arguments": "{}", "more": WORD}


@pytest.mark.parametrize("guard", [Blocks(), Masks()], ids=["blocks", "masks"])
@pytest.mark.parametrize("part", PARTS, ids=["text", "picture"])
def test_what_stands_beside_a_part_is_looked_at(
    part: dict[str, Any],
    guard: Guard,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_model.guards = (guard,)
    refused = False
    try:
        ask(portkey_model, "run", messages=[Message(role="user", content=[part])])
    except Exception:
        refused = True
    assert refused == isinstance(guard, Blocks)
    assert WORD not in sent(portkey_provider)


def test_and_what_stands_beside_a_call(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (Masks(),)
    messages = [
        Message(role="user", content="Hi"),
        Message(role="assistant", tool_calls=[CALL]),
        Message(role="tool", tool_call_id="c", content="done"),
    ]
    ask(portkey_model, "run", messages=messages)
    assert WORD not in sent(portkey_provider)
