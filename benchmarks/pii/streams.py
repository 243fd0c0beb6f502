"""A streamed answer against the whole one, over all cuts; and how long its first token waits."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput

from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.pipeline import compose

# Of the stream whose first token is waited for.
TOKENS_PER_SECOND = 50


@dataclass
class First:
    """Milliseconds that the first token waits: for more tokens, and of CPU."""

    waited: float
    cpu: float


def shown(guard: PIIGuardrail, chunks: Sequence[str], told: list[float] | None = None) -> str:
    """What is shown of an answer in `chunks`; one chunk is a plain answer."""
    fed = 0

    async def answer(call: Call) -> AsyncIterator[ModelResponse]:
        nonlocal fed
        for chunk in chunks:
            fed += 1
            yield ModelResponse(content=chunk)

    run, asked = RunOutput(run_id="r"), [Message(role="user", content="Hi")]
    streamed = told is not None or len(chunks) > 1
    call = Call(asked, Message(role="assistant"), run_response=run, stream=streamed)
    text = ""
    for delta in drive(compose([guard_layer([guard])], SyncIO(), answer)(call)):
        said: Any = delta.content
        if said and not text and told is not None:
            told.append(fed)
        text += said or ""
    return text


def differing(guard: PIIGuardrail, texts: Sequence[str]) -> tuple[int, int]:
    """How many cuts in two, or into letters, change what is shown; and how many there are."""
    differ = cuts = 0
    for text in texts:
        whole = shown(guard, [text])
        for chunks in ([text[:at], text[at:]] for at in range(1, len(text))):
            cuts += 1
            differ += shown(guard, chunks) != whole
        cuts += 1
        differ += shown(guard, [*text]) != whole
    return differ, cuts


def first_tokens(guard: PIIGuardrail, texts: Sequence[str]) -> list[First]:
    """Of each text, a token a word."""
    found = []
    for text in texts:
        words = [f"{word} " for word in text.split(" ")]
        told: list[float] = []
        began = time.process_time()
        shown(guard, words, told)
        cpu = (time.process_time() - began) / len(words) * 1_000
        # A token that is shown as it comes has waited for none.
        waited = (told[0] - 1 if told else len(words)) / TOKENS_PER_SECOND * 1_000
        found.append(First(waited, cpu * (told[0] if told else len(words))))
    return found


def median(found: Sequence[First]) -> float:
    return statistics.median(each.waited + each.cpu for each in found)
