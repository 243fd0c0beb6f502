"""Texts are replaced wherever a record of the host's holds them, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

from agno.models.message import Message
from agno.run.agent import RunOutput
from pydantic import BaseModel

from agno_portkey.guardrails.at_rest import Kept, clean, replaced


class Asked(BaseModel):
    about: str
    notes: list[str] = []


def _run(**fields: Any) -> RunOutput:
    return RunOutput(run_id="r", **fields)


def test_the_longest_text_is_replaced_first_and_to_its_end() -> None:
    kept = {"a bluebird": "<bird>", "say: a bluebird": "<said>", "<bird>": "<animal>"}
    run = _run(content="I say: a bluebird, and a bluebird")
    clean(run, kept)
    assert run.content == "I <said>, and <animal>"
    # Two guards that undo each other's work end, too.
    assert replaced("a", {"a": "b", "b": "a"}) in ("a", "b")


def test_texts_in_all_kinds_of_values() -> None:
    kept = {"bluebird": "<X>", "47": "<n>", 'say "bluebird"': "<Y>"}
    run = _run(
        content=Asked(about="bluebird"),
        metadata={"bluebird": ("bluebird", 47, 47.0, True, None), "n": [47]},
        reasoning_content='{"a": ["bluebird", 47], "b": "bluebird"}',
        messages=[Message(role="tool", content='[{"a": 47', tool_args={"bluebird": 47})],
    )
    metadata = run.metadata
    clean(run, kept)
    assert run.content == Asked(about="<X>")
    assert run.metadata == {"<X>": ("<X>", "<n>", 47.0, True, None), "n": ["<n>"]}
    assert "bluebird" in metadata
    assert run.reasoning_content == '{"a": ["<X>", "<n>"], "b": "<X>"}'
    assert run.messages is not None
    assert run.messages[0].tool_args == {"<X>": "<n>"}
    within = "Found " + json.dumps({"a": 'I say "bluebird"'})
    assert replaced(within, kept) == 'Found {"a": "I <Y>"}'


def test_a_session_state_is_left_alone() -> None:
    run = _run(content="bluebird", session_state=(state := {"a": "bluebird"}))
    clean(run, {"bluebird": "<X>"})
    assert run.content == "<X>"
    assert run.session_state is state
    assert state == {"a": "bluebird"}


def test_what_does_not_change_is_the_same_object() -> None:
    kept = {"bluebird": "<X>"}
    for value in ("a", "{", '{"a": 1}', 1, ["a", 1], {"a": ["b"]}, ("a",), Asked(about="a"), None):
        assert replaced(value, kept) is value
    value = ["bluebird"]
    assert replaced(value, {}) is value
    clean(None, kept)


def test_a_model_that_can_not_hold_what_is_kept_is_not_kept() -> None:
    class Number(BaseModel):
        pin: int

    run = _run(content=Number(pin=4711))
    clean(run, {"4711": "<pin>"})
    assert run.content is None


def test_a_record_that_holds_itself_is_cleaned_once() -> None:
    run = _run(content="bluebird")
    run.events = [run]  # type: ignore[list-item]
    clean(run, {"bluebird": "<X>"})
    assert run.content == "<X>"


def test_texts_are_kept_by_run_and_the_oldest_are_forgotten() -> None:
    kept = Kept()
    assert kept.of("a") == kept.of(None) == {}
    kept.note(None, {"a": "b"})
    kept.note("empty", {})
    kept.note("a", {"1": "x"})
    kept.note("a", {"2": "y"})
    assert kept.of("a") == {"1": "x", "2": "y"}
    for number in range(1_000):
        kept.note(str(number), {"1": "x"})
    assert kept.of("a") == {}
    assert kept.of("0") == kept.of("999") == {"1": "x"}
