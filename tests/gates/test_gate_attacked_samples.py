"""A Judge that is sampled and answers in words, breaks its contract, or has a schema of its own."""

from __future__ import annotations

from typing import Any

import pytest
from admission_scene import STEPS, Desk, Scene, charter_of, judgement, play
from agno.run.base import RunStatus
from agno.team import Team

from agno_portkey import Gate
from agno_portkey.contracts import Judgement
from agno_portkey.gates import JudgementCheck, Sampling
from agno_portkey.gates.checks.judgement import Broken
from agno_portkey.modes import variable_of
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.testing.story import SOUND

NO = "I can't approve this plan, it is dangerous."
WRONG = '{"decision": "approve", "score": 99}'
SAMPLING = Sampling(least=3, noise=1.0, most=5)
JUDGES = ("judge",) * 6


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


def samples_of(team: Team, scene: Scene) -> list[Judgement]:
    run = charter_of(team).runs.find(scene.told("plan")[0].run_id).run  # type: ignore[union-attr]
    return [*run.samples_of(run.plan_digest)]


@pytest.mark.parametrize("form", ["run", "astream"])
@pytest.mark.parametrize("broken", [NO, WRONG], ids=["words", "out of range"])
def test_the_samples_that_survive_do_not_decide_alone(form: str, broken: str, scene: Scene) -> None:
    # Each time that it is asked it breaks its contract, after three attempts, once.
    scene.judge(9.5, *[broken] * 3, 9.4, *[broken] * 3, 9.5)
    scene.script("planner", "critic", *JUDGES, "runner")
    team = scene.team(Gate(min_score=7, sampling=SAMPLING, max_rounds=9))
    assert play(team, form).status == RunStatus.error
    assert (scene.release.done, scene.runner_calls) == ([], [])
    assert [isinstance(one, Broken) for one in samples_of(team, scene)] == [False, True] * 2 + [
        False
    ]
    assert "one of its answers is no judgement, which counts as a refusal" in scene.refusals[-1]


def test_how_many_were_none_is_in_the_evidence() -> None:
    check = JudgementCheck(min_score=7, sampling=SAMPLING)
    desk = Desk.of(Gate(checks=(check,)))
    desk.run.propose(SOUND)
    desk.run.show("judge")
    said = [judgement(9.5), Broken.of("no JSON"), Broken.of("no JSON")]
    desk.run.poll(str(desk.run.plan_digest), said)
    desk.run.hear("judge", said[0])
    [verdict] = desk.charter.verdicts(desk.run)
    assert not verdict.passed
    told = verdict.evidence["checks"]["judgement"]
    assert (told["samples"], told["approvals"], told["broken"]) == (3, 1, 2)
    assert "no JSON" in verdict.reason


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_words_count_where_no_contract_holds_them(
    mode: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable_of("contracts"), mode)
    scene.judge(9.5, NO, 9.5, NO, 9.5)
    scene.script("planner", "critic", *JUDGES, "runner")
    team = scene.team(Gate(min_score=7, sampling=SAMPLING, max_rounds=9))
    assert not play(team).shipped
    assert scene.release.done == []
    assert [one.score for one in samples_of(team, scene)] == [9.5, 0, 9.5, 0, 9.5]


def test_what_its_provider_fails_at_is_held_against_no_plan(scene: Scene) -> None:
    scene.judge(9.5, Fault.status(400), 9.5)
    scene.script("planner", "critic", "judge", "judge", "runner")
    team = scene.team(Gate(min_score=7, sampling=SAMPLING))
    assert play(team).shipped
    assert samples_of(team, scene) == [judgement(9.5)] * 3


# A schema of its own


class Noted(Judgement):
    note: str
    weight: int = 1


NOTED = Noted(**judgement(9.5).model_dump(), note="as before")


@pytest.mark.parametrize("form", ["run", "astream"])
@pytest.mark.parametrize("json_mode", [False, True], ids=["native", "json mode"])
def test_a_judge_with_a_schema_of_its_own_is_sampled(
    form: str, json_mode: bool, scene: Scene
) -> None:
    def change(team: Team) -> None:
        judge: Any = team.members[2]
        judge.output_schema, judge.use_json_mode = Noted, json_mode

    scene.provider.when("You are the Judge.", lambda request: NOTED.model_dump_json())
    scene.script()
    team = scene.team(Gate(min_score=7, sampling=SAMPLING), change)
    assert play(team, form).shipped
    assert scene.release.done == STEPS
    said = samples_of(team, scene)
    assert len(said) == 3
    assert all(one.score == 9.5 and not isinstance(one, Broken) for one in said)
    assert json_mode or said == [NOTED] * 3
