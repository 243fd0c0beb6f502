"""The end-to-end part of benchmarks/contracts_bench.py, on a few replies and without the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from benchmarks.contracts.breaking import BREAKS
from benchmarks.contracts.cases import Case, cases, sample
from benchmarks.contracts.goals import goals
from benchmarks.contracts.peers import Ask, Player, agno, ours
from benchmarks.contracts.played import Tally, play, why_not


@pytest.fixture(scope="module")
def found() -> list[Case]:
    return list(cases(seed=0, rounds=1))


@pytest.fixture(scope="module")
def few(found: list[Case]) -> list[Case]:
    return sample(found, 24)


def test_ours_is_never_wrong_nor_a_string(few: list[Case]) -> None:
    assert why_not(ours()) is None
    tally = play(ours(), few)

    assert (tally.replies, tally.wrong, tally.strings) == (24, 0, 0)
    assert tally.right + tally.refused.total() == 24
    assert tally.lossless_first == tally.lossless == sum(case.way.lossless for case in few)
    assert tally.calls >= 24


def test_agno_alone_asks_once_and_leaves_strings(few: list[Case]) -> None:
    assert why_not(agno()) is None
    tally = play(agno(), few)

    assert tally.calls == 24
    assert tally.right == tally.first > 0
    assert tally.strings > 0
    assert tally.right + tally.wrong + tally.strings + tally.refused.total() == 24


def _message(role: str, content: str) -> Any:
    return {"role": role, "content": content}


def _player(times: int, *, read: bool = True) -> Player:
    """Asks `times` with all that was said before, and reads the last reply as it stands."""

    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        async def ask(schema: type[BaseModel], prompt: str) -> object:
            said = [_message("user", prompt)]
            for _ in range(times):
                answer = await client.chat.completions.create(model="m", messages=said)
                text = answer.choices[0].message.content or ""
                said += [_message("assistant", text), _message("user", "Look again.")]
            return schema.model_validate_json(text) if read else text

        async with AsyncOpenAI(base_url=url, api_key="k") as client:
            yield ask

    return Player("a plain client", f"{times} times", ready)


def test_the_model_breaks_only_the_first_reply_of_a_case(few: list[Case]) -> None:
    once, twice, thrice = (play(_player(times), few) for times in (1, 2, 3))

    # What plain Pydantic takes of the broken replies needs no rescue.
    assert once.right < 24
    assert once.refused.keys() == {"ValidationError"}
    assert (twice.right, twice.first, twice.further) == (24, 0, 24)
    assert (thrice.right, thrice.further) == (24, 48)
    # Each call sends all that was said before.
    assert thrice.tokens - twice.tokens > twice.tokens - once.tokens > once.tokens


def test_strings_and_other_objects_are_told_apart(few: list[Case]) -> None:
    assert play(_player(2, read=False), few).strings == 24

    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        async def ask(schema: type[BaseModel], prompt: str) -> object:
            return few[0].meant

        yield ask

    tally = play(Player("the same for all", "", ready), few)
    assert (tally.right, tally.wrong) == (1, 23)
    assert tally.lossless_wrong == sum(case.way.lossless for case in few[1:])


def test_a_player_that_is_not_installed_is_named() -> None:
    @asynccontextmanager
    async def ready(url: str) -> AsyncIterator[Ask]:
        raise ImportError("No module named 'instructor'")
        yield

    assert why_not(Player("Instructor", "", ready)) == "ImportError: No module named 'instructor'"
    assert "does not read" in str(why_not(_player(1, read=False)))


def test_a_sample_keeps_each_way_to_break_and_its_share(found: list[Case]) -> None:
    chosen = sample(found, 1000)
    counts, all_counts = (Counter(case.way.name for case in some) for some in (chosen, found))

    assert len({id(case) for case in chosen}) == 1000
    for way in BREAKS:
        share = all_counts[way.name] * 1000 / len(found)
        assert abs(counts[way.name] - share) <= 1, way.name
    assert sample(found, len(found)) == found


def test_what_the_model_says_next_is_what_was_meant(found: list[Case]) -> None:
    assert [c for c in found if not c.fits(c.schema.model_validate_json(c.whole))] == []


def _judged(further: int = 2, *, best: int | None = 4, **more: int) -> list[bool]:
    """Which goals are met: by 20 replies of ours, beside `best` further calls of Instructor."""
    mine = Tally(replies=20, lossless=20, calls=20 + further, **{"lossless_first": 19, **more})
    played = [(Player("ours", "", _player(1).ready), mine)]
    for calls in [] if best is None else [best, best + 9]:
        theirs = Tally(replies=20, lossless=20, calls=20 + calls)
        played.append((Player("Instructor", "", _player(1).ready), theirs))
    return [met for _, met in goals(played)]


def test_the_goals_are_judged_against_instructors_best() -> None:
    assert _judged() == [True, True, True, True]
    assert _judged(lossless_first=18) == [False, True, True, True]
    assert _judged(wrong=1) == [True, False, True, True]
    assert _judged(strings=1) == [True, True, False, True]
    assert _judged(3) == [True, True, True, False]
    assert _judged(0, best=None) == [True, True, True, False]
    assert [met for _, met in goals([])] == [False]
