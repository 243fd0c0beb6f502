"""Work is done a few pieces at a time, and ends with its first error."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from agno_portkey.calls import IO
from agno_portkey.knowledge.spread import _Taken, aspread, spread


@pytest.mark.parametrize("workers", [1, 3, 50])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_each_piece_is_done_once(workers: int, count: int) -> None:
    done: list[int] = []

    async def work(piece: int, io: IO) -> None:
        await io.sleep(0.001)
        done.append(piece)

    spread(range(count), work, workers=workers)
    assert sorted(done) == [*range(count)]
    done.clear()
    asyncio.run(aspread(range(count), work, workers=workers))
    assert sorted(done) == [*range(count)]


def test_the_first_error_ends_what_is_not_begun() -> None:
    done: list[int] = []

    async def work(piece: int, io: IO) -> None:
        if piece == 0:
            raise ZeroDivisionError
        await io.sleep(0.001)
        done.append(piece)

    with pytest.raises(ZeroDivisionError):
        spread(range(1_000), work, workers=2)
    assert len(done) < 500


def test_an_interrupt_ends_what_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal is the main thread's alone, and the pieces are on others."""
    done: list[int] = []
    end, ended = _Taken.end, threading.Event()

    def told(taken: _Taken[int]) -> None:
        end(taken)
        ended.set()

    async def work(piece: int, io: IO) -> None:
        if piece == 0:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if piece < 2:
            ended.wait(10)
        done.append(piece)

    monkeypatch.setattr(_Taken, "end", told)
    with pytest.raises(KeyboardInterrupt):
        spread(range(1_000), work, workers=2)
    assert ended.is_set()
    assert {*done} <= {0, 1}


def test_on_an_event_loop_it_ends_what_is_under_way_too() -> None:
    async def work(piece: int, io: IO) -> None:
        if piece == 1:
            raise ZeroDivisionError
        await io.sleep(1_000)

    async def spreads() -> None:
        async with asyncio.timeout(20):
            await aspread(range(2), work, workers=2)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(spreads())
