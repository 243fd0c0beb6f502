"""A streamed answer is redacted as the whole one is, however it is cut into chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.guardrails.findings import Rewrite
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.guardrails.passages import Passage
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.guard import PIIGuardrail
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.segments import BEFORE
from agno_portkey.pipeline import compose

TEXTS = [
    "Yes, I will write to ann.lee@corp.internal. The number is 212-555-0187, and Dr. John Smith "
    "knows it.\nThe card 4111 1111 1111 1111 expires soon. See https://ann.example.com/me?id=7",
    '{"owner": "Marguerite Okonkwo", "mail": "m.okonkwo@example.org", "ip": "203.0.113.77"}',
    "so it was and the two of them went, as she told me, to see Maria Gonzalez in Lisbon, who had "
    "been ill for a long time, and whose SSN, which I should not know, is 536-22-8726, while the "
    "IBAN, DE89 3704 0044 0532 0130 00, was on the slip, with her number +49 30 901820 next to it "
    "and another one beside that",
    "x" * 300 + " ann.lee@corp.internal " + "y" * 1_200 + "@example.com done",
]
RELEASES = ("sentence", "eager")


def shown(guard: PIIGuardrail, chunks: Sequence[str], *, thought: bool = False) -> str:
    """What is shown of an answer that comes in `chunks`; of a plain one, if there is just one."""
    name = "reasoning_content" if thought else "content"

    async def answer(call: Call) -> AsyncIterator[ModelResponse]:
        for chunk in chunks:
            yield ModelResponse(**{name: chunk})

    run = RunOutput(run_id="r", session_id="s")
    asked = [Message(role="user", content="Hi")]
    streamed = len(chunks) > 1
    call = Call(asked, Message(role="assistant"), run_response=run, stream=streamed)
    said = drive(compose([guard_layer([guard])], SyncIO(), answer)(call))
    return "".join(getattr(delta, name) or "" for delta in said)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("text", TEXTS)
def test_every_cut_in_two_gives_the_whole_texts_redaction(
    text: str, release: Any, analyzer: Analyzer
) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer, release=release)
    whole = shown(guard, [text])
    assert whole != text
    for place in range(0, len(text) + 1, 1 if len(text) < 400 else 37):
        assert shown(guard, [text[:place], text[place:]]) == whole
    assert shown(guard, [*text]) == whole
    assert shown(guard, [*text], thought=True) == shown(guard, [text], thought=True) == whole


@settings(max_examples=40)
@given(st.sampled_from(TEXTS), st.sets(st.integers(1, 1_600), min_size=1, max_size=12))
def test_any_cuts_give_the_same(text: str, cuts: set[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    chunks = [text[a:b] for a, b in pairwise(places)]
    for guard in (_EAGER, _SENTENCE):
        assert shown(guard, [*chunks, ""]) == shown(guard, [text])


def test_arguments_of_tools_are_masked_whole(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    arguments = '{"to": "ann.lee@corp.internal", "n": 4111111111111111}'

    async def answer(call: Call) -> AsyncIterator[ModelResponse]:
        for place, piece in enumerate(arguments):
            function = {"name": "mail" if place == 0 else None, "arguments": piece}
            asked = {"index": 0, "id": "call_1", "type": "function", "function": function}
            yield ModelResponse(tool_calls=[ChoiceDeltaToolCall.model_validate(asked)])  # type: ignore[list-item]

    call = Call([Message(role="user", content="Hi")], Message(role="assistant"), stream=True)
    deltas = [*drive(compose([guard_layer([guard])], SyncIO(), answer)(call))]
    [told] = [each for delta in deltas for each in delta.tool_calls or ()]
    assert told.function.arguments == '{"to": "<EMAIL_ADDRESS>", "n": "<CREDIT_CARD>"}'  # type: ignore[attr-defined]


def test_eager_lets_small_words_go_at_once(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer, release="eager")
    seen: list[str] = []
    told: list[int] = []

    async def answer(call: Call) -> AsyncIterator[ModelResponse]:
        for word in ["Yes,", "it", "is", "the", "one", "that", "Ann", "Lee", "has.", ""]:
            yield ModelResponse(content=word + " ")
            told.append(len("".join(seen)))

    call = Call([Message(role="user", content="Hi")], Message(role="assistant"), stream=True)
    for delta in drive(compose([guard_layer([guard])], SyncIO(), answer)(call)):
        seen.append(delta.content or "")
    # After the first word something was shown; what may be a name was waited for.
    assert told[0] == len("Yes, ")
    assert "".join(seen).startswith("Yes, it is the one that <PERSON> has.")


def test_a_long_piece_is_cut_in_no_value() -> None:
    text = "ring " * 46 + "a b c d e f g h i j k l m n o p " + "ring " * 40
    guard = PIIGuardrail("mask", analyzer=_Letters())
    masked = shown(guard, [text])
    assert masked == shown(guard, [*text]) == "ring " * 46 + "<PERSON> " + "ring " * 40


class _Far(Analyzer):
    """Knows by the first line what the last one means."""

    def spans(self, text: str) -> tuple[Span, ...]:
        start = text.find("zebra") if "HEAD" in text else -1
        return (Span(start, start + 5, "PERSON", 1.0),) if start >= 0 else ()


@pytest.mark.parametrize("thought", [False, True])
def test_words_and_thoughts_are_looked_at_in_pieces_streamed_or_not(thought: bool) -> None:
    """A stream's pieces are not read again once they are shown, and a plain answer is as one."""
    guard = PIIGuardrail("mask", analyzer=_Far())
    near, far = "HEAD zebra.\n", "HEAD\n" + "These are other words. " * 9 + "\nzebra\n"
    for text, masked in ((near, "HEAD <PERSON>.\n"), (far, far)):
        assert shown(guard, [text], thought=thought) == masked
        assert shown(guard, [*text], thought=thought) == masked


