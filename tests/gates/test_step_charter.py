"""A gate that is a step: what its run holds goes to the Runner's run once, or to nobody."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from admission_scene import Desk
from clearance_scene import a_grant

from agno_portkey import Gate
from agno_portkey.contracts import Plan, Step
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import GateClosed
from agno_portkey.gates.books import Books
from agno_portkey.gates.books import now as right_now
from agno_portkey.gates.clearance import Grant, MemoryClearances, export, new_key
from agno_portkey.gates.step import StepCharter
from agno_portkey.testing.story import SOUND

KEY = new_key()
TOOLS = frozenset({"run_tests", "deploy"})
OTHER = SOUND.model_copy(update={"goal": "Do not deploy"})


def desk(
    run_id: str = "flow", clearances: MemoryClearances | None = None, **options: Any
) -> tuple[StepCharter, Desk]:
    books = Books(clearances=clearances or MemoryClearances(), keys=[KEY.public])
    charter = StepCharter(Gate(), swarm="Release", tools=TOOLS, books=books, **options)
    return charter, Desk.at(charter, run_id)


async def passed(charter: StepCharter, one: Desk) -> Plan:
    return await charter.apass(one.run, None, AsyncIO())


def brought(one: Desk, **given: Any) -> Grant:
    """A clearance that a person has approved for the session of `one`, and that it presents."""
    at = right_now()
    times = {"issued_at": at, "expires_at": at + timedelta(hours=1)}
    grant = a_grant(**{"plan": SOUND, "approved_by": "ann", **times, **given})
    one.run.presented = grant.id
    return grant


def test_a_copy_of_what_a_step_asks_is_the_same() -> None:
    question = Gate().step(runner="Runner").executor
    assert copy.deepcopy([question])[0] is question


async def test_the_runners_run_may_ask_again() -> None:
    charter, one = desk()
    assert await passed(charter, one.judged(9)) == SOUND
    first = await one.aadmit()
    # As where the host retries it.
    assert await one.aadmit() is first
    other = charter.runs.join("other", one.run, "runner", "Runner")
    with pytest.raises(GateClosed, match="has not passed before"):
        await charter.aadmit(other, "other", AsyncIO())


class Meanwhile(MemoryClearances):
    """Something happens between the claim of a clearance and its use."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    def claim(self, *args: Any, **options: Any) -> Grant:
        given = super().claim(*args, **options)
        self.happens()
        return given


async def test_a_plan_that_is_put_forward_meanwhile_is_not_what_was_cleared() -> None:
    clearances = Meanwhile()
    charter, one = desk(clearances=clearances)
    await passed(charter, one.judged(9))
    planner = charter.runs.join("planner", one.run, "planner", "Planner")
    clearances.happens = lambda: charter.planned(planner, OTHER)
    with pytest.raises(GateClosed) as closed:
        await one.aadmit()
    # And not for a database that would have failed.
    assert "has another plan by now" in closed.value.verdict.reason
    assert one.run.clearance is None
    assert [kept.state for kept in clearances.of_swarm("Release")] == ["revoked"]


async def test_a_run_that_is_over_meanwhile_gets_nothing() -> None:
    clearances = Meanwhile()
    charter, one = desk(clearances=clearances)
    await passed(charter, one.judged(9))
    clearances.happens = lambda: setattr(one.run, "ended", True)
    with pytest.raises(GateClosed):
        await one.aadmit()
    assert [kept.state for kept in clearances.of_swarm("Release")] == ["revoked"]


class LostAfter(MemoryClearances):
    """Claims, and fails before it has told."""

    def claim(self, *given: Any, **options: Any) -> Grant:
        super().claim(*given, **options)
        raise OSError


async def test_what_was_claimed_by_a_database_that_failed_then_is_taken_back() -> None:
    clearances = LostAfter()
    charter, one = desk(clearances=clearances)
    await passed(charter, one.judged(9))
    with pytest.raises(GateClosed, match="OSError"):
        await one.aadmit()
    assert [kept.state for kept in clearances.of_swarm("Release")] == ["revoked"]


