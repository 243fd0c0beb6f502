"""No thread of alerts outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alerts_bench import Clock, own_threads


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not own_threads()
