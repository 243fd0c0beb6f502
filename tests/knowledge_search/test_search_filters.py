"""Filters mean the same in SQLite, in Postgres and in Python."""

from __future__ import annotations

import math
from typing import Any

import pytest
from agno.filters import (
    AND,
    CONTAINS,
    EQ,
    GT,
    GTE,
    IN,
    LT,
    LTE,
    NEQ,
    NOT,
    OR,
    STARTSWITH,
    FilterExpr,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from searched import Opens, by_words, doc, texts
from sqlalchemy import text

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import HybridSearch
from agno_portkey.knowledge.search.filters import read_filters

KEYS = ["a", "b", 'odd "key" $.a', "ü:x"]
SCALARS = [True, False, None, 0, 1, 1.0, 2, -3.5, "", "1", "true", "Ab", "abc", "ÄBC", "a'b%_"]
VALUES = [*SCALARS, ["x", 1], {"k": "v"}]
METAS: list[dict[str, Any]] = [
    {},
    *({key: value} for key in KEYS for value in VALUES),
    {"a": 1, "b": "abc"},
    {"a": "Ab", "b": 2, "ü:x": True},
]


def same(one: Any, other: Any) -> bool:
    """Equal as JSON is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def fits(said: FilterExpr, meta: dict[str, Any]) -> bool:
    if isinstance(said, AND):
        return all(fits(each, meta) for each in said.expressions)
    if isinstance(said, OR):
        return any(fits(each, meta) for each in said.expressions)
    if isinstance(said, NOT):
        return not fits(said.expression, meta)
    return of_field(said, meta)


def of_field(said: Any, meta: dict[str, Any]) -> bool:
    there, value = said.key in meta, meta.get(said.key)
    if isinstance(said, IN):
        return there and any(same(value, each) for each in said.values)
    if isinstance(said, NEQ):
        return not (there and same(value, said.value))
    if isinstance(said, EQ):
        return there and same(value, said.value)
    if isinstance(said, CONTAINS):
        return isinstance(value, str) and said.value.casefold() in value.casefold()
    if isinstance(said, STARTSWITH):
        return isinstance(value, str) and value.startswith(said.value)
    numbers = all(
        isinstance(x, int | float) and x is not True and x is not False for x in (value, said.value)
    )
    if not numbers and not (isinstance(value, str) and isinstance(said.value, str)):
        return False
    compared = {
        GT: value > said.value,
        GTE: value >= said.value,
        LT: value < said.value,
        LTE: value <= said.value,
    }  # type: ignore[operator]
    return compared[type(said)]


KEY = st.sampled_from([*KEYS, "absent"])
FIELDS: st.SearchStrategy[FilterExpr] = st.one_of(
    st.builds(EQ, KEY, st.sampled_from(VALUES)),
    st.builds(NEQ, KEY, st.sampled_from(VALUES)),
    st.builds(IN, KEY, st.lists(st.sampled_from(VALUES), max_size=3)),
    *(
        st.builds(kind, KEY, st.sampled_from([0, 1, 1.5, -3.5, "1", "Ab", "abc", "ü"]))
        for kind in (GT, GTE, LT, LTE)
    ),
    st.builds(CONTAINS, KEY, st.sampled_from(["", "b", "B", "ÄB", "%", "'"])),
    st.builds(STARTSWITH, KEY, st.sampled_from(["", "a", "A", "Ä", "a'"])),
)
FILTERS = st.recursive(
    FIELDS,
    lambda within: st.one_of(
        st.lists(within, max_size=3).map(lambda several: AND(*several)),
        st.lists(within, max_size=3).map(lambda several: OR(*several)),
        within.map(NOT),
    ),
    max_leaves=4,
)


@pytest.fixture
def filled(opens: Opens) -> HybridSearch:
    search = opens(candidates=len(METAS), search_type="keyword")
    documents = [doc(f"text {n}") for n in range(len(METAS))]
    for document, meta in zip(documents, METAS, strict=True):
        document.meta_data = meta
    search.insert("h", documents)
    return search


def test_any_filter_means_what_it_says(filled: HybridSearch) -> None:
    @settings(max_examples=150)
    @given(said=FILTERS)
    def play(said: FilterExpr) -> None:
        wanted = {f"text {n}" for n, meta in enumerate(METAS) if fits(said, meta)}
        assert by_words(filled, "text", filters=[said]) == wanted

    play()


def test_vectors_are_filtered_as_words_are(filled: HybridSearch) -> None:
    for said in ({"a": 1}, {"a": True}, {"b": ["x", 1]}, [EQ("a", 1), EQ("b", "abc")]):
        found = set(texts(filled, "text", filters=said, search_type="vector"))
        several = [EQ(k, v) for k, v in said.items()] if isinstance(said, dict) else said
        assert found == {
            f"text {n}" for n, meta in enumerate(METAS) if all(fits(e, meta) for e in several)
        }
        assert found


def test_forms_that_mean_the_same(filled: HybridSearch) -> None:
    one = by_words(filled, "text", filters={"a": 1})
    for said in (EQ("a", 1), [EQ("a", 1)], [EQ("a", 1).to_dict()], EQ("a", 1).to_dict()):
        assert by_words(filled, "text", filters=said) == one
    everything = by_words(filled, "text")
    assert len(everything) == len(METAS)
    assert (
        by_words(filled, "text", filters={}) == by_words(filled, "text", filters=[]) == everything
    )


@pytest.mark.parametrize("meta", ["[1, 2]", '"a"', "7", "true"])
def test_what_is_no_object_fits_nothing_nor_its_opposite(postgres_search: Opens, meta: str) -> None:
    """Others may write such metadata into the table; SQLite's words have none of them either."""
    search = postgres_search(search_type="keyword")
    documents = [doc("text odd", name="odd"), doc("text none", name="none"), doc("text plain")]
    search.insert("h", documents)
    with search.vector_db.db_engine.begin() as connection:  # type: ignore[union-attr]
        odd = "UPDATE ai.docs SET meta_data = CAST(:meta AS jsonb) WHERE name = :name"
        connection.execute(text(odd), {"meta": meta, "name": "odd"})
        connection.execute(text("UPDATE ai.docs SET meta_data = NULL WHERE name = 'none'"))
    for said in (NOT(EQ("a", 1)), NEQ("a", 1), OR(NOT(GT("a", 1)), EQ("a", 1))):
        assert by_words(search, "text", filters=[said]) == {"text none", "text plain"}
        assert set(texts(search, "text", filters=[said], search_type="vector")) == {
            "text none",
            "text plain",
        }
    assert by_words(search, "text", filters=[EQ("a", 1)]) == set()


@pytest.mark.parametrize(
    "said",
    [
        "a=1",
        7,
        ["a"],
        [{"op": "LIKE", "key": "a", "value": 1}],
        [{"op": "EQ", "key": "a"}],
        [{"op": "AND", "conditions": 3}],
        {"op": "NOT"},
        [GT("a", None)],
        [GT("a", True)],
        [CONTAINS("a", 3)],  # type: ignore[arg-type]
        [EQ(3, 3)],  # type: ignore[arg-type]
        {"a": math.nan},
        {"a": object()},
        {"a": "\ud800"},
        {"a": 10**400},
    ],
)
def test_what_can_not_be_meant_is_refused(said: Any) -> None:
    with pytest.raises(ConfigurationError, match="filters: "):
        read_filters(said)


def test_filters_nested_too_deep_are_refused() -> None:
    said: FilterExpr = EQ("a", 1)
    for _ in range(11):
        said = NOT(said)
    with pytest.raises(ConfigurationError, match="nested deeper than 10"):
        read_filters(said)
