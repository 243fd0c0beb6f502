"""What each store does: SQLite in memory and in a file, and Redis, sealed and not."""

from __future__ import annotations

import pytest
from cache_entries import NOW, ODD, bare, entry, keys_in
from cache_places import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.store import Store

EVERYTHING = Selection(everything=True)
TEXTS = st.text(st.characters(categories=None), max_size=12)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
NUMBERS = st.floats(0, 1e12, allow_nan=False)
ENTRIES = st.builds(
    Entry,
    key=TEXTS,
    bucket=TEXTS,
    scope=TEXTS,
    question=TEXTS,
    answer=TEXTS,
    model=TEXTS,
    role=TEXTS,
    swarm=TEXTS,
    prompt=TEXTS,
    knowledge=TEXTS,
    sources=LISTS,
    tags=LISTS,
    created_at=NUMBERS,
    expires_at=st.floats(1.1e12, 1e15),
    tokens=st.integers(0, 2**70),
    cost=NUMBERS,
    seconds=NUMBERS,
    embedding=st.binary(max_size=64),
    embedder=TEXTS,
)
FULL = entry(
    "a" * 64,
    role="Planner",
    swarm="Release",
    prompt="p" * 64,
    knowledge="v2",
    sources=("a.md", "b, c.md"),
    tags=("faq", ""),
    tokens=123,
    cost=0.1 + 0.2,
    seconds=1.25,
    embedding=bytes(range(256)) * 6,
    scope="tenant:" + "c" * 64,
)


