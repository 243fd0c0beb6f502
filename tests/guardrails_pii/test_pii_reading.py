"""Characters that hide others do not hide what they are put into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.guardrails.pii.reading import for_ner, read
from agno_portkey.guardrails.pii.spans import Span


@given(st.text(st.characters(), max_size=60))
def test_offsets_lead_back(text: str) -> None:
    reading = read(text)
    length = len(reading.text)
    reading.text.encode("utf-8")  # which a lone surrogate would break
    if length:
        whole = reading.back(Span(0, length, "PERSON"))
        assert 0 <= whole.start < whole.end <= len(text)
    for place in range(length):
        one = reading.back(Span(place, place + 1, "PERSON"))
        assert one.end == one.start + 1


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("jo\u200bhn", "john"),
        ("\u202ejohn\u202c", "john"),
        ("\uff14\uff11\uff11", "411"),
        ("a\u2010b\u00a0c", "a-b c"),
        ("\ud800x", "\ufffdx"),
        ("p\u00adq\ufeff", "pq"),
    ],
)
def test_it_is_read_plainly(text: str, plain: str) -> None:
    assert read(text).text == plain


def test_a_span_takes_the_hidden_characters_inside_it_along() -> None:
    assert read("a\u200bb c").back(Span(0, 2, "PERSON", 0.5)) == Span(0, 3, "PERSON", 0.5)


@given(st.text(st.sampled_from('ab({["\n ,'), max_size=2000))
def test_a_model_gets_a_text_of_the_same_length(text: str) -> None:
    assert len(for_ner(text)) == len(text)


def test_marks_in_an_overlong_run_are_blanked_and_words_kept() -> None:
    assert for_ner('{"a":"John Smith"}') == '{"a":"John Smith"}'
    assert for_ner("(" * 500 + "Ann").strip() == "Ann"
