"""Every field in which the host may carry a text to a provider, or from one to a consumer.

A field that an upgrade adds is in none of the lists here: look at it, or say why not.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest
from agno.media import Audio, File, Image, Video
from agno.metrics import MessageMetrics
from agno.models.message import Citations, Message, UrlCitation
from agno.models.openai import OpenAIChat
from agno.models.response import ModelResponse, ToolExecution

from agno_portkey.calls import Call
from agno_portkey.drivers import Owned, SyncIO, drive
from agno_portkey.errors import OutputBlocked
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.guardrails.media import in_media
from agno_portkey.guardrails.messages import in_message

WORD = "bluebird"
DATA = b"\xff\x00"


class Whole(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("the word") if WORD in passage.text else None


def found(read: Any, held: Any) -> bool:
    """Whether the word is among what a guard would be asked about."""
    texts: list[str] = []
    read(held, lambda text, source, path: texts.append(text) or text)
    return any(WORD in text for text in texts)


# Messages, on their way to the provider

SENT: dict[str, Any] = {
    "content": WORD,
    "compressed_content": WORD,
    "name": WORD,
    "tool_call_id": WORD,
    "tool_calls": [{"id": WORD, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    "images": [Image(url=f"https://example.com/{WORD}")],
    "audio": [Audio(url=f"https://example.com/{WORD}")],
    "files": [File(content=DATA, filename=WORD)],
    # Its id alone is sent.
    "audio_output": Audio(id=WORD, content=DATA),
}
NAMED = "names a record of the host's"
ANSWER = "what a model made; it was looked at as an answer, and is not sent again"
RECORD = "of the host's own record of a call: figures and flags, or said elsewhere too"
NOT_SENT: dict[str, tuple[str, Any]] = {
    "id": (NAMED, WORD),
    "role": ("one of the host's roles; it fails to send another", None),
    "videos": ("no provider is sent any by this host's model", [Video(url=f"https://{WORD}")]),
    "image_output": (ANSWER, Image(url=f"https://example.com/{WORD}")),
    "video_output": (ANSWER, Video(url=f"https://example.com/{WORD}")),
    "file_output": (ANSWER, File(content=DATA, filename=WORD)),
    "redacted_reasoning_content": (ANSWER, WORD),
    "reasoning_content": (ANSWER, WORD),
    "citations": (ANSWER, Citations(urls=[UrlCitation(url=WORD)])),
    "provider_data": (ANSWER, {"x": WORD}),
    "tool_name": (RECORD, WORD),
    "tool_args": (RECORD, {"x": WORD}),
    "tool_call_error": (RECORD, True),
    "stop_after_tool_call": (RECORD, True),
    "add_to_agent_memory": (RECORD, True),
    "from_history": (RECORD, True),
    "metrics": (RECORD, MessageMetrics()),
    "references": ("what the content was made of; the layer looks at the run's own", None),
    "created_at": (RECORD, 1),
    "temporary": (RECORD, True),
    "checkpoint_status": (RECORD, WORD),
    "checkpoint_created_at": (RECORD, 1),
}


def test_every_field_of_a_message_is_known() -> None:
    assert set(Message.model_fields) == {*SENT, *NOT_SENT}


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_of_a_message_is_looked_at(name: str) -> None:
    assert found(in_message, Message(**{"role": "user", "content": "Hi", name: SENT[name]}))


@pytest.mark.parametrize("name", NOT_SENT)
def test_what_is_not_looked_at_is_not_sent(name: str) -> None:
    held = NOT_SENT[name][1]
    if held is None:
        return
    message = Message(**{"role": "user", "content": "Hi", name: held})
    for compressed in (True, False):
        sent = OpenAIChat()._format_all_messages([message], compressed)
        assert WORD not in json.dumps(sent, default=str)


def test_of_a_sound_that_a_provider_made_its_id_alone_is_sent() -> None:
    sound = Audio(id="audio_1", content=DATA, transcript=WORD, mime_type=WORD)
    [sent] = OpenAIChat()._format_all_messages([Message(role="assistant", audio_output=sound)])
    assert sent["audio"] == {"id": "audio_1"}
    assert WORD not in json.dumps(sent, default=str)


def test_a_role_that_is_none_is_not_sent() -> None:
    with pytest.raises(KeyError):
        OpenAIChat()._format_all_messages([Message(role=WORD, content="Hi")])


# Pictures, sound, films and files

MEDIA: dict[Any, dict[str, Any]] = {
    Image: {
        "url": WORD,
        "format": WORD,
        "mime_type": WORD,
        "detail": WORD,
        "original_prompt": WORD,
        "revised_prompt": WORD,
        "alt_text": WORD,
    },
    Audio: {"url": WORD, "format": WORD, "mime_type": WORD, "transcript": WORD},
    Video: {
        "url": WORD,
        "format": WORD,
        "mime_type": WORD,
        "original_prompt": WORD,
        "revised_prompt": WORD,
    },
    File: {
        "url": WORD,
        "format": WORD,
        "mime_type": WORD,
        "content": WORD.encode(),
        "file_type": WORD,
        "filename": WORD,
        "name": WORD,
    },
}
PLACE = "where it is kept: what is read from there is looked at, or can't be"
FIGURE = "a figure or a flag"
NO_MEDIA_TEXT = {
    "id": NAMED,
    "filepath": PLACE,
    "media_reference": PLACE,
    "external": "an object of another provider's client",
    "content": "what a picture shows, or a sound says: nobody can look into it",
    "metadata": "the application's own; it is not sent, and no model makes it",
    **dict.fromkeys(
        (
            "duration",
            "sample_rate",
            "channels",
            "expires_at",
            "width",
            "height",
            "fps",
            "eta",
            "size",
            "citations",
        ),
        FIGURE,
    ),
}


@pytest.mark.parametrize("kind", MEDIA)
def test_every_field_of_a_medium_is_known(kind: Any) -> None:
    looked_at = MEDIA[kind]
    assert set(kind.model_fields) - {*looked_at} <= {*NO_MEDIA_TEXT}
    for name, held in looked_at.items():
        medium = kind(id="x1", content=DATA).model_copy(update={name: held})
        assert found(lambda m, take: in_media(m, take, "user"), medium), name


# Answers, on their way to the consumer


def out_of(delta: ModelResponse, *, stream: bool) -> list[ModelResponse]:
    """What a guard on the word lets through of an answer."""

    async def answer(call: Call) -> Any:
        yield delta

    call = Call([Message(role="user", content="Hi")], Message(role="assistant"), stream=stream)
    layer = guard_layer([Whole()])
    return [*drive(layer(call, SyncIO(), lambda sent: Owned(answer(sent))))]


CALLED = {"id": WORD, "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOLD: dict[str, Any] = {
    "content": WORD,
    "audio": Audio(id="a1", content=DATA, transcript=WORD),
    "images": [Image(url=WORD)],
    "videos": [Video(url=WORD)],
    "audios": [Audio(content=DATA, transcript=WORD)],
    "files": [File(content=WORD.encode())],
    "tool_calls": [CALLED],
    "provider_data": {"id": WORD},
    "redacted_reasoning_content": WORD,
    "reasoning_content": WORD,
    "citations": Citations(urls=[UrlCitation(url=WORD)]),
    "extra": {"x": WORD},
}
# In a stream a call is a client's object; a document's are plain data.
PLAIN = ("tool_calls",)
COUNT = "a figure"
AGAIN = "made of the words by the host, which makes it again"
HOSTS = "the host's own: no parser of an answer sets it"
NOT_TOLD: dict[str, tuple[str, Any]] = {
    "role": ("one of the known ones, or left out", WORD),
    "parsed": (AGAIN, WORD),
    "response_usage": (COUNT, MessageMetrics(input_tokens=WORD)),  # type: ignore[arg-type]
}
NEVER_SET = {
    "tool_executions": HOSTS,
    "event": HOSTS,
    "created_at": HOSTS,
    "updated_session_state": HOSTS,
    "compression_stats": HOSTS,
    "time_to_first_token": HOSTS,
    **dict.fromkeys(
        (
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "reasoning_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
        ),
        HOSTS,
    ),
}


def test_every_field_of_an_answer_is_known() -> None:
    names = {field.name for field in dataclasses.fields(ModelResponse)}
    assert names == {*TOLD, *NOT_TOLD, *NEVER_SET}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told_of_an_answer_is_looked_at(name: str) -> None:
    for stream in (False, True):
        if stream and name in PLAIN:
            continue
        with pytest.raises(OutputBlocked):
            out_of(ModelResponse(**{name: TOLD[name]}), stream=stream)


@pytest.mark.parametrize("name", NOT_TOLD)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_looked_at_is_not_told(name: str, stream: bool) -> None:
    told = out_of(ModelResponse(content="Hi", **{name: NOT_TOLD[name][1]}), stream=stream)
    assert WORD not in repr(told)


def test_what_the_host_sets_itself_no_parser_sets() -> None:
    parsers = (OpenAIChat._parse_provider_response, OpenAIChat._parse_provider_response_delta)
    for parser in parsers:
        source = inspect.getsource(parser)
        for name in NEVER_SET:
            assert f"model_response.{name} " not in source
            assert f"{name}=" not in source


# What a call is made of

ARGUMENTS = {
    "messages": "looked at",
    "response_format": "looked at",
    "tools": "looked at",
    "tool_choice": "looked at",
    "assistant_message": "where the host notes what comes back; it is empty",
    "run_response": "looked at as far as messages are made of it: its input, what was filled in",
    "compress_tool_results": "whether the compressed content is sent: both are looked at",
}


def test_every_argument_of_a_call_is_known() -> None:
    assert set(inspect.signature(OpenAIChat.invoke).parameters) == {"self", *ARGUMENTS}
    ours = {
        "stream",
        "fields",
        "target",
        "partials",
        "verbatim",
        "fresh",
        "guarded",
        "spent",
        "pending",
        "span",
    }
    assert {field.name for field in dataclasses.fields(Call)} == {*ARGUMENTS, *ours}


def test_all_else_that_is_sent_is_a_setting_of_the_model() -> None:
    """Whoever builds the model writes those; nothing of a run is in them."""
    model = OpenAIChat()
    for field in dataclasses.fields(model):
        if getattr(model, field.name) is None:
            setattr(model, field.name, f"set: {field.name}")
    model.extra_body, model.request_params = {"x": 1}, {"y": 1}
    params = model.get_request_params(run_response=None)
    settings = {field.name for field in dataclasses.fields(model)}
    assert set(params) - {"y"} <= settings


# What waits for a person, who may fill it in or change it

WAITING = {
    "tool_args": "looked at in front of the tool",
    "result": "looked at as the message that it becomes",
    "confirmation_note": "looked at as the message that it becomes",
    "user_input_schema": "its values are looked at, in front of the tool and beside the messages",
    "user_feedback_schema": "what was chosen is looked at beside the messages",
}
RECORDED = {
    "tool_call_id": NAMED,
    "tool_name": "a name of the application's: another one is not found",
    "child_run_id": NAMED,
    "approval_id": NAMED,
    "parent_tool_call_id": NAMED,
    "approval_type": "one of the host's words",
    **dict.fromkeys(
        (
            "tool_call_error",
            "metrics",
            "stop_after_tool_call",
            "created_at",
            "requires_confirmation",
            "confirmed",
            "requires_user_input",
            "answered",
            "external_execution_required",
            "external_execution_silent",
        ),
        FIGURE,
    ),
}


def test_every_field_of_a_tool_call_that_waits_is_known() -> None:
    names = {field.name for field in dataclasses.fields(ToolExecution)}
    assert names == {*WAITING, *RECORDED}
