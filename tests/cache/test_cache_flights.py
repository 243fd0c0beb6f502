"""Of several who ask the same at once one asks; nobody waits for itself, or for ever."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agno_portkey.cache.flights import Flight, Flights, wait_for
from agno_portkey.drivers import AsyncIO, SyncIO, step


def _of_another() -> Flight:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(Flight).result()


def test_the_first_leads_and_the_next_after_it_has_landed() -> None:
    flights = Flights()
    flight, leads = flights.join("k")
    assert leads
    assert flights.join("k") == (flight, False)
    assert flights.join("other")[1]
    flight.land("answer")
    # Who comes before the answer is kept has it too.
    assert flights.join("k") == (flight, False)
    flights.leave("k", flight)
    assert (flight.landed, flight.answer) == (True, "answer")
    assert flights.join("k")[1]


def test_who_left_late_takes_no_other_down() -> None:
    flights = Flights()
    old, _ = flights.join("k")
    flights.leave("k", old)
    assert (old.landed, old.answer) == (True, None)
    new, _ = flights.join("k")
    flights.leave("k", old)
    assert flights.join("k") == (new, False)


def test_an_answer_is_waited_for_on_threads_and_on_a_loop() -> None:
    flight = _of_another()
    threading.Timer(0.05, flight.land, ["answer"]).start()
    assert step(wait_for(flight, SyncIO(), 10)) == "answer"

    async def waits() -> list[Any]:
        other = _of_another()
        asyncio.get_running_loop().call_later(0.05, other.land, "answer")
        return await asyncio.gather(*(wait_for(other, AsyncIO(), 10) for _ in range(50)))

    assert asyncio.run(waits()) == ["answer"] * 50


def test_nobody_waits_for_itself() -> None:
    assert step(wait_for(Flight(), SyncIO(), 1e9)) is None

    async def alone() -> Any:
        mine = Flight()
        same = await wait_for(mine, AsyncIO(), 1e9)
        # Another task of the same thread does wait.
        asyncio.get_running_loop().call_later(0.01, mine.land, "answer")
        return same, await asyncio.create_task(wait_for(mine, AsyncIO(), 1e9))

    assert asyncio.run(alone()) == (None, "answer")


def test_a_flight_that_never_lands_is_left() -> None:
    times = iter(range(100))
    assert step(wait_for(_of_another(), SyncIO(), 3, clock=lambda: next(times))) is None
