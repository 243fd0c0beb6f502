"""No token of a blocked or rewritten answer reaches a consumer before its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.models.response import ModelResponse
from four_forms import STREAMED
from gathered import MASK, WORD, Beside, Mask, MaskPiecewise, Piecewise, Whole, agent, go, stored
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.calls import Call
from agno_portkey.drivers import Owned, SyncIO, drive
from agno_portkey.errors import OutputBlocked, TruncatedStream
from agno_portkey.guardrails import Block, Guard, Passage, verdict_of
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply

ANSWER = "It is warm. It is dry.\nThe bluebird sings. It is late."


class Clock(Guard):
    """Notes what had been shown whenever it was asked about the answer."""

    on = "output"
    inline = True

    def __init__(self, shown: list[str], **settings: Any) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self._shown = shown
        super().__init__(**settings)

    def inspect(self, passage: Passage) -> None:
        if passage.source in ("assistant", "reasoning"):
            self.asked.append((passage.text, passage.before, "".join(self._shown)))


def _watch(model: PortkeyModel, form: str, shown: list[str]) -> None:
    """Run an agent and note each text as it is shown."""
    asked = Agent(model=model)
    if form == "stream":
        for event in asked.run("Hi", stream=True):
            shown.append(getattr(event, "content", None) or "")
        return

    async def run() -> None:
        async for event in asked.arun("Hi", stream=True):
            shown.append(getattr(event, "content", None) or "")

    asyncio.run(run())


@pytest.mark.parametrize("form", STREAMED)
def test_nothing_is_shown_before_a_whole_answers_verdict(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    shown: list[str] = []
    # One guard that needs the whole answer is enough to hold it.
    clock = Clock(shown, stream="whole")
    portkey_model.guards = (clock, Clock([], stream="segment"))
    portkey_provider.reply(Reply(ANSWER, chunk_size=3))
    _watch(portkey_model, form, shown)
    assert clock.asked == [(ANSWER, "", "")]
    assert "".join(shown) == ANSWER


@pytest.mark.parametrize("form", STREAMED)
def test_each_piece_is_shown_after_its_own_verdict(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    shown: list[str] = []
    clock = Clock(shown, stream="segment")
    portkey_model.guards = (clock,)
    portkey_provider.reply(Reply(ANSWER, chunk_size=3))
    _watch(portkey_model, form, shown)
    pieces = ["It is warm. ", "It is dry.\n", "The bluebird sings. ", "It is late."]
    said = ["".join(pieces[:count]) for count in range(len(pieces))]
    assert clock.asked == [
        (piece, before, before) for piece, before in zip(pieces, said, strict=True)
    ]
    assert "".join(shown) == ANSWER


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("chunks", [1, 4, 1_000])
def test_of_a_blocked_answer_earlier_pieces_at_most_are_shown(
    chunks: int, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for guard, expected in (
        (Whole(), ""),
        (Beside(), ""),
        (Piecewise(), "It is warm. It is dry.\n"),
    ):
        portkey_model.guards = (guard,)
        portkey_provider.reply(Reply(ANSWER, chunk_size=chunks))
        asked = agent(portkey_model, events_to_skip=[])
        seen = go(asked, form)
        assert seen.failed
        assert seen.text == expected
        for word in (WORD, "sings", "late"):
            assert word not in seen.everything + stored(asked.db)


@pytest.mark.parametrize("form", STREAMED)
def test_a_rewritten_answer_is_the_same_however_it_comes(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for guard in (Mask(), MaskPiecewise()):
        portkey_model.guards = (guard,)
        for size in (1, 2, 7, 30, 1_000):
            portkey_provider.reply(Reply(ANSWER, chunk_size=size))
            asked = agent(portkey_model, events_to_skip=[])
            seen = go(asked, form)
            assert seen.text == seen.output.content == ANSWER.replace(WORD, MASK)
            assert WORD not in seen.everything + stored(asked.db)


# Every way of cutting an answer


def _shown(guards: list[Guard], deltas: list[ModelResponse]) -> tuple[str, str]:
    """What a stream of `deltas` shows of its thoughts and its text, behind `guards`."""

    async def inner(call: Call) -> AsyncIterator[ModelResponse]:
        for delta in deltas:
            yield delta

    call = Call([Message(role="user", content="Hi")], Message(role="assistant"), stream=True)
    shown = list(drive(guard_layer(guards)(call, SyncIO(), lambda sent: Owned(inner(sent)))))
    thoughts = "".join(delta.reasoning_content or "" for delta in shown)
    return thoughts, "".join(delta.content or "" for delta in shown)


def _cut(text: str, places: list[int]) -> list[str]:
    places = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


WORDS = st.lists(st.sampled_from(["It", WORD, "is", "a.", "so!", "b\n", "", "late?"])).map(" ".join)
PLACES = st.lists(st.integers(0, 300), max_size=8)


@given(WORDS, PLACES, WORDS, PLACES)
def test_what_is_shown_does_not_depend_on_the_chunks(
    thought: str, one: list[int], text: str, other: list[int]
) -> None:
    masked = thought.replace(WORD, MASK), text.replace(WORD, MASK)
    deltas = [ModelResponse(reasoning_content=part) for part in _cut(thought, one)]
    deltas += [ModelResponse(content=part) for part in _cut(text, other)]
    assert _shown([MaskPiecewise()], deltas) == masked
    deltas = [ModelResponse(reasoning_content=thought), ModelResponse(content=text)]
    assert _shown([Mask()], deltas) == masked


def test_every_cut_in_three_hides_no_word() -> None:
    text = f"Yes. The {WORD}. No."
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            parts = text[:first], text[first:second], text[second:]
            deltas = [ModelResponse(content=part) for part in parts]
            assert _shown([MaskPiecewise()], deltas) == ("", text.replace(WORD, MASK))


@pytest.mark.parametrize("between", ["", None, " "])
def test_thoughts_that_come_by_turns_with_the_text_hide_no_word(between: str | None) -> None:
    """Some providers send an empty text with every piece of a thought; others take turns."""
    deltas = [ModelResponse(content="x")] if between == " " else []
    for letter in f"{WORD} of us":
        deltas.append(ModelResponse(reasoning_content=letter, content=between))
    thoughts, text = _shown([MaskPiecewise()], deltas)
    assert thoughts == f"{MASK} of us"
    assert text.strip() == ("x" if between == " " else "")


class UpToNow(Guard):
    """Blocks a phrase that is spread over two pieces, by what stands before."""

    stream, inline = "segment", True

    def inspect(self, passage: Passage) -> Any:

        both = (passage.before + passage.text).replace("\n", " ")
        return Block("a secret project is named") if "blue bird" in both else None


def test_a_guard_is_told_what_stands_before_a_piece() -> None:
    with pytest.raises(OutputBlocked):
        _shown([UpToNow()], [ModelResponse(content="The blue\nbird sings.")])
    with pytest.raises(OutputBlocked):
        _shown([UpToNow()], [ModelResponse(reasoning_content="The blue\nbird sings.")])


# Streams that break off


@pytest.mark.parametrize("form", STREAMED)
def test_a_broken_stream_tells_no_more_than_was_shown(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for guard, shown in (
        (Piecewise(), "It is warm. It is dry.\n"),
        (MaskPiecewise(), "It is warm. It is dry.\n"),
        (Whole(), ""),
        (Mask(), ""),
    ):
        portkey_model.guards = (guard,)
        portkey_provider.fault(Fault.cut(0.65))
        portkey_provider.reply(Reply(ANSWER, chunk_size=4))
        asked = agent(portkey_model, events_to_skip=[])
        seen = go(asked, form)
        assert seen.failed
        assert seen.text == shown
        assert WORD not in seen.everything + stored(asked.db)
        verdict = verdict_of(seen.last)
        assert verdict is not None
        assert verdict.evidence["partial"] == shown
        assert TruncatedStream(verdict).partial == shown
