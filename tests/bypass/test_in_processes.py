"""The processes of `make bypass`: a job whose process dies is told as such, and none is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.in_processes import Died, play_each


@contextmanager
def doubling() -> Iterator[Callable[[int], int]]:
    """Doubles numbers; a negative one is the end of its process."""

    def play(number: int) -> int:
        if number < 0:
            os._exit(-number)
        return 2 * number

    yield play


@contextmanager
def dead() -> Iterator[Callable[[int], int]]:
    """Dies before it plays anything."""
    os._exit(7)
    yield abs


@contextmanager
def by_process() -> Iterator[Callable[[int], int]]:
    """Tells in which process a job is played, once for each."""
    yield lambda _: os.getpid()


@pytest.mark.parametrize("processes", [1, 2])
def test_each_job_is_played_once(processes: int) -> None:
    played = [*play_each(range(20), doubling, processes=processes)]
    assert sorted(played) == [(number, 2 * number) for number in range(20)]


def test_a_job_whose_process_dies_is_told_and_the_others_are_played() -> None:
    jobs = [1, 2, -3, 4, -5, 6]
    assert [*play_each(jobs, doubling, processes=1)] == [
        (1, 2),
        (2, 4),
        (-3, Died(3)),
        (4, 8),
        (-5, Died(5)),
        (6, 12),
    ]


def test_where_no_process_starts_each_job_is_told() -> None:
    assert sorted(play_each([1, 2, 3], dead, processes=2), key=str) == [
        (1, Died(7)),
        (2, Died(7)),
        (3, Died(7)),
    ]


def test_processes_play_beside_this_one() -> None:
    pids = {pid for _, pid in play_each(range(4), by_process, processes=1)}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_no_jobs_need_no_process() -> None:
    assert [*play_each([], dead, processes=2)] == []
