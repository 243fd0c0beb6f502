"""Every text of a message, of a tool call, and of an object is found and replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from agno.media import Audio, Image
from agno.models.message import Message
from agno.tools.function import ToolResult
from collected import WORD, Collected, masked, tool_call
from pydantic import BaseModel, Field, field_serializer

from agno_portkey.guardrails.messages import in_message, in_tool_calls, in_value
from agno_portkey.guardrails.passages import Unreadable, in_leaves


@pytest.mark.parametrize(
    ("role", "source"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("somebody", "user"),
    ],
)
def test_whose_words_they_are(role: str, source: str) -> None:
    sources = []

    def note(text: str, source: str, path: str) -> str:
        sources.append((text, source, path))
        return text

    message = Message(role=role, content="a", compressed_content="b", name="c")
    in_message(message, note)
    assert sources == [("a", source, ""), ("b", source, ""), ("c", source, "name")]


class Order(BaseModel):
    what: str
    count: int = 1
    seen: list[str] = Field(default_factory=list)
    other: str = Field(default="", alias="otherName")


PLACES: dict[str, Callable[[str], Any]] = {
    "text": lambda word: word,
    "part": lambda word: [{"type": "text", "text": word}],
    "bare part": lambda word: [word],
    "part without a type": lambda word: [{"text": word}],
    "part of an unknown type": lambda word: [{"type": "tool_result", "content": word}],
    "part whose text is none": lambda word: [{"type": "text", "text": None, "more": [word]}],
    "mapping in a list": lambda word: [{"a": {"b": word}}],
    "list in a list": lambda word: [["x", word]],
    "message in a list": lambda word: [Message(role="user", content=word)],
    "escaped JSON": lambda word: json.dumps({"a": f"é{word}"}),
    "model in a list": lambda word: [Order(what=word)],
    "alias": lambda word: [Order(what="", otherName=word)],
}


@pytest.mark.parametrize("place", PLACES)
def test_in_every_content_a_text_is_found_and_replaced(place: str) -> None:
    seen = Collected()
    message = Message(role="user", content=PLACES[place](WORD))
    assert in_message(message, seen) is message
    assert any(WORD in text for text in seen)
    found = in_message(message, masked)
    assert WORD not in str(found.content)
    assert "<X>" in str(found.content)
    # What the caller holds is untouched.
    assert WORD in str(message.content)


def test_every_field_of_a_message_that_is_sent_is_replaced() -> None:
    message = Message(
        role="tool", content=WORD, compressed_content=WORD, name=WORD, tool_calls=[tool_call(WORD)]
    )
    found = in_message(message, masked)
    assert (found.content, found.compressed_content, found.name) == ("<X>", "<X>", "<X>")
    assert WORD not in str(found.tool_calls)
    assert (found.id, found.role) == (message.id, "tool")


def test_escapes_in_a_tools_result_hide_nothing() -> None:
    """Many tools answer with JSON in which every letter that is not ASCII is escaped."""
    seen = Collected()
    message = Message(role="tool", content='  {"city": "Z\\u00fcrich"}')
    in_message(message, seen)
    assert "Zürich" in seen


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_pictures_sound_and_files_are_not_texts(kind: str) -> None:
    part = {"type": kind, kind: {"url": "data:,"}}
    seen = Collected()
    assert in_value([part], seen, "user") == [part]
    assert seen == []


def test_every_part_of_a_tool_call_is_found() -> None:
    for call in (
        tool_call(WORD),
        tool_call(json.dumps({"a": WORD})),
        tool_call({"a": WORD}),
        tool_call("{}", name=WORD),
        {"id": "c", "type": "custom", "custom": {"name": "f", "input": WORD}},
        WORD,
    ):
        seen = Collected()
        assert in_tool_calls([call], seen) == [call]
        assert WORD in seen
        assert WORD not in str(in_tool_calls([call], masked))


def test_arguments_stay_json_however_they_are_rewritten() -> None:
    [call] = in_tool_calls([tool_call(f"{WORD} and no JSON")], masked)
    assert json.loads(call["function"]["arguments"]) == {"arguments": "<X> and no JSON"}
    [call] = in_tool_calls([tool_call("")], masked)
    assert call["function"]["arguments"] == ""
    [call] = in_tool_calls([tool_call("{}", name={"odd": 1})], masked)  # type: ignore[arg-type]
    assert call["function"]["name"] == {"odd": 1}


# Objects


def test_a_model_is_rebuilt_of_what_was_rewritten() -> None:
    order = Order(what=WORD, seen=[WORD], otherName=WORD)
    assert in_value(order, Collected(), "user") is order
    found = in_value(order, masked, "user")
    assert type(found) is Order
    assert (found.what, found.seen, found.other) == ("<X>", ["<X>"], "<X>")
    with pytest.raises(Unreadable, match="no Order any more"):
        in_value(Order(what="", count=12345), lambda text, *_: text.replace("12345", "X"), "user")


def test_a_tools_result_is_read_without_its_pictures() -> None:
    picture = Image(content=b"\xff\xd8\x00")
    result = ToolResult(content=WORD, images=[picture])
    seen = Collected()
    assert in_leaves(result, seen, "tool") is result
    assert seen == ["content", WORD, "metadata", "videos", "audios", "files"]
    found = in_leaves(result, masked, "tool")
    assert (found.content, found.images) == ("<X>", [picture])
    assert in_leaves(picture, seen, "tool") is picture


@dataclass
class Row:
    text: str


@pytest.mark.parametrize(
    "value", [Row(WORD), {WORD}, WORD.encode(), {"a": Row(WORD)}, [frozenset({WORD})]]
)
def test_an_object_is_what_it_says_of_itself(value: Any) -> None:
    seen = Collected()
    assert in_leaves(value, seen, "tool") is value
    assert any(WORD in text for text in seen)
    assert WORD not in str(in_leaves(value, masked, "tool"))


def test_other_numbers_and_nothing_at_all() -> None:
    seen = Collected()
    for value in (Decimal("12.50"), b"", "", None, True):
        assert in_leaves(value, seen, "tool") is value
    assert seen == ["12.50"]


class Shy:
    def __str__(self) -> str:
        raise LookupError("not at home")


class Broken(BaseModel):
    what: str

    @field_serializer("what")
    def fails(self, value: str) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    "value", [Shy(), 10**5_000, Broken(what="x")], ids=["shy", "long", "broken"]
)
def test_what_can_not_be_read_is_refused(value: Any) -> None:
    with pytest.raises(Unreadable, match="can't be read"):
        in_leaves(value, masked, "tool")


def test_ids_that_machines_make_are_left_alone_and_no_others() -> None:
    """The digits of an id look like anybody's number; a text in its place is one."""
    made = "call_4e2f", "portkey-1b9d6bcd-4111-4111-8111-2b0d7b3dcb6d", "chatcmpl-tool-0a", "D6"
    texts = WORD, "123-45-6789", "4155551234", "ann1@example.com", "a 1", "x1" * 33
    for name in (*made, *texts):
        seen = Collected()
        call = {**tool_call("{}"), "id": name}
        sound = Audio(id=name, content=b"x")
        held = [
            Message(role="assistant", tool_calls=[call]),
            Message(role="tool", tool_call_id=name),
            Message(role="assistant", audio_output=sound),
        ]
        assert [in_message(message, seen) for message in held] == held
        assert seen.count(name) == (3 if name in texts else 0), name
    sound = Message(role="assistant", audio_output=Audio(id=WORD, content=b"x"))
    found = in_message(sound, masked).audio_output
    assert found is not None
    assert (found.id, found.content) == ("<X>", b"x")
    call = {**tool_call("{}"), "id": WORD, "type": WORD}
    [asked] = in_tool_calls([call], masked)
    assert (asked["id"], asked["type"], asked["function"]) == ("<X>", "<X>", call["function"])
