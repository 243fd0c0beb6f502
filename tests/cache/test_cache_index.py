"""The index finds what looking at every vector finds, and nothing that is gone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agno_portkey.cache.index import Index


class Rows:
    """A store that knows vectors alone."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, str, bytes]] = []

    def put(self, bucket: str, key: str, vector: Any) -> None:
        packed = np.asarray(vector, dtype="<f4").tobytes()
        self.rows.append((len(self.rows) + 1, bucket, key, packed))

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        return [(at, key, row) for at, held, key, row in self.rows if held == bucket and at > seq]


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("size", [1, 3, 40, 4_096, 12_000])
def test_the_likest_are_found(size: int) -> None:
    chance, rows = np.random.default_rng(7), Rows()
    vectors = unit(chance.standard_normal((size, 384)))
    for place, vector in enumerate(vectors):
        rows.put("b", f"k{place}", vector)
    index, missed = Index(rows), 0
    for place in range(0, size, max(1, size // 50)):
        asked = unit(vectors[place] + 0.6 * unit(chance.standard_normal(384)))
        likeness = (vectors @ asked).astype(float)
        found = index.nearest("b", asked.astype(np.float32), floor=0.7, most=2)
        expected = [each for each in np.argsort(-likeness)[:2] if likeness[each] >= 0.7]
        missed += [key for key, _ in found] != [f"k{each}" for each in expected]
        for key, like in found:
            assert like == pytest.approx(likeness[int(key[1:])], abs=1e-4)
    assert missed == 0


def test_what_is_put_later_or_again_is_found_and_what_is_dropped_is_not() -> None:
    rows = Rows()
    first, second = np.eye(4)[0], np.eye(4)[1]
    rows.put("b", "one", first)
    index = Index(rows)
    assert index.nearest("b", first.astype("f4"), floor=0.5) == [("one", 1.0)]
    rows.put("b", "two", second)
    assert index.nearest("b", second.astype("f4"), floor=0.5) == [("two", 1.0)]
    rows.put("b", "one", second)
    assert index.nearest("b", first.astype("f4"), floor=0.5) == []
    assert {key for key, _ in index.nearest("b", second.astype("f4"), floor=0.5)} == {"one", "two"}
    index.drop("b", "two")
    index.drop("b", "nobody")
    index.drop("none", "nobody")
    assert index.nearest("b", second.astype("f4"), floor=0.5) == [("one", 1.0)]
    rows.put("b", "two", first)
    assert index.nearest("b", first.astype("f4"), floor=0.5) == [("two", 1.0)]


def test_a_bucket_sees_no_other() -> None:
    rows = Rows()
    rows.put("b", "one", np.eye(4)[0])
    assert Index(rows).nearest("c", np.eye(4)[0].astype("f4"), floor=0.0) == []


def test_vectors_of_another_length_are_passed_over() -> None:
    rows = Rows()
    rows.put("b", "one", np.eye(4)[0])
    rows.put("b", "odd", np.eye(8)[0])
    assert Index(rows).nearest("b", np.eye(4)[0].astype("f4"), floor=0.5) == [("one", 1.0)]


class Few(Rows):
    """A store that keeps the last entries only, and tells a few at a time."""

    def __init__(self, keeps: int, tells: int) -> None:
        super().__init__()
        self.keeps, self.tells = keeps, tells

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        there = [each for each in super().since(bucket, 0) if each[0] > len(self.rows) - self.keeps]
        return [each for each in there if each[0] > seq][: self.tells]


@pytest.mark.parametrize("tells", [10_000, 25])
def test_one_bucket_holds_little_more_than_its_store(tells: int) -> None:
    rows = Few(keeps=100, tells=tells)
    vectors = unit(np.random.default_rng(3).standard_normal((3_000, 16))).astype(np.float32)
    index, most = Index(rows), 0
    for place, vector in enumerate(vectors):
        rows.put("b", f"k{place}", vector)
        [(found, _), *_] = index.nearest("b", vector, floor=0.9)
        assert found == f"k{place}"
        most = max(most, len(index._buckets["b"].keys))
    assert most <= 220
    # What is left is all found still.
    for place in range(2_900, 3_000):
        assert index.nearest("b", vectors[place], floor=0.9)[0][0] == f"k{place}"


def test_the_place_of_what_is_dropped_is_taken_again() -> None:
    rows = Rows()
    index = Index(rows)
    for place in range(50):
        rows.put("b", f"k{place}", np.eye(4)[place % 4])
        found = index.nearest("b", np.eye(4)[place % 4].astype("f4"), floor=0.5)
        assert found == [(f"k{place}", 1.0)]
        index.drop("b", f"k{place}")
    assert len(index._buckets["b"].keys) == 1


def test_what_can_not_be_read_leaves_no_bucket_behind() -> None:
    index = Index(None)
    for bucket in "abc":
        with pytest.raises(AttributeError):
            index.nearest(bucket, np.eye(4)[0].astype("f4"), floor=0.5)
    assert len(index._buckets) == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_portkey.cache.index._BUCKETS", 3)
    rows = Rows()
    for bucket in "abcdef":
        rows.put(bucket, bucket, np.eye(4)[0])
    index = Index(rows)
    for bucket in "abcdef":
        assert index.nearest(bucket, np.eye(4)[0].astype("f4"), floor=0.5) == [(bucket, 1.0)]
    assert len(index._buckets) == 3
    # One that was dropped is read again.
    assert index.nearest("a", np.eye(4)[0].astype("f4"), floor=0.5) == [("a", 1.0)]