@pytest.mark.parametrize("whose", ["its own", "another's"])
async def test_a_run_that_goes_on_gets_the_clearance_of_its_own_step_alone(whose: str) -> None:
    clearances = MemoryClearances()
    charter, one = desk("flow", clearances)
    await passed(charter, one.judged(9))
    [kept] = clearances.of_swarm("Release")
    # Another process, which knows nothing of it.
    charter, again = desk("flow" if whose == "its own" else "another", clearances)
    charter.reopened(again.run, kept.id)
    if whose == "its own":
        assert (await again.aadmit()).id == kept.id
        return
    with pytest.raises(GateClosed, match="has not passed before"):
        await again.aadmit()
    assert again.run.plan is None
    assert clearances.get(kept.id).state == "granted"


# A clearance that is brought along


async def test_one_that_is_brought_along_is_used_up_for_the_runner_of_this_run() -> None:
    clearances = MemoryClearances()
    charter, one = desk(clearances=clearances)
    clearances.put(grant := brought(one))
    assert await passed(charter, one) == SOUND
    assert clearances.get(grant.id).state == "spent"
    held = await one.aadmit()
    left = clearances.get(str(held.id))
    assert (left.claimed_by, left.reason) == ("flow-r", f"on clearance {grant.id}")


async def test_one_that_was_exported_is_as_good_once() -> None:
    clearances = MemoryClearances()
    charter, one = desk(clearances=clearances)
    token = export(brought(one), KEY.private)
    one.run.presented = token
    assert await passed(charter, one) == SOUND
    assert (await one.aadmit()).plan == SOUND
    charter, again = desk("again", clearances)
    again.run.presented = token
    with pytest.raises(GateClosed, match="it is good for one run alone"):
        await passed(charter, again)


async def test_one_for_a_tool_that_the_runner_lacks_leaves_nothing() -> None:
    clearances = MemoryClearances()
    charter, one = desk(clearances=clearances)
    plan = Plan(goal="Drop it", steps=(Step(action="Drop it", tool="drop"),))
    clearances.put(grant := brought(one, plan=plan))
    with pytest.raises(GateClosed, match="drop"):
        await passed(charter, one)
    assert one.run.clearance is None
    assert [(kept.id, kept.state) for kept in clearances.of_swarm("Release")] == [
        (grant.id, "revoked")
    ]


class Full(MemoryClearances):
    """Can keep nothing new."""

    full = False

    def put(self, grant: Grant) -> None:
        if self.full:
            raise OSError("no space")
        super().put(grant)


async def test_where_nothing_can_be_left_for_the_runner_it_gets_nothing() -> None:
    clearances = Full()
    charter, one = desk(clearances=clearances)
    clearances.put(grant := brought(one))
    clearances.full = True
    with pytest.raises(GateClosed, match="OSError"):
        await passed(charter, one)
    assert one.run.clearance is None
    with pytest.raises(GateClosed, match="has not passed before"):
        await one.aadmit()
    assert [kept.id for kept in clearances.of_swarm("Release")] == [grant.id]


class Unspent(MemoryClearances):
    """Nothing of it can be used up."""

    def spend(self, id: str) -> Grant:
        raise OSError("no space")


async def test_where_what_was_brought_can_not_be_used_up_nothing_is_left_for_the_runner() -> None:
    clearances = Unspent()
    charter, one = desk(clearances=clearances)
    clearances.put(brought(one))
    with pytest.raises(GateClosed, match="OSError"):
        await passed(charter, one)
    with pytest.raises(GateClosed, match="has not passed before"):
        await one.aadmit()
    await asyncio.to_thread(charter.books.owed.made)
    assert {kept.state for kept in clearances.of_swarm("Release")} == {"revoked"}
