"""A refused member: the leader reads why, and a team that routes ends with the refusal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.run.agent import RunErrorEvent
from agno.run.team import TaskUpdatedEvent
from agno.team import Team
from agno.tools.function import Function, FunctionCall
from four_forms import FORMS, STREAMED

from agno_portkey import Block, Guard, Passage, PortkeyModel, raise_on_block
from agno_portkey.errors import InputBlocked, OutputBlocked
from agno_portkey.guardrails.delegations import _NOTHING, told
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


class NoBluebird(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if "bluebird" in passage.text else None


def desk(model: PortkeyModel, mode: str, **hooks: Any) -> Team:
    writer = Agent(
        id="writer", name="Writer", model=model, instructions="You are the Writer", **hooks
    )
    return Team(
        name="Desk",
        members=[writer],
        model=model,
        mode=mode,  # type: ignore[arg-type]
        instructions="You lead",
        db=InMemoryDb(),  # type: ignore[no-untyped-call]
    )


def script(provider: EmbeddedProvider, task: str, answer: str) -> None:
    asked = ToolCall("delegate_task_to_member", {"member_id": "writer", "task": task})
    provider.when("You lead", [Reply(tool_calls=(asked,)), "All done."])
    provider.when("You are the Writer", answer)


def last_of(team: Team, form: str) -> Any:
    """The output of a run, or the last event of a streamed one."""
    if form == "run":
        return team.run("Go")
    if form == "arun":
        return asyncio.run(_awaited(team))
    if form == "stream":
        return [*team.run("Go", stream=True, stream_events=True)][-1]
    return asyncio.run(_events(team))[-1]


async def _awaited(team: Team) -> Any:
    return await team.arun("Go")


async def _events(team: Team) -> list[Any]:
    return [event async for event in team.arun("Go", stream=True, stream_events=True)]


def failed(form: str, last: Any) -> bool:
    return last.event == "TeamRunError" if form in STREAMED else last.status.value == "ERROR"


BEFORE = ("tell of bluebird", "It flies.", {"pre_hooks": [NoBluebird()]}, InputBlocked)
AFTER = ("tell", "It is called bluebird.", {"post_hooks": [NoBluebird()]}, OutputBlocked)


@pytest.mark.parametrize(("task", "answer", "hooks", "kind"), [BEFORE, AFTER], ids=["pre", "post"])
@pytest.mark.parametrize("form", FORMS)
def test_a_team_that_routes_ends_with_the_refusal_of_its_member(
    form: str,
    task: str,
    answer: str,
    hooks: dict[str, Any],
    kind: type[Exception],
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    script(portkey_provider, task, answer)
    last = last_of(desk(portkey_model, "route", **hooks), form)
    assert failed(form, last)
    with pytest.raises(kind, match="a secret project is named"):
        raise_on_block(last)


@pytest.mark.parametrize("form", FORMS)
def test_a_leader_that_is_asked_again_reads_why(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    task, answer, hooks, _ = BEFORE
    script(portkey_provider, task, answer)
    last = last_of(desk(portkey_model, "coordinate", **hooks), form)
    assert not failed(form, last)
    [told] = portkey_provider.calls[1].tool_results
    assert "a secret project is named" in told
    assert raise_on_block(last) is last


@pytest.mark.parametrize("mode", ["route", "coordinate"])
@pytest.mark.parametrize("form", FORMS)
def test_a_member_that_was_not_refused_answers(
    form: str, mode: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    script(portkey_provider, "tell", "It flies.")
    last = last_of(desk(portkey_model, mode, pre_hooks=[NoBluebird()]), form)
    assert not failed(form, last)
    assert ("It flies." if mode == "route" else "All done.") in last.content


def test_only_a_task_that_gave_nothing_back_is_told_to_have_failed() -> None:
    def unlisted() -> str:
        """A tool of somebody's, by a name that the host's tools have."""
        return "[t1] is done."

    call = FunctionCall(function=Function.from_callable(unlisted, name="execute_task"))
    refused = RunErrorEvent(content="no", additional_data={"verdict": {"passed": False}})
    done = TaskUpdatedEvent(task_id="t2", title="b", status="completed", result="all of it")
    nothing = f"[t1] Task{_NOTHING}"
    results = [
        Message(role="assistant", content="beside it"),
        Message(role="tool", content=nothing),
        Message(role="tool", content="[t2] all of it"),
    ]
    events = [*told([call], iter([refused, done]), results, ends=True)]
    assert [message.content for message in results] == [
        "beside it",
        f"{nothing.removesuffix(_NOTHING)}failed: Refused: no",
        "[t2] all of it",
    ]
    assert (events[1].status, events[1].result) == ("completed", "all of it")
