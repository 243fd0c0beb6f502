"""CPU of a new message and of a chat whose history is sent again, beside plain Presidio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.pii.data import agent_chats
from benchmarks.pii.peers import Peer, ours, presidio

LENGTH = 200


@dataclass(frozen=True)
class Speed:
    """CPU in milliseconds: of one new message, and of one chat."""

    name: str
    message: float
    chat: float


def messages(count: int, length: int = LENGTH) -> list[str]:
    """Different messages of about `length` characters, dense with personal data."""
    parts = [one.text for one in agent_chats("tune", count * 3)]
    made, place = [], 0
    while len(made) < count:
        text = f"#{len(made)}"
        while len(text) < length:
            text += " " + parts[place % len(parts)]
            place += 1
        made.append(text[:length])
    return made


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def measure(model: str | None = None, *, rounds: int = 5, each: int = 60) -> list[Speed]:
    """Medians over the rounds, in which the sides take turns."""
    sides = [presidio(model), ours(model)]
    texts = messages(each * rounds)
    singles: dict[str, list[float]] = {side.name: [] for side in sides}
    chats: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in sides:
        side.find("My name is Anna Becker, call 212-555-1234.")
    for turn in range(rounds):
        own = texts[turn * each : (turn + 1) * each]
        for side in sides:
            singles[side.name] += [_cpu(lambda s=side, t=text: s.find(t)) for text in own]
        for side in sides:
            chat = [f"{turn} {text}" for text in own[:40]]
            chats[side.name].append(_cpu(lambda s=side, c=chat: _talk(s, c)))
    return [
        Speed(side.name, statistics.median(singles[side.name]), statistics.median(chats[side.name]))
        for side in sides
    ]


def _talk(side: Peer, chat: Sequence[str]) -> None:
    """Twenty turns: each sends all messages so far, and two new ones."""
    for turn in range(1, 21):
        for text in chat[: 2 * turn]:
            side.find(text)
