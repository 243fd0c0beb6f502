"""The gate in each mode: a team that lies, and one that does not."""

from __future__ import annotations

import pytest
from agno.run.base import RunStatus
from four_forms import FORMS
from modes_scene import GATE, LIE, MODES, ROGUE, SOURCES, STEPS, Scene, doing

from agno_portkey import Event
from agno_portkey.contracts import Decision, Judgement
from agno_portkey.gates import Declined
from agno_portkey.modes import Mode
from agno_portkey.policy import Policy
from agno_portkey.testing.story import REQUEST, SOUND


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_an_enforced_gate_declines_a_lying_team(form: str, source: str, scene: Scene) -> None:
    policy = scene.policy("gate", "enforce", source, **{**GATE, "max_rounds": 1})
    stage = scene.staged(policy, runner=doing(ROGUE))
    status, content = stage.run(form)
    assert status == RunStatus.error
    assert isinstance(content, Declined) or "declined" in str(content)
    assert (stage.release.done, stage.runner_calls) == ([], [])
    assert len(stage.told("declined")) == 1
    assert {e.data["mode"] for e in stage.told("gate", "declined", "plan")} == {"enforce"}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_an_observed_gate_lets_a_lying_team_run_and_tells_the_verdict(
    form: str, source: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    policy = scene.policy("gate", "observe", source, **GATE)
    stage = scene.staged(policy, runner=doing(ROGUE))
    assert stage.run(form) == (RunStatus.completed, LIE)
    assert stage.release.done == [ROGUE]
    assert "Your turn. I say it is fine." in stage.runner_calls[0].last_user
    assert "exactly" not in stage.runner_calls[0].last_user

    refused, tool, end = stage.refused()
    assert refused.role == "Runner"
    assert "the Judge says reject: there is no plan to look at" in refused.verdict.reasons
    assert refused.verdict.score == 0.0  # the Critic's
    assert tool.verdict.reasons == ("the gate has not cleared this run of the Runner",)
    assert end.data == {"would": "decline", "mode": "observe"}
    assert set(refused.verdict.reasons) <= set(end.verdict.reasons)
    assert stage.told("declined") == []
    assert len(stage.told("plan", "critique", "judgement")) == 3
    assert {e.data["mode"] for e in stage.told("gate", "plan", "judgement")} == {"observe"}
    assert "Release: observed, not refused: the Critic holds a blocking issue" in caplog.text


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_a_gate_that_is_off_is_not_there(
    form: str, source: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    policy = scene.policy("gate", "off", source, **GATE)
    stage = scene.staged(policy, runner=doing(ROGUE))
    assert stage.run(form) == (RunStatus.completed, LIE)
    assert stage.release.done == [ROGUE]
    assert {event.kind for event in stage.events} == {"call", "attempt", "contract"}
    assert "observed" not in caplog.text


@pytest.mark.parametrize("form", FORMS)
def test_what_would_have_passed_is_told_as_passed(form: str, scene: Scene) -> None:
    stage = scene.staged(
        Policy(gate={**GATE, "mode": "observe"}),
        runner=doing(*STEPS),
        judge=Judgement(decision=Decision.APPROVE, score=9),
        plan=SOUND,
    )
    assert stage.run(form) == (RunStatus.completed, LIE)
    [gate] = stage.told("gate")
    assert (gate.verdict.passed, gate.verdict.score, gate.data["mode"]) == (True, 0.9, "observe")
    assert [e.data["step"] for e in stage.told("tool")] == [1, 2]
    assert stage.refused() == []


def test_what_an_observed_runner_does_beside_its_plan_is_told(scene: Scene) -> None:
    stage = scene.staged(
        Policy(gate={**GATE, "mode": "observe"}),
        runner=doing(STEPS[0], ROGUE),
        judge=Judgement(decision=Decision.APPROVE, score=9),
        plan=SOUND,
    )
    assert stage.run() == (RunStatus.completed, LIE)
    assert stage.release.done == [STEPS[0], ROGUE]
    tool, end = stage.refused()
    assert "step 2 of the cleared plan has target='staging'" in tool.verdict.reason
    assert "the Runner ended without doing step 2 (deploy)" in end.verdict.reason
    assert end.data["would"] == "decline"


def test_a_change_of_the_variable_counts_from_the_next_run_on(scene: Scene) -> None:
    policy = Policy(gate={**GATE, "max_rounds": 1})
    stage = scene.staged(policy, runner=doing(ROGUE))
    ends = []
    for mode in (None, "observe", "enforce", "off", "obsreve"):
        if mode is not None:
            scene.say("gate", mode)
        ends.append((stage.run()[0] == RunStatus.completed, len(stage.release.done)))
    assert ends == [(False, 0), (True, 1), (False, 1), (True, 2), (False, 2)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("began", "then", "completes"),
    [
        ("enforce", "off", False),
        ("enforce", "observe", False),
        ("observe", "enforce", True),
        ("off", "enforce", True),
    ],
)
def test_a_run_keeps_the_mode_in_which_it_began(
    form: str, began: Mode, then: Mode, completes: bool, scene: Scene
) -> None:
    policy = Policy(gate={**GATE, "max_rounds": 1, "mode": began})
    stage = scene.staged(policy, runner=doing(ROGUE))

    def switch(event: Event) -> None:
        if event.kind == "call" and event.role == "Planner":
            scene.say("gate", then)

    for owner in (stage.team, *stage.team.members):
        owner.model.observers = (*owner.model.observers, switch)
    assert (stage.run(form)[0] == RunStatus.completed) is completes
    assert stage.release.done == ([ROGUE] if completes else [])
    if began == "off":
        assert {event.kind for event in stage.events} == {"call", "attempt", "contract"}


@pytest.mark.parametrize("mode", MODES)
def test_a_run_has_an_end_in_every_mode(mode: Mode, scene: Scene) -> None:
    policy = Policy(gate={**GATE, "mode": mode})
    yes = Judgement(decision=Decision.APPROVE, score=9)
    stage = scene.staged(policy, runner=doing(*STEPS), judge=yes, plan=SOUND)
    output = stage.team.run(REQUEST)
    assert output.status == RunStatus.completed
    run = stage.team.model.seat.charter.runs.find(output.run_id).run
    assert (run.ended, run.mode) == (True, mode)
