"""A word that a guard does not let through reaches nobody, in whatever channel a model says it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from four_forms import FORMS
from gathered import (
    MASK,
    WORD,
    Mask,
    MaskPiecewise,
    Piecewise,
    Whole,
    agent,
    both_streams,
    go,
    stored,
)

from agno_portkey.errors import OutputBlocked
from agno_portkey.guardrails import Guard, raise_on_block
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

SOUND = "c291bmQ="
# As the host writes it.
HEARD = b64encode(SOUND.encode()).decode()
SAID = "The plan is called bluebird by us."


def _citation(said: str) -> list[dict[str, Any]]:
    cited = {"url": f"https://example.com/{said}", "title": said, "start_index": 0, "end_index": 1}
    return [{"type": "url_citation", "url_citation": cited}]


def _audio(said: str) -> dict[str, Any]:
    return {"id": "audio_1", "data": SOUND, "expires_at": 1, "transcript": said}


CHANNELS: dict[str, Callable[[str], Reply]] = {
    "text": lambda said: Reply(f"Well. {said}"),
    "thoughts": lambda said: Reply("Well.", reasoning=f"First. {said}"),
    "thoughts alone": lambda said: Reply("", reasoning=said),
    "thoughts under their other name": lambda said: Reply("Well.", extra={"reasoning": said}),
    "think tags": lambda said: Reply(f"<think>{said}</think>Well."),
    "a think tag that does not end": lambda said: Reply(f"<think>{said}"),
    "annotations": lambda said: Reply("Well.", extra={"annotations": _citation(said)}),
    "audio": lambda said: Reply(None, refusal=None, extra={"audio": _audio(said)}),
    "audio beside text": lambda said: Reply("Well.", extra={"audio": _audio(said)}),
    "fields beside the choices": lambda said: Reply("Well.", body_extra={"search_results": [said]}),
    "a key of such a field": lambda said: Reply("Well.", body_extra={"found": {said: 1}}),
    "the fingerprint": lambda said: Reply("Well.", body_extra={"system_fingerprint": said}),
    "the answer's id": lambda said: Reply("Well.", body_extra={"id": said}),
    "the sound's id": lambda said: Reply("Well.", extra={"audio": {**_audio("Well."), "id": said}}),
    "refusal": lambda said: Reply(None, refusal=said),
    "refusal beside text": lambda said: Reply("Well.", refusal=said),
    "log-probabilities": lambda said: Reply(
        "Well.",
        logprobs={"content": [{"token": said, "logprob": 0.0, "bytes": [], "top_logprobs": []}]},
    ),
    "a field of the message that nobody knows": lambda said: Reply("Well.", extra={"gossip": said}),
}
# The host does not look at these: there is nothing to be blocked, and nothing may be seen.
UNREAD = ("refusal", "refusal beside text", "log-probabilities")
UNREAD += ("a field of the message that nobody knows",)
# Nothing of these is asked about: in their place stands a name, a role, a count, or nothing.
NO_WORDS: dict[str, Callable[[str], Reply]] = {
    "the model": lambda said: Reply("Well.", model=said),
    "the finish reason": lambda said: Reply("Well.", finish_reason=said),
    "the role": lambda said: Reply("Well.", extra={"role": said}),
    "the cost": lambda said: Reply("Well.", body_extra={"usage": {**USAGE, "cost": said}}),
    "a header": lambda said: Reply("Well.", headers={"x-portkey-trace-id": said}),
}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


@pytest.mark.parametrize(("guard", "form"), both_streams(Whole, Piecewise))
def test_a_blocked_word_reaches_nobody(
    form: str,
    guard: type[Guard],
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    for channel, reply in CHANNELS.items():
        portkey_provider.reply(reply(SAID))
        asked = agent(portkey_model)
        seen = go(asked, form)
        assert WORD not in seen.everything, channel
        assert WORD not in stored(asked.db), channel
        assert seen.failed == (channel not in UNREAD), channel
        if seen.failed:
            with pytest.raises(OutputBlocked, match="a secret project is named"):
                raise_on_block(seen.last)


@pytest.mark.parametrize(("guard", "form"), both_streams(Mask, MaskPiecewise))
def test_a_rewritten_word_reaches_nobody(
    form: str,
    guard: type[Guard],
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    for channel, reply in CHANNELS.items():
        portkey_provider.reply(reply(SAID))
        asked = agent(portkey_model)
        seen = go(asked, form)
        assert not seen.failed, channel
        assert WORD not in seen.everything, channel
        assert WORD not in stored(asked.db), channel
        if channel not in UNREAD:
            assert MASK in seen.everything, channel
            assert MASK in stored(asked.db), channel
        # What is heard can't be rewritten.
        if channel.startswith("audio"):
            assert HEARD not in seen.everything + stored(asked.db), channel


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channel", NO_WORDS)
def test_where_no_words_are_due_there_are_none(
    channel: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(),)
    portkey_provider.reply(NO_WORDS[channel](SAID))
    asked = agent(portkey_model)
    seen = go(asked, form)
    assert not seen.failed
    assert seen.output.content == "Well."
    assert WORD not in seen.everything + stored(asked.db)


@pytest.mark.parametrize("form", FORMS)
def test_without_a_guard_every_channel_is_really_there(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """Else the tests above would show nothing."""
    for channel, reply in CHANNELS.items():
        portkey_provider.reply(reply(SAID))
        seen = go(agent(portkey_model), form)
        assert (WORD in seen.everything) == (channel not in UNREAD), channel
        assert (HEARD in seen.everything) == channel.startswith(("audio", "the sound")), channel


# Tools


@pytest.mark.parametrize(("guard", "form"), both_streams(Whole, Piecewise))
@pytest.mark.parametrize(
    "call",
    [
        ToolCall("find", {"what": SAID}),
        ToolCall("find", '{"what": "blue\\u0062ird"}'),
        ToolCall("find", f'{{"what": "{WORD}", "what": "x"}}'),
        ToolCall("find", {"what": {"deep": [1, {WORD: 2}]}}),
        ToolCall("find", f"{WORD} and no JSON"),
        ToolCall(WORD, {}),
    ],
    ids=["argument", "escaped", "twice", "key", "no JSON", "name"],
)
def test_a_tool_is_not_run_with_blocked_arguments(
    call: ToolCall,
    form: str,
    guard: type[Guard],
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    ran: list[Any] = []

    def find(what: Any) -> str:
        """Find something."""
        ran.append(what)
        return "found"

    portkey_model.guards = (guard(),)
    portkey_provider.reply(Reply("I look.", tool_calls=(call,)))
    asked = agent(portkey_model, tools=[find])
    seen = go(asked, form)
    assert seen.failed
    assert ran == []
    assert len(portkey_provider.calls) == 1
    assert WORD not in seen.everything
    assert WORD not in stored(asked.db)


@pytest.mark.parametrize(("guard", "form"), both_streams(Mask, MaskPiecewise))
def test_a_tool_is_run_with_rewritten_arguments(
    form: str,
    guard: type[Guard],
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    ran: list[Any] = []

    def find(what: str, who: str = "") -> str:
        """Find something."""
        ran.append((what, who))
        return f"found the {WORD}"

    portkey_model.guards = (guard(),)
    calls = ToolCall("find", {"what": SAID}), ToolCall("find", {"what": "x", "who": WORD})
    portkey_provider.reply(Reply(f"I look for {WORD}. ", tool_calls=calls, chunk_size=3))
    portkey_provider.reply(f"It is {WORD}.")
    asked = agent(portkey_model, tools=[find])
    seen = go(asked, form)
    assert not seen.failed
    assert sorted(ran) == sorted([(SAID.replace(WORD, MASK), ""), ("x", MASK)])
    assert WORD not in json.dumps([request.body for request in portkey_provider.calls])
    assert seen.output.content == f"I look for {MASK}. It is {MASK}."
    # A tool's own result is shown as it is: it is no answer of a model.
    assert WORD not in stored(asked.db)


@pytest.mark.parametrize("form", FORMS)
def test_several_calls_of_one_answer_stay_apart(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    ran: list[str] = []

    def first(what: str) -> str:
        """One."""
        ran.append(f"first {what}")
        return "1"

    def second(what: str) -> str:
        """Two."""
        ran.append(f"second {what}")
        return "2"

    portkey_model.guards = (Mask(), Whole())
    calls = [ToolCall(n, {"what": f"{n} {WORD}"}, id=f"c{n}") for n in ("first", "second", "first")]
    portkey_provider.reply(Reply(tool_calls=calls, chunk_size=2))
    portkey_provider.reply("Done.")
    seen = go(agent(portkey_model, tools=[first, second]), form)
    assert seen.output.content == "Done."
    assert sorted(ran) == sorted(f"{n} {n} {MASK}" for n in ("first", "second", "first"))
    [asked] = [m for m in portkey_provider.calls[1].messages if m.get("tool_calls")]
    told = [call["function"] for call in asked["tool_calls"]]
    assert [(each["name"], json.loads(each["arguments"])["what"]) for each in told] == [
        (name, f"{name} {MASK}") for name in ("first", "second", "first")
    ]
