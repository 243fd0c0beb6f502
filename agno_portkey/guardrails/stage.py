"""Asks the guards of one stage: checks at once, those that rewrite in order; whatever fails blocks.

A guard is asked once a stage for all its passages, and its verdict is told once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from agno.exceptions import InputCheckError, OutputCheckError

from agno_portkey.calls import IO
from agno_portkey.errors import Blocked, InputBlocked, OutputBlocked
from agno_portkey.guardrails.findings import Block, Flag, Rewrite
from agno_portkey.guardrails.passages import Passage, Scene, Side
from agno_portkey.guardrails.refusals import attach
from agno_portkey.guardrails.telling import path_told
from agno_portkey.modes import Mode, override_of
from agno_portkey.verdict import Event, Observer, Verdict, failure_of, heard, tell
from agno_portkey.workers import Failed

if TYPE_CHECKING:
    from agno_portkey.guardrails.base import Guard

__all__ = ["Report", "Stage", "placeholder"]

# What a guard said of its passages, with their places; a passage it said nothing of passes.
Report = list[tuple[int, Block | Rewrite | Flag]]

# A text this short stands in an error's message by chance.
_TELLING = 6
# Who failed says nothing of what it was asked about: none of these is kept then.
_KEPT_OUT = ("user", "assistant", "tool", "reasoning", "transcript")
_DATA = ("tool_call", "citation", "data")


def placeholder(name: str) -> str:
    """What is kept in the place of a text that the guard `name` blocked."""
    return f"[blocked by {name}]"


# Not frozen: there are two in each call, and to freeze one takes longer than to ask a guard.
@dataclass(slots=True)
class Stage:
    """One stage of one run: who is asked, where, and who hears of it.

    `keep` is called with each text that was blocked or rewritten and what is to be kept in its
    place, unless the guard keeps what it saw (`keep_raw`). `earlier` says what each text was before
    guards that keep it so rewrote it, in this stage or an earlier one of the run. `quiet`: what
    changes nothing is not told here, since a later stage asks about it again, and tells. `override`
    is the mode of all of them, where the environment says one.
    """

    guards: Sequence[Guard]
    io: IO
    scene: Scene
    side: Side
    observers: Sequence[Observer] = ()
    keep: Callable[[str, str], None] | None = None
    earlier: dict[str, list[str]] = field(default_factory=dict)
    quiet: bool = False
    override: Mode | None = field(default_factory=partial(override_of, "guards"))
    # When who is asked now was asked.
    asked_at: float = 0.0

    async def inspect(self, passages: Sequence[Passage]) -> list[str] | None:
        """The texts as they may go on, None if none was changed; raises what blocks them.

        A mode that is none, as a class can declare it unchecked, counts as enforce.
        """
        modes: list[tuple[Guard, Mode]] = [(g, self.override or g.mode) for g in self.guards]
        asked = [each for each in modes if each[1] != "off"]
        current: Sequence[Passage] = passages
        for rewrites, group in groupby(asked, key=_rewrites):
            self.asked_at = time.perf_counter()
            if not rewrites:
                await self._check([*group], current)
                continue
            for guard, mode in group:
                current = await self._rewrite(guard, mode, current)
        return None if current is passages else [passage.text for passage in current]

    async def _check(self, group: list[tuple[Guard, Mode]], passages: Sequence[Passage]) -> None:
        """Ask guards that only look, all that are not inline at once; the first block ends them."""
        beside = []
        for guard, mode in group:
            if guard.at_once(passages):
                if (outcome := guard.on_the_spot(passages)) or self._heard(guard):
                    self._judge(guard, mode, outcome, passages)
            else:
                beside.append((guard, mode))
        if not beside:
            return
        outcomes = await self.io.race(
            [guard.job(passages) for guard, _ in beside],
            lambda place, outcome: beside[place][1] != "observe" and _blocks(outcome),
        )
        heard = [
            (guard, mode, outcome)
            for (guard, mode), outcome in zip(beside, outcomes, strict=True)
            if outcome is not None
        ]
        # Whoever passed is told of before whoever blocks and ends the stage.
        for guard, mode, outcome in sorted(heard, key=lambda each: _blocks(each[2])):
            self._judge(guard, mode, outcome, passages)

    async def _rewrite(
        self, guard: Guard, mode: Mode, passages: Sequence[Passage]
    ) -> Sequence[Passage]:
        """The passages as `guard` leaves them; the very ones if it changes nothing."""
        self.asked_at = time.perf_counter()
        if guard.at_once(passages):
            outcome: Any = guard.on_the_spot(passages)
        else:
            [outcome] = await self.io.race([guard.job(passages)], lambda place, outcome: False)
        self._judge(guard, mode, outcome, passages)
        if not outcome or mode == "observe":
            return passages
        texts = {place: said.text for place, said in outcome if isinstance(said, Rewrite)}
        texts = {place: text for place, text in texts.items() if text != passages[place].text}
        if not texts:
            return passages
        for place, text in texts.items():
            before = passages[place].text
            self._keep(guard, before, text)
            if guard.keep_raw:
                self.earlier.setdefault(text, []).extend((*self.earlier.get(before, ()), before))
        return [
            replace(passage, text=texts[place]) if place in texts else passage
            for place, passage in enumerate(passages)
        ]

    def _keep(self, guard: Guard, text: str, instead: str) -> None:
        """Have `instead` kept in place of `text`, and of what it was before: that holds it too."""
        if self.keep is not None and not guard.keep_raw:
            for each in (*self.earlier.get(text, ()), text):
                self.keep(each, instead)

    def _judge(
        self,
        guard: Guard,
        mode: Mode,
        outcome: Report | Failed,
        passages: Sequence[Passage],
    ) -> None:
        """Tell what `guard` made of `passages`, and raise where that is a block."""
        verdict = self._verdict(guard, mode, outcome, passages)
        if self._heard(guard):
            observers = (*self.observers, *guard.observers)
            event = self._event(verdict, mode, outcome, len(passages))
            if not (self.quiet and verdict.passed and not event.data["rewritten"]):
                tell(observers, event)
        if verdict.passed or mode == "observe":
            return
        for passage in _blocked(outcome, passages):
            self._keep(guard, passage.text, placeholder(guard.name))
        if isinstance(outcome, Failed):
            if isinstance(outcome.error, InputCheckError | OutputCheckError):
                if not isinstance(outcome.error, Blocked):
                    attach(verdict, outcome.error, type(self._error(verdict)))
                raise outcome.error
            raise self._error(verdict) from outcome.error
        raise self._error(verdict)

    def _heard(self, guard: Guard) -> bool:
        return bool(guard.observers) or heard(self.observers)

    def _error(self, verdict: Verdict) -> InputBlocked | OutputBlocked:
        return (InputBlocked if self.side == "input" else OutputBlocked)(verdict)

    def _event(self, verdict: Verdict, mode: Mode, outcome: Any, asked: int) -> Event:
        said = [] if isinstance(outcome, Failed) else outcome
        data = {
            "stage": self.scene.stage,
            "side": self.side,
            "mode": mode,
            "passages": asked,
            "seconds": time.perf_counter() - self.asked_at,
            "rewritten": sum(isinstance(each, Rewrite) for _, each in said),
        }
        scene = self.scene
        return Event("guard", scene.role, scene.swarm, scene.run_id, verdict, data)

    def _verdict(
        self, guard: Guard, mode: Mode, outcome: Report | Failed, passages: Sequence[Passage]
    ) -> Verdict:
        evidence: dict[str, Any] = {"stage": self.scene.stage, "side": self.side, "mode": mode}
        if isinstance(outcome, Failed):
            return _failure(guard, outcome.error, evidence)
        found = []
        for place, said in outcome:
            passage = passages[place]
            where = {"source": passage.source, "path": path_told(passage.path), "said": said.reason}
            found.append({**where, "as": type(said).__name__.lower(), **said.evidence})
        if found:
            evidence["found"] = found
        blocks = [said for _, said in outcome if isinstance(said, Block)]
        reasons = [said.reason for said in blocks or (each for _, each in outcome)]
        scores = [s for _, said in outcome if (s := getattr(said, "score", None)) is not None]
        return Verdict(
            passed=not blocks,
            source=guard.name,
            reasons=tuple(dict.fromkeys(reasons)),
            score=max(scores) if scores else None,
            evidence=evidence,
        )


def _rewrites(asked: tuple[Guard, Mode]) -> bool:
    return asked[0].rewrites


def _blocks(outcome: Report | Failed) -> bool:
    return isinstance(outcome, Failed) or any(isinstance(said, Block) for _, said in outcome)


def _blocked(outcome: Report | Failed, passages: Sequence[Passage]) -> Iterable[Passage]:
    if isinstance(outcome, Failed):
        return [p for p in passages if _is_kept_out(p)]
    blocks = [place for place, said in outcome if isinstance(said, Block)]
    # It was not asked about what comes behind the last one, which may say the same.
    unknown = [p for p in passages[blocks[-1] + 1 :] if _is_kept_out(p)]
    return [*(passages[place] for place in blocks), *unknown]


def _is_kept_out(passage: Passage) -> bool:
    """Whether `passage` may say what a guard was to find, rather than name a tool or a field."""
    said = passage.source in _KEPT_OUT
    return said or (passage.source in _DATA and len(passage.text) >= _TELLING)


def _failure(guard: Guard, error: BaseException, evidence: dict[str, Any]) -> Verdict:
    """The verdict of a guard that raised: a check error's own words, else that it failed."""
    if isinstance(error, InputCheckError | OutputCheckError):
        trigger = getattr(error.check_trigger, "value", str(error.check_trigger))
        return Verdict(False, guard.name, (str(error),), evidence={**evidence, "trigger": trigger})
    # Its words are in the log: observing, nothing else keeps them.
    reasons = (failure_of(guard.name, error),)
    return Verdict(False, guard.name, reasons, evidence={**evidence, "failed": True})
