"""Texts that look like placeholders, and the forms that those have."""

from __future__ import annotations

from hypothesis import strategies as st

from agno_portkey.guardrails.pii.spans import Span

# The parts that placeholders are made of, and what can stand round them.
PARTS = [
    *"<>[]&;@._ \\(1",
    "PERSON_1",
    "PERSON_2",
    "person_1",
    "LITERAL_1",
    "\\u003c",
    "\\u003e",
    "&lt;",
    "&gt;",
    "@0123456789abcdef",
    "PER",
    "SON_",
    "Alice",
    "ALICE",
    "Bob Smith",
    "Smith Jones",
    "é",
    "e\u0301",
    "ß",
    "İ",
    "\ud800",
    "\n",
    '"',
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PARTS), max_size=14).map("".join))


def name(text: str, *values: str) -> list[Span]:
    """The spans of `values` in `text`."""
    found = ((text.index(value), value) for value in values)
    return [Span(start, start + len(value), "PERSON", 1.0) for start, value in found]


FORMS = [
    "<PERSON_1>",
    "\\u003cPERSON_1\\u003e",
    "\\u003CPERSON_1\\u003E",
    "&lt;PERSON_1&gt;",
    "< PERSON_1 >",
    "<person_1>",
    "[PERSON_1]",
    "<PERSON_1",
    "PERSON_1",
]
