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
