"""An answer that broke off and is continued elsewhere: every character once, wherever it broke."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.base import RunStatus
from faults_stage import PRIMARY, SPARE, TEXT, Route, ours
from four_forms import STREAMED, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey import PortkeyModel
from agno_portkey.errors import TruncatedStream
from agno_portkey.routing.config.routes import Fallback, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request

Continue = Callable[[str, str], str]


def _rest(text: str, begun: str) -> str:
    return text.removeprefix(begun)


def _rest_without_space(text: str, begun: str) -> str:
    return text.removeprefix(begun).lstrip()


def _all_again(text: str, begun: str) -> str:
    return text


def _all_again_after_a_break(text: str, begun: str) -> str:
    return f"\n{text}"


def _script(
    provider: EmbeddedProvider, chunks: Sequence[str], kept: int, spare: Continue = _rest
) -> None:
    """The primary breaks off after `kept` chunks; the spare makes of the rest what it will."""
    text = "".join(chunks)

    def go_on(request: Request) -> Reply:
        last = request.messages[-1]
        said = spare(text, last["content"]) if last["role"] == "assistant" else text
        return Reply(said, chunk_size=3)

    # In front of the chunks is the event that gives the role.
    cut = Fault.cut((kept + 1) / (len(chunks) + 1))
    provider.fault(cut, times=None, model=PRIMARY)
    provider.when(lambda request: request.model == PRIMARY, Reply(chunks=chunks))
    provider.when(lambda request: True, go_on)


def _model(gateway: LocalGateway, provider: EmbeddedProvider) -> PortkeyModel:
    return ours(gateway.url, provider, Route(prefill=True), lambda event: None)


def _spaced(text: str) -> list[str]:
    """The text in chunks that begin with their white space, as tokens of models do."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


AT = TEXT.index("word30")
# How the text is cut to pieces, and how many of them are shown.
PLACES: dict[str, tuple[list[str], int]] = {
    "amid a word": ([TEXT[: AT + 3], TEXT[AT + 3 :]], 1),
    "after white space": ([TEXT[:AT], TEXT[AT:]], 1),
    "before white space": (_spaced(TEXT), 40),
    "amid white space": (["one two \n", "\n three four"], 1),
    "after one letter": (["W", "e are here, and that is all."], 1),
    "after white space alone": (["\n\n", "one two three"], 1),
    "behind the last word": ([*_spaced(TEXT), "."], 61),
    "before the first": (_spaced(TEXT), 0),
}


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("place", PLACES)
def test_a_stream_that_breaks_off_is_continued_without_a_seam(
    place: str, form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    chunks, kept = PLACES[place]
    _script(portkey_provider, chunks, kept)

    ended = play(Agent(model=_model(portkey_gateway, portkey_provider)), form)

    assert ended.status == RunStatus.completed
    assert ended.content == ended.text_shown == "".join(chunks)
    assert [request.model for request in portkey_provider.calls] == [PRIMARY, SPARE]


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("place", ["after white space", "amid white space"])
def test_white_space_that_was_shown_may_be_missing_from_the_rest(
    place: str, form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    chunks = [TEXT[:AT], TEXT[AT:]] if place == "after white space" else ["one \n ", "two"]
    _script(portkey_provider, chunks, 1, spare=_rest_without_space)
    ended = play(Agent(model=_model(portkey_gateway, portkey_provider)), form)
    assert ended.content == ended.text_shown == "".join(chunks)


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("again", [_all_again, _all_again_after_a_break])
@pytest.mark.parametrize("kept", [1, 2, 20, 59])
def test_a_spare_that_starts_over_ends_the_answer_and_doubles_nothing(
    kept: int,
    again: Continue,
    form: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    chunks = _spaced(TEXT)
    _script(portkey_provider, chunks, kept, spare=again)

    ended = play(Agent(model=_model(portkey_gateway, portkey_provider)), form)

    assert ended.status == RunStatus.error
    assert ended.text_shown == "".join(chunks[:kept])
    told = (ended.errors[0].additional_data or {})["verdict"]
    assert told["evidence"]["partial"] == ended.text_shown
    assert "not whole" in str(ended.errors[0].content)


@pytest.mark.parametrize("form", STREAMED)
def test_an_answer_that_breaks_off_twice_is_continued_twice(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    def go_on(request: Request) -> Reply:
        last = request.messages[-1]
        return Reply(TEXT.removeprefix(last["content"] if last["role"] == "assistant" else ""))

    portkey_provider.when(lambda request: True, go_on)
    portkey_provider.fault(Fault.cut(1 / 2), times=2)
    targets = [
        Target(
            provider="openai",
            api_key="test-key",
            custom_host=portkey_provider.url,
            model=name,
            prefill=True,
        )
        for name in ("first", "second", "third")
    ]
    model = PortkeyModel(base_url=portkey_gateway.url, config=Fallback(targets=targets))

    ended = play(Agent(model=model), form)

    assert ended.status == RunStatus.completed
    assert ended.content == ended.text_shown == TEXT
    assert [request.model for request in portkey_provider.calls] == ["first", "second", "third"]


@st.composite
def _broken(draw: st.DrawFn) -> tuple[list[str], int]:
    """The chunks of a text, and how many of them are shown before it breaks off."""
    words = st.text("ab \n.é🙂", min_size=1, max_size=6)
    chunks = draw(st.lists(words, min_size=1, max_size=12))
    return chunks, draw(st.integers(0, len(chunks)))


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(broken=_broken())
def test_whatever_the_text_and_the_place_nothing_is_doubled_or_lost(
    broken: tuple[list[str], int],
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    chunks, kept = broken
    portkey_provider.reset()
    _script(portkey_provider, chunks, kept)

    shown, partial = _shown(_model(portkey_gateway, portkey_provider))

    if partial is None:
        assert shown == "".join(chunks)
    else:
        # A rest that begins like the answer itself can't be told from an answer begun anew.
        assert shown == partial == "".join(chunks[:kept])


def _shown(model: PortkeyModel) -> tuple[str, str | None]:
    """The text that was shown, and that of the error if it broke off."""
    shown: list[str] = []
    try:
        for delta in model.response_stream(messages=[Message(role="user", content="Hi")]):
            if isinstance(delta, ModelResponse) and isinstance(delta.content, str):
                shown.append(delta.content)
    except TruncatedStream as error:
        return "".join(shown), error.partial
    return "".join(shown), None
