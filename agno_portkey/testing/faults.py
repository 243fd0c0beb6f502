"""Faults on demand: what goes wrong with an answer, as a script for the wire."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agno_portkey.errors import ConfigurationError
from agno_portkey.testing.steps import End, Hang, Hangup, Head, Pause, Reset, Step

__all__ = ["Answer", "Fault", "error_answer", "require_seconds", "script"]

EVENT_STREAM = "text/event-stream"

_Kind: TypeAlias = Literal[
    "answer",
    "reset",
    "silence",
    "slow_first_token",
    "cut",
    "clean_cut",
    "stall",
    "malformed_chunk",
    "error_chunk",
    "no_done",
    "outage",
]

_ERROR_TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    429: ("requests", "rate_limit_exceeded"),
}
_BROKEN = b'{"id": broken'


@dataclass(frozen=True, slots=True)
class Answer:
    """A response ready to send, in parts between which a fault can break it.

    The parts of a stream are its events up to the finish; `closing` holds the rest.
    """

    parts: tuple[bytes, ...]
    closing: tuple[bytes, ...] = ()
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    token_delay: float = 0.0

    @property
    def streamed(self) -> bool:
        return self.content_type == EVENT_STREAM

    @classmethod
    def of_json(
        cls,
        body: object,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
    ) -> Answer:
        """A JSON document."""
        return cls((json.dumps(body).encode(),), (), status, headers=headers or {}, delay=delay)

    def first(self, share: float) -> tuple[bytes, ...]:
        """The first parts of a stream, or bytes of a document, never more than `share`."""
        if self.streamed:
            return self.parts[: _portion(len(self.parts), share)]
        document = b"".join(self.parts)
        return (document[: _portion(len(document), share)],)


def error_answer(
    status: int,
    message: str,
    *,
    type: str | None = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return Answer.of_json({"error": error}, status=status, headers=headers)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong; made by the class methods.

    `after` is the share of the answer that still arrives, in 0-1. A fault either `replaces`
    the answer, which then stays in the queue, or damages it on its way.
    """

    kind: _Kind
    after: float = 0.0
    seconds: float = 0.0
    answer: Answer | None = None

    def __post_init__(self) -> None:
        require_seconds("seconds", self.seconds)
        if not 0 <= self.after <= 1:
            raise ConfigurationError(f"after: must be a share in 0-1, not {self.after}")

    @property
    def replaces(self) -> bool:
        return self.kind in ("answer", "reset", "silence", "outage")

    @classmethod
    def status(
        cls,
        code: int,
        *,
        retry_after: float | None = None,
        message: str | None = None,
        code_str: str | None = None,
        type: str | None = None,
    ) -> Fault:
        """An error status, 400-599, in OpenAI's shape; `retry_after` is in seconds."""
        if not 400 <= code <= 599:
            raise ConfigurationError(f"code: must be a status in 400-599, not {code}")
        headers = {}
        if retry_after is not None:
            require_seconds("retry_after", retry_after)
            headers["retry-after"] = f"{retry_after:g}"
        usual = "server_error" if code >= 500 else "invalid_request_error"
        default_type, default_code = _ERROR_TYPES.get(code, (usual, None))
        answer = error_answer(
            code,
            message or f"Fault on demand: {code}",
            type=type or default_type,
            code=code_str or default_code,
            headers=headers,
        )
        return cls("answer", answer=answer)

    @classmethod
    def reset(cls) -> Fault:
        """A TCP RST before any header."""
        return cls("reset")

    @classmethod
    def silence(cls) -> Fault:
        """The request is read and never answered."""
        return cls("silence")

    @classmethod
    def slow_first_token(cls, seconds: float) -> Fault:
        """Headers at once and the first event later; a document comes later as a whole."""
        return cls("slow_first_token", seconds=seconds)

    @classmethod
    def cut(cls, after: float = 2 / 3, *, clean: bool = False) -> Fault:
        """The connection closes amid the body.

        A `clean` cut ends the message properly: a stream without finish reason and `[DONE]`,
        a document that stops amid its JSON.
        """
        return cls("clean_cut" if clean else "cut", after=after)

    @classmethod
    def stall(cls, after: float = 2 / 3) -> Fault:
        """The connection stays open amid the body, and nothing more comes."""
        return cls("stall", after=after)

    @classmethod
    def malformed_chunk(cls, after: float = 1 / 2) -> Fault:
        """One event of a stream is no JSON, the others follow; a document ends as no JSON."""
        return cls("malformed_chunk", after=after)

    @classmethod
    def error_chunk(
        cls,
        after: float = 1 / 2,
        *,
        message: str = "The server had an error while processing your request.",
        code: str | None = None,
    ) -> Fault:
        """An error takes the place of the rest of a stream; a document becomes a 500."""
        answer = error_answer(500, message, type="server_error", code=code)
        return cls("error_chunk", after=after, answer=answer)

    @classmethod
    def no_done(cls) -> Fault:
        """A stream lacks its `[DONE]`; a document arrives whole."""
        return cls("no_done")

    @classmethod
    def html(cls) -> Fault:
        """A page of HTML with status 200, as a proxy's login page."""
        page = b"<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>"
        return cls("answer", answer=Answer((page,), content_type="text/html; charset=utf-8"))

    @classmethod
    def no_choices(cls) -> Fault:
        """A JSON document with status 200 that has no choices, streamed or not."""
        body = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": "none"}
        return cls("answer", answer=Answer.of_json(body))

    @classmethod
    def context_overflow(cls) -> Fault:
        """400: the prompt is longer than the model's context window."""
        message = (
            "This model's maximum context length is 8192 tokens. However, your messages "
            "resulted in 9000 tokens. Please reduce the length of the messages."
        )
        code = "context_length_exceeded"
        return cls("answer", answer=error_answer(400, message, code=code, param="messages"))

    @classmethod
    def content_filter(cls) -> Fault:
        """400: the provider's content filter refuses the prompt."""
        message = "The prompt was refused by the provider's content filter."
        code = "content_filter"
        return cls("answer", answer=error_answer(400, message, code=code, param="prompt"))

    @classmethod
    def outage(cls, seconds: float) -> Fault:
        """503 for every request, for some seconds from the first one on."""
        message = "The service is unavailable."
        answer = error_answer(503, message, type="server_error", code="service_unavailable")
        return cls("outage", seconds=seconds, answer=answer)


