"""One play: a model in front of the real gateway, a provider with a fault, and what came of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

from agno.agent import Agent
from agno.models.base import Model
from agno.run.agent import RunContentEvent, RunErrorEvent, RunOutput
from four_forms import STREAMED

from agno_portkey import PortkeyModel
from agno_portkey.routing.breaker.circuits import CircuitBreaker
from agno_portkey.routing.config.routes import Fallback, Target
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Request
from agno_portkey.verdict import Event

__all__ = [
    "FIRST_TOKEN",
    "OURS",
    "PRIMARY",
    "SPARE",
    "TEXT",
    "WORDS",
    "Hear",
    "Outcome",
    "Route",
    "Side",
    "Stage",
    "ours",
    "within",
]

T = TypeVar("T")
Hear = Callable[[Event], None]

PRIMARY, SPARE = "primary-model", "spare-model"
# Sixty words, each another one, so that a doubled or a lost one shows.
WORDS = tuple(f"word{number}" for number in range(1, 61))
TEXT = " ".join(WORDS)
# Seconds. Both sides are given the first for a first token; ours the others as well.
FIRST_TOKEN, IDLE, ANSWER = 0.6, 0.6, 1.0
# Longer than either side's limits together: what takes this long would take for ever.
_HANG_SECONDS = 15.0


@dataclass(frozen=True)
class Route:
    """The route of a case: the primary with a spare behind it, unless it is `alone`.

    `prefill` says whether the spare is declared to continue answers; `windows` are the
    context windows of both in tokens.
    """

    alone: bool = False
    prefill: bool | None = None
    windows: tuple[int | None, int | None] = (None, None)
    breaker: CircuitBreaker | None = None


class Make(Protocol):
    """Makes the model of one side; `hear` is to be told of its calls, if it can tell."""

    def __call__(
        self, url: str, provider: EmbeddedProvider, route: Route, hear: Hear, /
    ) -> Model: ...


@dataclass(frozen=True)
class Side:
    """One of those that are compared; `continues` if it knows of spares that continue answers."""

    name: str
    make: Make
    continues: bool


def ours(url: str, provider: EmbeddedProvider, route: Route, hear: Hear) -> PortkeyModel:
    """The model of this package."""
    targets = [
        Target(
            provider="openai",
            api_key="test-key",
            custom_host=provider.url,
            model=name,
            prefill=prefill,
            context_window=window,
        )
        for name, prefill, window in zip(
            (PRIMARY, SPARE), (None, route.prefill), route.windows, strict=True
        )
    ]
    return PortkeyModel(
        base_url=url,
        config=targets[0] if route.alone else Fallback(targets=targets),
        recovery=Recovery(
            first_token_timeout=FIRST_TOKEN,
            stream_idle_timeout=IDLE,
            answer_timeout=ANSWER,
            wait=0.05,
        ),
        breaker=route.breaker,
        observers=[hear],
    )


OURS = Side("PortkeyModel", ours, continues=True)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, for its user and for the provider.

    `status` is the run's, or `hang`; `kind` the type of its error, where the model tells it;
    `calls` are the requests that reached the provider.
    """

    form: str
    status: str
    content: Any = None
    shown: str = ""
    error: str = ""
    kind: str | None = None
    partial: str | None = None
    calls: Sequence[Request] = ()
    run: RunOutput | None = None

    @property
    def asked(self) -> list[str | None]:
        """The models that were asked, in order."""
        return [request.model for request in self.calls]


class Stage:
    """A model of one side and its provider; `agent` is what its agents are given besides.

    A context manager: its asynchronous runs share one event loop, as those of a server do.
    """

    def __init__(
        self,
        url: str,
        provider: EmbeddedProvider,
        side: Side,
        *,
        route: Route,
        agent: Mapping[str, Any],
    ) -> None:
        self.provider = provider
        self.side = side
        self.agent = dict(agent)
        self._heard: list[Event] = []
        self._model = side.make(url, provider, route, self._heard.append)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.result().call_soon_threadsafe(self._stopping.set)
        self._thread.join(_HANG_SECONDS)

    async def _serve(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._stopping.wait()

    def run(self, form: str, message: str = "Count to sixty.") -> Outcome:
        """Run an agent in `form`; whatever it does, this ends."""
        before, told = len(self.provider.calls), len(self._heard)
        try:
            outcome = _outcome(form, self._events(form, message))
        except TimeoutError:
            outcome = Outcome(form, "hang")
        except Exception as error:
            outcome = Outcome(form, "ERROR", error=f"{type(error).__name__}: {error}")
        kinds = [event.data.get("error") for event in self._heard[told:] if event.kind == "call"]
        kind = kinds[-1] if kinds else None
        return replace(outcome, kind=kind, calls=self.provider.calls[before:])

    def _events(self, form: str, message: str) -> list[Any]:
        agent = Agent(model=self._model, **self.agent)
        # One session, as a user has who asks again.
        options: dict[str, Any] = {"session_id": "session", "user_id": "user"}
        streamed = {**options, "stream": True, "stream_events": True, "yield_run_output": True}

        async def whole() -> list[Any]:
            return [await agent.arun(message, **options)]

        async def in_pieces() -> list[Any]:
            return [event async for event in agent.arun(message, **streamed)]

        match form:
            case "run":
                return within(_HANG_SECONDS, lambda: [agent.run(message, **options)])
            case "stream":
                return within(_HANG_SECONDS, lambda: [*agent.run(message, **streamed)])
        work = whole() if form == "arun" else in_pieces()
        return asyncio.run_coroutine_threadsafe(work, self._loop.result()).result(_HANG_SECONDS)


def _outcome(form: str, events: Sequence[Any]) -> Outcome:
    runs = [event for event in events if isinstance(event, RunOutput)]
    errors = [event for event in events if isinstance(event, RunErrorEvent)]
    pieces = [event.content for event in events if isinstance(event, RunContentEvent)]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    shown = text if form in STREAMED else ""
    if runs and runs[0].status.value == "COMPLETED":
        return Outcome(form, "COMPLETED", runs[0].content, shown, run=runs[0])
    if runs:
        return Outcome(form, "ERROR", shown=shown, error=str(runs[0].content))
    if not errors:
        return Outcome(form, "ERROR", shown=shown, error="neither an output nor an error")
    told = (errors[0].additional_data or {}).get("verdict", {}).get("evidence", {})
    said = str(errors[0].content)
    return Outcome(form, "ERROR", shown=shown, error=said, partial=told.get("partial"))


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises; TimeoutError if it takes longer, and its thread is left.

    Ending the provider's connections ends such a thread too.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)
