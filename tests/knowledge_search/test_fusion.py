"""Two orders are fused to one, whatever their scores are."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.knowledge.search.fusion import combined, reciprocal, weighted

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SIDES = st.dictionaries(st.text(max_size=3), FLOATS, max_size=12)
WEIGHTS = st.floats(0, 1)
Fuse = Callable[..., dict[str, float]]
FUSIONS = pytest.mark.parametrize("fuse", [weighted, reciprocal])


def order(side: dict[str, float]) -> list[str]:
    return sorted(side, key=lambda key: -side[key])


def test_min_max_and_weights_by_hand() -> None:
    vector, words = {"a": 0.9, "b": 0.7, "c": 0.5}, {"c": 12.0, "b": 4.0, "d": 2.0}
    fused = weighted(vector, words, 0.6)
    assert fused == pytest.approx({"a": 0.6, "c": 0.4, "b": 0.6 * 0.5 + 0.4 * 0.2, "d": 0.0})
    assert [*fused] == ["a", "c", "b", "d"]


def test_reciprocal_ranks_by_hand() -> None:
    fused = reciprocal({"a": 3.0, "b": 2.0}, {"b": 9.0, "c": 1.0}, 0.5, 60)
    assert fused == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})
    assert next(iter(fused)) == "b"


@FUSIONS
@given(side=SIDES, weight=WEIGHTS)
def test_a_side_alone_keeps_its_order(fuse: Fuse, side: dict[str, float], weight: float) -> None:
    for fused in (fuse(side, {}, weight), fuse({}, side, weight)):
        assert fused.keys() == side.keys()
        assert [*fused] == order(side)


@FUSIONS
@given(vector=SIDES, words=SIDES)
def test_all_the_weight_on_a_side_gives_its_order(
    fuse: Fuse, vector: dict[str, float], words: dict[str, float]
) -> None:
    if not vector or not words:
        return
    assert [key for key in fuse(vector, words, 1.0) if key in vector] == order(vector)
    assert [key for key in fuse(vector, words, 0.0) if key in words] == order(words)


@FUSIONS
@given(
    vector=st.dictionaries(st.text(max_size=3), st.floats(), max_size=12),
    words=st.dictionaries(st.text(max_size=3), st.floats(), max_size=12),
    weight=WEIGHTS,
)
def test_scores_are_numbers_best_first(
    fuse: Fuse, vector: dict[str, float], words: dict[str, float], weight: float
) -> None:
    scores = [*fuse(vector, words, weight).values()]
    assert all(0 <= score <= 1 and math.isfinite(score) for score in scores)
    assert scores == sorted(scores, reverse=True)


@FUSIONS
def test_ties_keep_the_order_they_were_found_in(fuse: Fuse) -> None:
    same = dict.fromkeys(["d", "b", "a"], 1.0)
    assert [*fuse(same, {}, 0.5)] == ["d", "b", "a"]
    assert [*weighted(same, {"z": 1.0}, 0.5)] == ["d", "b", "a", "z"]


def test_queries_add_up_by_their_shares() -> None:
    fused = combined([(0.5, {"a": 1.0, "b": 0.2}), (0.5, {"b": 1.0})])
    assert fused == pytest.approx({"b": 0.6, "a": 0.5})
    assert [*fused] == ["b", "a"]
