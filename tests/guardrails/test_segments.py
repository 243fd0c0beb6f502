"""A text cut into pieces: what comes out is the text, wherever the chunks of it ended."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agno_portkey.guardrails.segments import BEFORE, HARD_LIMIT, LIMIT, Release, Segments

# Few kinds of characters, so that sentences, long words and empty lines are all common.
TEXTS = st.text(alphabet="ab. !?\n\r\t\u2026\u00a0é😀", max_size=600) | st.text(max_size=200)
LONG = st.builds(
    lambda parts: "".join(text * times for text, times in parts),
    st.lists(
        st.tuples(st.sampled_from(["a", " ", "a b", ". ", "\n"]), st.integers(1, 500)), max_size=4
    ),
)
CUTS = st.lists(st.integers(0, 2_000), max_size=12)


def _pieces(chunks: list[str]) -> list[str]:
    segments = Segments()
    pieces = [piece for chunk in chunks for piece in segments.feed(chunk)]
    return [*pieces, *([rest] if (rest := segments.flush()) else [])]


def _chunked(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


@given(TEXTS | LONG, CUTS)
@example("a" * 2_000, [960])
@example("a. " * 100, [2])
@example("a" * 959 + ". b", [960])
@example(" " * 500, [])
def test_pieces_are_the_text_and_do_not_depend_on_its_chunks(text: str, cuts: list[int]) -> None:
    pieces = _pieces([text])
    assert "".join(pieces) == text
    assert all(pieces)
    assert _pieces(_chunked(text, cuts)) == pieces


@given(TEXTS | LONG)
def test_one_character_at_a_time_gives_the_same_pieces(text: str) -> None:
    assert _pieces([*text]) == _pieces([text])


@given(TEXTS | LONG)
def test_no_piece_is_longer_than_the_limit_and_no_more_is_held_back(text: str) -> None:
    segments = Segments()
    given_out = 0
    for count, character in enumerate(text, start=1):
        for piece in segments.feed(character):
            assert len(piece) <= HARD_LIMIT
            # Longer than usual is only what has no white space to be cut at.
            assert len(piece) <= LIMIT or not any(c.isspace() for c in piece[:LIMIT])
            given_out += len(piece)
        assert count - given_out < HARD_LIMIT


def test_where_it_is_cut() -> None:
    assert _pieces(["One. Two!  Three?\nFour\n\nfive"]) == [
        "One. ",
        "Two! ",
        " Three?\n",
        "Four\n",
        "\n",
        "five",
    ]
    # A dot within a number, an address or a name ends nothing.
    assert _pieces(["It is 3.14 at a.b.example.com today"]) == [
        "It is 3.14 at a.b.example.com today"
    ]
    assert _pieces(["word " * 47 + "abcde"]) == ["word " * 47 + "abcde"]
    words = "word " * 100
    first, second, rest = _pieces([words])
    assert (first, second) == ("word " * 48, "word " * 48)
    assert rest == "word " * 4
    assert [len(piece) for piece in _pieces(["x" * 2_000])] == [960, 960, 80]
    assert _pieces(["x" * 300 + " y"]) == ["x" * 300 + " ", "y"]


def test_what_stands_before_a_piece() -> None:
    segments = Segments()
    assert segments.before == ""
    for piece in segments.feed("a" * 50 + "\n" + "b" * 50 + "\n"):
        segments.passed(piece)
    assert segments.before == "a" * 28 + "\n" + "b" * 50 + "\n"
    assert len(segments.before) == BEFORE


def test_a_huge_chunk_is_cut_in_linear_time() -> None:
    """Were every piece to copy the rest, 5 MB would take minutes."""
    text = "Nothing is hidden here. " * 200_000
    assert len(_pieces([text])) == 200_000


# Blanks are written `_`.
WRITTEN = """
<PERSON_12> <_PERSON_12_> &lt;PERSON_12&gt; &lt;_PERSON_12_&gt; \\u003cPERSON_12\\u003e
\\u003c_US_DRIVER_LICENSE_999999_\\u003e [PERSON_12] PERSON_12 <PERSON_12 <person_12>
"""
FORMS = WRITTEN.split()


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("release", ["word", "eager", "segment"])
@pytest.mark.parametrize("form", FORMS)
def test_no_placeholder_is_cut(form: str, release: Release, apart: bool) -> None:
    form = form.replace("<_", "< ").replace(";_", "; ").replace("c_", "c ").replace("_>", " >")
    form = form.replace("_&", " &").replace("_\\", " \\")
    for run, near in (("\u3001", (240, 480, 960, 3840)), ("in a ", (240, 480))):
        for length in [place - back for place in near for back in range(45)]:
            text = (run * length)[:length]
            text = f"{text[:-1]} {form}" if run == "in a " else text + form
            text += "\u3001" * 80 + " and so on" * 500
            text = text[:4_500]  # longer than the longest piece that is waited for, and all before
            segments = Segments(release, apart=apart)
            pieces = [*segments.feed(text), segments.flush()]
            assert "".join(pieces) == text
            assert any(form in piece for piece in pieces), (length, run)


def test_what_only_begins_like_a_placeholder_is_cut_somewhere() -> None:
    for text in ("<" * 3_000, "[" * 3_000, "A" * 3_000, "\\u00" * 900, "< a " * 900):
        for release in ("word", "eager", "segment"):
            for apart in (True, False):
                segments = Segments(release, apart=apart)  # type: ignore[arg-type]
                pieces = [*segments.feed(text + " " * 400), segments.flush()]
                assert "".join(pieces) == text + " " * 400
                assert max(map(len, pieces)) <= HARD_LIMIT
