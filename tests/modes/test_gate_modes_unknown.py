"""The gate in each mode, where a call belongs to no run that it knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.tools.function import Function, FunctionCall
from four_forms import FORMS, play
from modes_scene import GATE, MODES, ROGUE, Scene, doing

from agno_portkey import Event, Gate
from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates import Charter, Seat, guard_call, interlock, protect
from agno_portkey.modes import Mode
from agno_portkey.pipeline import compose
from agno_portkey.policy import Policy


@pytest.mark.parametrize("hooks", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_a_runner_that_its_team_did_not_ask(
    mode: Mode, form: str, hooks: bool, scene: Scene
) -> None:
    policy = Policy(gate=GATE)
    stage = scene.staged(policy, runner=doing(ROGUE))
    scene.say("gate", mode)
    runner = stage.team.members[3]
    if not hooks:
        runner.pre_hooks = runner.post_hooks = None
    run = play(runner, form)
    told = [event.verdict.reason for event in stage.told("gate")]
    if mode == "enforce":
        assert run.status == RunStatus.error
        assert (stage.release.done, stage.runner_calls) == ([], [])
    else:
        assert (run.status, run.content) == (RunStatus.completed, "Done.")
        assert stage.release.done == [ROGUE]
    assert bool(told) is (mode != "off")
    if mode == "observe":
        first = "the Runner was not asked by" if hooks else "this Runner is not part of a governed"
        assert told[0].startswith(first)
        assert {event.data["mode"] for event in stage.told("gate")} == {"observe"}


@pytest.mark.parametrize("mode", MODES)
def test_a_team_without_its_hooks(mode: Mode, scene: Scene) -> None:
    stage = scene.staged(Policy(gate={**GATE, "mode": mode}), runner=doing(ROGUE))
    for owner in (stage.team, *stage.team.members):
        owner.pre_hooks = owner.post_hooks = None
    status, _ = stage.run()
    told = [e for e in stage.events if e.verdict and "hooks did not run" in e.verdict.reason]
    if mode == "enforce":
        assert (status, stage.release.done) == (RunStatus.error, [])
        assert told[0].kind == "declined"
        return
    assert (status, stage.release.done) == (RunStatus.completed, [ROGUE])
    assert bool(told) is (mode == "observe")
    assert {e.kind for e in told if e.data.get("would") == "decline"} <= {"gate"}


@pytest.mark.parametrize("mode", MODES)
def test_a_protected_tool_that_is_called_by_itself(mode: Mode) -> None:
    events: list[Event] = []
    done: list[str] = []

    def ship(version: str) -> str:
        done.append(version)
        return "shipped"

    charter = Charter(Gate(), tools=frozenset({"ship"}), observers=[events.append], mode=mode)
    function = protect(Function.from_callable(ship), charter)
    if mode == "enforce":
        with pytest.raises(ToolRefused):
            function.entrypoint(version="2.1")
        assert done == []
    else:
        assert function.entrypoint(version="2.1") == "shipped"
        assert done == ["2.1"]
    assert bool(events) is (mode != "off")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("part", ["runner", "aide", "leader"])
def test_an_auxiliary_call_goes_by_the_present_mode(part: str, mode: Mode) -> None:
    events: list[Event] = []
    charter = Charter(Gate(), observers=[events.append], mode=mode)
    charter.open("team", "Team").mode = "enforce"
    seat = Seat(part, "R", "Team", charter, holds=part == "leader")  # type: ignore[arg-type]
    call = Call([], SimpleNamespace())  # type: ignore[arg-type]

    async def below(call: Call) -> Any:
        yield SimpleNamespace(content="said", tool_calls=None)

    def said() -> list[str]:
        lock = interlock(seat)
        return [delta.content for delta in drive(compose([lock], SyncIO(), below)(call))]

    if mode == "enforce" and part != "leader":
        with pytest.raises(GateClosed):
            said()
    else:
        assert said() == ["said"]
        assert events == []


def test_who_has_no_lock_of_its_own_is_not_told_of(scene: Scene) -> None:
    events: list[Event] = []
    charter = Charter(Gate(), observers=[events.append], mode="observe")
    call = Call([], SimpleNamespace(), run_response=SimpleNamespace(run_id="r"))  # type: ignore[arg-type]

    async def below(call: Call) -> Any:
        yield SimpleNamespace(content="said")

    for part, told in (("aide", 0), ("member", 0), ("runner", 1), ("leader", 2)):
        lock = interlock(Seat(part, "R", "Team", charter, holds=True))  # type: ignore[arg-type]
        assert [delta.content for delta in drive(compose([lock], SyncIO(), below)(call))] == [
            "said"
        ]
        assert len(events) == told


@pytest.mark.parametrize("mode", MODES)
def test_a_leaders_own_word_that_a_task_is_done(mode: Mode) -> None:
    charter = Charter(Gate(), mode=mode)
    charter.open("team", "Team")
    seat = Seat("leader", "Team", "Team", charter, holds=True)
    function = Function.from_callable(lambda: "done")
    function.name, function.show_result = "mark_all_complete", True
    function._run_context = SimpleNamespace(run_id="team")
    guard_call(seat, FunctionCall(function=function, arguments={}))
    if mode == "enforce":
        with pytest.raises(ToolRefused):
            function.entrypoint()
    else:
        assert function.entrypoint() == "done"
    assert function.show_result is (mode != "enforce")
