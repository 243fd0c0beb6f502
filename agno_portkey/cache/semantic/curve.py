"""How often what is alike is wrong, by how like it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agno_portkey.cache.semantic.bounds import at_most

__all__ = ["curve"]

# What lies at the margin may be wrong more often than all that is served, up to so many times.
_SPREAD = 5


def curve(
    right: Sequence[int], wrong: Sequence[int], max_error: float, level: float
) -> list[float]:
    """Upper bounds, by bin of likeness, of the share of wrong answers; never rising.

    What is served at a likeness is served above it as well, so a bin is bounded by the share of
    errors in it and in all above it. An average hides a bad margin, and says nothing of where
    nothing was compared: so a bin's own bound counts where it is more than `_SPREAD` times
    `max_error`. It rests on the comparisons in it and as many bins below, which are no better, as
    it takes. A lower bin's bound holds for a higher one.
    """
    margin = min(_SPREAD * max_error, 0.5)
    enough = math.ceil(math.log1p(-level) / math.log1p(-margin))
    bounds, lowest = [1.0] * len(right), (1.0, 1.0)
    above_right, above_wrong = sum(right), sum(wrong)
    for place in range(len(right)):
        here = right[place] + wrong[place]
        own = _own(right, wrong, place, enough, level) if here else 1.0
        of = above_right + above_wrong
        average = at_most(above_wrong, of, level) if of else 1.0
        lowest = min(lowest[0], average), min(lowest[1], own)
        bounds[place] = max(lowest[0], lowest[1] if lowest[1] > margin else 0.0)
        above_right, above_wrong = above_right - right[place], above_wrong - wrong[place]
    return bounds


def _own(
    right: Sequence[int], wrong: Sequence[int], place: int, enough: int, level: float
) -> float:
    seen = of = 0
    while place >= 0 and of < enough:
        seen, of, place = seen + wrong[place], of + right[place] + wrong[place], place - 1
    return at_most(seen, of, level) if of else 1.0
