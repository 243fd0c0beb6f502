"""The sixteen faults that a provider can have, and some of them met by other features.

Unless a case says otherwise, the primary has its fault for good and the spare is well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from faults_buffered import BUFFERED
from faults_case import OFF, SPARES_USAGE, Arm, Case, at_primary
from faults_judge import ASKED_AGAIN, HAMMERED, Refusal, Verdict, in_the_spares_name
from faults_outage import OUTAGE
from faults_stage import PRIMARY, SPARE, Outcome, Route
from four_forms import FORMS

from agno_portkey.testing import EmbeddedProvider, Fault

__all__ = ["CASES"]

RETRY_AFTER = 1.0
BROKEN_OFF = Refusal(
    ("TruncatedStream",), r"not whole|broke|cut off|truncated|incomplete|stalled|timed out"
)
FILTERED = Refusal(("ContentFiltered",), r"content (filter|policy)", FORMS)


def _everywhere(fault: Fault) -> Arm:
    return lambda provider: provider.fault(fault, times=None)


def _no_prefill(provider: EmbeddedProvider) -> None:
    """The primary is cut off, and the spare wants the last word to be the user's."""
    refusal = Fault.status(400, message="The last message must be the user's.")
    provider.when(lambda request: request.messages[-1]["role"] == "assistant", refusal)
    at_primary(Fault.cut())(provider)


def _waited(outcome: Outcome) -> Verdict | None:
    for before, after in pairwise(outcome.calls):
        if before.model == after.model and after.at - before.at < RETRY_AFTER:
            return HAMMERED
    return None


def _asked(*models: str) -> Callable[[Outcome], Verdict | None]:
    """A check that just these were asked, each once."""
    return lambda outcome: None if outcome.asked == [*models] else ASKED_AGAIN


def _waited_once(outcome: Outcome) -> Verdict | None:
    return _waited(outcome) or (None if len(outcome.calls) == 2 else ASKED_AGAIN)


_LIMITED = Fault.status(429, retry_after=RETRY_AFTER)
_LATE = Fault.slow_first_token(60)

CASES: Sequence[Case] = (
    Case(1, "429 with Retry-After, once", at_primary(_LIMITED, times=1), check=_waited),
    Case(
        1,
        "429 with Retry-After, once, no spare",
        at_primary(_LIMITED, times=1),
        Route(alone=True),
        check=_waited_once,
    ),
    Case(2, "429 for good", at_primary(Fault.status(429))),
    Case(3, "500, once", at_primary(Fault.status(500), times=1)),
    Case(4, "503 for good", at_primary(Fault.status(503))),
    Case(5, "reset before headers", at_primary(Fault.reset())),
    Case(6, "no response at all", at_primary(Fault.silence())),
    Case(7, "first token late", at_primary(_LATE)),
    *(
        Case(
            number,
            f"{name}, spare continues",
            at_primary(fault),
            Route(prefill=True),
            refusal=BROKEN_OFF,
            continued=True,
        )
        for name, (number, fault) in OFF.items()
    ),
    *(
        Case(number, f"{name}, none continues", at_primary(fault), refusal=BROKEN_OFF)
        for name, (number, fault) in OFF.items()
    ),
    Case(11, "no [DONE]", at_primary(Fault.no_done())),
    Case(
        12,
        "400 context overflow",
        at_primary(Fault.context_overflow()),
        Route(windows=(8_192, 128_000)),
        check=_asked(PRIMARY, SPARE),
    ),
    Case(
        13,
        "400 content filter",
        _everywhere(Fault.content_filter()),
        refusal=FILTERED,
        check=_asked(PRIMARY),
    ),
    Case(14, "stream cut, no prefill", _no_prefill, Route(prefill=True), refusal=BROKEN_OFF),
    OUTAGE,
    Case(
        16,
        "primary down: who answered",
        at_primary(Fault.reset()),
        check=in_the_spares_name(
            SPARE, "openai", (SPARES_USAGE.prompt_tokens, SPARES_USAGE.completion_tokens)
        ),
    ),
    *BUFFERED,
)
