"""What the host gets of hooks and guards in their async forms can be awaited, run or left."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.hosted import Done


class NoBirds(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a bird") if "bluebird" in passage.text else None


class Noting(Hook):
    """Refuses what a guard would, as a hook."""

    def before(self, moment: Moment) -> None:
        NoBirds().check(run_input=moment.run_input)


def asked(holder: Any, text: str) -> Any:
    options = {} if isinstance(holder, Guard) else {"agent": Agent(name="A")}
    return holder.async_check(run_input=SimpleNamespace(input_content=text), **options)


@pytest.mark.parametrize("holder", [NoBirds(), Noting()])
def test_an_async_check_runs_by_itself(holder: Any) -> None:
    assert asyncio.run(asked(holder, "hello")) is None
    with pytest.raises(InputBlocked, match="a bird"):
        asyncio.run(asked(holder, "bluebird"))


@pytest.mark.parametrize("holder", [NoBirds(), Noting()])
def test_an_async_check_is_awaited_gathered_and_made_a_task(holder: Any) -> None:
    async def everything() -> list[Any]:
        task = asyncio.create_task(asked(holder, "hello"))
        both = await asyncio.gather(asked(holder, "hello"), asked(holder, "hello"))
        waited = await asyncio.wait_for(asked(holder, "hello"), 5)
        return [await task, *both, waited, await asked(holder, "hello")]

    assert asyncio.run(everything()) == [None] * 5


def test_what_is_done_is_a_coroutine_to_its_end() -> None:
    done = Done()
    assert asyncio.iscoroutine(done)
    with pytest.raises(StopIteration):
        done.send(None)
    with pytest.raises(ValueError, match="called off"):
        done.throw(ValueError("called off"))
    done.close()
