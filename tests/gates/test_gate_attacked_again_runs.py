"""Ways round a gate by runs that go on: with another request, after a no, by somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from admission_scene import ROUND, SHIPPED, STEPS, STREAMED, Desk, Scene, books_of, play, to
from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run import RunContext
from agno.run.base import RunStatus
from agno.run.team import RunErrorEvent, TeamRunOutput
from agno.team import Team
from agno.tools.function import Function

from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import Blocked, GateClosed
from agno_portkey.gates import Seat, interlock
from agno_portkey.gates.asked import is_asked_anew
from agno_portkey.gates.books import books_of as books_in
from agno_portkey.pipeline import compose
from agno_portkey.runs import Runs
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall
from agno_portkey.testing.story import REQUEST

LIE = "Production is live, 3.0 is deployed everywhere."
ANEW = "Say that production is live"
WHO = {"session_id": "s", "user_id": "ann"}


class Told(Scene):
    """The story on a database, with teams that know of each other only by it."""

    file: str
    teams: list[Team]

    def again(self, change: Any = None) -> Team:
        team = self.team(None, change, db=SqliteDb(db_file=self.file))
        self.teams.append(team)
        return team

    def lead(self, last: list[Any]) -> None:
        """A leader that asks each member, then says `last`; of another request it tells a lie."""
        said = iter(last)

        def answer(request: Request) -> Any:
            if ANEW in str(request.messages):
                return LIE
            done = sum(len(message.get("tool_calls") or ()) for message in request.messages)
            return to(ROUND[done])[0] if done < len(ROUND) else next(said)

        self.provider.when(lambda request: "delegate_task_to_member" in request.tools, answer)


@pytest.fixture
def told(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Iterator[Told]:
    scene = Told(portkey_provider)
    scene.file, scene.teams = str(tmp_path / "agno.db"), []
    scene.judge(9)
    yield scene
    for team in scene.teams:
        team.db.close()  # type: ignore[union-attr]


def continued(team: Team, form: str, run_id: str, **how: Any) -> tuple[RunStatus, str]:
    """How a run ended that was continued, and all that was shown of it."""
    given = {"run_id": run_id, **WHO, **how}
    match form:
        case "run":
            output = team.continue_run(**given)
            return output.status, str(output.content)
        case "arun":
            output = asyncio.run(team.acontinue_run(**given))
            return output.status, str(output.content)
    events = [*team.continue_run(**STREAMED, **given)]
    shown = " ".join(str(getattr(event, "content", "")) for event in events)
    outputs = [event for event in events if isinstance(event, TeamRunOutput)]
    failed = any(isinstance(event, RunErrorEvent) for event in events)
    return RunStatus.error if failed else outputs[-1].status, shown


# A run whose Runner has finished, and whose leader then failed


@pytest.mark.parametrize("form", ["run", "arun", "stream"])
@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "new process"])
@pytest.mark.parametrize("since", ["end", "last_user", 1])
def test_another_request_is_not_answered_behind_the_clearance_of_the_first(
    told: Told, since: Any, fresh: bool, form: str
) -> None:
    told.lead([Fault.status(400)])
    told.script()
    team = told.again()
    failed = play(team, **WHO)
    assert (failed.status, told.release.done) == (RunStatus.error, STEPS), failed.content
    assert failed.output is not None
    run_id, calls = failed.output.run_id, len(told.provider.calls)
    for how in ({"input": ANEW, "continue_from": since}, {}):
        # Without one it is as it was left, which is another request by now.
        status, shown = continued(told.again() if fresh else team, form, str(run_id), **how)
        assert status == RunStatus.error
        assert "was continued with another request" in shown
        assert LIE not in shown
    assert len(told.provider.calls) == calls
    assert told.release.done == STEPS


@pytest.mark.parametrize("form", ["run", "arun", "stream"])
@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "new process"])
def test_a_run_whose_model_failed_goes_on_as_it_was(told: Told, fresh: bool, form: str) -> None:
    told.lead([Fault.status(400), Fault.status(400), SHIPPED])
    told.script()
    team = told.again()
    failed = play(team, **WHO)
    assert failed.output is not None
    run_id = str(failed.output.run_id)
    status, _ = continued(told.again() if fresh else team, form, run_id)
    assert status == RunStatus.error
    status, shown = continued(told.again() if fresh else team, form, run_id)
    assert status == RunStatus.completed
    assert SHIPPED in shown
    assert told.release.done == STEPS


def _asks_first(told: Told) -> Any:
    deploy = Function.from_callable(told.release.deploy)
    deploy.requires_confirmation = True
    return lambda team: setattr(team.members[3], "tools", [told.release.run_tests, deploy])


def test_a_run_that_waits_is_not_given_another_request(told: Told) -> None:
    told.lead([SHIPPED])
    told.script()
    team = told.again(_asks_first(told))
    waits = play(team, **WHO).output
    assert waits is not None
    for need in waits.active_requirements:
        need.confirm()
    output = team.continue_run(run_response=waits, input=ANEW, **WHO)
    assert output.status == RunStatus.error
    assert LIE not in str(output.content)


def test_what_the_host_adds_while_a_run_lasts_is_no_request() -> None:
    run = Runs().open("team", "Release")
    first, second = [Message(role="user", content="Ship.")], [Message(role="user", content="Lie.")]
    ask = lambda messages: is_asked_anew(  # noqa: E731
        run, Call(messages, Message(role="assistant"), run_response=SimpleNamespace(run_id="team"))
    )
    assert not ask(first)
    first += [Message(role="assistant"), Message(role="user", content="<current_task_state>")]
    # A fallback model is asked with a copy, and then the first one again.
    assert not ask(first)
    assert not ask([*first])
    first.append(Message(role="user", content="<current_task_state>"))
    assert not ask(first)
    history = Message(role="user", content="Before.", from_history=True)
    hint = Message(role="user", content="As JSON.", temporary=True)
    assert not ask([history, *first, hint])
    assert ask([*first, *second])
    assert ask(second)


# A team that was declined


@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "new process"])
def test_the_runner_of_a_declined_team_does_nothing_more(told: Told, fresh: bool) -> None:
    told.lead([SHIPPED])
    does = [Reply(tool_calls=(ToolCall(name, inputs),)) for name, inputs in STEPS]
    told.provider.when("You are the Runner", [Fault.status(400), *does, "Done."])
    told.script()
    team = told.again()
    ended = play(team, **WHO)
    assert ended.status == RunStatus.error
    assert "has not finished" in str(ended.content)
    assert ended.output is not None
    [failed] = [run for run in ended.output.member_responses if run.agent_name == "Runner"]  # type: ignore[union-attr]
    [kept] = books_of(team).clearances.of_swarm("Release")
    assert kept.state == "revoked"
    runner: Any = (told.again() if fresh else team).members[3]  # type: ignore[index]
    for how in ({}, {"input": "Also tell a joke"}):
        runner.continue_run(run_response=failed, **WHO, **how)
    calls = len(told.provider.calls)
    assert continued(team, "run", str(ended.output.run_id))[0] == RunStatus.error
    assert (told.release.done, len(told.provider.calls)) == ([], calls)


def test_who_was_declined_or_has_ended_is_not_admitted_again() -> None:
    for way in ("declined", "ended"):
        one = Desk.of().judged(9)
        one.admit()
        if way == "declined":
            one.charter.decline(one.run)
        one.run.ended = True
        for ask in (one.admit, lambda: one.charter.require_clearance("team-r")):  # noqa: B023
            with pytest.raises(GateClosed, match=rf"its team's run (was|has) {way}"):
                ask()


def finished() -> tuple[Desk, Any]:
    """A run whose Runner has done its plan, and what it was cleared by."""
    one = Desk.of().judged(9)
    held = one.admit()
    assert one.run.steps is not None
    one.run.steps.done |= {1, 2}
    assert one.charter.finish(one.runner, "team-r") == ()
    return one, held


def test_what_a_finished_run_was_cleared_for_stays_spent() -> None:
    one, held = finished()
    assert one.run.settled
    one.charter.decline(one.run)
    assert not one.run.settled
    assert one.charter.books.clearances.get(held.id).state == "spent"


# Somebody else


@pytest.mark.parametrize(
    "who",
    [{"session_id": "eves", "user_id": "eve"}, {"user_id": "eve"}, {"user_id": None}],
    ids=["another session", "another user", "nobody"],
)
def test_a_run_id_of_somebody_else_takes_nothing_back(told: Told, who: dict[str, Any]) -> None:
    told.lead([SHIPPED])
    told.script()
    team = told.again(_asks_first(told))
    waits = play(team, **WHO).output
    assert waits is not None
    [runner] = [run.run_id for run in waits.member_responses if run.agent_name == "Runner"]  # type: ignore[union-attr]
    for run_id in (waits.run_id, runner):
        other = team.run("hello", run_id=run_id, **{**WHO, **who})
        assert "has this id: choose another" in str(other.content)
    [kept] = books_of(team).clearances.of_swarm("Release")
    assert (kept.state, kept.user_id) == ("claimed", "ann")
    for need in waits.active_requirements:
        need.confirm()
    assert team.continue_run(run_response=waits, **WHO).content == SHIPPED


def test_who_begins_their_own_run_anew_drops_what_it_held(tmp_path: Path) -> None:
    one = Desk.of(books=books_in(str(tmp_path / "agno.db"))).judged(9)
    held = one.admit()
    context = RunContext(run_id="team", session_id="s1", user_id="ann")
    assert one.charter.open("team", "Release", context) is not one.run
    assert one.charter.books.clearances.get(held.id).state == "revoked"


@pytest.mark.parametrize("part", [2, 3], ids=["Judge", "Runner"])
@pytest.mark.parametrize(
    "who",
    [{"session_id": "eves", "user_id": "eve"}, {"user_id": "eve"}, {"user_id": None}],
    ids=["another session", "another user", "nobody"],
)
def test_nobody_is_handed_the_plan_of_somebody_elses_run(
    told: Told, who: dict[str, Any], part: int
) -> None:
    told.lead([SHIPPED])
    told.script()
    team = told.again(_asks_first(told))
    waits = play(team, message=f"{REQUEST} The pin is 4711.", **WHO).output
    assert waits is not None
    member: Any = team.members[part]  # type: ignore[index]
    [run_id] = [r.run_id for r in waits.member_responses if r.agent_name == member.name]  # type: ignore[union-attr]
    calls = len(told.provider.calls)
    output = member.run("My own words", run_id=run_id, **{**WHO, **who})
    assert output.status == RunStatus.error
    assert output.input.input_content == "My own words"
    assert "4711" not in str(output.to_dict())
    assert (len(told.provider.calls), told.release.done) == (calls, STEPS[:1])


@pytest.mark.parametrize("who", [{"session_id": "eves"}, {"user_id": "eve"}, {"user_id": None}])
def test_a_leader_speaks_for_nobody_else(who: dict[str, Any]) -> None:
    one, _ = finished()

    async def model(call: Call) -> AsyncIterator[ModelResponse]:
        yield ModelResponse(content=LIE)

    def said(**asks: Any) -> str:
        output: Any = SimpleNamespace(
            run_id="team", **{"session_id": "s1", "user_id": "ann"} | asks
        )
        lock = interlock(Seat("leader", "Release", "Release", one.charter, holds=True))
        call = Call([], Message(role="assistant"), run_response=output)
        return "".join(str(d.content) for d in drive(compose([lock], SyncIO(), model)(call)))

    with pytest.raises(Blocked, match="it was cleared for another"):
        said(**who)
    assert said() == LIE
