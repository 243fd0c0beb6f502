"""How soon an answer is let go: by words, small words or sentences; a range stays together."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from agno.agent import Agent
from four_forms import play
from hypothesis import example, given
from hypothesis import strategies as st

from agno_portkey.guardrails import Guard, Passage
from agno_portkey.guardrails.segments import BEFORE, HARD_LIMIT, Release, Segments, Together
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply

RELEASES = st.sampled_from(["word", "eager", "segment"])
WORDS = [
    "the",
    "The",
    "is",
    "Will",
    "John",
    "Dr.",
    "e.g.",
    "J.",
    "5",
    "a@b.c",
    "<PERSON_1>",
    "<",
    ">",
]
TEXTS = st.builds(
    "".join,
    st.lists(
        st.sampled_from([*WORDS, " ", " ", " ", "\n", ". ", "! ", ".' ", "x" * 70, "\u2026 "]),
        max_size=120,
    ),
)
CUTS = st.lists(st.integers(0, 4_000), max_size=12)
HUGE = st.builds(
    lambda parts: "".join(text * times for text, times in parts),
    st.lists(
        st.tuples(st.sampled_from(["ab", "[", "]", " ", "c "]), st.integers(1, 1500)), max_size=5
    ),
)


def in_brackets(before: str, held: str) -> Iterator[tuple[int, int]]:
    """What stands in square brackets stays together, as far as it is seen."""
    for found in re.finditer(r"\[[^\]]*\]?", held):
        yield found.span()


def pieces(chunks: list[str], release: Release, together: Together | None = None) -> list[str]:
    segments = Segments(release, apart=together is None)
    asks = {} if together is None else {"together": together}
    found = [piece for chunk in chunks for piece in segments.feed(chunk, **asks)]
    return [*found, *([rest] if (rest := segments.flush()) else [])]


@given(TEXTS | HUGE, CUTS, RELEASES, st.sampled_from([None, in_brackets]))
@example("the " * 3 + "[" * 4_000, [3_850], "eager", in_brackets)
def test_pieces_do_not_depend_on_chunks(
    text: str, cuts: list[int], release: Release, together: Together | None
) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[a:b] for a, b in pairwise(places)]
    found = pieces([text], release, together)
    assert "".join(found) == text
    assert all(found)
    assert pieces(chunks, release, together) == found
    assert pieces([*text[:700]], release, together) == pieces([text[:700]], release, together)


@given(HUGE)
def test_ranges_that_are_waited_for_cut_the_same(text: str) -> None:
    async def waited_for(before: str, held: str) -> list[tuple[int, int]]:
        await asyncio.sleep(0)
        return [*in_brackets(before, held)]

    async def fed() -> list[str]:
        segments = Segments(apart=False)
        found = [
            p for chunk in (text[:300], text[300:]) for p in await segments.afeed(chunk, waited_for)
        ]
        return [*found, *([rest] if (rest := segments.flush()) else [])]

    assert asyncio.run(fed()) == pieces([text], "segment", in_brackets)


@given(TEXTS | HUGE, RELEASES, st.sampled_from([None, in_brackets]))
def test_what_is_held_back_is_bounded(
    text: str, release: Release, together: Together | None
) -> None:
    segments = Segments(release, apart=together is None)
    asks = {} if together is None else {"together": together}
    given_out = 0
    most = HARD_LIMIT if together is None else 4 * HARD_LIMIT + BEFORE
    for count, character in enumerate(text, start=1):
        given_out += sum(map(len, segments.feed(character, **asks)))
        assert count - given_out <= most


@given(TEXTS | HUGE, st.sampled_from(["eager", "segment"]))
def test_what_is_to_stay_together_does(text: str, release: Release) -> None:
    text = text.replace("\n", " ").replace(". ", ", ").replace("! ", " ").replace("\u2026 ", " ")
    place = 0
    ranges = [*in_brackets("", text)]
    for piece in pieces([text], release, in_brackets)[:-1]:
        place += len(piece)
        assert not any(
            a < place < b
            and b - a <= HARD_LIMIT
            and not text[place - 1 : place + 1].startswith("'")
            for a, b in ranges
        ) or _ends_a_sentence(text, place)


def _ends_a_sentence(text: str, place: int) -> bool:
    return bool(re.search(r"[.!?\u2026]['\")]?\s$", text[:place]))


@given(TEXTS, RELEASES)
def test_a_piece_is_cut_no_further(text: str, release: Release) -> None:
    """So that a guard that is handed a piece cuts as one that is handed the whole."""
    behind = ""
    for piece in pieces([text], release):
        again = Segments(release)
        again.passed(behind)
        if release != "eager":
            assert [*again.feed(piece), *filter(None, [again.flush()])] == [piece]
        behind += piece


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The dog is here. It is.", ["The ", "dog is here. ", "It ", "is."]),
        ("the the John said", ["the ", "the ", "John said"]),
        ("Will you? Yes, I am.", ["Will you? ", "Yes, ", "I ", "am."]),
        ("It's 5 o'clock", ["It's ", "5 o'clock"]),
        ("the\nJohn", ["the\n", "John"]),
        ("  the John", ["  the ", "John"]),
    ],
)
def test_an_eager_answer_begins_with_its_small_words(text: str, found: list[str]) -> None:
    assert pieces([text], "eager") == found
    assert pieces([*text], "eager") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hi <PERSON_1>, hello", ["Hi ", "<PERSON_1>, ", "hello"]),
        ("Hi < PERSON_1 >, you", ["Hi ", "< PERSON_1 >, ", "you"]),
        ("a < b and so on, for ever and ever, it goes", None),
    ],
)
def test_by_words_a_bracket_is_one(text: str, found: list[str] | None) -> None:
    got = pieces([*text], "word")
    assert got == pieces([text], "word")
    if found is not None:
        assert got == found
    else:
        assert max(map(len, got)) <= 60


@pytest.mark.parametrize(
    "text",
    ["I saw Dr. Smith", "See e.g. Oslo", "By J. Doe", "At No. 5", "Acme Inc. is", "(Mrs. Jones)"],
)
def test_a_short_form_ends_no_sentence(text: str) -> None:
    assert pieces([text], "segment") == [text]


@pytest.mark.parametrize(
    "text", ['"Go." Then', "Go.) Then", "Go! Then", "So it is. Then", "42. Then"]
)
def test_a_sentence_ends_behind_its_quotes(text: str) -> None:
    assert pieces([text], "segment")[-1] == "Then"


def test_where_nothing_is_said_to_stay_together_it_is_cut_at_any_white_space() -> None:
    segments = Segments(apart=False)
    assert segments.feed("word " * 80) == ["word " * 48]
    assert [*Plain().keeps_together("", "a text")] == []


class Plain(Guard):
    def inspect(self, passage: Passage) -> None:
        return None


class Ranged(Plain):
    """Keeps rows of letters together, or fails, or hangs, when it is asked for them."""

    stream = "segment"
    timeout = 0.3

    def __init__(self, does: str) -> None:
        self.does, self.gate = does, threading.Event()
        super().__init__()

    def keeps_together(self, before: str, text: str) -> Iterator[tuple[int, int]]:
        if self.does == "hangs":
            self.gate.wait(60)
        if self.does == "raises":
            raise OSError("no")
        for found in re.finditer(r"(?:[a-z] )+[a-z]", text):
            yield found.span()


@pytest.mark.parametrize("does", ["works", "raises", "hangs"])
@pytest.mark.parametrize("form", ["stream", "astream"])
def test_in_a_stream(
    form: str, does: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    text = "ring " * 44 + "a b c d e f g h i j k l m n o p " + "ring " * 60
    portkey_provider.reply(Reply(text, chunk_size=40))
    guard = Ranged(does)
    portkey_model.guards = (guard,)
    ended = play(Agent(model=portkey_model), form)
    guard.gate.set()
    assert ended.text_shown == ended.content == text
    row = "a b c d e f g h i j k l m n o p"
    assert any(row in str(part) for part in ended.shown)
