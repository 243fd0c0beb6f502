"""What must not be kept is seen, and what can't be looked at is not kept either."""

from __future__ import annotations

import pytest

from agno_portkey.cache.screening import found_in
from agno_portkey.cache.verifying import Comparison, same_answers


@pytest.mark.parametrize(
    "text",
    [
        "Write to <PERSON>",
        "Write to <PERSON_1>",
        "Write to <EMAIL_ADDRESS_12@5f0c>",
        "The card [CREDIT_CARD_1]",
        "the key [secret: github token]",
        "[blocked by words]",
    ],
)
def test_placeholders_are_not_kept(text: str) -> None:
    assert found_in(["fine", text], ()) == "placeholder"


@pytest.mark.parametrize(
    "text", ["<b>bold</b>", "List<String> x", "[1]", "[x] done", "a < B > c", "[LATER]"]
)
def test_markup_is(text: str) -> None:
    assert found_in([text], ()) is None


def test_what_looks_just_like_a_placeholder_is_taken_for_one() -> None:
    assert found_in(["class Box<T>"], ()) == "placeholder"


def _fails(text: str) -> bool:
    raise ZeroDivisionError


def test_a_finder_says_what_it_found_and_one_that_fails_has_found_something() -> None:
    finders = [("secret", lambda text: "key" in text), ("personal data", _fails)]
    assert found_in(["a key"], finders) == "secret"
    assert found_in(["nothing"], finders) == "personal data unknown"
    assert found_in(["nothing"], finders[:1]) is None
    assert found_in([], finders) is None


@pytest.mark.parametrize(
    ("answer", "kept", "same"),
    [
        ("Paris.", "paris", True),
        ("Paris", "Rome", False),
        ("-5", "5", False),
        ("1.5", "15", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("It is so " * 20, "It is not so " * 20, None),
        ("It is so " * 20, "It is so " * 20, True),
        (None, "Paris", None),
    ],
)
def test_answers_are_compared_where_that_can_be_seen(
    answer: str | None, kept: str, same: bool | None
) -> None:
    assert same_answers(Comparison("q", answer, "k", kept)) is same
