"""What the embedded provider says: replies, and their form as OpenAI's JSON and SSE chunks."""

from __future__ import annotations

import json
import math
import re
import time
from array import array
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel

from agno_portkey.errors import ConfigurationError
from agno_portkey.testing.faults import EVENT_STREAM, Answer, require_seconds

__all__ = ["Completion", "Reply", "ToolCall", "Usage", "embeddings", "tokens"]

_ARGUMENT_PIECE = 12


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` as text are sent as they are, broken or not."""

    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict)
    id: str | None = None

    @property
    def arguments_json(self) -> str:
        """The arguments as they go over the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Usage:
    """Counted tokens; `cached_tokens` and `reasoning_tokens` are part of the two others."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def as_dict(self) -> dict[str, object]:
        """The usage in OpenAI's form."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model.

    A stream sends `text` by words, by `chunk_size` characters, or as the given `chunks`.
    `delay` (before the headers) and `token_delay` (between chunks) are seconds. What is left
    out follows from the request: model, usage (a token is four characters), finish reason.
    `extra` are more fields of the message (annotations, audio), in a stream a delta of their own
    behind the text; `body_extra` more fields beside the choices, in a stream of every chunk;
    `logprobs` the choice's.
    """

    text: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    model: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    delay: float = 0.0
    token_delay: float = 0.0
    chunk_size: int | None = None
    chunks: Sequence[str] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: Mapping[str, object] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    body_extra: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("delay", "token_delay"):
            require_seconds(name, getattr(self, name))
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ConfigurationError(f"chunk_size: must be at least 1, not {self.chunk_size}")
        if self.chunks is not None:
            joined = "".join(self.chunks)
            if self.text is not None and self.text != joined:
                raise ConfigurationError("chunks: joined, they must be the text")
            object.__setattr__(self, "text", joined)

    @classmethod
    def of(cls, value: str | BaseModel | Mapping[str, object] | Reply) -> Reply:
        """A reply that says `value`: text as it is, a model or mapping as its JSON."""
        match value:
            case Reply():
                return value
            case str():
                return cls(value)
            case BaseModel():
                return cls(value.model_dump_json(by_alias=True))
            case Mapping():
                return cls(json.dumps(dict(value)))
        raise ConfigurationError(f"answer: cannot reply with a {type(value).__name__}")

    def text_chunks(self) -> list[str]:
        """The text as it is streamed."""
        if self.chunks is not None:
            return list(self.chunks)
        if self.chunk_size is None:
            return re.findall(r"\S+\s*|\s+", self.text or "")
        return _split(self.text or "", self.chunk_size)


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply to one request, ready to be rendered; `prompt` is the text the model was sent."""

    reply: Reply
    model: str
    prompt: str
    serial: int
    include_usage: bool = False

    def whole(self) -> Answer:
        """The completion as one JSON document."""
        message: dict[str, object] = {"role": "assistant", "content": self._content()}
        message |= _present(refusal=self.reply.refusal, reasoning_content=self.reply.reasoning)
        message |= self.reply.extra
        if self.reply.tool_calls:
            message["tool_calls"] = [
                _call(call, self._call_id(index), call.arguments_json)
                for index, call in enumerate(self.reply.tool_calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self._finish()}
        choice["logprobs"] = self.reply.logprobs
        body = self._frame("chat.completion", [choice]) | {"usage": self._usage().as_dict()}
        return Answer.of_json(body, headers=self.reply.headers, delay=self.reply.delay)

    def streamed(self) -> Answer:
        """The completion as server-sent events."""
        closing = [self._event({}, finish=self._finish())]
        if self.include_usage:
            usage = self._frame("chat.completion.chunk", []) | {"usage": self._usage().as_dict()}
            closing.append(_sse(usage))
        return Answer(
            tuple(self._event(delta) for delta in self._deltas()),
            (*closing, b"data: [DONE]\n\n"),
            content_type=EVENT_STREAM,
            headers={"cache-control": "no-cache", **self.reply.headers},
            delay=self.reply.delay,
            token_delay=self.reply.token_delay,
        )

    def _deltas(self) -> Iterator[dict[str, object]]:
        reply = self.reply
        yield {"role": "assistant", "content": None if self._content() is None else ""}
        if reply.reasoning:
            yield {"reasoning_content": reply.reasoning}
        if reply.refusal:
            yield {"refusal": reply.refusal}
        for text in reply.text_chunks():
            yield {"content": text}
        if reply.extra:
            yield dict(reply.extra)
        for index, call in enumerate(reply.tool_calls):
            yield {"tool_calls": [{"index": index, **_call(call, self._call_id(index), "")}]}
            for piece in _split(call.arguments_json, reply.chunk_size or _ARGUMENT_PIECE):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _event(self, delta: dict[str, object], *, finish: str | None = None) -> bytes:
        logprobs = self.reply.logprobs if delta.get("content") else None
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        frame = self._frame("chat.completion.chunk", [choice])
        return _sse(frame | {"usage": None} if self.include_usage else frame)

    def _frame(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{self.serial}",
            "object": kind,
            "created": int(time.time()),
            "model": self.reply.model or self.model,
            "choices": choices,
            **self.reply.body_extra,
        }

    def _call_id(self, index: int) -> str:
        return self.reply.tool_calls[index].id or f"call_{self.serial}_{index}"

    def _content(self) -> str | None:
        if self.reply.text is None and (self.reply.tool_calls or self.reply.refusal):
            return None
        return self.reply.text or ""

    def _finish(self) -> str:
        return self.reply.finish_reason or ("tool_calls" if self.reply.tool_calls else "stop")

    def _usage(self) -> Usage:
        said = [self.reply.text, self.reply.reasoning, self.reply.refusal]
        said += [call.name + call.arguments_json for call in self.reply.tool_calls]
        estimate = Usage(tokens(self.prompt), tokens("".join(text for text in said if text)))
        return self.reply.usage or estimate


def embeddings(texts: Sequence[str], *, model: str, dimensions: int, base64: bool) -> Answer:
    """Unit vectors in OpenAI's form; equal texts have equal vectors, shared words near ones."""
    data = []
    for index, text in enumerate(texts):
        vector = _vector(text, dimensions)
        packed: object = b64encode(vector.tobytes()).decode() if base64 else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": packed})
    used = sum(tokens(text) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return Answer.of_json({"object": "list", "model": model, "data": data, "usage": usage})


def tokens(text: str) -> int:
    """The estimate of tokens: one for four characters, rounded up."""
    return math.ceil(len(text) / 4)


def _sse(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _vector(text: str, dimensions: int) -> array[float]:
    # Each word adds or takes one at eight places that its hash names.
    sums = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        for start in range(0, 32, 4):
            place = int.from_bytes(digest[start : start + 4], "little")
            sums[(place >> 1) % dimensions] += 1.0 if place & 1 else -1.0
    norm = math.hypot(*sums)
    if norm == 0:
        return array("f", [1.0] + [0.0] * (dimensions - 1))
    return array("f", [value / norm for value in sums])


def _call(call: ToolCall, call_id: str, arguments: str) -> dict[str, object]:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _present(**fields: str | None) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _split(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
