"""Streams of the embedded provider: chunks, tool-call pieces, usage and the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI

from agno_portkey.testing.provider import EmbeddedProvider
from agno_portkey.testing.replies import Reply, ToolCall

ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[EmbeddedProvider, OpenAI]]:
    with (
        EmbeddedProvider() as provider,
        OpenAI(base_url=provider.url, api_key="test", max_retries=0) as client,
    ):
        yield provider, client


@pytest.fixture
def provider(shared: tuple[EmbeddedProvider, OpenAI]) -> EmbeddedProvider:
    shared[0].reset()
    return shared[0]


@pytest.fixture
def client(shared: tuple[EmbeddedProvider, OpenAI]) -> OpenAI:
    return shared[1]


def chunks_of(client: OpenAI, **more: Any) -> list[Any]:
    return list(client.chat.completions.create(**ASKED, stream=True, **more))


def contents(chunks: list[Any]) -> list[str]:
    return [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]


def test_words_then_finish(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply(" one two\nthree")
    chunks = chunks_of(client)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert contents(chunks) == [" ", "one ", "two\n", "three"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_usage_chunk_comes_last_if_asked_for(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply("12345")
    *others, last = chunks_of(client, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens == 2
    assert all(chunk.usage is None for chunk in others)


def test_given_chunks_reasoning_and_refusal(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply(Reply(chunks=["a", "", "b c"], reasoning="hmm", token_delay=0.001))
    chunks = chunks_of(client)
    assert contents(chunks) == ["a", "b c"]
    assert chunks[1].choices[0].delta.reasoning_content == "hmm"
    provider.reply(Reply(refusal="no"))
    assert [chunk.choices[0].delta.refusal for chunk in chunks_of(client)] == [None, "no", None]


def test_fields_beside_the_text(provider: EmbeddedProvider, client: OpenAI) -> None:
    logprobs = {"content": [{"token": "a", "logprob": 0.0, "bytes": [97], "top_logprobs": []}]}
    reply = Reply(
        "a", extra={"annotations": ["b"]}, body_extra={"citations": ["c"]}, logprobs=logprobs
    )
    provider.reply(reply)
    chunks = chunks_of(client)
    assert all(chunk.citations == ["c"] for chunk in chunks)
    [said] = [chunk.choices[0] for chunk in chunks if chunk.choices[0].delta.content]
    assert said.logprobs.content[0].token == "a"
    [beside] = [c.choices[0].delta for c in chunks if hasattr(c.choices[0].delta, "annotations")]
    assert beside.annotations == ["b"]
    provider.reply(reply)
    whole = client.chat.completions.create(**ASKED)
    assert whole.citations == ["c"]  # type: ignore[attr-defined]
    assert whole.choices[0].message.annotations == ["b"]
    assert whole.choices[0].logprobs.content[0].token == "a"


def test_stream_ends_with_done(provider: EmbeddedProvider) -> None:
    answer = httpx.post(f"{provider.url}/chat/completions", json={**ASKED, "stream": True})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_async_stream(provider: EmbeddedProvider) -> None:
    provider.reply(Reply("streamed to an async client", token_delay=0.001))
    async with AsyncOpenAI(base_url=provider.url, api_key="test", max_retries=0) as client:
        stream = await client.chat.completions.create(**ASKED, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "streamed to an async client"


def joined_calls(chunks: list[Any]) -> list[tuple[str, str, str]]:
    joined: dict[int, tuple[str, str, str]] = {}
    for chunk in chunks:
        for piece in chunk.choices[0].delta.tool_calls or []:
            call_id, name, arguments = joined.get(piece.index, ("", "", ""))
            function = piece.function
            joined[piece.index] = (
                call_id + (piece.id or ""),
                name + (function.name or ""),
                arguments + (function.arguments or ""),
            )
    return list(joined.values())


def test_tool_calls_come_in_pieces(provider: EmbeddedProvider, client: OpenAI) -> None:
    first = ToolCall("deploy", {"target": "staging", "version": "2.1"}, id="a")
    provider.reply(Reply("Now:", tool_calls=[first, ToolCall("log", id="b")]))
    chunks = chunks_of(client)
    assert contents(chunks) == ["Now:"]
    assert joined_calls(chunks) == [("a", "deploy", first.arguments_json), ("b", "log", "{}")]
    assert sum(bool(chunk.choices[0].delta.tool_calls) for chunk in chunks) > 4
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@settings(deadline=None)
@given(
    text=st.text(), size=st.none() | st.integers(1, 20), arguments=st.dictionaries(st.text(), JSON)
)
def test_chunks_joined_are_the_reply(
    shared: tuple[EmbeddedProvider, OpenAI],
    text: str,
    size: int | None,
    arguments: dict[str, object],
) -> None:
    provider, client = shared
    provider.reset()
    provider.reply(Reply(text, [ToolCall("call", arguments)], chunk_size=size))
    chunks = chunks_of(client)
    assert "".join(contents(chunks)) == text
    assert size is None or all(len(content) <= size for content in contents(chunks))
    [(_, name, streamed)] = joined_calls(chunks)
    assert name == "call"
    assert json.loads(streamed) == arguments
