"""Broken replies played end to end: what each player makes of them, and with how many calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from agno_portkey.contracts import Judgement
from benchmarks.contracts.breaking import Break
from benchmarks.contracts.cases import Case
from benchmarks.contracts.peers import Ask, Player
from benchmarks.contracts.scripted import Bill, ScriptedModel

__all__ = ["Tally", "play", "why_not"]

AT_ONCE = 8


@dataclass
class Tally:
    """What became of the replies; `first` are those right without a second call."""

    replies: int = 0
    right: int = 0
    first: int = 0
    lossless: int = 0
    lossless_first: int = 0
    wrong: int = 0
    lossless_wrong: int = 0
    strings: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    tokens: int = 0

    @property
    def further(self) -> int:
        """The calls beyond each reply's first."""
        return self.calls - self.replies

    def count(self, case: Case, found: object, bill: Bill) -> None:
        """Count one reply; `found` is what came out, or the exception that did."""
        self.replies += 1
        self.lossless += case.way.lossless
        self.calls += bill.calls
        self.tokens += bill.tokens
        if isinstance(found, BaseException):
            self.refused[type(found).__name__] += 1
        elif not isinstance(found, BaseModel):
            self.strings += 1
        elif not case.fits(found):
            self.wrong += 1
            self.lossless_wrong += case.way.lossless
        else:
            self.right += 1
            self.first += bill.calls == 1
            self.lossless_first += bill.calls == 1 and case.way.lossless


def play(player: Player, cases: Sequence[Case], step: Callable[[], object] = int) -> Tally:
    """Ask `player` for the object of every case; `step` is called after each."""
    tally = Tally()
    with ScriptedModel(cases) as model:
        found = asyncio.run(_ask_all(player, model, step))
    for number, case in enumerate(cases):
        tally.count(case, found[number], model.bills[number])
    return tally


async def _ask_all(
    player: Player, model: ScriptedModel, step: Callable[[], object]
) -> list[object]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(ask: Ask, number: int) -> object:
        async with turn:
            try:
                return await ask(model.cases[number].schema, model.prompt(number))
            except Exception as error:
                return error
            finally:
                step()

    async with player.ready(model.url) as ask:
        return await asyncio.gather(*(one(ask, number) for number in range(len(model.cases))))


def why_not(player: Player) -> str | None:
    """Why `player` can't be measured: its package is missing, or it can't read a plain reply."""
    meant = Judgement(decision="approve", score=7, reasons=["sound"])
    plain = Break("plain", "unbroken", True, lambda *_: None)
    try:
        tally = play(player, [Case(plain, Judgement, meant.model_dump_json(), meant)])
    except ImportError as error:
        return f"{type(error).__name__}: {error}"
    return None if tally.first else f"it does not read an unbroken reply: {tally}"
