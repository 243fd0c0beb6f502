"""Gate hooks that were put in by hand, in each mode."""

from __future__ import annotations

from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow
from four_forms import FORMS
from modes_scene import GATE, LIE, MODES, ROGUE, Scene, doing, ended

from agno_portkey import Event, Gate
from agno_portkey.errors import GateClosed, RunDeclined
from agno_portkey.gates import Charter
from agno_portkey.hooks import GateHook
from agno_portkey.modes import Mode
from agno_portkey.policy import Policy
from agno_portkey.runs import Station
from agno_portkey.testing import Reply, ToolCall
from agno_portkey.testing.story import FLAWED, REQUEST, Release, release_team, tell


def by_hand(team: Team, hook: GateHook) -> Team:
    for owner in (team, *team.members):
        owner.pre_hooks, owner.post_hooks = [hook], [hook]
    return team


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_a_team_that_was_changed(mode: Mode, form: str, scene: Scene) -> None:
    tell(scene.provider, last_word=LIE)
    events: list[Event] = []
    charter = Charter(Gate(), swarm="Release", observers=[events.append], mode=mode)
    asked: list[Any] = []
    hook = GateHook(charter, runner="Runner", late=lambda team: asked.append(team) or "it was")
    team = by_hand(release_team(scene.model, Release()), hook)
    status, content = ended(team, form)
    changed = [e for e in events if e.verdict and "the team was changed" in e.verdict.reason]
    if mode == "enforce":
        assert status == RunStatus.error
        assert scene.provider.calls == []
        assert changed[0].kind == "declined"
        return
    assert (status, content) == (RunStatus.completed, LIE)
    if mode == "observe":
        assert changed[0].kind == "gate"
        assert changed[0].data == {"would": "decline", "mode": "observe"}
        # What comes after is observed as ever.
        assert [event.kind for event in events].count("judgement") == 1
    else:
        assert (events, asked) == ([], [])


@pytest.mark.parametrize("mode", MODES)
def test_a_step_of_a_workflow(mode: Mode, scene: Scene) -> None:
    names = ("planner", "critic", "judge", "runner")
    asks = [ToolCall("delegate_task_to_member", {"member_id": n, "task": "Go."}) for n in names]
    scene.provider.when("Ask the Planner", [*(Reply(tool_calls=(ask,)) for ask in asks), LIE])
    scene.provider.when("You are the Runner", doing(ROGUE))
    tell(scene.provider, plans=[FLAWED])
    events: list[Event] = []
    hook = GateHook(Charter(Gate(), observers=[events.append], mode=mode), runner="Runner")
    release = Release()
    team = by_hand(release_team(scene.model, release), hook)
    output = Workflow(name="W", steps=[Step(name="s", team=team)]).run(REQUEST)
    run_id = output.step_executor_runs[0].run_id
    station = hook.charter.runs.find(run_id)
    assert (station.part, station.run.ended) == ("leader", True)
    assert release.done == ([] if mode == "enforce" else [ROGUE])
    told = {event.kind for event in events}
    ends = {"off": set(), "observe": {"gate"}, "enforce": {"gate", "declined"}}[mode]
    assert told - {"plan", "critique", "judgement"} == ends


def test_a_step_whose_own_run_can_not_be_told_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_portkey.hooks.base.run_being_started", lambda: None)
    stage = scene.staged(Policy(gate=GATE), runner=doing(ROGUE))
    output = Workflow(name="W", steps=[Step(name="s", team=stage.team)]).run(REQUEST)
    assert "the team's hooks did not run" in str(output.content)
    assert (stage.release.done, scene.provider.calls) == ([], [])


def test_a_gate_that_breaks_while_it_is_observed_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing")

    observed = Charter(Gate(), mode="observe")
    assert observed.held(None, broken) is None
    assert "the gate could not be observed" in caplog.text
    assert Charter(Gate(), mode="off").held(None, broken) is None
    with pytest.raises(RuntimeError):
        Charter(Gate()).held(None, broken)
    assert observed.held(None, lambda: 3) == 3
    assert Charter(Gate(), mode="off").held(None, lambda: 3) is None


def test_the_run_of_a_member_is_held_as_its_teams(scene: Scene) -> None:
    charter = Charter(Gate())
    run = charter.open("team", "Team")
    charter.runs.join("member", run, "member", "M")
    scene.say("gate", "off")
    assert charter.enforces("team")
    assert charter.enforces("member")
    assert not charter.enforces("another")
    assert charter.mode_of(None) == "off"
    assert isinstance(charter.refusal(Station(run, "member", "M"), "no"), GateClosed)
    assert isinstance(charter.decline(run), RunDeclined)