def test_what_is_held_until_it_is_whole_is_looked_at_whole() -> None:
    guard = PIIGuardrail("mask", analyzer=_Far())
    text = "HEAD " + "These are other words. " * 9 + " zebra"

    async def answer(call: Call) -> AsyncIterator[ModelResponse]:
        function = {"name": "mail", "arguments": json.dumps({"to": text})}
        asked = {"index": 0, "id": "call_1", "type": "function", "function": function}
        yield ModelResponse(tool_calls=[ChoiceDeltaToolCall.model_validate(asked)])  # type: ignore[list-item]

    call = Call([Message(role="user", content="Hi")], Message(role="assistant"), stream=True)
    deltas = [*drive(compose([guard_layer([guard])], SyncIO(), answer)(call))]
    [told] = [each for delta in deltas for each in delta.tool_calls or ()]
    arguments = json.loads(told.function.arguments)  # type: ignore[attr-defined]
    assert arguments == {"to": text.replace("zebra", "<PERSON>")}


def test_an_answer_of_the_history_is_looked_at_whole() -> None:
    guard = PIIGuardrail("mask", analyzer=_Far())
    text = "HEAD\n" + "These are other words. " * 9 + "\nzebra\n"
    found = guard.inspect(Passage(text, "assistant", "input"))
    assert isinstance(found, Rewrite)
    assert found.text == text.replace("zebra", "<PERSON>")


def test_a_piece_is_cut_in_no_value_that_what_was_said_before_tells() -> None:
    class Told(_Letters):
        def spans(self, text: str) -> tuple[Span, ...]:
            found = super().spans(text)
            return found if "HEAD" in text or (found and found[0].start <= BEFORE) else ()

    text = "ring " * 46 + "a b c d e f g h i j k l m n o p " + "ring " * 40
    guard = PIIGuardrail("mask", analyzer=Told())
    found = guard.inspect(Passage(text, "assistant", "output", before="HEAD "))
    assert isinstance(found, Rewrite)
    assert found.text == "ring " * 46 + "<PERSON> " + "ring " * 40


class _Letters(Analyzer):
    """Takes a row of single letters for a name; a part of one for none."""

    def spans(self, text: str) -> tuple[Span, ...]:
        row = "a b c d e f g h i j k l m n o p"
        start = text.find(row)
        return (Span(start, start + len(row), "PERSON", 1.0),) if start >= 0 else ()


_ONE = Analyzer()
_EAGER = PIIGuardrail("mask", analyzer=_ONE, release="eager")
_SENTENCE = PIIGuardrail("mask", analyzer=_ONE)
