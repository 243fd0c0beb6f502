"""What the sixteen leave open: overflows on one model, leaving amid a rescue, and the judge."""

from __future__ import annotations

import threading

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from faults_case import Case, answer, at_primary, play_case
from faults_catalogue import CASES
from faults_judge import (
    DUPLICATE,
    GAVE_UP,
    HAMMERED,
    HANG,
    REFUSED,
    STRING_ERROR,
    TRUNCATED,
    WHOLE,
    WRONG_NAME,
    WRONG_TEXT,
    Refusal,
    Verdict,
    judge,
    most_at_once,
)
from faults_plain import PLAIN
from faults_stage import PRIMARY, SPARE, TEXT, WORDS, Outcome, Route, ours, within
from four_forms import FORMS, play

from agno_portkey import PortkeyModel
from agno_portkey.routing.config.routes import Fallback, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request

HALF = " ".join(WORDS[:30])
BROKE = Refusal(("TruncatedStream",), "not whole")


def _requests(*at: float) -> list[Request]:
    return [Request("POST", "/v1/chat/completions", {}, {"model": PRIMARY}, each) for each in at]


@pytest.mark.parametrize("form", FORMS)
def test_an_overflow_skips_what_has_the_same_model_or_no_larger_window(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    def target(model: str, window: int | None) -> Target:
        return Target(
            provider="openai",
            api_key="test-key",
            custom_host=portkey_provider.url,
            model=model,
            context_window=window,
        )

    small, same, smaller = target("small", 8_192), target("small", None), target("tiny", 4_096)
    route = Fallback(targets=[small, same, smaller, target("large", 128_000)])
    portkey_provider.fault(Fault.context_overflow(), times=None, model="small")
    portkey_provider.reply(TEXT)

    ended = play(Agent(model=PortkeyModel(base_url=portkey_gateway.url, config=route)), form)

    assert ended.content == TEXT
    assert [request.model for request in portkey_provider.calls] == ["small", "large"]


@pytest.mark.parametrize("form", FORMS)
def test_an_overflow_of_every_model_is_an_error_and_no_round_begins_anew(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.context_overflow(), times=None)
    model = ours(portkey_gateway.url, portkey_provider, Route(), lambda event: None)
    ended = play(Agent(model=model), form)
    assert ended.status == RunStatus.error
    assert "context window" in ended.content
    assert [request.model for request in portkey_provider.calls] == [PRIMARY, SPARE]


def test_a_stream_that_is_closed_amid_its_continuation_ends_at_the_spare(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    at_primary(Fault.cut(1 / 3))(portkey_provider)
    rest = Reply("onward " * 400, token_delay=0.05)
    portkey_provider.when(lambda request: request.model == SPARE, rest)
    portkey_provider.when(lambda request: True, answer)
    model = ours(portkey_gateway.url, portkey_provider, Route(prefill=True), lambda event: None)

    events = Agent(model=model).run("Hi", stream=True)
    next(event for event in events if "onward" in str(getattr(event, "content", None)))
    events.close()  # type: ignore[attr-defined]  # a generator, declared as an iterator

    assert [request.model for request in portkey_provider.calls] == [PRIMARY, SPARE]
    assert portkey_provider.calls[1].wait(10) == "client_gone"


JUDGED: dict[str, tuple[Outcome, Verdict]] = {
    "whole": (Outcome("stream", "COMPLETED", TEXT, TEXT), WHOLE),
    "whole at once": (Outcome("run", "COMPLETED", TEXT), WHOLE),
    "cut": (Outcome("run", "COMPLETED", HALF), TRUNCATED),
    "cut on the screen alone": (Outcome("stream", "COMPLETED", TEXT, HALF), TRUNCATED),
    "nothing": (Outcome("run", "COMPLETED", None), TRUNCATED),
    "another text": (Outcome("run", "COMPLETED", "Sorry."), WRONG_TEXT),
    "its middle lost": (Outcome("run", "COMPLETED", TEXT.replace(" word30", "")), WRONG_TEXT),
    "a seam": (Outcome("stream", "COMPLETED", f"{HALF} word30 {TEXT[len(HALF) :]}"), DUPLICATE),
    "begun anew": (Outcome("astream", "COMPLETED", TEXT, HALF + TEXT), DUPLICATE),
    "begun anew, then broken": (Outcome("stream", "ERROR", shown=HALF + HALF), DUPLICATE),
    "no end": (Outcome("arun", "hang"), HANG),
    "a burst": (Outcome("run", "COMPLETED", TEXT, calls=_requests(0, 1, 2, 2.5, 2.9)), HAMMERED),
    "too many": (Outcome("run", "COMPLETED", TEXT, calls=_requests(*range(0, 28, 4))), HAMMERED),
    "slow enough": (Outcome("run", "COMPLETED", TEXT, calls=_requests(*range(6))), WHOLE),
    "an error where none is due": (Outcome("run", "ERROR", error="not whole"), GAVE_UP),
    "a clear error": (
        Outcome("stream", "ERROR", shown=HALF, error="not whole", kind="TruncatedStream",
                partial=HALF),
        REFUSED,
    ),
    "a clear error of a model that tells no type": (
        Outcome("stream", "ERROR", shown=HALF, error="the answer is not whole"), REFUSED
    ),
    "another type": (
        Outcome("stream", "ERROR", error="not whole", kind="UpstreamFailed"), STRING_ERROR
    ),
    "another partial text": (
        Outcome("stream", "ERROR", shown=HALF, error="not whole", kind="TruncatedStream"),
        STRING_ERROR,
    ),
    "what Python says": (
        Outcome("stream", "ERROR", error="not whole: 'NoneType' object is not iterable"),
        STRING_ERROR,
    ),
    "no word of the reason": (Outcome("stream", "ERROR", error="oh"), STRING_ERROR),
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_the_judge_tells_one_end_from_another(name: str) -> None:
    outcome, verdict = JUDGED[name]
    assert judge(outcome, TEXT, BROKE) == verdict


def test_a_structured_answer_that_stayed_a_text_was_truncated() -> None:
    assert judge(Outcome("run", "COMPLETED", '{"city": "Os'), {"city": "Oslo"}) == TRUNCATED
    assert judge(Outcome("stream", "COMPLETED", {"city": "Oslo"}), {"city": "Oslo"}) == WHOLE
    assert judge(Outcome("run", "COMPLETED", {"city": "Os"}), {"city": "Oslo"}) == WRONG_TEXT


def test_requests_are_counted_within_any_three_seconds() -> None:
    assert most_at_once(_requests()) == 0
    assert most_at_once(_requests(0, 2, 4, 4.5, 6.9)) == 3


def test_work_that_takes_for_ever_is_left_and_what_it_raises_comes_through() -> None:
    over = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, over.wait)
    over.set()
    with pytest.raises(ZeroDivisionError):
        within(10, lambda: 1 // 0)


def _case(number: int, words: str = "") -> Case:
    return next(case for case in CASES if case.number == number and words in case.name)


def test_the_other_side_is_judged_by_the_same_measure(portkey_gateway: LocalGateway) -> None:
    def played(case: Case) -> Verdict:
        return play_case(case, "stream", url=portkey_gateway.url, side=PLAIN).verdict

    assert played(_case(4)) == WHOLE
    assert played(_case(8, "cleanly, none")) == TRUNCATED
    assert played(_case(16)) == WRONG_NAME
