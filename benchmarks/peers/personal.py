"""A. Personal data: nowhere sent or shown, while the rest of the text is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from benchmarks.peers.asked import Ask, Chat, Ended, Peer, Score, ended, sent, warm

__all__ = ["ROWS", "VALUES", "play"]

# A common value of each type, as a person would write it.
VALUES = {
    "e-mail": "ann.lee@brightwater.org",
    "card": "4111 1111 1111 1111",
    "phone": "212-555-0187",
    "IP address": "203.0.113.77",
    "IBAN": "DE89370400440532013000",
    "URL": "https://brightwater.org/ann-lee",
}
ROWS = (
    "in the user's message",
    "in an earlier turn",
    "in a tool's result",
    "in a tool call's arguments",
    "in the reply",
    "in the reply, streamed",
)
# So much of a value in a row counts as the value; four digits of a card may stay.
_PIECE = 6
_LEADS = {
    "e-mail": "my e-mail address is",
    "card": "my credit card number is",
    "phone": "my phone number is",
    "IP address": "my IP address is",
    "IBAN": "my IBAN is",
    "URL": "my home page is",
}
_BEFORE, _AFTER = "Please note that", ", and the parcel came late on Monday."


def text_with(kind: str) -> tuple[str, str]:
    """What is said before and behind a value."""
    return f"{_BEFORE} {_LEADS[kind]} ", _AFTER


def play(peer: Peer, *, kinds: frozenset[str] | None = None, every: int = 1) -> dict[str, Score]:
    """The score of each row; of the places to cut a streamed value each `every`th."""
    scores = {row: Score() for row in ROWS}
    with EmbeddedProvider() as provider:
        ask = peer.personal(provider.url)
        if ask is None:
            return {}
        warm(ask)
        for kind, value in VALUES.items():
            if kind in peer.claims and (kinds is None or kind in kinds):
                for row, reason in _played(ask, provider, kind, value, every):
                    scores[row].count(kind, reason)
    return scores


def _played(
    ask: Ask, provider: EmbeddedProvider, kind: str, value: str, every: int
) -> Iterator[tuple[str, str | None]]:
    before, after = text_with(kind)
    whole = f"{before}{value}{after}"
    yield ROWS[0], _sent_whole(ask, provider, Chat(whole), value, kind)
    for history in (
        [("user", whole), ("assistant", "I noted that.")],
        [("user", "What do you know of me?"), ("assistant", whole)],
    ):
        chat = Chat("Thank you.", history)
        yield ROWS[1], _sent_whole(ask, provider, chat, value, kind)
    yield ROWS[2], _tool_said(ask, provider, value, kind)
    yield ROWS[3], _tool_called(ask, provider, value, kind)
    yield ROWS[4], _replied(ask, provider, Reply(whole), value, kind, stream=False)
    for cut in range(1, len(value), every):
        chunks = (before, value[:cut], value[cut:], after)
        reply = Reply(chunks=chunks)
        yield ROWS[5], _replied(ask, provider, reply, value, kind, stream=True)


def _sent_whole(
    ask: Ask, provider: EmbeddedProvider, chat: Chat, value: str, kind: str
) -> str | None:
    provider.reset()
    provider.when(lambda request: True, "Good.")
    end = ended(ask, chat)
    return _lost(end, value) or _kept(sent(provider), value, kind)


def _tool_said(ask: Ask, provider: EmbeddedProvider, value: str, kind: str) -> str | None:
    before, after = text_with(kind)
    _with_a_tool(provider, "order 7", lambda: "Good.")
    end = ended(ask, Chat("Look the order up.", tool=lambda query: f"{before}{value}{after}"))
    return _lost(end, value) or _kept(sent(provider), value, kind)


def _tool_called(ask: Ask, provider: EmbeddedProvider, value: str, kind: str) -> str | None:
    """The model writes the value into a call: neither the tool may get it nor the next request."""
    before, after = text_with(kind)
    told: list[str] = []

    def tool(query: str) -> str:
        told.append(query)
        return "nothing found"

    _with_a_tool(provider, f"{before}{value}{after}", lambda: "Good.")
    end = ended(ask, Chat("Look it up.", tool=tool))
    if lost := _lost(end, value):
        return lost
    return _kept(" ".join(told), value, kind) or _kept(sent(provider), value, kind)


def _with_a_tool(provider: EmbeddedProvider, query: str, then: Callable[[], str]) -> None:
    """The model calls the tool, and then says something."""

    def answer(request: Request) -> Reply:
        if any(message["role"] == "tool" for message in request.messages):
            return Reply(then())
        return Reply(tool_calls=(ToolCall("lookup", json.dumps({"query": query})),))

    provider.reset()
    provider.when(lambda request: True, answer)


def _replied(
    ask: Ask, provider: EmbeddedProvider, reply: Reply, value: str, kind: str, *, stream: bool
) -> str | None:
    provider.reset()
    provider.when(lambda request: True, reply)
    end = ended(ask, Chat("Who am I?", stream=stream))
    return _lost(end, value) or _kept(end.shown, value, kind)


def _lost(end: Ended, value: str) -> str | None:
    """Why the call counts as lost, whatever was in it."""
    if end.hang:
        return "hang"
    if end.error is not None:
        return f"refused: {type(end.error).__name__}: {str(end.error)[:200]}"
    return "shown" if leaks(end.shown, value) else None


def _kept(text: str, value: str, kind: str) -> str | None:
    """Whether `text` has all but the value."""
    if leaks(text, value):
        return "there"
    before, after = text_with(kind)
    # A detector may take a blank with it, never a word.
    words = before.strip(), after.strip(" ,")
    return None if all(each in text for each in words) else f"the rest is gone: {text[-200:]}"


def leaks(text: str, value: str) -> bool:
    """Whether a piece of the value is in `text`."""
    pieces = {value[at : at + _PIECE] for at in range(len(value) - _PIECE + 1)}
    return any(piece in text for piece in pieces)
