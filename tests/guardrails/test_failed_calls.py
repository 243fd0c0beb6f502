"""What a provider says as it fails is looked at like an answer: it may quote what it was sent."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from agno.exceptions import ModelProviderError
from agno.models.message import Message
from agno.models.response import ModelResponse
from four_forms import FORMS, ask
from gathered import MASK, WORD, Beside, Mask, MaskPiecewise, Piecewise, Whole, agent, go, stored

from agno_portkey.calls import Call
from agno_portkey.drivers import Owned, SyncIO, drive
from agno_portkey.errors import (
    ContextOverflow,
    GatewayError,
    GatewayRateLimited,
    TruncatedStream,
    UpstreamFailed,
)
from agno_portkey.guardrails import Block, Guard, Passage, verdict_of
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.failures import truncated
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.faults import Answer
from agno_portkey.verdict import Event

QUOTED = f"Invalid input: the {WORD} plan."

FAILURES: dict[str, Fault] = {
    "status 400": Fault.status(400, message=QUOTED),
    "status 429": Fault.status(429, message=QUOTED),
    "status 500": Fault.status(500, message=QUOTED),
    "overflow": Fault.status(400, message=QUOTED, code_str="context_length_exceeded"),
    "filter": Fault.status(400, message=QUOTED, code_str="content_filter"),
    "an error amid the answer": Fault.error_chunk(0.0, message=QUOTED),
}


@pytest.fixture
def portkey_model(portkey_model: PortkeyModel) -> PortkeyModel:
    """A model that tries as often as by default, and waits for less."""
    portkey_model.recovery = Recovery(wait=0.01)
    return portkey_model


def fresh(model: PortkeyModel, provider: EmbeddedProvider, *guards: Guard) -> PortkeyModel:
    """A model with breakers of its own: nobody failed yet."""
    provider.reset()
    return replace(model, guards=guards, recovery=Recovery(attempts=1))


def failing(provider: EmbeddedProvider, fault: Fault) -> None:
    provider.reply("Never said.")
    provider.fault(fault, times=None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("guard", [Whole, Piecewise, Beside, Mask, MaskPiecewise])
def test_an_error_that_quotes_the_word_reaches_nobody(
    guard: type[Guard],
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    for name, fault in FAILURES.items():
        model = fresh(portkey_model, portkey_provider, guard())
        failing(portkey_provider, fault)
        asked = agent(model)
        seen = go(asked, form)
        assert seen.failed, name
        assert WORD not in seen.everything, name
        assert WORD not in stored(asked.db), name
        if guard in (Mask, MaskPiecewise):
            assert MASK in seen.everything, name


@pytest.mark.parametrize("form", FORMS)
def test_without_a_guard_the_quotation_is_really_there(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for name, fault in FAILURES.items():
        model = fresh(portkey_model, portkey_provider)
        failing(portkey_provider, fault)
        assert WORD in go(agent(model), form).everything, name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("failure", "kind", "status"),
    [
        ("status 429", GatewayRateLimited, 429),
        ("overflow", ContextOverflow, 400),
        ("status 500", UpstreamFailed, 500),
    ],
)
def test_the_error_stays_what_it_is_and_loses_its_words(
    failure: str,
    kind: type[GatewayError],
    status: int,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """Retries, fallbacks and breakers go by the kind of an error."""
    portkey_model.guards = (Whole(name="words"),)
    failing(portkey_provider, FAILURES[failure])
    with pytest.raises(ModelProviderError) as told:
        ask(portkey_model, form)
    assert type(told.value) is kind
    assert told.value.status_code == status
    assert "words" in str(told.value)
    assert "blocked" in str(told.value)
    # Neither in what it was made of, which is logged.
    assert WORD not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("form", FORMS)
def test_an_error_that_nobody_minds_is_left_as_it_is(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(), Mask())
    failing(portkey_provider, Fault.status(500, message="No luck today."))
    with pytest.raises(UpstreamFailed, match="No luck today") as told:
        ask(portkey_model, form)
    assert told.value.__cause__ is not None


@pytest.mark.parametrize("form", FORMS)
def test_guards_on_what_is_sent_do_not_look_at_errors(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(on="input"),)
    failing(portkey_provider, FAILURES["status 500"])
    with pytest.raises(UpstreamFailed, match=WORD):
        ask(portkey_model, form)


class Notes(Guard):
    """Notes what it is asked about; it only observes."""

    inline = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seen: list[Passage] = []

    def inspect(self, passage: Passage) -> Block | None:
        self.seen.append(passage)
        return Block("no") if WORD in passage.text else None


@pytest.mark.parametrize("form", FORMS)
def test_who_observes_hears_of_it_and_changes_nothing(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    events: list[Event] = []
    notes = Notes(mode="observe")
    portkey_model.guards, portkey_model.observers = (notes,), (events.append,)
    failing(portkey_provider, FAILURES["status 500"])
    with pytest.raises(UpstreamFailed, match=WORD):
        ask(portkey_model, form)
    [passage] = [each for each in notes.seen if each.source == "error"]
    assert (passage.direction, QUOTED in passage.text) == ("output", True)
    [told] = [e for e in events if e.kind == "guard" and not e.verdict.passed]  # type: ignore[union-attr]
    assert told.data["side"] == "output"


class Breaks(Guard):
    def inspect(self, passage: Passage) -> None:
        if passage.source == "error":
            raise LookupError(f"its list is gone: {passage.text}")


@pytest.mark.parametrize("form", FORMS)
def test_a_guard_that_fails_holds_the_words_back(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Breaks(name="words"),)
    failing(portkey_provider, FAILURES["status 500"])
    with pytest.raises(UpstreamFailed) as told:
        ask(portkey_model, form)
    assert WORD not in "".join(traceback.format_exception(told.value))


# A stream that breaks off


@pytest.mark.parametrize("form", ["stream", "astream"])
@pytest.mark.parametrize("guard", [Piecewise, MaskPiecewise])
def test_a_stream_that_breaks_off_with_the_word(
    guard: type[Guard],
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    portkey_provider.reply(Reply("One. Two. Three. Four. Five.", chunk_size=6))
    portkey_provider.fault(Fault.error_chunk(0.8, message=QUOTED), times=None)
    with pytest.raises(TruncatedStream) as told:
        ask(portkey_model, form)
    error = told.value
    assert error.partial.startswith("One.")
    assert WORD not in "".join(traceback.format_exception(error))
    assert WORD not in str(error.verdict)
    assert ("blocked" if guard is Piecewise else MASK) in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_what_the_gateways_own_guardrail_denied_is_not_quoted(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    check = {"id": f"the {WORD} check", "verdict": False}
    hooks = {"after_request_hooks": [{"verdict": False, "id": "x", "checks": [check]}]}
    body = {"error": {"message": QUOTED}, "hook_results": hooks}
    for guard in (Whole(), Mask()):
        portkey_model.guards = (guard,)
        portkey_provider.reply("Never said.")
        portkey_provider.fault(Fault("answer", answer=Answer.of_json(body, status=446)))
        asked = agent(portkey_model)
        seen = go(asked, form)
        portkey_provider.reset()
        assert seen.failed
        assert WORD not in seen.everything + stored(asked.db)
        found = verdict_of(seen.last)
        assert found is not None
        assert WORD not in str(found)
        assert (found.source, found.passed) == ("gateway", False)


def test_an_error_whose_part_was_shown_and_whose_words_pass_is_left_as_it_is() -> None:
    broken = truncated("a-model", "it broke off", "One.\n")

    async def answer(call: Call) -> AsyncIterator[ModelResponse]:
        yield ModelResponse(content="One.\n")
        raise broken

    call = Call([Message(role="user", content="Hi")], Message(role="assistant"), stream=True)
    shown = drive(guard_layer([Piecewise()])(call, SyncIO(), lambda sent: Owned(answer(sent))))
    assert next(shown).content == "One.\n"
    with pytest.raises(TruncatedStream) as told:
        next(shown)
    assert told.value is broken
