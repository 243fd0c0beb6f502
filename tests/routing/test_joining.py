"""An answer that broke off and its rest become one text; no character twice, none lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agno_portkey.routing.recovery.joining import Joiner, Restarted

TEXTS = st.text(alphabet="ab \n.", min_size=1, max_size=60) | st.text(min_size=1, max_size=60)


def _pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def _shown(joiner: Joiner, pieces: list[str]) -> str:
    return "".join(joiner.feed(piece) for piece in pieces)


@given(text=TEXTS, cut=st.integers(0, 60), cuts=st.lists(st.integers(0, 60)))
def test_a_rest_that_follows_what_was_sent_joins_exactly_or_is_refused(
    text: str, cut: int, cuts: list[int]
) -> None:
    cut %= len(text) + 1
    joiner = Joiner()
    said = _shown(joiner, _pieces(text[:cut], cuts))
    assert said == text[:cut] == joiner.shown

    joiner.resume()
    # A model goes on from what it was sent, which has no white space at its end.
    rest = text[len(joiner.prefill) :]
    assume(joiner.prefill)
    try:
        said += _shown(joiner, _pieces(rest, cuts)) + joiner.flush()
    except Restarted:
        # Only where the rest begins like the whole, and cannot be told from a new beginning.
        beginning = text[:cut].lstrip()[:32]
        assert rest.lstrip().startswith(beginning)
    else:
        assert said == text == joiner.shown


@given(text=TEXTS, cut=st.integers(1, 60), cuts=st.lists(st.integers(0, 60)))
def test_a_target_that_starts_over_is_found_out_before_a_word_is_shown_twice(
    text: str, cut: int, cuts: list[int]
) -> None:
    cut = max(1, cut % (len(text) + 1))
    joiner = Joiner()
    said = _shown(joiner, [text[:cut]])
    assume(joiner.prefill)
    joiner.resume()
    with pytest.raises(Restarted):
        said += _shown(joiner, _pieces(text, cuts))
    assert said == joiner.shown == text[:cut]


@pytest.mark.parametrize(
    ("shown", "rest", "whole"),
    [
        ("The cat", " sat", "The cat sat"),
        ("The ca", "t sat", "The cat sat"),
        ("The cat ", " sat", "The cat sat"),
        ("The cat ", "sat", "The cat sat"),
        ("The end.\n\n", "\nNext", "The end.\n\nNext"),
        ("The end.\n", "\n\nNext", "The end.\n\nNext"),
        ("The end. ", "\n\nNext", "The end. \n\nNext"),
        (" \n", " \nHello", " \nHello"),
        ("Thumbs up", " Thursday", "Thumbs up Thursday"),
    ],
)
def test_white_space_at_the_seam_stands_once(shown: str, rest: str, whole: str) -> None:
    joiner = Joiner()
    joiner.feed(shown)
    joiner.resume()
    for letter in rest:
        joiner.feed(letter)
    joiner.flush()
    assert joiner.shown == whole


def test_what_was_held_of_a_target_that_failed_is_forgotten() -> None:
    joiner = Joiner()
    joiner.feed("one two")
    joiner.resume()
    assert joiner.feed("on") == ""
    joiner.resume()
    assert joiner.feed(" three") == " three"
    assert joiner.shown == "one two three"


def test_a_rest_that_ends_while_it_looks_like_the_beginning_is_shown() -> None:
    joiner = Joiner()
    joiner.feed("ha ha ho ")
    joiner.resume()
    assert joiner.feed("ha") == ""
    assert joiner.flush() == "ha"
    assert joiner.flush() == ""
