"""What is remembered of comparisons, and what follows from it whatever their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.cache.semantic.comparisons import BINS, COUNTED, Comparisons, Record, bin_of

Item = tuple[float, str, float, bool]

items = st.tuples(
    st.integers(0, 12).map(float),
    st.sampled_from("abc"),
    st.sampled_from([0.8, 0.9, 0.91, 1.0]),
    st.booleans(),
)


def known(added: list[Item], window: int = 100, entries: int = 100) -> Comparisons:
    found = Comparisons(window, entries)
    for item in added:
        found.add(*item)
    return found


def told(of: Comparisons) -> tuple[list[int], list[int], list[Record | None], list[bool]]:
    records = [of.record(entry) for entry in "abc"]
    return of.right, of.wrong, records, of.recent(100, 0)


@given(st.lists(items, unique=True), st.randoms())
def test_the_order_of_what_was_added_does_not_matter(added: list[Item], chance: object) -> None:
    shuffled = [*added]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert told(known(shuffled)) == told(known(added))


def test_the_same_again_changes_nothing() -> None:
    added = [(1.0, "a", 0.9, True), (2.0, "b", 0.9, False), (3.0, "c", 0.9, True)]
    assert told(known(added + added)) == told(known(added))


@given(st.lists(items, unique=True))
def test_an_entry_counts_until_it_is_wrong_and_with_its_first_errors(added: list[Item]) -> None:
    def counts(item: Item) -> bool:
        wrong = sorted(each for each in added if each[1] == item[1] and not each[3])
        if not item[3]:
            return item in wrong[:COUNTED]
        return not wrong or item[0] <= wrong[0][0]

    right, wrong = [0] * BINS, [0] * BINS
    for item in filter(counts, added):
        (right if item[3] else wrong)[bin_of(item[2])] += 1
    found = known(added)
    assert (found.right, found.wrong) == (right, wrong)


def test_a_record_tells_when_how_often_and_how_like() -> None:
    added = [(1.0, "a", 0.9, True), (2.0, "a", 0.8, False), (3.0, "a", 0.9, True)]
    found = known([*added, (4.0, "a", 0.7, False), (5.0, "b", 0.9, True)])
    assert found.record("a") == Record(first=2.0, last=4.0, floor=0.8, wrong=2, right=1)
    assert found.record("b") is None


def test_of_each_bin_only_the_latest_count() -> None:
    found = known([(float(at), "a", 0.9, True) for at in range(50)], window=20)
    found.add(1.5, "a", 0.5, True)
    found.add(3.5, "b", 0.9, True)
    assert (found.right[bin_of(0.9)], found.right[bin_of(0.5)], len(found)) == (20, 1, 21)


def test_an_error_that_is_too_old_to_count_is_held_against_its_entry() -> None:
    found = known([(float(at), "a", 0.9, True) for at in range(10, 30)], window=20)
    found.add(1.0, "b", 0.9, False)
    assert found.record("b") == Record(first=1.0, last=1.0, floor=0.9, wrong=1)
    assert sum(found.wrong) == 0


def test_the_entries_that_were_wrong_last_are_remembered() -> None:
    found = known([(float(at), f"e{at}", 0.9, False) for at in range(30)], entries=5)
    remembered = [at for at in range(30) if found.record(f"e{at}") is not None]
    assert remembered == [25, 26, 27, 28, 29]


def test_the_next_error_of_an_entry_that_is_forgotten_counts() -> None:
    added = [(float(at), "a", 0.9, False) for at in range(1, COUNTED + 2)]
    found = known(added, entries=1)
    assert sum(found.wrong) == COUNTED
    found.add(10.0, "b", 0.9, False)
    assert (sum(found.wrong), found.record("a")) == (COUNTED + 1, None)
    found.add(11.0, "a", 0.9, False)
    assert (sum(found.wrong), found.record("b")) == (COUNTED + 2, None)


def test_what_is_known_of_an_entry_that_was_wrong_takes_no_room() -> None:
    found = known([(float(at), "a", 0.9, True) for at in range(20)], window=20)
    for at in range(100, 200):
        found.add(float(at), "bad", 0.9, False)
        found.add(at + 0.5, "bad", 0.9, True)
    assert (sum(found.right), sum(found.wrong), len(found)) == (20 - COUNTED, COUNTED, 20)
    assert found.record("bad") == Record(first=100.0, last=199.0, floor=0.9, wrong=100, right=100)


def test_the_latest_are_those_by_time_in_all_bins_from_the_lowest_on() -> None:
    added = [(3.0, "a", 0.9, True), (1.0, "b", 0.8, True), (2.0, "c", 0.95, False)]
    found = known([*added, (4.0, "d", 0.3, False)])
    assert found.recent(9, bin_of(0.8)) == [True, False, True]
    assert found.recent(2, bin_of(0.8)) == [False, True]
    assert found.recent(9, bin_of(0.99)) == []


def test_likeness_falls_into_bins_from_0_to_1() -> None:
    assert [bin_of(at) for at in (0.0, 0.019, 0.02, 0.98, 1.0)] == [0, 0, 1, 49, 49]
