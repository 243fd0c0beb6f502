"""Spans that overlap are settled so that nothing which was found is let go."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import AnalysisFailed
from agno_portkey.guardrails.pii.spans import Span, beside, checked, widest

_SPANS = st.lists(
    st.builds(
        lambda start, length, kind, score: Span(start, start + length, kind, score),
        st.integers(0, 60),
        st.integers(1, 20),
        st.sampled_from(("PERSON", "LOCATION", "EMAIL_ADDRESS")),
        st.sampled_from((0.5, 0.9, 1.0)),
    ),
    max_size=12,
)


def _chars(spans: list[Span] | tuple[Span, ...]) -> set[int]:
    return {place for span in spans for place in range(span.start, span.end)}


@given(_SPANS)
def test_nothing_overlaps_and_nothing_is_let_go(spans: list[Span]) -> None:
    kept = widest(spans)
    assert all(one.end <= other.start for one, other in pairwise(kept))
    assert _chars(kept) == _chars(spans)
    assert list(kept) == sorted(kept)


@given(_SPANS, st.randoms())
def test_the_order_they_come_in_does_not_matter(spans: list[Span], draw: object) -> None:
    mixed = [*spans]
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    assert widest(mixed) == widest(spans)


@given(_SPANS)
def test_the_longest_is_kept_whole(spans: list[Span]) -> None:
    if spans:
        longest = max(span.end - span.start for span in spans)
        assert any(span.end - span.start >= longest for span in widest(spans))


def test_of_two_of_one_length_the_surer_wins() -> None:
    weak, sure = Span(0, 4, "LOCATION", 0.5), Span(0, 4, "PERSON", 0.9)
    assert widest([weak, sure]) == (sure,)


def test_a_rest_without_a_letter_or_digit_is_dropped_with_the_text_at_hand() -> None:
    found = [Span(0, 6, "PERSON"), Span(4, 16, "LOCATION")]
    text = "Ann, Oslo Street"
    assert widest([Span(0, 5, "PERSON"), Span(3, 16, "LOCATION")], text)[0] == Span(0, 3, "PERSON")
    assert widest([Span(3, 5, "PERSON"), Span(4, 16, "LOCATION")], text) == (
        Span(4, 16, "LOCATION"),
    )
    assert widest(found)[0] == Span(0, 4, "PERSON")


@given(_SPANS, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=5))
def test_what_stands_beside_a_mask_is_kept(spans: list[Span], masks: list[tuple[int, int]]) -> None:
    text = "ab, " * 25
    taken = widest([Span(start, start + length, "MASK") for start, length in masks])
    places = [(span.start, span.end) for span in taken]
    kept = beside(widest(spans, text), places, text)
    words = {place for place in range(len(text)) if text[place].isalnum()}
    assert _chars(kept) & words == (_chars(widest(spans, text)) - _chars(taken)) & words
    assert not _chars(kept) & _chars(taken)
    assert all(a.end <= b.start for a, b in pairwise(kept))


@pytest.mark.parametrize(
    "spans",
    [
        None,
        {},
        "text",
        ["text"],
        [(0, 1)],
        [Span(0, 1, "")],
        [Span(0, 1, None)],  # type: ignore[arg-type]
        [Span(0.0, 1, "PERSON")],  # type: ignore[arg-type]
        [Span(-1, 1, "PERSON")],
        [Span(2, 2, "PERSON")],
        [Span(2, 1, "PERSON")],
        [Span(0, 6, "PERSON")],
    ],
)
def test_spans_that_are_none_or_elsewhere_are_refused(spans: Any) -> None:
    with pytest.raises(AnalysisFailed):
        checked(spans, "12345")


def test_spans_of_a_text_are_taken() -> None:
    assert checked([Span(0, 5, "PERSON")], "12345") == [Span(0, 5, "PERSON")]
    assert checked((), "") == ()