def test_every_field_comes_back(store: Store) -> None:
    store.put(FULL)
    assert store.get(FULL.key, NOW) == FULL
    assert store.select(EVERYTHING, NOW) == [bare(FULL)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(held=ENTRIES)
def test_any_text_and_number_comes_back(store: Store, held: Entry) -> None:
    store.put(held)
    assert store.get(held.key, held.created_at) == held
    [*_, last] = [("",), *(each[1:] for each in store.since(held.bucket, 0))]
    assert not held.embedding or last == (held.key, held.embedding)
    assert bare(held) in store.select(Selection(scope=held.scope), NOW)
    assert store.delete([held.key]) == 1


def test_odd_texts_are_kept_wherever_they_stand(store: Store) -> None:
    names = ("key", "bucket", "scope", "question", "answer", "model", "role", "swarm", "prompt")
    odd = dict.fromkeys((*names, "knowledge", "embedder"), ODD)
    held = entry(**odd, sources=(ODD, ""), tags=("", ODD))
    store.put(held)
    assert store.get(ODD, NOW) == held
    assert [each[1:] for each in store.since(ODD, 0)] == [(ODD, held.embedding)]
    assert store.select(Selection(source=ODD, tag="", role=ODD), NOW) == [bare(held)]
    assert store.lease(ODD, ODD, 60, NOW)
    assert not store.lease(ODD, "other", 60, NOW)
    store.note(NOW, ODD, ODD, 1)
    assert store.notes() == [(NOW, ODD, ODD, 1)]
    learnt = Evidence(ODD, ODD, 0.5, True, NOW)
    store.learn(learnt)
    assert [each for _, each in store.evidence(0)] == [learnt]
    assert store.delete([ODD]) == 1


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.get("nobody", NOW) is None
    assert store.since("nowhere", 0) == []
    assert store.delete(["nobody"]) == 0
    assert store.delete([]) == 0
    assert store.select(EVERYTHING, NOW) == []
    assert store.evidence(0) == []
    assert store.notes() == []
    assert store.figures(NOW) == []
    store.release("nobody", "me")


@pytest.mark.parametrize("name", ["created_at", "expires_at", "cost", "seconds"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_times_and_costs_are_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        entry(**{name: value})


def test_an_entry_is_there_until_the_second_that_it_expires(store: Store) -> None:
    store.put(entry(expires_at=NOW + 60))
    assert store.get("k", NOW + 59.999) is not None
    assert store.get("k", NOW + 60) is None
    # Who looks later than others takes nothing away from them.
    assert store.get("k", NOW) is not None


def test_an_entry_that_is_born_expired_is_never_there(store: Store) -> None:
    store.put(entry("old", expires_at=NOW))
    store.put(entry("older", expires_at=NOW - 5))
    assert keys_in(store, "old", "older") == []
    store.put(entry("old"))
    assert keys_in(store, "old") == ["old"]


def test_what_has_expired_is_gone_for_good_with_the_next_that_is_put(opened: Place) -> None:
    store = opened.open()
    store.put(entry("old", expires_at=NOW - 1, created_at=NOW - 1))
    store.put(entry("new"))
    assert [each.key for each in store.select(EVERYTHING, NOW)] == ["new"]


def test_an_entry_is_replaced(store: Store) -> None:
    store.put(entry(answer="1", sources=("a",), bucket="b"))
    store.put(entry("other"))
    store.put(entry(answer="2", sources=("b",), bucket="c", role="Judge"))
    held = store.get("k", NOW)
    assert held is not None
    assert held.answer == "2"
    assert [key for _, key, _ in store.since("b", 0)] == ["other"]
    assert [key for _, key, _ in store.since("c", 0)] == ["k"]
    assert store.select(Selection(source="a"), NOW) == []
    assert len(store.select(EVERYTHING, NOW)) == 2
    assert sum(count for *_, count, _ in store.figures(NOW)) == 2


def test_since_tells_what_is_new_in_order(store: Store) -> None:
    for key in "cab":
        store.put(entry(key, embedding=key.encode() * 4))
    store.put(entry("elsewhere", bucket="c"))
    store.put(entry("exact", embedding=b""))
    found = store.since("b", 0)
    assert [each[1:] for each in found] == [("c", b"cccc"), ("a", b"aaaa"), ("b", b"bbbb")]
    numbers = [number for number, *_ in found]
    assert numbers == sorted(set(numbers))
    assert store.since("b", numbers[1]) == found[2:]
    assert store.since("b", numbers[-1]) == []
    # Nothing is missed where the last is deleted, or one is put again.
    store.delete(["b", "elsewhere", "exact"])
    store.put(entry("d"))
    store.put(entry("c", embedding=b"CCCC"))
    assert [each[1:] for each in store.since("b", numbers[-1])] == [
        ("d", entry().embedding),
        ("c", b"CCCC"),
    ]
    assert [key for _, key, _ in store.since("b", 0)] == ["a", "d", "c"]


def test_since_tells_of_many(opened: Place) -> None:
    store = opened.open(max_entries=3000)
    for number in range(1203):
        store.put(entry(str(number)))
    found = store.since("b", 0)
    assert [key for _, key, _ in found] == [str(number) for number in range(1203)]
    assert store.since("b", found[600][0]) == found[601:]
    assert len(store.select(EVERYTHING, NOW)) == 1203
    assert store.delete(key for _, key, _ in found) == 1203
    assert store.since("b", 0) == []


def test_since_tells_what_other_openings_put(opened: Place) -> None:
    one, other = opened.open(), opened.open()
    one.put(entry("1"))
    [(number, key, _)] = other.since("b", 0)
    assert key == "1"
    other.put(entry("2"))
    one.put(entry("3"))
    assert [key for _, key, _ in other.since("b", number)] == ["2", "3"]
    assert one.since("b", 0) == other.since("b", 0)


def test_delete_counts_what_was_there(store: Store) -> None:
    for key in "abc":
        store.put(entry(key))
    assert store.delete(["a", "c", "x", "a"]) == 2
    assert keys_in(store, *"abc") == ["b"]
    assert [key for _, key, _ in store.since("b", 0)] == ["b"]


def test_what_is_learnt_is_told_in_order(store: Store) -> None:
    learnt = [Evidence("negation", f"k{n}", n / 7, n % 2 == 0, NOW + n) for n in range(5)]
    for each in learnt:
        store.learn(each)
    # The same is learnt twice where it is seen twice.
    store.learn(learnt[0])
    found = store.evidence(0)
    assert [each for _, each in found] == [*learnt, learnt[0]]
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert store.evidence(numbers[2]) == found[3:]
    assert store.evidence(numbers[-1]) == []


def test_notes_are_kept_in_order(store: Store) -> None:
    notes = [(NOW, "ann", "scope='public'", 3), (NOW - 5, "bob", "everything", 0)]
    for each in [*notes, notes[0]]:
        store.note(*each)
    assert store.notes() == [*notes, notes[0]]


def test_of_what_is_learnt_and_noted_the_last_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sqlite_store", "redis_store"):
        monkeypatch.setattr(f"agno_portkey.cache.{module}.KEPT", 3)
    for number in range(5):
        store.learn(Evidence("", "k", number, True, NOW))
        store.note(NOW, "ann", "everything", number)
    assert [each.likeness for _, each in store.evidence(0)] == [2, 3, 4]
    assert [count for *_, count in store.notes()] == [2, 3, 4]


def test_figures_are_by_kind_of_scope_and_role(store: Store) -> None:
    scopes = ["user:1", "user:2", "tenant:1", "public", "public"]
    for number, scope in enumerate(scopes):
        store.put(entry(str(number), scope=scope, role="Judge" if number == 1 else ""))
    store.put(entry("old", expires_at=NOW + 1))
    found = store.figures(NOW + 1)
    assert [each[:3] for each in found] == [
        ("public", "", 2),
        ("tenant", "", 1),
        ("user", "", 1),
        ("user", "Judge", 1),
    ]
    assert all(size > 0 for *_, size in found)
    before = found[0][3]
    store.put(entry("4", scope="public", answer="x" * 1000))
    assert before + 900 < store.figures(NOW + 1)[0][3] < before + 1100


def test_two_entries_are_told_apart_by_their_whole_key(store: Store) -> None:
    keys = ["a", "A", "a ", "a\0", "á", "a\u0301", ""]
    for key in keys:
        store.put(entry(key))
    for key in keys:
        assert store.get(key, NOW) == entry(key)
    assert store.delete(["a\0"]) == 1
    assert keys_in(store, *keys) == [key for key in keys if key != "a\0"]
