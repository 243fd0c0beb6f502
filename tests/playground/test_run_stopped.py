"""A run that is cancelled stops: its provider sees the client leave, and nothing is asked after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.exceptions import RunCancelledException
from agno.run.cancel import get_cancellation_manager, set_cancellation_manager
from agno.run.cancellation_management.in_memory_cancellation_manager import (
    InMemoryRunCancellationManager,
)
from playing import SECONDS, playing
from run_asked import asked, begin, client, resume

from agno_portkey import PortkeyModel, playground
from agno_portkey.drivers import Stoppable
from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.testing.provider import Request
from agno_portkey.testing.story import REQUEST, SOUND, tell

LONG = " ".join(f"word{number}" for number in range(3_000))


def leader_talks(provider: EmbeddedProvider) -> None:
    """A gate holds all of it back: the host is given nothing to look between."""
    provider.when(lambda request: True, Reply(LONG, token_delay=0.02))


def planner_thinks(provider: EmbeddedProvider) -> None:
    provider.when(_is_plan, Reply(SOUND.model_dump_json(), delay=60))
    tell(provider)


def _is_plan(request: Request) -> bool:
    return request.schema_name == "Plan"


def wait_for(provider: EmbeddedProvider, applies: Callable[[Request], bool]) -> Request:
    """The first request that it applies to, once it has come."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for request in provider.requests:
            if applies(request):
                return request
        time.sleep(0.01)
    raise AssertionError("that request never came")


def cancelled(http: httpx.Client, run_id: str, of: str = "teams/release") -> None:
    answer = http.post(f"/{of}/runs/{run_id}/cancel", params={"session_id": "s"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("script", "asks"),
    [(leader_talks, lambda request: True), (planner_thinks, _is_plan)],
    ids=["an answer that is held", "a member's that is asked for whole"],
)
def test_a_team_that_is_cancelled(
    tmp_path: Path,
    script: Callable[[EmbeddedProvider], None],
    asks: Callable[[Request], bool],
) -> None:
    with playing(tmp_path, script=False) as stage, client(stage.url) as http:
        script(stage.provider)
        run_id = begin(http, REQUEST)
        request = wait_for(stage.provider, asks)
        cancelled(http, run_id)
        said = resume(http, run_id)
        assert request.wait(SECONDS) == "client_gone"
        count = len(stage.provider.requests)
        runs = http.get("/sessions/s/runs", params={"type": "team"}).json()
    assert len(stage.provider.requests) == count
    assert "TeamRunCancelled" in [each["event"] for each in said]
    assert {run["status"] for run in runs} == {"CANCELLED"}
    calls = [each for each in said if each.get("kind") == "call"]
    assert calls[-1]["data"]["cancelled"] is True
    assert stage.release.done == []


def test_an_agent_that_is_cancelled_in_mid_stream(tmp_path: Path) -> None:
    with EmbeddedProvider() as provider:
        provider.when(lambda request: True, Reply(LONG, token_delay=0.02))
        agent = Agent(
            id="lone",
            model=PortkeyModel(base_url=provider.url, api_key="x"),
            db=SqliteDb(db_file=str(tmp_path / "agno.db")),
        )
        with asked(playground.app(agent)) as http:
            run_id = ""
            form = {"message": "Talk.", "stream": "true", "background": "true", "session_id": "s"}
            with http.stream("POST", "/agents/lone/runs", data=form) as response:
                for line in response.iter_lines():
                    if '"RunContent"' in line:
                        run_id = line.partition('"run_id":"')[2].partition('"')[0]
                        break
            cancelled(http, run_id, "agents/lone")
            assert provider.requests[0].wait(SECONDS) == "client_gone"
            url = f"/agents/lone/runs/{run_id}/resume"
            text = http.post(url, data={"session_id": "s"}).text
            [run] = http.get("/sessions/s/runs", params={"type": "agent"}).json()
    assert "event: RunCancelled" in text
    assert run["status"] == "CANCELLED"
    assert len(provider.requests) == 1


class Keeper(InMemoryRunCancellationManager):
    """One that keeps who is cancelled, and does as it is told when it is asked."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__()
        self.answer, self.times, self.asked = answer, 0, asyncio.Event()

    async def ais_cancelled(self, run_id: str) -> bool:
        self.times += 1
        self.asked.set()
        return bool(await self.answer())


@pytest.fixture
def kept_by() -> Any:
    before = get_cancellation_manager()

    def use(answer: Callable[[], Any]) -> Keeper:
        keeper = Keeper(answer)
        set_cancellation_manager(keeper)
        return keeper

    yield use
    set_cancellation_manager(before)


async def _yes() -> bool:
    return True


async def _raises() -> bool:
    raise ConnectionError("out of reach")


async def _hangs() -> bool:
    await asyncio.Event().wait()
    return True


async def test_what_is_awaited_is_ended_once_the_run_is_cancelled(kept_by: Any) -> None:
    keeper = kept_by(_yes)
    with pytest.raises(RunCancelledException), Stoppable("run"):
        await asyncio.Event().wait()
    assert keeper.times == 1
    # The task itself is none that was cancelled.
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_pieces_that_come_fast_hide_nothing(kept_by: Any) -> None:
    kept_by(_yes)
    stoppable = Stoppable("run")

    async def pieces() -> None:
        while True:
            with stoppable:
                await asyncio.sleep(0.001)

    with pytest.raises(RunCancelledException):
        await pieces()


@pytest.mark.parametrize("answer", [_raises, _hangs])
async def test_a_keeper_out_of_reach_ends_nothing(kept_by: Any, answer: Any) -> None:
    keeper = kept_by(answer)
    with Stoppable("run"):
        await keeper.asked.wait()
        await asyncio.sleep(0)
    assert keeper.times == 1


async def test_a_keeper_that_fails_is_asked_again(kept_by: Any) -> None:
    answers = iter([_raises, _yes])
    kept_by(lambda: next(answers)())
    with pytest.raises(RunCancelledException), Stoppable("run"):
        await asyncio.Event().wait()


async def test_nobody_looks_once_it_has_ended(kept_by: Any) -> None:
    opened = asyncio.Event()

    async def late() -> bool:
        await opened.wait()
        return True

    keeper = kept_by(late)
    with Stoppable("run"):
        await keeper.asked.wait()
    opened.set()
    for _ in range(5):
        # Who is cancelled hears of it here.
        await asyncio.sleep(0)


async def test_who_is_cancelled_otherwise_is_that(kept_by: Any) -> None:
    keeper = kept_by(_yes)

    async def waits() -> None:
        with Stoppable("run"):
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert keeper.times == 0


async def test_a_call_of_no_run_is_left_alone(kept_by: Any) -> None:
    keeper = kept_by(_yes)
    with Stoppable(None):
        await asyncio.sleep(0.3)
    assert keeper.times == 0
