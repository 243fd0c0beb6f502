"""Which cases of a matrix of tests are run: all of them on demand, else a sample that is the same
every time, in which each value of each parameter is there.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest

__all__ = ["sampled"]

# A matrix of no more cases is run whole.
SMALL = 8


def sampled(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """What is run of `items`, in their order, and what is left out.

    A test with one parameter is run with all its values: there is nothing to leave out.
    """
    held = list(items)
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in held:
        tests[item.nodeid.partition("[")[0]].append(item)
    chosen = {id(item) for cases in tests.values() for item in _chosen(cases)}
    return (
        [item for item in held if id(item) in chosen],
        [item for item in held if id(item) not in chosen],
    )


def _chosen(cases: list[pytest.Item]) -> list[pytest.Item]:
    if len(cases) <= SMALL:
        return cases
    # In an order that mixes the values of all parameters, and is the same everywhere.
    left = sorted(cases, key=lambda item: zlib.crc32(item.nodeid.encode()))
    seen: set[tuple[int, str]] = set()
    found = []
    while left:
        fresh = [len({*_values(case)} - seen) for case in left]
        if not (most := max(fresh)) and seen:
            break
        case = left.pop(fresh.index(most))
        seen.update(_values(case))
        found.append(case)
    return found


def _values(item: pytest.Item) -> list[tuple[int, str]]:
    """Which value each parameter has; those that are given together count as one."""
    callspec = getattr(item, "callspec", None)
    ids: Sequence[str] = getattr(callspec, "_idlist", ())
    return [*enumerate(ids)]
