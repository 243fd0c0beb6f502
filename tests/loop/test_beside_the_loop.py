"""What takes leave away is written down beside an event loop, once, and before anybody goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from agno.db.sqlite import SqliteDb

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.drivers import beside_loop
from agno_portkey.gates.clearance import Clearances
from agno_portkey.gates.history import History
from agno_portkey.gates.owed import Owed
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, Release, release_team, tell


def _threads(called: list[str]) -> None:
    called.append(threading.current_thread().name)


def test_without_a_loop_it_is_done_here() -> None:
    called: list[str] = []
    beside_loop(lambda: _threads(called))
    assert called == [threading.current_thread().name]


def test_on_a_loop_it_is_done_beside_it_and_the_loop_waits_for_it() -> None:
    called: list[str] = []
    goes_on = threading.Event()

    def slow() -> None:
        assert goes_on.wait(30)
        _threads(called)

    async def scene() -> None:
        beside_loop(slow)
        assert not called
        goes_on.set()

    asyncio.run(scene())
    assert len(called) == 1
    assert called != [threading.current_thread().name]


def test_a_loop_that_takes_nothing_more_has_it_done_here() -> None:
    called: list[str] = []

    async def scene() -> None:
        await asyncio.get_running_loop().shutdown_default_executor()
        beside_loop(lambda: _threads(called))

    asyncio.run(scene())
    assert called == [threading.current_thread().name]


def test_who_awaits_what_is_owed_finds_it_made_once() -> None:
    owed, made = Owed(600, 600), []
    goes_on, began = threading.Event(), threading.Event()

    def change() -> None:
        began.set()
        assert goes_on.wait(30)
        made.append("spent")

    async def scene() -> None:
        owed.note("g1", change)
        await asyncio.to_thread(began.wait, 30)
        assert owed.due
        waits = asyncio.create_task(asyncio.to_thread(owed.made))
        ended, _ = await asyncio.wait({waits}, timeout=0.2)
        assert not ended
        goes_on.set()
        await waits
        assert made == ["spent"]
        assert not owed.due

    asyncio.run(scene())
    assert made == ["spent"]


def _slowly(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[str]:
    """Has `kind.name` take long enough for everything else to be over; who called it is told."""
    done: list[str] = []
    right: Any = getattr(kind, name)

    def slow(self: Any, *args: Any, **options: Any) -> Any:
        time.sleep(0.5)
        try:
            return right(self, *args, **options)
        finally:
            done.append(name)

    monkeypatch.setattr(kind, name, slow)
    return done


def test_a_clearance_is_used_up_before_the_run_is_handed_over(
    portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(portkey_provider, plans=[SOUND])
    team = release_team(PortkeyModel(base_url=portkey_provider.url, api_key="k"), Release())
    govern(team, runner="Runner", gate=Gate())
    done = _slowly(monkeypatch, Clearances, "spend")

    async def scene() -> None:
        run = await team.arun(REQUEST)
        assert run.content == "Release 2.1 is live on staging."
        assert done == ["spend"]

    asyncio.run(scene())


def test_how_a_run_ended_is_kept_before_it_is_told(
    portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    database = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = release_team(model, Release(), db=database)
    govern(team, runner="Runner", gate=Gate(max_rounds=1))
    done = _slowly(monkeypatch, History, "put")

    async def scene() -> None:
        await team.arun(REQUEST)
        assert done

    asyncio.run(scene())


def test_what_can_not_be_made_is_still_due() -> None:
    owed, fails = Owed(600, 600), [True]

    def change() -> None:
        if fails:
            raise OSError("locked")

    async def scene() -> None:
        owed.note("g1", change)
        await asyncio.to_thread(owed.made)
        assert owed.due
        fails.clear()
        await asyncio.to_thread(owed.made)
        assert not owed.due

    asyncio.run(scene())


def test_a_change_that_asks_for_what_is_open_first_ends() -> None:
    owed, made = Owed(600, 600), []

    def change() -> None:
        owed.settle()
        made.append("the end")

    owed.note("g1", change)
    assert made == ["the end"]
    assert not owed.due
