"""Waiting for a job: it ends, and asks no more often than anybody needs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from batch_forms import RIGHT, Jobs, said

from agno_portkey.drivers import AsyncIO, SyncIO
from agno_portkey.errors import BadResponse, ConfigurationError
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between looks, which are not waited for."""
    told: list[float] = []

    async def sleep(self: Any, seconds: float) -> None:
        told.append(seconds)

    for kind in (SyncIO, AsyncIO):
        monkeypatch.setattr(kind, "sleep", sleep)
    return told


@pytest.mark.parametrize("every", [0, -1, math.nan, math.inf, "60", None, True])
def test_what_is_no_time_between_looks_is_refused(
    every: Any, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    one = job()
    one.submit()
    asked = len(portkey_provider.requests)
    with pytest.raises(ConfigurationError, match="every"):
        one.wait(every=every, seconds=0)
    assert len(portkey_provider.requests) == asked


@pytest.mark.parametrize("seconds", [math.nan, "1", True])
def test_what_is_no_limit_is_refused(seconds: Any, job: Jobs) -> None:
    one = job()
    one.submit()
    with pytest.raises(ConfigurationError, match="seconds"):
        one.wait(seconds=seconds)


def test_nobody_is_asked_without_a_pause(
    job: Jobs, portkey_provider: EmbeddedProvider, slept: list[float]
) -> None:
    portkey_provider.batches.by_hand = True
    one = job()
    one.submit()
    portkey_provider.batches.advance(next(iter(portkey_provider.batches.held)), "resting")
    with pytest.raises(BadResponse):
        one.wait(every=1e-9)
    assert slept == [0.01, 0.01]


def test_a_status_that_nobody_knows_ends_it(
    job: Jobs, portkey_provider: EmbeddedProvider, slept: list[float]
) -> None:
    portkey_provider.batches.by_hand = True
    one = job()
    one.submit()
    [name] = portkey_provider.batches.held
    portkey_provider.batches.advance(name, "res\x1b[31mting")
    with pytest.raises(BadResponse, match="as the status of") as told:
        one.wait(every=5)
    assert name in str(told.value)
    assert "\x1b" not in str(told.value)
    # It may have been a word in passing.
    assert slept == [5, 5]


def test_one_in_passing_does_not(
    job: Jobs,
    portkey_provider: EmbeddedProvider,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = portkey_provider.batches
    batches.by_hand = True
    one = job()
    one.submit()
    [name] = batches.held
    words = iter(["a", "b", "in_progress", "c", "d", "finalizing"])
    answer = batches._batch

    async def passing(asked: str, *, cancel: bool) -> Any:
        if (word := next(words, None)) is None:
            batches.by_hand = False
        else:
            batches.held[name]["status"] = word
        return await answer(asked, cancel=cancel)

    monkeypatch.setattr(batches, "_batch", passing)
    assert one.wait(every=5).state == "completed"
    assert slept == [5] * 6
    assert said(one.fetch()) == RIGHT
