"""A model's answer while guards hold it: all that a delta can carry, and how it is let go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agno.media import Audio
from agno.models.openai.chat import OpenAIChat
from agno.models.response import ModelResponse
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from pydantic import BaseModel

from agno_portkey.guardrails.messages import in_tool_calls, is_made
from agno_portkey.guardrails.passages import Take, Unreadable, in_json, in_leaves

__all__ = ["Held", "harmless"]

# What may pass at once: it holds nothing of what the model said.
_HARMLESS = ("role", "event", "created_at", "response_usage", "time_to_first_token")
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "reasoning_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
# Everything else that a delta can carry, words and what is taken apart excepted.
_MEDIA = ("images", "videos", "audios", "files")
_OTHERS = (*_MEDIA, "citations", "extra")
# The host can't read a run back whose sound has no content; this is base64, as the provider's.
_SILENCE = b"AAA="
# Providers write what they like in the place of a role or of a count.
_ROLES = (None, "assistant", "model", "tool", "user", "system", "developer")
_SAYS = (str, list, dict)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_CONTROLS = re.compile(r"[\x00-\x1f]")
# What this package itself says of the answer: figures and names, no name with a blank in it.
_OURS = "portkey"


def harmless(delta: ModelResponse) -> ModelResponse | None:
    """What of `delta` may be passed on before a verdict; None if that is nothing."""
    kept = {n: v for n in (*_HARMLESS, *_COUNTS) if (v := getattr(delta, n, None)) is not None}
    if not any(name in kept for name in ("role", "response_usage", *_COUNTS)):
        return None
    return ModelResponse(**kept)


class Held:
    """What is held back of an answer: its words, and whatever came beside them."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self._as_json = as_json
        self._calls: list[Any] = []
        self._redacted: list[str] = []
        self._audio: list[Audio] = []
        self._data: dict[str, list[Any]] = {}
        self._ours: dict[str, list[Any]] = {}
        self._others: list[ModelResponse] = []

    def take(self, delta: ModelResponse) -> None:
        """Hold `delta`, which is taken apart: what came in pieces is looked at as a whole."""
        _keep_figures(delta)
        if isinstance(delta.content, str):
            self.content.append(delta.content)
        elif delta.content is not None:
            raise Unreadable(f"an answer whose content is a {type(delta.content).__name__}")
        if delta.reasoning_content:
            self.reasoning.append(delta.reasoning_content)
        if delta.redacted_reasoning_content:
            self._redacted.append(delta.redacted_reasoning_content)
        if delta.audio is not None:
            self._audio.append(delta.audio)
        self._calls.extend(delta.tool_calls or ())
        for name, value in (delta.provider_data or {}).items():
            # Every chunk of a stream says the same of itself; what differs is looked at as well.
            held = self._ours if name == _OURS else self._data
            if value not in (known := held.setdefault(name, [])):
                known.append(value)
        delta.content = delta.reasoning_content = delta.redacted_reasoning_content = None
        # What the host makes of the words, it makes again.
        delta.parsed = delta.audio = delta.provider_data = None
        delta.tool_calls = []
        if _says_something(delta):
            self._others.append(delta)

    def words(self, take: Take) -> tuple[str, str]:
        """What is held of the reasoning and of the text, as `take` leaves them."""
        reasoning, content = "".join(self.reasoning), "".join(self.content)
        if reasoning:
            reasoning = take(reasoning, "reasoning", "")
        if content:
            content = (_in_answer if self._as_json else _in_text)(content, take)
        return reasoning, content

    def beside(self, take: Take) -> list[ModelResponse]:
        """All else that is held; what is known of the answer, and tool calls, come last."""
        held = self._heard(take)
        known = self._known(take)
        if self._calls or known:
            held.append(ModelResponse(tool_calls=self._asked(take), provider_data=known or None))
        return held

    def _heard(self, take: Take) -> list[ModelResponse]:
        held = [_read(delta, take) for delta in self._others]
        if self._redacted:
            redacted = take("".join(self._redacted), "reasoning", "redacted")
            held.append(ModelResponse(redacted_reasoning_content=redacted))
        return [*held, *(ModelResponse(audio=audio) for audio in self._sound(take))]

    def _known(self, take: Take) -> dict[str, Any]:
        """What is known of the answer, such as its id."""
        known = {name: values[-1] for name, values in self._ours.items()}
        for name, values in self._data.items():
            made = name == "id" and all(map(is_made, values))
            found = values if made else in_leaves(values, take, "data", name)
            known[name] = found[-1]
        return known

    def whole(self, delta: ModelResponse, take: Take) -> None:
        """Put all that is held into `delta`, that of a plain call."""
        delta.reasoning_content, delta.content = (text or None for text in self.words(take))
        for part in self._heard(take):
            for name in ("redacted_reasoning_content", "audio", "citations", "extra"):
                if (value := getattr(part, name)) is not None:
                    setattr(delta, name, value)
        if known := self._known(take):
            delta.provider_data = {**(delta.provider_data or {}), **known}
        if self._calls:
            delta.tool_calls = self._asked(take)

    def _asked(self, take: Take) -> list[Any]:
        if self._calls and isinstance(self._calls[0], dict):
            return in_tool_calls(self._calls, take)
        return [*_joined_calls(self._calls, take)]

    def _sound(self, take: Take) -> list[Audio]:
        said = "".join(audio.transcript or "" for audio in self._audio)
        sounds = [self._called(audio, take) for audio in self._audio]
        if not said or (found := take(said, "transcript", "")) == said:
            return sounds
        # What is heard can't be rewritten: none of it is let go.
        return [sounds[0].model_copy(update={"transcript": found, "content": _SILENCE})]

    def _called(self, audio: Audio, take: Take) -> Audio:
        if not audio.id or is_made(audio.id) or (name := take(audio.id, "data", "id")) == audio.id:
            return audio
        return audio.model_copy(update={"id": name})


