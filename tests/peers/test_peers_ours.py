"""Our side of the comparison with other libraries, in short; and that its judges see a leak."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agno_portkey import govern
from benchmarks.peers import asked, cached, personal, rules
from benchmarks.peers.asked import Ask, Chat, Rule, Score
from benchmarks.peers.by_ours import Ours, asking, plain_agent

# Of the places to cut a value in a stream, each so many.
EVERY = 6
KINDS = frozenset({"e-mail", "IBAN"})


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy machine takes longer for does not hang."""
    monkeypatch.setattr(asked, "BOUND", 60.0)


class Unguarded(Ours):
    """An agent that nothing guards, with a cache that everybody shares."""

    def personal(self, url: str) -> Ask:
        return asking(lambda tools: govern(plain_agent(url, tools)))

    def ruled(self, url: str, rule: Rule) -> Ask:
        return self.personal(url)

    def cached(self, url: str, *, by_hand: bool) -> Ask:
        kept: dict[str, str] = {}

        async def ask(chat: Chat, show: Callable[[str], None]) -> None:
            if chat.question not in kept:
                said: list[str] = []
                await self.personal(url)(chat, said.append)
                kept[chat.question] = "".join(said)
            show(kept[chat.question])

        return ask


class Late(Unguarded):
    """It refuses when all has been sent and shown."""

    def ruled(self, url: str, rule: Rule) -> Ask:
        unguarded = self.personal(url)

        async def ask(chat: Chat, show: Callable[[str], None]) -> None:
            await unguarded(chat, show)
            if chat.question != "Hello.":
                raise PermissionError("too late")

        return ask


class Mute(Unguarded):
    """It sends and shows something else, and says of everything that all is well."""

    def personal(self, url: str) -> Ask:
        unguarded = super().personal(url)

        async def ask(chat: Chat, show: Callable[[str], None]) -> None:
            await unguarded(Chat("Hello."), lambda text: None)
            show("Nothing.")

        return ask


class Forgetful(Unguarded):
    """It has no cache."""

    def cached(self, url: str, *, by_hand: bool) -> Ask:
        return self.personal(url)


def lost(scores: dict[str, Score]) -> dict[str, list[str]]:
    return {row: score.lost for row, score in scores.items() if score.lost}


def test_personal_data_is_held_in_each_place() -> None:
    scores = personal.play(Ours(), kinds=KINDS, every=EVERY)
    assert all(scores[row].cases for row in personal.ROWS)
    assert not lost(scores)


def test_a_rule_is_held_in_each_place_and_where_it_fails() -> None:
    scores = rules.play(Ours(), every=EVERY)
    assert all(scores[row].cases for row in rules.ROWS)
    assert not lost(scores)


def test_a_cached_answer_is_no_other_users() -> None:
    scores = cached.play(Ours())
    assert all(scores[row].cases == 4 for row in cached.ROWS)
    assert not lost(scores)


def test_what_nothing_guards_is_seen_as_lost() -> None:
    plays = (
        personal.play(Unguarded(), kinds=KINDS, every=EVERY),
        rules.play(Unguarded(), every=EVERY),
        cached.play(Unguarded()),
    )
    for scores in plays:
        assert {row: score.held for row, score in scores.items()} == dict.fromkeys(scores, 0)


def test_a_refusal_that_comes_too_late_is_seen_as_lost() -> None:
    scores = rules.play(Late(), every=EVERY)
    assert {row: score.held for row, score in scores.items()} == dict.fromkeys(rules.ROWS, 0)


def test_what_says_nothing_has_not_held_it() -> None:
    scores = personal.play(Mute(), kinds=KINDS, every=EVERY)
    assert {row: score.held for row, score in scores.items()} == dict.fromkeys(personal.ROWS, 0)
    scores = rules.play(Mute(), every=EVERY)
    # What a tool said may be withheld from a call that goes on.
    assert {row for row, score in scores.items() if score.held} == {"in a tool's result"}


def test_without_a_cache_there_is_nothing_to_count() -> None:
    assert {score.cases for score in cached.play(Forgetful()).values()} == {0}


@pytest.mark.parametrize("shown", ["ann.lee@brig", "1111 1111", "x 203.0.1"])
def test_a_piece_of_a_value_counts_as_the_value(shown: str) -> None:
    assert any(personal.leaks(shown, value) for value in personal.VALUES.values())
    assert not any(
        personal.leaks("<EMAIL_ADDRESS> 1111", value) for value in personal.VALUES.values()
    )
