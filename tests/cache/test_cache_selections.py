"""A selection finds exactly what all that it names is true of."""

from __future__ import annotations

from typing import Any

import pytest
from cache_entries import NOW, ODD, bare, entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey.cache.entry import Entry, Selection
from agno_portkey.cache.store import Store
from agno_portkey.errors import ConfigurationError

# Few values, some in others, so that much is alike.
VALUES = st.sampled_from(["", "a", "b", "ab", "a,b", "\0", "\ud800", "é", "A"])
LISTS = st.lists(VALUES, max_size=3).map(tuple)
AGES = st.sampled_from([0.0, 1.0, 59.5, 60.0, 3600.0])
KEYS = st.integers(0, 5).map(str)
HELD = st.builds(
    entry,
    KEYS,
    scope=VALUES,
    model=VALUES,
    role=VALUES,
    prompt=VALUES,
    knowledge=VALUES,
    sources=LISTS,
    tags=LISTS,
    created_at=AGES.map(lambda age: NOW - age),
)
FIELDS = ("scope", "model", "role", "prompt", "knowledge", "source", "tag")
GIVEN: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"key": KEYS, "older_than": AGES} | dict.fromkeys(FIELDS, VALUES)
)


def plainly(held: Entry, given: dict[str, Any]) -> bool:
    true = [
        "key" not in given or held.key == given["key"],
        "scope" not in given or held.scope == given["scope"],
        "model" not in given or held.model == given["model"],
        "role" not in given or held.role == given["role"],
        "prompt" not in given or held.prompt == given["prompt"],
        "knowledge" not in given or held.knowledge == given["knowledge"],
        "source" not in given or given["source"] in held.sources,
        "tag" not in given or given["tag"] in held.tags,
        "older_than" not in given or NOW - held.created_at > given["older_than"],
    ]
    return all(true)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(held=st.lists(HELD, max_size=6, unique_by=lambda each: each.key), given=GIVEN)
def test_what_is_selected_is_what_is_asked_for(
    store: Store, held: list[Entry], given: dict[str, Any]
) -> None:
    store.delete(map(str, range(6)))
    for each in held:
        store.put(each)
    selection = Selection(**given) if given else Selection(everything=True)
    found = store.select(selection, NOW)
    assert sorted(found, key=lambda each: each.key) == sorted(
        (bare(each) for each in held if plainly(each, given)), key=lambda each: each.key
    )


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"key": "k"}, {}),
        ({"scope": ODD}, {"scope": ODD}),
        ({"model": "m"}, {"model": "m"}),
        ({"role": "Judge"}, {"role": "Judge"}),
        ({"prompt": "p"}, {"prompt": "p"}),
        ({"knowledge": "v2"}, {"knowledge": "v2"}),
        ({"source": "a.md"}, {"sources": ("b.md", "a.md")}),
        ({"tag": "faq"}, {"tags": ("faq", "x")}),
        ({"older_than": 60}, {"created_at": NOW - 60.5}),
    ],
    ids=str,
)
def test_each_field_selects(store: Store, given: dict[str, Any], held: dict[str, Any]) -> None:
    store.put(entry("other", sources=("a.md.old",), tags=("faq2",), created_at=NOW - 60))
    store.put(entry(**held))
    assert [each.key for each in store.select(Selection(**given), NOW)] == ["k"]
    assert len(store.select(Selection(everything=True), NOW)) == 2
    assert store.select(Selection(**{**given, "prompt": "no such"}), NOW) == []


def test_what_has_expired_is_selected_as_long_as_it_is_kept(store: Store) -> None:
    store.put(entry(scope="user:ann"))
    late = NOW + 10_000
    assert store.get("k", late) is None
    assert [each.key for each in store.select(Selection(scope="user:ann"), late)] == ["k"]
    assert store.delete(["k"]) == 1


def test_a_selection_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^selection: .*key, scope.*everything=True"):
        Selection()


@pytest.mark.parametrize("field", ["scope", "source", "older_than"])
def test_everything_but_something_is_refused(field: str) -> None:
    given: dict[str, Any] = {field: 0 if field == "older_than" else ""}
    with pytest.raises(ConfigurationError, match=field):
        Selection(everything=True, **given)


@pytest.mark.parametrize("age", [-1, float("nan"), float("inf")])
def test_an_age_is_a_number_of_seconds(age: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^older_than: "):
        Selection(older_than=age)


def test_a_selection_says_what_it_selects() -> None:
    assert str(Selection(scope="public", older_than=60)) == "scope='public', older_than=60"
    assert str(Selection(role="")) == "role=''"
    assert str(Selection(everything=True)) == "everything"
