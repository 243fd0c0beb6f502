"""A text is read as the one JSON value it holds, or not at all; no value is guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from agno_portkey.contracts.proof import Unproved, proved
from agno_portkey.contracts.rescue import rescue
from agno_portkey.contracts.schemas import Misfit, Schema


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    number: int


class Poem(BaseModel):
    """Any of its keys may be left out, so that a lost one is not seen by the schema alone."""

    model_config = ConfigDict(extra="forbid")
    title: str = ""
    lines: list[Line] = []
    mood: str | None = None
    pages: float = 1


class Pair(BaseModel):
    """All of it is known to be there once it is."""

    model_config = ConfigDict(extra="forbid")
    left: str
    right: list[int] = Field(max_length=2)


POEM, PAIR = Schema(Poem), Schema(Pair)
TEXTS = st.text(max_size=20)
LINES = st.builds(Line, text=TEXTS, number=st.integers(-(10**6), 10**6))
POEMS = st.builds(
    Poem,
    title=TEXTS,
    lines=st.lists(LINES, max_size=3),
    mood=st.none() | TEXTS,
    pages=st.floats(0, 1000, allow_nan=False),
)


def _read(text: str, schema: Schema = POEM) -> Any:
    return rescue(text, schema)


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ('{"title": "a"}', []),
        ('  {"title": "a"}\n', []),
        ('```json\n{"title": "a"}\n```', ["fence"]),
        ('<think>{"title": "b"}</think>{"title": "a"}', ["thoughts"]),
        ('"{\\"title\\": \\"a\\"}"', ["encoded twice"]),
        ('Here: {"title": "a"}. Fine, {name}?', ["prose"]),
        ('```\n{"title": "a"}', ["prose"]),
        ('{"title": "a"} {"title": "a"}', ["prose"]),
        ('Of {"request": 3} I made {"title": "a"}', ["prose"]),
        ('{"title": "a",}', ["comma"]),
        ('{"title": "a",, "pages": 1}', ["comma"]),
        ('{"title": "a" "pages": 1}', ["comma"]),
        ('{"title": "a"; "pages": 1}', ["comma"]),
        ("{'title': 'a'}", ["quote", "quote"]),
        ('{title: "a"}', ["quote"]),
        ('{title": "a"}', ["quote"]),
        ('{"title: "a"}', ["quote"]),
        ('{"title": "a, "pages": 1}', ["quote"]),
        ('{"title": a}', ["quote"]),
        ("{\u201ctitle\u201d: \u201ca\u201d}", ["quote", "quote"]),
        ('{"pages" = 1, "title": "a"}', ["colon"]),
        ('{"title": "a", "mood": None}', ["literal"]),
        ('{"title": "a", "mood": null,}', ["comma"]),
        ('{"title": "a" /* so */}', ["comment"]),
        ('{"title": "a", "pages": +1}', ["number"]),
        ('\ufeff{"title": "a"}', ["blanks"]),
        ('\xa0{"title": "a"}\u3000', ["blanks"]),
        ('\x85```json\n{"title": "a"}\n```', ["blanks", "fence"]),
        ('{"title":\xa0"a"}', ["blanks"]),
        ('{"title": "a", "mood": null\u3000}', ["blanks"]),
        ('<think>b</think> </think>{"title": "a"}', ["thoughts"]),
        ('No {title} yet.</think> {"title": "a"}', ["prose"]),
        ('{"title": "b"} no </think> {"title": "a"}', ["prose"]),
    ],
)
def test_what_was_changed_is_recorded(text: str, edits: list[str]) -> None:
    found = _read(text)
    assert found.value == Poem(title="a")
    assert [edit.kind for edit in found.edits] == edits
    assert found.rung == ("given" if set(edits) <= {"fence", "thoughts"} else "repair")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('{"title": "she said "yes" to it"}', 'she said "yes" to it'),
        ('{"title": "she said "yes", and left", "pages": 1}', 'she said "yes", and left'),
        ('{"title": "one\ntwo\tthree"}', "one\ntwo\tthree"),
        (r'{"title": "\d+ C:\temp \u00e9 \ud83d\ude00",}', "\\d+ C:\temp é 😀"),
        ("{'title': 'it\\'s \"so\"'}", 'it\'s "so"'),
        ('{"title": "a // b # c /* d */",}', "a // b # c /* d */"),
        ('{"title": "{[,;:]}",}', "{[,;:]}"),
        (r'{"title": "it\'s"}', "it's"),
        ('{"title": "<think>a</think>b"}', "<think>a</think>b"),
        ('{"title": "a</think>{}",}', "a</think>{}"),
    ],
)
def test_each_character_of_a_text_is_kept(text: str, title: str) -> None:
    assert _read(text).value == Poem(title=title)


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "a", "title": "b"}',
        '{"title": "a", "pages": NaN}',
        '{"title": "a", "pages": Infinity}',
        '{"title": "a", "pages": 1,000}',
        '{"title": "a", "pages": 12 apples}',
        '{"title": "a b"c", "pages": 1',
        '{"title": two words}',
        '{"title" "a"}',
        '{"title": "a, b c}',
        '{"title": "a", "pages": tru}',
        '{title: "a", "pages": [[' + "[" * 3_000,
        '{"title": "a", "pages": 1.0.0}',
        '{"title": "a", "pages": ' + "9" * 500 + ".5,}",
        r'{"title": "\ud83d\u0041", "pages": 1,, "mood"}',
        '{"title": undefined}',
        '{"title": NaN}',
        '{"title": "he said "a", "b" and "c"", "pages": 1}',
        '{"lines": [{"text": "a "b", "number": 1}]',
        '{"title": "a"} {"title": "b"}',
        '{"title": "a"} no: {"title": "b',
        '{"title": "b", "tit {"title": "a"}',
        "[1, 2]",
        "7",
        '"title"',
        "",
        "no JSON at all",
        '{"title": [3, 4]} or {"title": [5, 6]}',
        '{"lines": [{"number": 1, "text": "a"',
        '{"lines": ' + '{"text":' * 3_000,
        'Here: {"lines": ' + '{"text":' * 3_000,
    ],
)
def test_what_may_mean_something_else_is_not_read(text: str) -> None:
    with pytest.raises(Misfit):
        _read(text)


def test_a_cut_tail_is_closed_where_nothing_can_be_missing() -> None:
    assert _read('{"left": "a", "right": [1, 2]', PAIR).value == Pair(left="a", right=[1, 2])
    for text in (
        '{"left": "a", "right": [1',
        '{"left": "a", "right": [1,',
        '{"right": [1, 2], "left": "a',
    ):
        with pytest.raises(Misfit):
            _read(text, PAIR)


@given(POEMS, st.data())
def test_a_text_cut_at_any_place_is_never_read_as_another_object(
    poem: Poem, data: st.DataObject
) -> None:
    text = poem.model_dump_json(indent=data.draw(st.sampled_from([None, 1])))
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    try:
        found = _read(cut)
    except Misfit:
        return
    assert found.value == poem


@given(POEMS, st.data())
def test_a_text_with_one_character_gone_is_never_read_as_another_structure(
    poem: Poem, data: st.DataObject
) -> None:
    text = poem.model_dump_json()
    places = [at for at, char in enumerate(text) if char in '{}[],:"']
    at = data.draw(st.sampled_from(places))
    try:
        found = _read(text[:at] + text[at + 1 :])
    except Misfit:
        return
    # What was gone may have been a comma or quote inside of a text: nobody can know.
    assert [line.number for line in found.value.lines] == [line.number for line in poem.lines]
    assert found.value.pages == poem.pages


@given(st.text() | st.text(alphabet="{}[]\",:\\'tile1 \n`#/*", max_size=60))
@example('{"title": "\ud800"}')
@example('{"title": "a", "pages": ' + "9" * 5000 + ",}")
@example("{" * 3000)
@example('{"lines":' * 3000)
@example("[" * 100_000)
def test_whatever_the_text_is_it_is_read_or_refused(text: str) -> None:
    try:
        found = _read(text)
    except Misfit:
        return
    assert isinstance(found.value, Poem)
    json.dumps(found.data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"title": True}, '{"title": treu}'),
        ({"title": 1}, '{"title": one}'),
        ({"title": 1}, '{"title": 10}'),
        ({"title": "a"}, '{"title": "a b'),
        ({"title": "a", "x": 1}, '{"title": "a, "x": 1}'),
        ({"ti": 1}, '{"ti: 1}'),
        ({"ti": 1}, '{"title": 1}'),
        ({"title": [1]}, '{"title": {1}}'),
        ({"title": "a"}, '{"title": "a", "mood": "b"}'),
        ({"title": "a"}, '{"title" "a"}'),
        ({"title": "b"}, '{"title": "a"}'),
        ({"title": 'a" b'}, '{"title": "a", " b"}'),
        ({'ti"tle': 1}, '{"ti"tle": 1}'),
        ({"title": 'a", "b'}, '{"title": "a", "b"}'),
        ({"title": "a"}, '{"title": a"}'),
        ("{title", "{title"),
        ([], "{}"),
    ],
)
def test_a_value_that_the_text_does_not_say_is_not_believed(value: Any, text: str) -> None:
    with pytest.raises(Unproved):
        proved(value, text, 0, lambda path: frozenset(Poem.model_fields))


def test_more_objects_than_anybody_means_are_refused() -> None:
    with pytest.raises(Misfit, match="too many objects"):
        _read('{"title": "a"} ' * 100)


def test_a_long_broken_text_is_read_only_where_it_is_plain() -> None:
    long = "word " * 4_000
    assert _read(f'{{"title": "{long}",}}').value == Poem(title=long)
    with pytest.raises(Misfit, match="can't be repaired"):
        _read(f"{{'title': '{long}'}}")


def test_half_of_a_pair_is_no_character_of_its_own() -> None:
    with pytest.raises(Misfit):
        _read(r'{"title": "\ud83d\u0041",}')


def test_a_cut_list_of_a_mapping_is_closed_where_it_is_full() -> None:
    items = {"prefixItems": [{"type": "string"}], "items": {"type": "string"}, "maxItems": 2}
    schema = Schema({"properties": {"a": items}, "additionalProperties": False})
    assert _read('{"a": ["x", "y"', schema).value == {"a": ["x", "y"]}
    with pytest.raises(Misfit, match="cut off"):
        _read('{"a": ["x"', schema)
    with pytest.raises(Misfit, match="cut off"):
        _read('{"a": ["x"]', Schema({"properties": {"a": items}, "additionalProperties": True}))


def test_a_cut_object_that_may_be_one_of_two_is_closed_where_both_are_whole() -> None:
    one = {"properties": {"x": {"type": "string"}}, "additionalProperties": False}
    two = {"properties": {"x": {"type": "string"}, "y": {}}, "additionalProperties": False}
    both = {"anyOf": [one, two]}
    text = '{"part": {"x": "a"'
    assert _read(text, Schema({"properties": {"part": {"anyOf": [one, one]}}})).value
    with pytest.raises(Misfit, match="cut off"):
        _read(text, Schema({"properties": {"part": both}}))
