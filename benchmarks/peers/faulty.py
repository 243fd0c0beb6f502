"""E. The sixteen faults of a provider: the right text as a whole, or an error that can't be missed.

The cases are those of tests/faults. Of an error of a library's less is asked than of ours there:
that it is raised, and is not what Python says to itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "faults")]

from faults_case import Case, Played, answer, play_case
from faults_catalogue import CASES
from faults_judge import BROKEN, REFUSED, STRING_ERROR, WHOLE, WRONG_NAME, Verdict, judge
from faults_plain import PLAIN
from faults_stage import OURS, PRIMARY, SPARE, Outcome, Route, Side, Stage

from agno_portkey.testing import EmbeddedProvider
from benchmarks.peers.asked import Peer, Score
from benchmarks.peers.failing import FAILING, Answered, Failing, Models

__all__ = ["FORMS", "cases", "play"]

FORMS = {"plain": "arun", "streamed": "astream"}
_SIDES = {"agno-portkey": OURS, "Agno alone": PLAIN}
_HANG_SECONDS = 15.0
# A mistake in a program, or what it could not read, by its class alone.
_INTERNAL = (AttributeError, LookupError, TypeError, AssertionError, json.JSONDecodeError)


def cases(words: str = "") -> list[Case]:
    """The variants of the sixteen whose name has the words."""
    return [case for case in CASES if case.number is not None and words in str(case)]


def play(
    peer: Peer, *, url: str, words: str = "", step: Callable[[], object] = int
) -> dict[str, Score]:
    """The score in each form; a number counts if all its variants are well."""
    scores: dict[str, Score] = {}
    for name, form in FORMS.items():
        ways: dict[int, list[str]] = {}
        for case in cases(words):
            played = _played(peer, case, form, url)
            bad = [] if played.good else [f"{case.name}: {played.verdict} ({_why(played)})"]
            ways.setdefault(case.number or 0, []).extend(bad)
            step()
        scores[name] = Score()
        for number, bad in ways.items():
            scores[name].count(str(number), "; ".join(bad) or None)
    return scores


def _why(played: Played) -> str:
    error = played.outcome.error if played.outcome else ""
    return f"{played.calls} calls, {error[:160]!r}"


def _played(peer: Peer, case: Case, form: str, url: str) -> Played:
    if side := _SIDES.get(peer.name):
        return play_case(case, form, url=url, side=side)
    fitted = replace(case, play=case.play if case.number == 15 else _once)
    with EmbeddedProvider() as provider:
        case.arm(provider)
        provider.when(lambda request: True, answer)
        with _PeerStage(peer, provider, case.route) as stage:
            played = fitted.play(fitted, stage, form)
            if not played.good:
                return played
            provider.clear_faults()
            afterwards = stage.run(form)
    if judge(afterwards, case.expected) != WHOLE:
        return Played(BROKEN, played.calls, afterwards)
    return played


@dataclass(frozen=True)
class _Told(Outcome):
    """An outcome, with the error itself and who is said to have answered."""

    raised: BaseException | None = None
    answered: Answered | None = None


def _once(case: Case, stage: Stage, form: str) -> Played:
    outcome = stage.run(form)
    verdict = judge(outcome, case.expected, case.refusal)
    if verdict == STRING_ERROR and isinstance(outcome, _Told):
        verdict = STRING_ERROR if isinstance(outcome.raised, _INTERNAL) else REFUSED
    if verdict in (WHOLE, REFUSED):
        check = _named if case.number == 16 else case.check
        verdict = check(outcome) or verdict
    return Played(verdict, len(outcome.calls), outcome)


def _named(outcome: Outcome) -> Verdict | None:
    """Whether the spare is named for what it answered, with its tokens."""
    answered = outcome.answered if isinstance(outcome, _Told) else None
    named = answered is not None and (answered.model, answered.tokens) == (SPARE, (11, 60))
    return None if named else WRONG_NAME


class _PeerStage(Stage):
    """A stage on which a library is asked, in one event loop for all its calls."""

    def __init__(self, peer: Peer, provider: EmbeddedProvider, route: Route) -> None:
        names = (PRIMARY,) if route.alone else (PRIMARY, SPARE)
        cooldown = route.breaker.cooldown if route.breaker else None
        self._models = Models(provider.url, names, route.windows, cooldown)
        self._make = FAILING[peer.name]
        self._ask: Failing | None = None
        side = Side(peer.name, lambda *_: None, continues=False)  # type: ignore[arg-type, return-value]
        super().__init__("", provider, side, route=route, agent={})

    def run(self, form: str, message: str = "Count to sixty.") -> Outcome:
        """Ask once; whatever the library does, this ends."""
        before = len(self.provider.calls)
        shown: list[str] = []
        stream = form == "astream"

        async def asked() -> Answered:
            if self._ask is None:
                self._ask = self._make(self._models)
            return await self._ask(message, stream, shown)

        task = asyncio.run_coroutine_threadsafe(asked(), self._loop.result())
        try:
            answered = task.result(_HANG_SECONDS)
            outcome = _Told(form, "COMPLETED", answered.text, answered=answered)
        except TimeoutError as error:
            hung = not task.done()
            task.cancel()
            outcome = _Told(form, "hang" if hung else "ERROR", error=str(error) or "timed out")
            outcome = outcome if hung else replace(outcome, raised=error)
        except BaseException as error:
            outcome = _Told(form, "ERROR", error=str(error), raised=error)
        told = "".join(shown) if stream else ""
        return replace(outcome, shown=told, calls=self.provider.calls[before:])