def _in_text(text: str, take: Take) -> str:
    return take(text, "assistant", "")


def _in_answer(text: str, take: Take) -> str:
    """The leaves of the JSON in an answer that is to be some, and what stands round it.

    Whoever reads it looks for the JSON in a fence or in other words as well.
    """
    start = min((place for mark in "{[" if (place := text.find(mark)) >= 0), default=-1)
    end = max(text.rfind("}"), text.rfind("]")) + 1
    if start < 0 or end <= start or not _is_json(text[start:end]):
        # The host mends what is no JSON: it takes escapes off and control characters out.
        mended = _CONTROLS.sub("", _ESCAPE.sub(lambda said: chr(int(said.group(1), 16)), text))
        if mended != text and (found := take(mended, "assistant", "")) != mended:
            return found
        return _in_text(text, take)
    round_it = [_in_text(part, take) if part else part for part in (text[:start], text[end:])]
    return round_it[0] + in_json(text[start:end], take, "assistant") + round_it[1]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _keep_figures(delta: ModelResponse) -> None:
    """Take out a role that is none, and counts that are none: they pass before a verdict."""
    if delta.role not in _ROLES:
        delta.role = None
    usage = delta.response_usage
    if usage and any([isinstance(held, _SAYS) for held in vars(usage).values()]):  # noqa: C419
        delta.response_usage = None


def _says_something(delta: ModelResponse) -> bool:
    said = [value for name in _OTHERS if (value := getattr(delta, name)) is not None]
    return any(value not in ([], {}) for value in said)


def _read(delta: ModelResponse, take: Take) -> ModelResponse:
    """`delta` with the texts in it as `take` leaves them."""
    # What passed before the verdict is not said a second time: tokens would be counted twice.
    changed: dict[str, Any] = dict.fromkeys((*_COUNTS, "role", "response_usage"))
    if delta.citations is not None:
        changed["citations"] = _citations(delta.citations, take)
    if delta.extra:
        changed["extra"] = in_leaves(delta.extra, take, "data", "extra")
    for name in _MEDIA:
        if held := getattr(delta, name):
            changed[name] = in_leaves(held, take, "data", name)
    return replace(delta, **changed)


def _citations(citations: Any, take: Take) -> Any:
    plain = citations.model_dump() if isinstance(citations, BaseModel) else citations
    found = in_leaves(plain, take, "citation")
    if found is plain:
        return citations
    return type(citations).model_validate(found) if isinstance(citations, BaseModel) else found


def _joined_calls(pieces: list[Any], take: Take) -> Iterator[ChoiceDeltaToolCall]:
    """Tool calls of a stream, each joined from its pieces as the host joins them."""
    for index, call in enumerate(OpenAIChat.parse_tool_calls(pieces)):
        if call:
            [found] = in_tool_calls([call], take)
            yield ChoiceDeltaToolCall.model_validate({**found, "index": index})
