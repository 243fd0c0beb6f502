"""What an outcome amounts to: one word for each way to end well, and for each way not to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faults_stage import TEXT, Outcome
from four_forms import STREAMED

from agno_portkey.testing import Request

__all__ = ["GOOD", "Refusal", "Verdict", "in_the_spares_name", "judge", "most_at_once"]

Verdict = str

WHOLE, REFUSED = "whole", "refused"
GOOD = (WHOLE, REFUSED)
TRUNCATED, HANG, WRONG_NAME = "truncated as success", "hang", "wrong name"
HAMMERED, DUPLICATE, STRING_ERROR = "hammered", "duplicate", "string error"
# Beside those: no answer where one was to be had; a provider asked what it had settled; neither
# the text nor a part of it; a model that a fault has left broken.
GAVE_UP, ASKED_AGAIN = "gave up", "asked again"
WRONG_TEXT, BROKEN = "wrong text", "broken afterwards"

# No call may make more requests than so many in so many seconds, or in all.
_BURST, _BURST_SECONDS, _MOST = 4, 3.0, 6
# What Python says to itself, and none of it to a user.
_INTERNAL = re.compile(
    r"object is not|object has no|^Expecting |^\w*Error: |Unknown model error|^$"
)


@dataclass(frozen=True)
class Refusal:
    """The error that a case may end with, in `forms`: its types, and a pattern of its reason."""

    kinds: tuple[str, ...]
    reason: str
    forms: Sequence[str] = STREAMED


def judge(outcome: Outcome, expected: Any = TEXT, refusal: Refusal | None = None) -> Verdict:
    """The verdict on a run that should have come to `expected`, or else to `refusal`."""
    if outcome.status == "hang":
        return HANG
    if len(outcome.calls) > _MOST or most_at_once(outcome.calls) > _BURST:
        return HAMMERED
    if outcome.status == "COMPLETED":
        return _answered(outcome, expected)
    if repeats(outcome.shown):
        return DUPLICATE
    if refusal is None or outcome.form not in refusal.forms:
        return GAVE_UP
    return REFUSED if _is_clear(outcome, refusal) else STRING_ERROR


def _answered(outcome: Outcome, expected: Any) -> Verdict:
    texts = [outcome.content]
    if outcome.form in STREAMED and isinstance(expected, str):
        texts.append(outcome.shown)
    if all(text == expected for text in texts):
        return WHOLE
    wrong = [text for text in texts if text != expected]
    if any(isinstance(text, str) and repeats(text) for text in wrong):
        return DUPLICATE
    # Of a structured answer that was cut the host makes a text.
    if all(text is None or isinstance(text, str) for text in wrong) and (
        not isinstance(expected, str) or all(expected.startswith(text or "") for text in wrong)
    ):
        return TRUNCATED
    return WRONG_TEXT


def _is_clear(outcome: Outcome, refusal: Refusal) -> bool:
    """Whether the error gives its reason, in words for users, and its type where that is known."""
    if not re.search(refusal.reason, outcome.error, re.IGNORECASE):
        return False
    if _INTERNAL.search(outcome.error):
        return False
    if outcome.kind is None:
        return True
    partial = outcome.partial if outcome.kind == "TruncatedStream" else outcome.shown
    return outcome.kind in refusal.kinds and partial == outcome.shown


def repeats(text: str) -> bool:
    """Whether a word of `text`, in which each is to be another one, is there twice."""
    return any(count > 1 for count in Counter(text.split()).values())


def most_at_once(calls: Sequence[Request], seconds: float = _BURST_SECONDS) -> int:
    """The most requests that began within so many seconds."""
    began = sorted(request.at for request in calls)
    return max((sum(at <= each < at + seconds for each in began) for at in began), default=0)


def in_the_spares_name(
    model: str, provider: str, tokens: tuple[int, int]
) -> Callable[[Outcome], Verdict | None]:
    """A check that a run names `model` of `provider` and its tokens in each place it has."""

    def check(outcome: Outcome) -> Verdict | None:
        run = outcome.run
        if run is None or run.metrics is None:
            return WRONG_NAME
        said = [message for message in run.messages or () if message.role == "assistant"]
        noted = [(message.provider_data or {}).get("portkey", {}) for message in said]
        details = (run.metrics.details or {}).get("model", [])
        named = (
            (run.model, run.model_provider) == (model, provider),
            [(each.get("model"), each.get("provider")) for each in noted] == [(model, provider)],
            (run.metrics.input_tokens, run.metrics.output_tokens) == tokens,
            [each.id for each in details] == [model],
        )
        return None if all(named) else WRONG_NAME

    return check
