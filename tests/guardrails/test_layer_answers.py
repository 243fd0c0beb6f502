"""What the guard layer lets go of an answer, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.media import Audio, Image
from agno.metrics import MessageMetrics
from agno.models.message import Citations, Message, UrlCitation
from agno.models.response import ModelResponse
from agno.run.agent import RunInput, RunOutput
from four_forms import FORMS
from gathered import MASK, WORD, Mask, MaskPiecewise, Piecewise, Whole, go
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from played import Bird, Played

from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import OutputBlocked
from agno_portkey.guardrails import Guard, Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply


@pytest.mark.parametrize("guard", [Whole, Piecewise])
@pytest.mark.parametrize("stream", [True, False])
def test_what_can_not_be_read_is_not_shown(guard: type[Guard], stream: bool) -> None:
    deep: Any = WORD
    for _ in range(300):
        deep = [deep]
    for said in ({"content": {"a": WORD}}, {"content": "x", "provider_data": {"a": deep}}):
        delta = ModelResponse(**said)
        assert Played([guard(mode="observe")], delta, stream=stream).out == [delta]
        assert delta == ModelResponse(**said, created_at=delta.created_at)
        with pytest.raises(OutputBlocked, match="can't tell"):
            assert Played([guard()], delta, stream=stream).out


@pytest.mark.parametrize("stream", [True, False])
def test_who_only_observes_holds_nothing_up(stream: bool) -> None:
    deltas = [ModelResponse(content="the blue"), ModelResponse(content="bird", tool_calls=[])]
    played = Played([Whole(mode="observe"), Mask(mode="observe")], *deltas, stream=stream)
    seen: list[ModelResponse] = []
    for delta in drive(played._layer(played.call, SyncIO(), played._inner)):
        seen.append(delta)
        assert not [each for each in played.events if each.data["side"] == "output"]
    assert all(a is b for a, b in zip(seen, deltas, strict=True))
    told = [each.verdict for each in played.events if each.data["side"] == "output"]
    assert [verdict.passed for verdict in told if verdict] == [False, True]
    assert asyncio.run(Played([Whole(mode="observe")], *deltas, stream=stream).aout()) == deltas


@pytest.mark.parametrize("said", ["off", "observe", "enforce"])
def test_the_environment_overrides_every_guards_mode(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GUARDS_MODE", said)
    mode = "observe" if said == "enforce" else "enforce"
    played = Played([Whole(mode=mode)], ModelResponse(content=WORD), stream=True)
    if said == "enforce":
        with pytest.raises(OutputBlocked):
            assert played.out
    else:
        assert [delta.content for delta in played.out] == [WORD]
    assert bool(played.events) == (said != "off")


@pytest.mark.parametrize("stream", [True, False])
def test_all_that_an_answer_can_hold_is_let_go_once(stream: bool) -> None:
    usage = MessageMetrics(input_tokens=3, output_tokens=2)
    cited = Citations(raw=[{"url": "u"}], urls=[UrlCitation(url="u", title="t")])
    picture, sound = Image(url="http://a/b"), Audio(content=b"x", transcript="heard")
    delta = ModelResponse(
        role="assistant",
        content="said",
        reasoning_content="thought",
        redacted_reasoning_content="hidden",
        images=[picture],
        audio=sound,
        citations=cited,
        extra={"a": "b"},
        provider_data={"id": "1", "portkey": {"model": "m"}},
        response_usage=usage,
    )
    for guard in (Whole(), MaskPiecewise()):
        given = ModelResponse(**vars(delta))
        out = Played([guard], given, stream=stream).out
        merged: dict[str, Any] = {}
        for each in out:
            for name, value in vars(each).items():
                if value not in (None, [], {}, "") and name not in ("event", "created_at"):
                    merged.setdefault(name, []).append(value)
        assert merged == {
            "role": ["assistant"],
            "content": ["said"],
            "reasoning_content": ["thought"],
            "redacted_reasoning_content": ["hidden"],
            "images": [[picture]],
            "audio": [sound],
            "citations": [cited],
            "extra": [{"a": "b"}],
            "provider_data": [{"id": "1", "portkey": {"model": "m"}}],
            "response_usage": [usage],
        }


@pytest.mark.parametrize("stream", [True, False])
def test_all_that_an_answer_can_hold_is_rewritten(stream: bool) -> None:
    cited = Citations(raw=[{"url": WORD}], search_queries=[WORD])
    for citations in (cited, {"raw": [WORD]}):
        delta = ModelResponse(
            content=WORD,
            reasoning_content=WORD,
            redacted_reasoning_content=WORD,
            audio=Audio(content=b"x", transcript=WORD),
            citations=citations,  # type: ignore[arg-type]
            extra={"a": WORD},
            provider_data={"a": [WORD], "b": "c", "portkey": {"model": WORD}},
            parsed=Bird(name=WORD),
        )
        out = Played([Mask()], delta, stream=stream).out
        assert WORD not in str(out).replace(f"'model': '{WORD}'", "")
        assert str(out).count(MASK) >= 7


def test_what_is_said_of_each_chunk_is_looked_at_and_the_last_is_kept() -> None:
    def deltas() -> list[ModelResponse]:
        said = [{"id": "1", "note": WORD}, {"id": "1", "note": "fine"}, None]
        return [ModelResponse(content="a", provider_data=each) for each in said]

    with pytest.raises(OutputBlocked):
        assert Played([Whole()], *deltas(), stream=True).out
    out = Played([Mask()], *deltas(), stream=True).out
    assert [each.provider_data for each in out if each.provider_data] == [
        {"id": "1", "note": "fine"}
    ]


def test_tool_calls_of_a_stream_are_joined_as_the_host_joins_them() -> None:
    def piece(index: int, **said: Any) -> ChoiceDeltaToolCall:
        return ChoiceDeltaToolCall.model_validate({"index": index, **said})

    pieces = [
        piece(1, id="c1", type="function", function={"name": "find", "arguments": '{"a": "blue'}),
        piece(1, function={"arguments": 'bird"}'}),
    ]
    out = Played([Mask()], ModelResponse(tool_calls=pieces), stream=True).out  # type: ignore[arg-type]
    [call] = [each for delta in out for each in delta.tool_calls]
    assert isinstance(call, ChoiceDeltaToolCall)
    assert call.function is not None
    assert (call.index, call.id, call.function.name) == (1, "c1", "find")
    assert json.loads(call.function.arguments or "") == {"a": MASK}


@pytest.mark.parametrize("stream", [True, False])
def test_pictures_alone_are_let_go(stream: bool) -> None:
    picture = Image(url="http://a/b")
    out = Played([Whole()], ModelResponse(images=[picture]), stream=stream).out
    assert [each.images for each in out] == [[picture]]


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_says_nothing(stream: bool) -> None:
    for deltas in ([], [ModelResponse()], [ModelResponse(content="")]):
        out = Played([Whole()], *deltas, stream=stream).out
        assert all(not each.content for each in out)
        assert len(out) == (0 if stream else 1)


@pytest.mark.parametrize("stream", [True, False])
def test_without_a_run_nothing_is_noted(stream: bool) -> None:
    """Summaries, memories and follow-ups belong to no run."""
    played = Played([Mask()], ModelResponse(content=WORD), stream=stream, run_response=None)
    assert "".join(each.content or "" for each in played.out) == MASK
    assert played.kept._runs == {}


def test_a_runs_input_is_kept_as_it_was_sent() -> None:
    for said in (WORD, [WORD], Bird(name=WORD), {"role": "user", "content": WORD}):
        run = RunOutput(run_id="r", input=RunInput(input_content=said))
        played = Played(
            [Mask()], messages=[Message(role="user", content=f"{WORD} and more")], run_response=run
        )
        assert played.out
        assert run.input is not None
        assert WORD not in str(run.input.input_content)
        assert MASK in str(run.input.input_content)


def test_a_run_that_was_asked_with_a_message_is_asked_about_its_words() -> None:
    seen: list[str] = []

    class Notes(Guard):
        inline = True

        def inspect(self, passage: Passage) -> None:
            seen.append(passage.text)

    asked = {"role": "user", "content": "Hi there"}
    run = RunOutput(run_id="r", input=RunInput(input_content=asked))
    assert Played([Notes(on="input")], run_response=run).out == []
    assert seen == ["Hi", "Hi there"]
    # What a message says already is not asked about twice.
    run = RunOutput(run_id="r", input=RunInput(input_content="Hi"))
    assert Played([Notes(on="input")], run_response=run).out == []
    assert seen == ["Hi", "Hi there", "Hi"]


# Answers that are to be JSON

ESCAPED = "blue\\u0062ird"
ANSWERS = {
    "plain": '{"name": "%s", "notes": ["%s"]}',
    "fenced": '```json\n{"name": "%s", "notes": ["a", "%s"]}\n```',
    "with a key twice": '{"name": "%s", "name": "%s"}',
}


@pytest.mark.parametrize("word", [WORD, ESCAPED], ids=["plain", "escaped"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_object_is_rewritten_leaf_by_leaf_and_stays_one(
    answer: str,
    form: str,
    word: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    for settings in ({"output_schema": Bird}, {"output_schema": Bird, "use_json_mode": True}):
        for guard in (Mask(), MaskPiecewise()):
            portkey_model.guards = (guard,)
            portkey_provider.reply(Reply(ANSWERS[answer] % (word, word), chunk_size=5))
            seen = go(Agent(model=portkey_model, **settings), form)
            assert isinstance(seen.output.content, Bird)
            assert seen.output.content.name == MASK
            assert WORD not in seen.everything
            assert ESCAPED not in seen.everything
        portkey_model.guards = (Whole(),)
        portkey_provider.reply(Reply(ANSWERS[answer] % (word, word), chunk_size=5))
        seen = go(Agent(model=portkey_model, **settings), form)
        assert seen.failed
        assert WORD not in seen.everything


@pytest.mark.parametrize("form", FORMS)
def test_json_within_other_words_hides_nothing(
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """Without the contracts the host looks for the object by itself, and takes escapes off."""
    monkeypatch.setenv("AGNO_PORTKEY_CONTRACTS_MODE", "off")
    portkey_model.guards = (Mask(),)
    portkey_provider.reply(f'The {WORD}: {{"name": "{ESCAPED}"}}. That {WORD}.')
    seen = go(Agent(model=portkey_model, output_schema=Bird, use_json_mode=True), form)
    assert WORD not in seen.everything
    assert seen.output.content == Bird(name=MASK)


@pytest.mark.parametrize("text", [f"no JSON: {WORD}", f"{{{WORD}}}", f"}} {WORD} {{", f"[{WORD}"])
def test_what_is_no_json_is_a_text(text: str) -> None:
    played = Played([Mask()], ModelResponse(content=text), response_format={"type": "json_object"})
    assert played.out[0].content == text.replace(WORD, MASK)


def test_json_that_is_nested_too_deep_is_refused() -> None:
    text = "[" * 5_000 + "]" * 5_000
    played = Played([Mask()], ModelResponse(content=text), response_format=Bird)
    with pytest.raises(OutputBlocked, match="nested"):
        assert played.out
