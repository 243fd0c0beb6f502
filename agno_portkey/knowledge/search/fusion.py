"""Two orders made into one: by weighted scores, or by ranks alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["combined", "reciprocal", "weighted"]

Scores = Mapping[str, float]


def weighted(vector: Scores, words: Scores, weight: float = 0.6) -> dict[str, float]:
    """Ids with `weight` x the score by vector + the rest x the score by words, best first.

    Scores of each side are taken to 0-1 by their least and their greatest; what a side has not
    found counts 0 there. The weight of a side that found nothing is the other's. Ties keep the
    order they were found in, by vector first.
    """
    sides = [(share, _unit(side)) for share, side in ((weight, vector), (1 - weight, words))]
    known = [(share if len(_found(sides)) > 1 else 1.0, side) for share, side in _found(sides)]
    return _sorted({key: sum(w * s.get(key, 0.0) for w, s in known) for key in _keys(known)})


def reciprocal(
    vector: Scores, words: Scores, weight: float = 0.5, k: float = 60
) -> dict[str, float]:
    """Ids with the sum of 2 x weight / (k + rank) over both sides, best first.

    At a weight of 0.5 that is reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009).
    """
    sides = [
        (share, {key: 1 / (k + rank) for rank, key in enumerate(_sorted(_finite(side)), 1)})
        for share, side in ((2 * weight, vector), (2 * (1 - weight), words))
    ]
    known = [(share if len(_found(sides)) > 1 else 1.0, side) for share, side in _found(sides)]
    return _sorted({key: sum(w * s.get(key, 0.0) for w, s in known) for key in _keys(known)})


def combined(orders: Sequence[tuple[float, Scores]]) -> dict[str, float]:
    """The sum of the scores of several fused orders, each times its share; best first."""
    return _sorted({key: sum(w * s.get(key, 0.0) for w, s in orders) for key in _keys(orders)})


def _found(sides: Sequence[tuple[float, Scores]]) -> list[tuple[float, Scores]]:
    return [side for side in sides if side[1]]


def _keys(sides: Sequence[tuple[float, Scores]]) -> list[str]:
    return [*dict.fromkeys(key for share, side in sides if share for key in side)]


def _finite(side: Scores) -> dict[str, float]:
    return {key: score for key, score in side.items() if math.isfinite(score)}


def _unit(side: Scores) -> dict[str, float]:
    """Scores between 0 and 1; what no number tells is left out."""
    finite = _finite(side)
    if not finite:
        return {}
    # Halved, as the difference of two great numbers may be too great for one.
    least = min(finite.values()) / 2
    span = max(finite.values()) / 2 - least
    if span <= 0:
        return dict.fromkeys(_sorted(finite), 1.0)
    return {key: (score / 2 - least) / span for key, score in _sorted(finite).items()}


def _sorted(scores: Scores) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
