"""An OpenAI-compatible provider inside the process: scripted answers, faults, recorded requests."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from pydantic import BaseModel

from agno_portkey.environments import check_production
from agno_portkey.errors import ConfigurationError
from agno_portkey.testing.admin import Admin
from agno_portkey.testing.armed import Armed
from agno_portkey.testing.batches import Batches
from agno_portkey.testing.faults import Answer, Fault, error_answer, script
from agno_portkey.testing.replies import Completion, Reply
from agno_portkey.testing.requests import Request, refused, text_of
from agno_portkey.testing.samples import default_reply, embedded, moderated
from agno_portkey.testing.steps import Step
from agno_portkey.testing.wire import Exchange, Server

__all__ = ["EmbeddedProvider", "Request"]

Content: TypeAlias = str | Reply | Fault | BaseModel | Mapping[str, object]
Scripted: TypeAlias = "Content | Callable[[Request], Scripted]"
Predicate: TypeAlias = "str | Callable[[Request], object]"

_CHAT = "POST /chat/completions"
# Threads for answers that are callables; a test may hold this many of them at once.
_CALLABLES = 64


@dataclass
class _Rule:
    applies: Callable[[Request], object]
    answers: Sequence[Scripted]
    left: int | None
    served: int = 0

    def take(self) -> Scripted:
        answer = self.answers[min(self.served, len(self.answers) - 1)]
        self.served += 1
        self.left = None if self.left is None else self.left - 1
        return answer


class EmbeddedProvider:
    """A provider on a loopback port that says what a test tells it to, and remembers every request.

    It is a context manager. An armed fault comes first, then the first rule that applies, then
    the queue; without any, an answer that fits the asked schema or repeats the user's words.
    Answers that are callables run in threads of their own; predicates must not block. `batches`
    are its files and batches, whose lines are answered in the same way; `admin` is Portkey's API
    for keys, which calls need once it is told to enforce them.
    """

    def __init__(
        self, *, models: Sequence[str] = ("gpt-4o-mini", "text-embedding-3-small")
    ) -> None:
        self._models = tuple(models)
        self._server: Server | None = None
        self._callables: ThreadPoolExecutor | None = None
        self._port = 0
        self._lock = threading.RLock()
        self._serials = itertools.count(1)
        self._queue: deque[Scripted] = deque()
        self._rules: list[_Rule] = []
        self._faults: list[Armed] = []
        self._requests: list[Request] = []
        self._errors: list[BaseException] = []
        self._harmful: dict[str, Mapping[str, object]] = {}
        self.batches = Batches(self._answer_line)
        self.admin = Admin()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen on a free port; a provider that has stopped can start again.

        In production it raises WrongEnvironment, unless it is allowed there.
        """
        if self._server is not None:
            raise ConfigurationError("EmbeddedProvider: it is started already")
        check_production("embedded-provider", "EmbeddedProvider: an answer that is made up")
        server = Server(self._respond, failed=self._note_error)
        self._port = server.start()
        self._callables = ThreadPoolExecutor(_CALLABLES, "embedded-provider-answer")
        self._server = server
        return self

    def stop(self) -> None:
        """End every connection and the threads; what was recorded stays."""
        if self._server is not None and self._callables is not None:
            self._server.stop()
            self._callables.shutdown(wait=False, cancel_futures=True)
            self._server = self._callables = None

    @property
    def host(self) -> str:
        """The address without a path, as `http://127.0.0.1:8000`."""
        if self._server is None:
            raise ConfigurationError("EmbeddedProvider: it is not started; use it in a `with`")
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for OpenAI clients, as `http://127.0.0.1:8000/v1`."""
        return f"{self.host}/v1"

    def reply(self, answer: Scripted) -> None:
        """Queue an answer for one chat completion.

        Text, a `Reply`, a `Fault`, a model or mapping (sent as JSON), or a callable that makes
        one of these from the `Request`.
        """
        with self._lock:
            self._queue.append(_checked(answer))

    def when(
        self,
        predicate: Predicate,
        answer: Scripted | Sequence[Scripted],
        *,
        times: int | None = None,
    ) -> None:
        """Answer each chat completion that the predicate is true of, at most `times` times.

        A text applies where the system prompt contains it. A list is served in order, its last
        answer again and again.
        """
        answers = [_checked(each) for each in _several(answer)]
        if not answers:
            raise ConfigurationError("answer: the list is empty")
        applies = _in_system(predicate) if isinstance(predicate, str) else predicate
        with self._lock:
            self._rules.append(_Rule(applies, answers, _checked_times(times)))

    def fault(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        model: str | None = None,
        text: str = "",
        route: str = "",
    ) -> None:
        """Arm a fault for the next requests: those for `model`, and that say `text`, if given.

        A `route`, as `POST /batches`, is where they go, or begins so.
        With `times=None` it lasts until it is cleared; an outage lasts as long as it says.
        """
        if not isinstance(fault, Fault):
            raise ConfigurationError(f"fault: must be a Fault, not a {type(fault).__name__}")
        with self._lock:
            self._faults.append(Armed(fault, _checked_times(times), model, text, route))

    def moderate(self, words: str, scores: Mapping[str, object]) -> None:
        """Have the moderation endpoint give these scores to texts that contain the words."""
        with self._lock:
            self._harmful[words] = scores

    def clear_faults(self) -> None:
        """Disarm every fault."""
        with self._lock:
            self._faults.clear()

    def reset(self) -> None:
        """Forget answers, rules, faults, requests and errors."""
        with self._lock:
            self._queue.clear()
            self._rules.clear()
            self._faults.clear()
            self._requests.clear()
            self._errors.clear()
            self._harmful.clear()
        self.batches.reset()
        self.admin.reset()

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order they came in."""
        with self._lock:
            return list(self._requests)

    @property
    def calls(self) -> list[Request]:
        """The requests for chat completions."""
        return [request for request in self.requests if request.route == _CHAT]

    @property
    def errors(self) -> list[BaseException]:
        """What callables and predicates raised, and whatever kept an answer from being sent."""
        with self._lock:
            return list(self._errors)

    def _note_error(self, error: BaseException) -> None:
        with self._lock:
            self._errors.append(error)

    async def _respond(self, exchange: Exchange) -> Iterable[Step]:
        request = Request.of(exchange)
        with self._lock:
            self._requests.append(request)
            fault = self._struck(request)
        if fault is not None and fault.replaces:
            return script(None, fault)
        try:
            answer, scripted = await self._answer(request)
        except Exception as exc:
            raised = exc.__cause__ if isinstance(exc, _CallableFailed) and exc.__cause__ else exc
            self._note_error(raised)
            message = f"{type(raised).__name__}: {raised}"
            answer, scripted = error_answer(500, message, type="server_error"), None
        return script(answer, scripted or fault)

    def _struck(self, request: Request) -> Fault | None:
        return next((armed.fault for armed in self._faults if armed.strikes(request)), None)

    async def _answer(self, request: Request) -> tuple[Answer, Fault | None]:
        """The answer, and the fault that was scripted for it."""
        if (refusal := self.admin.refusal(request)) is not None:
            return refusal, None
        match request.route:
            case _ if request.route == _CHAT:
                return await self._chat(request)
            case "POST /embeddings":
                return embedded(request), None
            case "POST /moderations":
                return moderated(request, self._harmful), None
            case "GET /models":
                listed = [{"id": name, "object": "model", "created": 0} for name in self._models]
                return Answer.of_json({"object": "list", "data": listed}), None
        answer = self.admin.answer(request) or await self.batches.answer(request)
        if answer is not None:
            return answer, None
        return error_answer(404, f"Unknown request URL: {request.route}", code="unknown_url"), None

    async def _chat(self, request: Request) -> tuple[Answer, Fault | None]:
        if error := refused(request, "messages"):
            return error, None
        fault, content = None, await self._content(request)
        if isinstance(content, Fault):
            fault, content = content, default_reply(request)
        if fault is not None and fault.kind == "outage":
            self._begin_outage(fault, request)
        completion = Completion(
            Reply.of(content),
            model=request.model or "",
            prompt="".join(map(text_of, request.messages)),
            serial=next(self._serials),
            include_usage=bool((request.body.get("stream_options") or {}).get("include_usage")),
        )
        return completion.streamed() if request.stream else completion.whole(), fault

    async def _answer_line(self, request: Request) -> tuple[int, object]:
        """What a line of a batch is answered with, as it would be by itself."""
        with self._lock:
            fault = self._struck(request)
        answer = fault.answer if fault is not None else None
        if answer is None:
            answer, scripted = await self._chat(request)
            answer = (scripted and scripted.answer) or answer
        return answer.status, json.loads(b"".join(answer.parts))

    async def _content(self, request: Request) -> Content:
        with self._lock:
            scripted = self._next(request)
        # A thread of its own, since it may block, or call the provider.
        while callable(scripted) and not isinstance(scripted, BaseModel):
            loop = asyncio.get_running_loop()
            scripted = await loop.run_in_executor(self._callables, _called, scripted, request)
        return scripted

    def _next(self, request: Request) -> Scripted:
        for rule in self._rules:
            if rule.left != 0 and rule.applies(request):
                return rule.take()
        return self._queue.popleft() if self._queue else default_reply(request)

    def _begin_outage(self, fault: Fault, request: Request) -> None:
        with self._lock:
            self._faults.append(Armed(fault, until=request.at + fault.seconds))


class _CallableFailed(Exception):
    """A callable raised; what it raised is the cause."""


def _called(answer: Callable[[Request], Scripted], request: Request) -> Scripted:
    try:
        return answer(request)
    except BaseException as exc:
        # Also pytest.fail, and StopIteration, which a future cannot hold.
        raise _CallableFailed from exc


def _several(answer: Scripted | Sequence[Scripted]) -> Sequence[Scripted]:
    if isinstance(answer, str) or not isinstance(answer, Sequence):
        return [answer]
    return answer


def _checked(answer: Scripted) -> Scripted:
    known = isinstance(answer, str | Reply | Fault | BaseModel | Mapping) or callable(answer)
    # A class is callable, but what was meant is one of its objects.
    if isinstance(answer, type) or not known:
        raise ConfigurationError(f"answer: cannot reply with {answer!r}")
    return answer


def _checked_times(times: int | None) -> int | None:
    if times is not None and times < 1:
        raise ConfigurationError(f"times: must be at least 1, or None, not {times}")
    return times


def _in_system(words: str) -> Callable[[Request], bool]:
    return lambda request: words in request.system
