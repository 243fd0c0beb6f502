"""An answer as it is kept, and as it is given again: in one piece, or as the stream that it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields
from typing import Any

from agno.models.openai import OpenAIChat
from agno.models.response import ModelResponse
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from pydantic import BaseModel

__all__ = ["Collected", "NotKept", "replayed"]

# Ways an answer ends that is whole.
_WHOLE = frozenset({"stop", "end_turn"})
_ASKS_TOOLS = frozenset({"tool_calls", "function_call"})
_WORDS = ("content", "reasoning_content", "redacted_reasoning_content")
# What of a response is no part of its answer.
_NOT_SAID = frozenset(
    {*_WORDS, "role", "event", "created_at", "parsed", "tool_calls", "tool_executions"}
    | {"provider_data", "response_usage", "updated_session_state"}
    | {"input_tokens", "output_tokens", "total_tokens"}
)
_OURS = "portkey"
# Pieces that a long stream is given again in, at most.
_PIECES = 500


class NotKept(Exception):
    """Why an answer is not kept: a word or two, for figures."""


class Collected:
    """Takes an answer's deltas as they pass; `packed` is the whole of it."""

    def __init__(self) -> None:
        self._words: dict[str, list[str]] = {name: [] for name in _WORDS}
        self._calls: list[Any] = []
        self._data: dict[str, Any] = {}
        self._odd = ""
        self.tokens, self.cost = 0, 0.0

    def take(self, delta: ModelResponse) -> None:
        for name in _WORDS:
            said = getattr(delta, name)
            if isinstance(said, str):
                self._words[name].append(said)
            elif said is not None:
                self._odd = self._odd or f"its {name} is a {type(said).__name__}"
        # As they are now: layers round this one may change them.
        self._calls.extend(deepcopy(delta.tool_calls or []))
        self._data.update(delta.provider_data or {})
        if (usage := delta.response_usage) is not None:
            self.tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            self.cost = usage.cost or 0.0
        for each in fields(delta):
            if each.name not in _NOT_SAID and getattr(delta, each.name) not in (None, [], {}):
                self._odd = self._odd or each.name

    @property
    def text(self) -> str:
        return "".join(self._words["content"])

    @property
    def texts(self) -> list[str]:
        """All that is said in it, for whoever looks for what must not be kept."""
        said = ["".join(pieces) for pieces in self._words.values()]
        return [*filter(None, said), *map(_plain_json, self._whole_calls())]

    def _whole_calls(self) -> list[Any]:
        """The tool calls, each whole: a stream's come in pieces, which the host joins."""
        if self._calls and isinstance(self._calls[0], dict):
            return self._calls
        return [call for call in OpenAIChat.parse_tool_calls(self._calls) if call]

    def packed(self, *, tool_calls: bool) -> str:
        """The answer as JSON; raises NotKept for one that is not whole, or is not to be kept."""
        about = self._data.get(_OURS) or {}
        reason = about.get("finish_reason")
        if about.get("refused"):
            raise NotKept("refused")
        if self._calls or reason in _ASKS_TOOLS:
            if not tool_calls or reason not in _ASKS_TOOLS | _WHOLE:
                raise NotKept("tool calls")
        elif reason not in _WHOLE:
            raise NotKept("not whole")
        if self._odd:
            raise NotKept(f"holds {self._odd}")
        if not self._calls and not self.text.strip():
            raise NotKept("empty")
        said = {
            "said": {name: _in_pieces(pieces) for name, pieces in self._words.items() if pieces},
            "calls": self._whole_calls(),
            "data": {name: _plain(value) for name, value in self._data.items() if name != _OURS},
            "about": {name: about.get(name) for name in ("model", "provider", "finish_reason")},
        }
        try:
            return json.dumps(said)
        except (TypeError, ValueError):
            raise NotKept("holds what is no JSON") from None


def _in_pieces(pieces: list[str]) -> list[str]:
    whole = [piece for piece in pieces if piece]
    if len(whole) <= _PIECES:
        return whole
    return [*whole[: _PIECES - 1], "".join(whole[_PIECES - 1 :])]


def _plain(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value


def _plain_json(value: Any) -> str:
    return json.dumps(_plain(value), default=repr, ensure_ascii=False)


def replayed(packed: str, *, stream: bool, told: dict[str, Any]) -> Iterator[ModelResponse]:
    """The deltas of a kept answer; `told` is what is known of its being one.

    Raises ValueError, KeyError or TypeError for what was never packed here.
    """
    kept = json.loads(packed)
    said: dict[str, list[str]] = {name: kept["said"].get(name, []) for name in _WORDS}
    calls, about = kept["calls"], {**kept["about"], **told}
    # A plain answer's calls are mappings, a stream's are deltas.
    asked: list[Any] = [
        ChoiceDeltaToolCall.model_validate({**call, "index": index})
        if stream
        else {name: value for name, value in call.items() if name != "index"}
        for index, call in enumerate(calls)
    ]
    data = {**kept["data"], _OURS: about}
    whole: dict[str, Any] = {name: "".join(pieces) or None for name, pieces in said.items()}
    if not stream:
        yield ModelResponse(**whole, tool_calls=asked, provider_data=data)
        return
    for name in ("reasoning_content", "redacted_reasoning_content", "content"):
        for piece in said[name]:
            delta = ModelResponse(provider_data={_OURS: about})
            setattr(delta, name, piece)
            yield delta
    yield ModelResponse(tool_calls=asked, provider_data=data)
