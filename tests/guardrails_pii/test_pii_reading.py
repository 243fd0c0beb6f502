"""Characters that hide others do not hide what they are put into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.reading import for_ner, read
from agno_portkey.guardrails.pii.spans import Span

_ODD = st.sampled_from(
    [
        *["\u0301", "e", "\\u00e9", "\\n", "\u200b", "\x1b[0m", "\\", "\uff11", "\0"],
        *["&#64;", "&amp;", "#64;", "&q;", "&zwnj;", "%40", "%25", "40", "%C3", "%A9", "_", " "],
    ]
)


@given(st.lists(_ODD | st.text(st.characters(), max_size=9), max_size=12).map("".join))
def test_offsets_lead_back(text: str) -> None:
    reading = read(text)
    length = len(reading.text)
    reading.text.encode("utf-8")  # which a lone surrogate would break
    if length:
        whole = reading.back(Span(0, length, "PERSON"))
        assert 0 <= whole.start < whole.end <= len(text)
    end = 0
    for place in range(length):
        one = reading.back(Span(place, place + 1, "PERSON"))
        assert end <= one.start < one.end
        # It is read alone as it is read there, marks around several words excepted.
        said = text[one.start : one.end]
        assert read(said).text == reading.text[place] or (said, reading.text[place]) == ("_", "*")
        end = one.end


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("jo\u200bhn", "john"),
        ("\u202ejohn\u202c", "john"),
        ("\uff14\uff11\uff11", "411"),
        ("a\u2010b\u00a0c", "a-b c"),
        ("\ud800x", "\ufffdx"),
        ("p\u00adq\ufeff", "pq"),
        # In two parts, as file systems write it; and struck through.
        ("Zoe\u0308 E\u0301", "Zo\u00eb \u00c9"),
        ("4\u03361\u0336 \u0301x", "41 \u0301x"),
        ("\u0664\u0661", "41"),
        # Written out, once and twice.
        (r"Jos\u00e9\n\\u0040\\tx\q", "Jos\u00e9\n@\tx\\q"),
        (r"e\u0301", "\u00e9"),
        ("a\0b\x08c\x1b[31;1md", "abcd"),
        # In codes, once and twice; what means nothing, or takes more than letters do, stays.
        ("J&uuml;rgen&#x40;x&commat;&amp;#64;y&zwnj;z", "J\u00fcrgen@x@@yz"),
        ("&none; &&amp; R&D; a&b", "&none; && R&D; a&b"),
        ("a%40b%2540c%2525252540d%4A%c3%bc%25C3%25BC", "a@b@c@dJ\u00fc\u00fc"),
        ("50%25 %20 %2B %0A %C3%41 %s", "50%25 %20 %2B %0A %C3A %s"),
        (
            "_John Smith_, __Ann Lee__, _name_ a_b c_ _d e f_g",
            "*John Smith*, **Ann Lee**, _name_ a_b c_ _d e f_g",
        ),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'row: {"mail": "a", "name": "Jos\u00e9 Garc\u00eda"}', r"Jos\u00e9 Garc\u00eda"),
        (r"Dear team\nJohn Smith\nwrote", "John Smith"),
        ("My name is E\u0301milie Durand", "E\u0301milie Durand"),
        ("Ask Zoe\u0308 Mu\u0308ller.", "Zoe\u0308 Mu\u0308ller"),
        (
            "the card 4\u03361\u03361\u03361\u0336 1111 1111 1111",
            "4\u03361\u03361\u03361\u0336 1111 1111 1111",
        ),
        ("the mail ann.lee\x08@corp.internal", "ann.lee\x08@corp.internal"),
        ("\x1b[32mJohn\x1b[0m Smith called", "John\x1b[0m Smith"),
    ],
)
def test_what_is_hidden_is_found_whole(text: str, value: str, analyzer: Analyzer) -> None:
    assert value in [text[span.start : span.end] for span in analyzer.spans(text)]