def script(answer: Answer | None, fault: Fault | None) -> list[Step]:
    """What happens on the wire; a fault that replaces the answer needs none."""
    if fault is None:
        return [] if answer is None else list(_whole(answer))
    if fault.kind == "reset":
        return [Reset()]
    if fault.kind == "silence":
        return [Hang()]
    if fault.replaces or answer is None:
        return script(fault.answer, None)
    return list(_damaged(answer, fault))


def require_seconds(name: str, seconds: float) -> None:
    """Raise `ConfigurationError` unless `seconds` is finite and not negative."""
    if not 0 <= seconds < math.inf:
        raise ConfigurationError(f"{name}: must be seconds, 0 or more, not {seconds}")


def _whole(answer: Answer) -> Iterator[Step]:
    yield from _sent(answer, answer.parts + answer.closing)
    yield End()


def _damaged(answer: Answer, fault: Fault) -> Iterator[Step]:
    kept = answer.first(fault.after)
    match fault.kind:
        case "slow_first_token":
            yield from _late(answer, fault.seconds)
        case "cut" | "stall":
            promised = sum(map(len, answer.parts))
            yield from _sent(answer, kept, length=promised)
            yield Hangup() if fault.kind == "cut" else Hang()
        case "clean_cut":
            yield from _sent(answer, kept)
            yield End("cut")
        case "malformed_chunk" if answer.streamed:
            broken = b"data: " + _BROKEN + b"\n\n"
            yield from _sent(answer, (*kept, broken, *answer.parts[len(kept) :], *answer.closing))
            yield End()
        case "malformed_chunk":
            yield from _sent(answer, (*kept, _BROKEN))
            yield End()
        case "error_chunk":
            yield from _with_error(answer, kept, fault.answer)
        case _:
            yield from _sent(answer, answer.parts + answer.closing[:-1])
            yield End()


def _with_error(answer: Answer, kept: tuple[bytes, ...], error: Answer | None) -> Iterator[Step]:
    error = error or error_answer(500, "")
    if not answer.streamed:
        yield from _whole(error)
        return
    yield from _sent(answer, (*kept, b"data: " + error.parts[0] + b"\n\n"))
    yield End("cut")


def _late(answer: Answer, seconds: float) -> Iterator[Step]:
    # A provider sends the headers of a stream ahead of it, those of a document with it.
    if not answer.streamed:
        yield Pause(seconds)
    for step in _whole(answer):
        yield step
        if answer.streamed and isinstance(step, Head):
            yield Pause(seconds)


def _sent(answer: Answer, parts: tuple[bytes, ...], *, length: int | None = None) -> Iterator[Step]:
    if answer.delay:
        yield Pause(answer.delay)
    yield _head(answer, sum(map(len, parts)) if length is None else length)
    for index, part in enumerate(parts):
        if answer.token_delay and index:
            yield Pause(answer.token_delay)
        yield part


def _head(answer: Answer, length: int) -> Head:
    headers = [("content-type", answer.content_type), *answer.headers.items()]
    if not answer.streamed:
        headers.append(("content-length", str(length)))
    return Head(answer.status, tuple(headers))


def _portion(count: int, share: float) -> int:
    # Two thirds of three are two, whatever binary fractions say.
    return int(count * share + 1e-9)
