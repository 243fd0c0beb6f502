"""An answer that is kept comes back as it was; one that is not whole is not kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.media import Image
from agno.metrics import MessageMetrics
from agno.models.response import ModelResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agno_portkey.cache.payload import Collected, NotKept, replayed

STOP = {"portkey": {"finish_reason": "stop", "model": "gpt-4o-mini-2024", "trace_id": "t"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


def packed(*deltas: ModelResponse, tool_calls: bool = False) -> str:
    collected = Collected()
    for delta in deltas:
        collected.take(delta)
    return collected.packed(tool_calls=tool_calls)


def again(kept: str, *, stream: bool) -> list[ModelResponse]:
    return [*replayed(kept, stream=stream, told={"cache": "hit"})]


def test_a_plain_answer_is_one_and_a_stream_comes_in_its_pieces() -> None:
    kept = packed(
        ModelResponse(reasoning_content="Hm."),
        ModelResponse(content="All "),
        ModelResponse(content="is well.", provider_data=STOP),
    )
    [whole] = again(kept, stream=False)
    assert (whole.content, whole.reasoning_content) == ("All is well.", "Hm.")
    about = (whole.provider_data or {})["portkey"]
    assert about == {
        "model": "gpt-4o-mini-2024",
        "provider": None,
        "finish_reason": "stop",
        "cache": "hit",
    }
    pieces = again(kept, stream=True)
    assert [each.content for each in pieces if each.content] == ["All ", "is well."]
    assert [each.reasoning_content for each in pieces if each.reasoning_content] == ["Hm."]
    assert whole.response_usage is None


@given(st.lists(st.text(), max_size=600), st.booleans())
def test_not_a_character_is_lost(pieces: list[str], stream: bool) -> None:
    text = "".join(pieces)
    deltas = [ModelResponse(content=piece) for piece in pieces]
    collected = [*deltas, ModelResponse(provider_data=STOP)]
    if not text.strip():
        with pytest.raises(NotKept, match="empty"):
            packed(*collected)
        return
    told = again(packed(*collected), stream=stream)
    assert "".join(each.content or "" for each in told) == text


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_kept_where_they_may_be(stream: bool) -> None:
    asks = {"portkey": {"finish_reason": "tool_calls"}}
    call: Any = ChoiceDeltaToolCall.model_validate({**CALL, "index": 0}) if stream else CALL
    delta = ModelResponse(tool_calls=[call], provider_data=asks)
    with pytest.raises(NotKept, match="tool calls"):
        packed(delta)
    told = again(packed(delta, tool_calls=True), stream=stream)[-1].tool_calls
    assert told == [call]


@pytest.mark.parametrize(
    ("delta", "why"),
    [
        (ModelResponse(content="Half"), "not whole"),
        (ModelResponse(content="Half", provider_data={"portkey": {}}), "not whole"),
        (
            ModelResponse(content="Half", provider_data={"portkey": {"finish_reason": "length"}}),
            "not whole",
        ),
        (
            ModelResponse(
                content="I can't.",
                provider_data={"portkey": {"finish_reason": "stop", "refused": True}},
            ),
            "refused",
        ),
        (ModelResponse(content=" \n", provider_data=STOP), "empty"),
        (ModelResponse(content={"a": 1}, provider_data=STOP), "a dict"),
        (
            ModelResponse(content="x", images=[Image(url="http://x")], provider_data=STOP),
            "holds images",
        ),
        (
            ModelResponse(content="x", provider_data={**STOP, "odd": object()}),
            "no JSON",
        ),
    ],
)
def test_what_is_not_whole_or_not_text_is_not_kept(delta: ModelResponse, why: str) -> None:
    with pytest.raises(NotKept, match=why):
        packed(delta)


def test_what_it_took_is_the_last_word_on_it() -> None:
    collected = Collected()
    for tokens in (1, 5):
        usage = MessageMetrics(input_tokens=10, output_tokens=tokens, cost=0.5)
        collected.take(ModelResponse(content="a", response_usage=usage))
    assert (collected.tokens, collected.cost) == (15, 0.5)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_junk_is_told_as_such(junk: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        again(junk, stream=False)
