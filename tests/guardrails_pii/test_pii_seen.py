"""A name that was found is found again when it stands alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.guardrails.pii.session import NamesOfSessions, SeenNames
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


def test_a_name_in_two_parts_is_the_same_name() -> None:
    assert mentions(seen("Zoe\u0308 Mu\u0308ller"), "ask Zo\u00eb") == ["Zo\u00eb"]
    assert mentions(seen("\u00c9milie Durand"), "so E\u0301milie it is") == ["E\u0301milie"]


def test_names_of_the_sessions_seen_longest_ago_are_forgotten() -> None:
    sessions = NamesOfSessions(limit=1)
    sessions.of("one", "u").add("Abel Bork", [Span(0, 9, "PERSON")])
    assert mentions(sessions.of("one", "u"), "Bork") == ["Bork"]
    assert mentions(sessions.of("one", "other"), "Bork") == []
    assert mentions(sessions.of("one", "u"), "Bork") == []


def test_without_a_session_no_name_is_kept() -> None:
    sessions = NamesOfSessions()
    sessions.of(None, "u").add("Abel Bork", [Span(0, 9, "PERSON")])
    assert mentions(sessions.of(None, "u"), "Bork") == []
