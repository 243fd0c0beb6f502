"""B. A rule of the user's: what it forbids is neither sent nor shown, also where it fails."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from benchmarks.peers.asked import Chat, Ended, Peer, Score, ended, sent, warm

__all__ = ["ROWS", "WORD", "play"]

WORD = "bluebird"
ROWS = (
    "in the question",
    "in a tool's result",
    "in the reply",
    "in the reply, streamed",
    "the rule raises",
    "the rule hangs",
)
_BEFORE, _AFTER = "The new project is called ", ", and it starts in May."
TEXT = f"{_BEFORE}{WORD}{_AFTER}"
_SLOW = "hangs"


@dataclass
class Words:
    """The rule: a text with the word is forbidden, or makes the rule raise, or hang."""

    does: type[Exception] | str = ""
    awaited: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def forbids(self, text: str) -> bool:
        if WORD not in text:
            return False
        if self.does == _SLOW:
            self.released.wait()
        self._raise()
        return True

    async def aforbids(self, text: str) -> bool:
        if WORD in text and self.does == _SLOW:
            await asyncio.Event().wait()
        return self.forbids(text)

    def _raise(self) -> None:
        if isinstance(self.does, type):
            raise self.does("the rule's own mistake")


@dataclass(frozen=True)
class Case:
    """Where the word is (`question`, `tool` or `reply`), and how the reply is cut."""

    row: str
    place: str
    rule: Words
    stream: bool = False
    chunks: tuple[str, ...] = ()

    def __str__(self) -> str:
        does = self.rule.does if isinstance(self.rule.does, str) else self.rule.does.__name__
        form = "streamed" if self.stream else "plain"
        kind = "async" if self.rule.awaited else "sync"
        return f"{self.place} {form} {kind} {does} {self.chunks[1:3]}"


def cases(*, every: int = 1) -> Iterator[Case]:
    """All of them; of the places to cut the word in a stream each `every`th."""
    for stream in (False, True):
        yield Case(ROWS[0], "question", Words(), stream)
        yield Case(ROWS[1], "tool", Words(), stream)
    yield Case(ROWS[2], "reply", Words())
    for cut in range(1, len(WORD), every):
        chunks = (_BEFORE, WORD[:cut], WORD[cut:], _AFTER)
        yield Case(ROWS[3], "reply", Words(), True, chunks)
    yield Case(ROWS[3], "reply", Words(), True, tuple(TEXT))
    for place in ("question", "reply"):
        for stream in (False, True):
            for raised in (ValueError, KeyError):
                yield Case(ROWS[4], place, Words(raised), stream)
            for awaited in (False, True):
                yield Case(ROWS[5], place, Words(_SLOW, awaited), stream)


def play(peer: Peer, *, every: int = 1) -> dict[str, Score]:
    """The score of each row."""
    scores = {row: Score() for row in ROWS}
    with EmbeddedProvider() as provider:
        if (harmless := peer.ruled(provider.url, Words())) is None:
            return {}
        warm(harmless)
        for case in cases(every=every):
            ask = peer.ruled(provider.url, case.rule)
            assert ask is not None
            provider.reset()
            _arm(provider, case)
            question = TEXT if case.place == "question" else "What is new?"
            chat = Chat(question, stream=case.stream, tool=_tool if case.place == "tool" else None)
            end = ended(ask, chat)
            case.rule.released.set()
            scores[case.row].count(str(case), _broken(provider, case, end))
    return scores


def _tool(query: str) -> str:
    return TEXT


def _arm(provider: EmbeddedProvider, case: Case) -> None:
    def answer(request: Request) -> Reply:
        if case.place == "reply":
            return Reply(chunks=case.chunks) if case.chunks else Reply(TEXT)
        if case.place == "tool" and not request.tool_results:
            return Reply(tool_calls=(ToolCall("lookup", json.dumps({"query": "news"})),))
        return Reply("Good.")

    provider.when(lambda request: True, answer)


def _broken(provider: EmbeddedProvider, case: Case, end: Ended) -> str | None:
    if end.hang:
        return "hang"
    if WORD[:2] in end.shown:
        return f"shown: {end.shown[-80:]!r}"
    if WORD in sent(provider):
        return "sent"
    if (case.place == "question") == bool(provider.calls):
        return "a call was made" if provider.calls else f"no call was made: {end.error!r}"
    # What is in a tool's result may be withheld from a call that goes on.
    return None if end.refused or case.place == "tool" else f"not refused: {end.shown!r}"
