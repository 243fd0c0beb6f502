"""How a team takes its members' refusals, and when its leader is asked again, in each mode."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import InputCheckError, OutputCheckError
from agno.models.response import ModelResponse
from agno.run.base import RunStatus
from agno.team import Team
from agno.team.mode import TeamMode
from host_model import WAYS, Scripted, asking, calling, go, pin, says

STREAMED = ("stream", "astream")
PLAIN = ("run", "arun")
INTERLOCK = "gates/interlock.py"


def refuse_input() -> None:
    raise InputCheckError("the gate is closed")


def crew(member: Agent, leader: Scripted | None = None, **fields: Any) -> Team:
    leader = leader or says(asking("worker"), "the leader's last word")
    return Team(name="crew", model=leader, members=[member], **fields)


def worker(*answers: Any, **fields: Any) -> Agent:
    return Agent(name="worker", id="worker", model=says(*answers), **fields)


def tool_results(leader: Scripted) -> list[Any]:
    return [content for role, content in leader.calls[-1]["prompt"] if role == "tool"]


@pytest.mark.parametrize("way", WAYS)
@pin("a member's InputCheckError does not stop its team", INTERLOCK, "hooks/gate.py")
async def test_a_refused_member_does_not_stop_the_team(way: str) -> None:
    member = worker(pre_hooks=[refuse_input])
    team = crew(member)
    outcome = await go(team, way)
    assert member.model.calls == []
    assert outcome.run.status is RunStatus.completed
    assert outcome.run.content.endswith("the leader's last word")


@pytest.mark.parametrize("way", PLAIN)
@pin("the leader reads the refusal's message as the tool's result", INTERLOCK)
async def test_the_leader_reads_the_refusal(way: str) -> None:
    team = crew(worker(pre_hooks=[refuse_input]))
    await go(team, way)
    assert tool_results(team.model) == ["the gate is closed"]


@pytest.mark.parametrize("way", STREAMED)
@pin("while streaming, the leader reads an empty result in place of a refusal", INTERLOCK)
async def test_the_leader_reads_nothing_while_streaming(way: str) -> None:
    team = crew(worker(pre_hooks=[refuse_input]))
    await go(team, way)
    assert tool_results(team.model) == [""]


@pytest.mark.parametrize("way", WAYS)
@pin("a member's check error from its model does not stop its team either", INTERLOCK)
async def test_a_member_refused_in_its_model(way: str) -> None:
    team = crew(worker(InputCheckError("no clearance")))
    outcome = await go(team, way)
    assert outcome.run.status is RunStatus.completed
    assert tool_results(team.model) == ["" if way in STREAMED else "no clearance"]


@pytest.mark.parametrize("way", PLAIN)
@pin("the leader reads a member's refused output unless it was taken away", "hooks/base.py")
async def test_a_members_refused_output(way: str) -> None:
    def refuse(run_output: Any) -> None:
        raise OutputCheckError("refused")

    def clear(run_output: Any) -> None:
        run_output.content = None
        raise OutputCheckError("refused")

    kept, nulled = (
        crew(worker("leaked", post_hooks=[refuse])),
        crew(worker("leaked", post_hooks=[clear])),
    )
    await go(kept, way)
    await go(nulled, way)
    assert tool_results(kept.model) == ["leaked"]
    assert tool_results(nulled.model) == ["refused"]


@pytest.mark.parametrize("way", STREAMED)
@pin("while streaming, the leader reads a member's words whatever its post-hook says", INTERLOCK)
async def test_a_members_refused_output_while_streaming(way: str) -> None:
    def clear(run_output: Any) -> None:
        run_output.content = None
        raise OutputCheckError("refused")

    team = crew(worker("leaked", post_hooks=[clear]))
    await go(team, way)
    assert tool_results(team.model) == ["leaked"]


@pytest.mark.parametrize("way", STREAMED)
@pin("in a stream a refused team's last event is an error, and no output follows", "hooks/gate.py")
async def test_a_refused_team_stream_has_no_output(way: str) -> None:
    def refuse(run_output: Any) -> None:
        raise OutputCheckError("declined")

    outcome = await go(crew(worker(), says("words"), post_hooks=[refuse]), way)
    assert outcome.events[-1].event == "TeamRunError"
    assert outcome.events[-1].content == "declined"
    assert outcome.run is None
    assert "words" in outcome.texts(), "tokens leave before post-hooks: so the leader is held"


@pytest.mark.parametrize("way", WAYS)
@pin("text and a tool call in one answer: the tool runs and the leader is asked again", INTERLOCK)
async def test_text_beside_a_tool_call(way: str) -> None:
    both = asking("worker")
    both.content = "I ask the worker."
    member = worker()
    team = crew(member, says(both, "all done"))
    outcome = await go(team, way)
    assert len(member.model.calls) == 1
    assert len(team.model.calls) == 2
    assert "all done" in outcome.run.content


@pytest.mark.parametrize("way", WAYS)
@pin("a leader that only talks is not asked again", INTERLOCK)
async def test_a_leader_that_only_talks_has_finished(way: str) -> None:
    team = crew(worker(), says("just words"))
    outcome = await go(team, way)
    assert len(team.model.calls) == 1
    assert outcome.run.status is RunStatus.completed


@pytest.mark.parametrize("way", WAYS)
@pin("in tasks mode a leader that only talks is asked again", INTERLOCK, "govern.py")
async def test_tasks_mode_asks_again_after_text(way: str) -> None:
    leader = says("just words", calling("mark_all_complete", summary="done"), "bye")
    team = crew(worker(), leader, mode=TeamMode.tasks)
    await go(team, way)
    assert len(leader.calls) > 1


@pytest.mark.parametrize("way", WAYS)
@pin("in route mode the member's answer is the team's, and the leader is not asked", INTERLOCK)
async def test_route_mode_does_not_ask_again(way: str) -> None:
    team = crew(worker("the member's answer"), mode=TeamMode.route)
    outcome = await go(team, way)
    assert len(team.model.calls) == 1
    assert outcome.run.content == "the member's answer"


@pytest.mark.parametrize("way", WAYS)
@pin("broadcast asks every member at the leader's first word", "govern.py", "hooks/gate.py")
async def test_broadcast_asks_everyone(way: str) -> None:
    first, second = worker(), Agent(name="other", id="other", model=says())
    leader = says(calling("delegate_task_to_members", task="do it"))
    team = Team(model=leader, members=[first, second], mode=TeamMode.broadcast)
    await go(team, way)
    assert (len(first.model.calls), len(second.model.calls)) == (1, 1)


@pin("the mode of a team can be read off it", "govern.py", "hooks/gate.py")
def test_mode_attributes() -> None:
    def seen(**fields: Any) -> tuple[Any, bool, bool]:
        team = Team(model=says(), members=[worker()], **fields)
        team.initialize_team()
        return team.mode, team.delegate_to_all_members, team.respond_directly

    assert [mode.value for mode in TeamMode] == ["coordinate", "route", "broadcast", "tasks"]
    assert seen() == (TeamMode.coordinate, False, False)
    assert seen(mode="broadcast") == (TeamMode.broadcast, True, False)
    assert seen(delegate_to_all_members=True) == (TeamMode.broadcast, True, False)
    assert seen(mode="route") == (TeamMode.route, False, True)
    assert seen(respond_directly=True) == (TeamMode.route, False, True)
    assert seen(mode="tasks") == (TeamMode.tasks, False, False)


@pytest.mark.parametrize("way", WAYS)
@pin("a member without a model takes its team's", "govern.py")
async def test_members_inherit_the_model(way: str) -> None:
    team = crew(Agent(name="worker", id="worker"))
    await go(team, way)
    assert team.members[0].model is team.model


@pytest.mark.parametrize("way", WAYS)
@pin("a check error in the leader's model keeps what members did, and ends in ERROR", INTERLOCK)
async def test_declining_in_the_leaders_last_call(way: str) -> None:
    leader = says(asking("worker"), OutputCheckError("declined"))
    outcome = await go(crew(worker("member words"), leader), way)
    assert len(leader.calls) == 2
    if way in STREAMED:
        assert outcome.events[-1].event == "TeamRunError"
    else:
        assert (outcome.run.status, outcome.run.content) == (RunStatus.error, "declined")


@pytest.mark.parametrize("way", STREAMED)
@pin("members' words are streamed by the team as they come", INTERLOCK)
async def test_members_stream_through_the_team(way: str) -> None:
    outcome = await go(
        crew(worker([ModelResponse(content="mem"), ModelResponse(content="ber")])), way
    )
    member_texts = [e.content for e in outcome.events if e.event == "RunContent"]
    assert member_texts == ["mem", "ber"]
