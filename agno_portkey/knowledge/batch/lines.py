"""One input as a line of a batch: what would be sent of it, and what an answer makes of it.

Both are the run of the agent itself, through all hooks, guards and contracts; the transport below
keeps the request in place of sending it, or answers with what the batch has brought.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
from agno.agent import Agent
from agno.run.base import RunStatus

from agno_portkey import errors
from agno_portkey.calls import IO
from agno_portkey.contracts import Repair
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import ConfigurationError, GatewayError, InputContractError
from agno_portkey.guardrails.refusals import raise_on_block
from agno_portkey.knowledge.batch.fits import agent_of, require_no_turns
from agno_portkey.knowledge.batch.targets import OneTarget
from agno_portkey.knowledge.many import RunFailed
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.breaker.circuits import CircuitBreaker
from agno_portkey.routing.clients import Clients
from agno_portkey.routing.recovery.router import Router
from agno_portkey.verdict import Event, Verdict

__all__ = ["ENDPOINT", "Line", "Lines", "completed"]

ENDPOINT = "/v1/chat/completions"
_OTHER = (
    "inputs: this one, or the agent, is not what was submitted: the answer is not to this request"
)


@dataclass(frozen=True, slots=True)
class Line:
    """The body of one request as it may leave, and the digest it is known by."""

    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        text = json.dumps(self.body, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def written(self, custom_id: str) -> bytes:
        """The line of the file that is sent."""
        said = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": self.body}
        return json.dumps(said).encode() + b"\n"


class Lines:
    """The inputs of one agent, or model, as lines of a batch at one target of its route."""

    def __init__(self, agent: Any, target: str | None = None) -> None:
        self.agent = agent_of(agent)
        self.model = cast("PortkeyModel", self.agent.model)
        self.at = OneTarget(self.model, target)
        # For tags: what a job is about is no run.
        self.who = SimpleNamespace(agent_name=self.agent.name, agent_id=self.agent.id)

    async def captured(self, given: Any, io: IO, *, quiet: bool = False) -> Line:
        """What would be sent for the input `given`; raises what refuses it.

        Observers hear of its guards, unless it is to be `quiet`.
        """
        found: list[Line] = []

        def keep(body: bytes) -> httpx.Response:
            found.append(self._line(body))
            raise _Enough

        def of_guards(event: Event) -> Event | None:
            # Of a call there is something to hear when it is answered.
            return event if event.kind == "guard" and not quiet else None

        twin = self._twin(keep, io, of_guards)
        twin.db = None
        try:
            completed(await _run(twin, given, io))
        except _Enough:
            [line] = found
            require_no_turns(line.body)
            return line
        raise ConfigurationError(
            f"inputs: the run of {self.agent.name or 'the agent'} ended without asking its model"
        )

    async def replayed(
        self, given: Any, digest: str | None, answer: Any, io: IO, *, job: str
    ) -> Any:
        """The output of the run on `given` whose model says `answer`, a chat completion.

        Raises what refuses it, and ConfigurationError where it would not have sent what has the
        `digest`; None for an input that was not sent.
        """

        def reply(body: bytes) -> httpx.Response:
            if self._line(body).digest != digest:
                raise _Unlike
            # In ASCII: half a character, which JSON can hold, has no bytes of its own.
            said = json.dumps(answer).encode()
            return httpx.Response(200, content=said, headers={"content-type": "application/json"})

        def of_batch(event: Event) -> Event | None:
            if event.data.get("side") == "input" and event.verdict and event.verdict.passed:
                # They were heard when it was submitted.
                return None
            return replace(event, data={**event.data, "batch": job})

        twin = self._twin(reply, io, of_batch)
        # Whatever was spent since: this answer is paid for.
        vars(twin.model)["budgets"] = ()
        try:
            return completed(await _run(twin, given, io))
        except _Unlike:
            if digest is None:
                raise ConfigurationError(
                    "inputs: this one was refused when it was submitted, or longer than "
                    "max_bytes: give it to another job; if a guard or its run failed, submit this "
                    "one again"
                ) from None
            raise ConfigurationError(_OTHER) from None

    async def asked(self, given: Any, digest: str, io: IO, heard: list[Any]) -> Any:
        """The output of a call of its own on `given`; `heard` is given the provider's answers.

        It is the model's own call, to all of its route: the agent's fallback models are not asked,
        since what they say could not be kept. A cache's answer is not heard.
        """
        if (await self.captured(given, io, quiet=True)).digest != digest:
            raise ConfigurationError(_OTHER)
        twin, model = copy(self.agent), copy(self.model)
        parse = model._parse_provider_response

        def overheard(response: Any, **options: Any) -> Any:
            heard.append(response)
            return parse(response, **options)

        # Behind it placeholders are names again.
        vars(model)["_parse_provider_response"] = overheard
        twin.model = model
        twin.fallback_config = twin.fallback_models = None
        return completed(await _run(twin, given, io))

    def _line(self, body: bytes) -> Line:
        return Line(self.at.asked(json.loads(body)))

    def _twin(
        self,
        answer: Callable[[bytes], httpx.Response],
        io: IO,
        heard: Callable[[Event], Event | None],
    ) -> Agent:
        """The agent, with a model that asks `answer` once in place of the gateway."""
        model, http = copy(self.model), _Instead(answer)
        model._clients = Clients()
        kind = httpx.AsyncClient if isinstance(io, AsyncIO) else httpx.Client
        model.http_client = kind(transport=http)
        # What is heard here says nothing of the targets' health.
        model.router = Router(CircuitBreaker(enabled=False))
        recovery = self.model.router.plan(self.model).recovery
        model.recovery = recovery.model_copy(update={"attempts": 1})
        # A broken answer is mended, and not asked for again: there is nobody to ask.
        once = (model.repair or Repair()).model_copy(update={"reasks": 0, "stronger": None})
        model.repair = once
        model.contracts = tuple(
            replace(each, repair=once if each.of else None) for each in model.contracts
        )
        model.cache = None
        model.observers = tuple(_Hears(each, heard) for each in model.observers)
        twin = copy(self.agent)
        twin.model, twin.retries = model, 0
        twin.fallback_config = twin.fallback_models = None
        return twin


class _Enough(BaseException):
    """The request is known. No error: whoever tries again after one, or tells it, is not to."""


class _Unlike(BaseException):
    """The request is not the one that was submitted."""


class _Instead(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that sends nothing."""

    def __init__(self, answer: Callable[[bytes], httpx.Response]) -> None:
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer(request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer(await request.aread())


class _Hears:
    """An observer that is told what `heard` makes of an event."""

    def __init__(self, observer: Any, heard: Callable[[Event], Event | None]) -> None:
        self._observer, self._heard = observer, heard

    def __call__(self, event: Event) -> None:
        if (told := self._heard(event)) is not None:
            self._observer(told)


async def _run(agent: Agent, given: Any, io: IO) -> Any:
    _require_text(given)
    # A session of its own each time: what another pass has learnt of names would change the text.
    options: dict[str, Any] = {"session_id": f"batch-{uuid4().hex}", "stream": False}
    if isinstance(io, AsyncIO):
        return await agent.arun(given, **options)
    return agent.run(given, **options)


def _require_text(given: Any) -> None:
    """Refuse text that has no bytes: the host would speak of a header."""
    pieces = given if isinstance(given, list) else [given]
    for piece in pieces:
        text = piece if isinstance(piece, str) else getattr(piece, "content", None)
        try:
            (text if isinstance(text, str) else "").encode()
        except UnicodeEncodeError:
            reason = (
                "the input holds half a character (a lone surrogate, U+D800 to U+DFFF), which "
                "UTF-8 has no bytes for: leave it out"
            )
            # Without its cause, which quotes the text.
            raise InputContractError(Verdict(False, "batch", (reason,))) from None


def completed(output: Any) -> Any:
    """`output`, if its run completed; raises what kept it from that."""
    raise_on_block(output)
    if output.status == RunStatus.completed:
        return output
    if output.status == RunStatus.cancelled:
        # The host takes Ctrl-C for the end of one run.
        raise KeyboardInterrupt
    said = output.content if isinstance(output.content, str) else ""
    noted = (getattr(output, "model_provider_data", None) or {}).get("portkey") or {}
    kind = getattr(errors, str(noted.get("error")), None)
    if isinstance(kind, type) and issubclass(kind, GatewayError):
        raise kind(said, noted.get("status") or 502)
    raise RunFailed(f"the run ended {output.status.value}: {said}".rstrip(": "), output)
