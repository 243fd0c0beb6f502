"""A name that was found is found again when it stands alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.guardrails.pii.session import SeenNames
from agno_portkey.guardrails.pii.spans import Span


def seen(*names: str) -> SeenNames:
    known = SeenNames()
    for name in names:
        known.add(name, [Span(0, len(name), "PERSON", 0.9)])
    return known


def mentions(known: SeenNames, text: str) -> list[str]:
    return [text[span.start : span.end] for span in known.find(text)]


def test_bare_mentions_in_any_case() -> None:
    known = seen("Nkechi Eze-Obi")
    assert mentions(known, "ask nkechi, or EZE-OBI's boss; Nkechi Eze-Obi") == [
        "nkechi",
        "EZE-OBI",
        "Nkechi Eze-Obi",
    ]


def test_a_part_that_is_a_word_needs_its_capital() -> None:
    known = seen("Will Field")
    assert mentions(known, "he will ask Will") == ["Will"]


def test_what_is_no_person_or_unsure_is_not_remembered() -> None:
    known = SeenNames()
    known.add("Oslo Zed", [Span(0, 4, "LOCATION"), Span(5, 8, "PERSON", 0.5)])
    assert mentions(known, "Oslo Zed") == []


def test_parts_of_other_words_are_left_alone() -> None:
    assert mentions(seen("Ann Lee"), "Annual Leeds") == []


def test_the_oldest_are_forgotten() -> None:
    known = SeenNames(limit=2)
    known.add("Abel Bork Cade", [Span(0, 14, "PERSON")])
    assert mentions(known, "Abel, Bork, Cade") == ["Bork", "Cade"]


@given(st.text(max_size=80), st.text(max_size=80))
def test_spans_lie_within_any_text(name: str, text: str) -> None:
    known = SeenNames()
    known.add(name, [Span(0, len(name), "PERSON")])
    for span in known.find(text):
        assert 0 <= span.start < span.end <= len(text)
