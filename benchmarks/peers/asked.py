"""What is asked of each library, and what is seen from outside: bytes, deltas, how it ended."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from agno_portkey.testing import EmbeddedProvider

__all__ = [
    "BOUND",
    "MODEL",
    "Ask",
    "Chat",
    "Ended",
    "Peer",
    "Rule",
    "Score",
    "Unready",
    "ended",
    "sent",
    "warm",
]

MODEL = "gpt-4o-mini"
# Seconds. What has not ended by then hangs; what a library lets one bound ends long before.
BOUND, PATIENCE = 6.0, 0.5
_IMPORTS, _CLOSING = 120.0, 1.0


@dataclass(frozen=True)
class Chat:
    """A question, with the turns before it as (role, text), and a tool that may be called."""

    question: str
    history: Sequence[tuple[str, str]] = ()
    stream: bool = False
    tool: Callable[[str], str] | None = None
    user: str = "ann"
    tenant: str = "acme"


# Asks, and shows the caller each delta, or the whole reply; raises where the call is refused.
Ask = Callable[[Chat, Callable[[str], None]], Awaitable[None]]


class Unready(Exception):
    """A library that can't be played as it is set up."""


class Rule(Protocol):
    """A rule of the user's, as a function that may be called, or awaited; it may raise, or hang."""

    awaited: bool

    def forbids(self, text: str) -> bool: ...

    async def aforbids(self, text: str) -> bool: ...


class Peer(Protocol):
    """A library; what it has nothing for is None.

    `claims` are the types of personal data that its own detectors say they find. `packages`
    are those whose versions are told; `setting` says how it was set up for a test, by its letter.
    """

    name: str
    packages: Sequence[str]
    claims: Collection[str]
    setting: ClassVar[Mapping[str, str]]

    def personal(self, url: str) -> Ask | None: ...

    def ruled(self, url: str, rule: Rule) -> Ask | None: ...

    def cached(self, url: str, *, by_hand: bool) -> Ask | None: ...


@dataclass(frozen=True)
class Ended:
    """What the caller was shown, and how the call ended: no error, the error, or `hang`."""

    shown: str
    error: BaseException | None = None
    hang: bool = False

    @property
    def refused(self) -> bool:
        return self.error is not None


@dataclass
class Score:
    """How many of the cases of a row held, and what became of those that did not."""

    held: int = 0
    cases: int = 0
    lost: list[str] = field(default_factory=list)

    def count(self, case: str, reason: str | None) -> None:
        """Count a case that held, or say why it did not."""
        self.cases += 1
        self.held += reason is None
        if reason is not None:
            self.lost.append(f"{case}: {reason}")


def ended(ask: Ask, chat: Chat, seconds: float | None = None) -> Ended:
    """Ask in an event loop of its own, for `seconds` or BOUND; what hangs is left behind."""
    shown: list[str] = []
    done: Future[BaseException | None] = Future()

    async def asking() -> None:
        try:
            await ask(chat, shown.append)
        except BaseException as error:
            done.set_result(error)
        else:
            done.set_result(None)

    def run() -> None:
        # The loop may have threads to wait for, of which the caller knows nothing.
        with suppress(BaseException):
            asyncio.run(asking())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        error = done.result(BOUND if seconds is None else seconds)
    except TimeoutError:
        return Ended("".join(shown), hang=True)
    # The loop closes its connections; what a rule that hangs has it wait for is left behind.
    thread.join(_CLOSING)
    return Ended("".join(shown), error)


def warm(ask: Ask) -> None:
    """Ask something harmless, so that what is imported by the first call does not count as time.

    Raises Unready where even that is not answered.
    """
    end = ended(ask, Chat("Hello."), _IMPORTS)
    if end.error or end.hang or not end.shown.strip():
        raise Unready(f"a harmless question is not answered: {end!r}") from end.error


def sent(provider: EmbeddedProvider) -> str:
    """All that the provider received, as text: JSON without escapes."""
    return "\n".join(json.dumps(each.body, ensure_ascii=False) for each in provider.calls)
