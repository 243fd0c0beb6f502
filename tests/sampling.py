"""Which cases of a matrix of tests are run: all of them on demand, else a sample that is the same
every time, in which each value of each parameter is there; of a long test it is one case.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pytest

__all__ = ["LONG", "long_tests", "sampled"]

# Tests whose cases take long together, by `make timings`.
LONG = Path(__file__).with_name("long_tests.txt")

# A matrix of no more cases is run whole.
SMALL = 8
# An id such as "a way in [astream]" or "arun / team / tool" holds several values.
_BETWEEN = re.compile(r" / | (?=\[)")


def long_tests() -> frozenset[str]:
    """Of which tests one case is run, by the part of their ids before the case."""
    return frozenset(LONG.read_text().split())


def sampled(
    items: Iterable[pytest.Item], long: Collection[str] = ()
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """What is run of `items`, in their order, and what is left out.

    Of a test in `long` that is one case, another one from test to test. Of others, a test with one
    value a case is run with all of them: there is nothing to leave out.
    """
    held = list(items)
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in held:
        tests[item.nodeid.partition("[")[0]].append(item)
    chosen = {
        id(item)
        for test, cases in tests.items()
        for item in ([min(cases, key=_order)] if test in long else _chosen(cases))
    }
    return (
        [item for item in held if id(item) in chosen],
        [item for item in held if id(item) not in chosen],
    )


def _chosen(cases: list[pytest.Item]) -> list[pytest.Item]:
    if len(cases) <= SMALL:
        return cases
    left = sorted(cases, key=_order)
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


def _order(item: pytest.Item) -> bytes:
    """A place in an order that mixes the values of all parameters, and is the same everywhere."""
    return hashlib.sha256(item.nodeid.encode()).digest()


def _values(item: pytest.Item) -> list[tuple[int, str]]:
    """Which value each parameter has; those that are given together count as one."""
    callspec = getattr(item, "callspec", None)
    ids: Sequence[str] = getattr(callspec, "_idlist", ())
    return [*enumerate(value for each in ids for value in _BETWEEN.split(each))]
