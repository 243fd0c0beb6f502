"""Every text is found wherever it stands, and is put back where it stood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.models.message import Message
from collected import WORD, Collected, masked, tool_call
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.guardrails.messages import in_message, in_tool_calls, in_value
from agno_portkey.guardrails.passages import Unreadable, in_json, in_leaves

TEXTS = st.text(max_size=30)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda held: st.lists(held, max_size=4) | st.dictionaries(TEXTS, held, max_size=4),
    max_leaves=12,
)


def nested(depth: int, inner: Any = WORD) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


# What no guard changes is the very same


@given(JSON)
def test_data_in_which_nothing_changes_is_the_same_object(data: Any) -> None:
    assert in_leaves(data, Collected(), "data") is data
    assert in_value(data, Collected(), "user") is data


@given(TEXTS | JSON.map(json.dumps))
def test_json_in_which_nothing_changes_is_the_same_text(text: str) -> None:
    assert in_json(text, Collected(), "tool_call") is text


@given(st.lists(TEXTS | st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})), TEXTS)
def test_a_message_in_which_nothing_changes_is_the_same_object(parts: list[Any], text: str) -> None:
    for content in (parts, text):
        calls = [tool_call(text), tool_call({"a": text}), tool_call(json.dumps({"a": text}))]
        message = Message(role="user", content=content, tool_calls=calls, name=text)
        assert in_message(message, Collected()) is message
        assert in_tool_calls(calls, Collected()) is calls


# Every text is found, and every one is replaced


@given(JSON, st.data())
def test_a_text_put_anywhere_is_found_and_replaced(data: Any, draw: st.DataObject) -> None:
    put = _put(data, draw, f"a {WORD} b")
    seen = Collected()
    in_leaves(put, seen, "data")
    assert f"a {WORD} b" in seen
    assert WORD not in json.dumps(in_leaves(put, masked, "data"))
    # As JSON with every character escaped, it is found as well.
    escaped = json.dumps(put).replace(WORD, "".join(f"\\u{ord(c):04x}" for c in WORD))
    assert WORD not in escaped
    replaced = in_json(escaped, masked, "tool_call")
    assert WORD not in json.dumps(json.loads(replaced))
    assert "<X>" in json.dumps(json.loads(replaced))


def _put(data: Any, draw: st.DataObject, text: str) -> Any:
    """`data` with `text` somewhere in it: as an item, a value or a key."""
    if isinstance(data, list) and data and draw.draw(st.booleans()):
        place = draw.draw(st.integers(0, len(data) - 1))
        return [*data[:place], _put(data[place], draw, text), *data[place + 1 :]]
    if isinstance(data, dict) and data and draw.draw(st.booleans()):
        key = draw.draw(st.sampled_from([*data]))
        return {**data, key: _put(data[key], draw, text)}
    return draw.draw(st.sampled_from([text, [data, text], {text: data}, {"k": text}, (1, text)]))


@given(JSON)
def test_what_was_collected_is_asked_about_again_in_the_same_order(data: Any) -> None:
    first, second = Collected(), Collected()
    in_leaves(data, first, "data")
    in_leaves(data, second, "data")
    assert first == second


@pytest.mark.parametrize(
    "arguments",
    [
        f'{{"a": "{WORD}", "a": "x"}}',
        f'{{"a": "x", "a": "{WORD}"}}',
        f'{{"a": {{"b": "{WORD}"}}, "a": 1}}',
        f'{{"a": 1, "b": {{"{WORD}": 1, "{WORD}": 2}}}}',
        f'[{{"a": [{{"b": "{WORD}", "b": 0}}]}}]',
    ],
)
def test_a_key_that_stands_there_twice_hides_nothing(arguments: str) -> None:
    seen = Collected()
    assert in_json(arguments, seen, "tool_call") is arguments
    assert WORD in seen
    assert WORD not in in_json(arguments, masked, "tool_call")


@pytest.mark.parametrize(
    "text", ["{", '{"a": ', f"[{WORD}]", "nonsense", '{"a": 1} x', "9" * 5_000]
)
def test_what_is_no_json_is_one_text(text: str) -> None:
    seen = Collected()
    assert in_json(text, seen, "tool_call") == text
    assert seen == [text]


def test_numbers_and_keys_are_texts_too() -> None:
    seen = Collected()
    data = {"card": 4111111111111111, "rate": 0.5, "fine": True, "none": None, "4000": [1]}
    assert in_leaves(data, seen, "data") is data
    assert seen == ["card", "4111111111111111", "rate", "0.5", "fine", "none", "4000", "1"]

    def hide(text: str, source: str, path: str) -> str:
        return "*" if len(text) == 16 else text

    assert in_leaves(data, hide, "data")["card"] == "*"
    seen.clear()
    keys = {4111111111111111: "x", (1, "y"): None, None: "z", True: "w", "": "v"}
    assert in_leaves(keys, seen, "data") is keys
    assert seen == ["4111111111111111", "x", "(1, 'y')", "z", "w", "v"]
    assert in_leaves(keys, hide, "data")["*"] == "x"


def test_the_place_of_a_text_is_told() -> None:
    places: dict[str, str] = {}

    def note(text: str, source: str, path: str) -> str:
        places[text] = path
        return text

    in_leaves({"a": [{"b": "x"}, "y"], "c": "z"}, note, "data")
    assert (places["x"], places["y"], places["z"]) == ("a[0].b", "a[1]", "c")


# How deep


@pytest.mark.parametrize("depth", [50, 99, 100])
def test_what_is_nested_is_read(depth: int) -> None:
    for found in (
        in_leaves(nested(depth), masked, "data"),
        json.loads(in_json(json.dumps(nested(depth)), masked, "data")),
    ):
        assert found == nested(depth, "<X>")


@pytest.mark.parametrize("depth", [101, 5_000, 100_000])
def test_what_is_nested_too_deep_is_refused(depth: int) -> None:
    text = "[" * depth + f'"{WORD}"' + "]" * depth
    with pytest.raises(Unreadable, match="deep"):
        in_json(text, masked, "tool_call")
    with pytest.raises(Unreadable, match="deep"):
        in_leaves(nested(depth), masked, "data")
    with pytest.raises(Unreadable, match="deep"):
        in_value([nested(depth)], masked, "user")
    with pytest.raises(Unreadable, match="deep"):
        in_tool_calls([tool_call(text)], masked)


def test_a_huge_text_is_read_once() -> None:
    text = f"{WORD} " * 1_000_000
    assert WORD not in in_value(text, masked, "user")
    data = {"rows": [{"name": "x", "text": WORD}] * 50_000}
    assert WORD not in in_json(json.dumps(data), masked, "data")


# Odd texts


@pytest.mark.parametrize("odd", ["\ud800", "a\udfffb", "\x00", "\ufeff", "\u2028"])
def test_what_is_rewritten_can_be_sent(odd: str) -> None:
    """Half a surrogate pair is a legal escape, and no legal text."""
    found = in_json(json.dumps({"a": odd, "b": WORD}), masked, "tool_call")
    found.encode()
    assert json.loads(found) == {"a": odd, "b": "<X>"}


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_any_text_at_all_is_found(text: str) -> None:
    seen = Collected()
    message = Message.model_construct(role="user", content=text, tool_calls=[], name=None)
    in_message(message, seen)
    assert seen == ([text] if text else []) or "\\" in text
