"""The Judge, asked as often as it takes: what is asked, what of it counts, and what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from admission_scene import (
    ROUND,
    STEPS,
    Scene,
    books_of,
    charter_of,
    judgement,
    play,
)
from agno.agent import Agent
from agno.db.base import AsyncBaseDb, BaseDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS

from agno_portkey import Gate
from agno_portkey.contracts import Judgement
from agno_portkey.gates.checks.judgement import JudgementCheck
from agno_portkey.gates.jury import middle
from agno_portkey.gates.sampling import Sampling
from agno_portkey.modes import variable_of
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

# Of a plan with a true score of 8.5 and one of 4, from a judge with noise of about a point.
GOOD = (8, 9.5, 7.5, 9, 8.5, 8.2, 9.1, 8.4)
BAD = (4, 5.5, 3, 4.2, 5, 3.3, 4.8, 4)
NEAR = (7.5, 6.5, 7.9, 6.2, 7.6, 6.4)
MEASURED = Sampling(least=2, most=6, noise=1.0)
GATE = Gate(min_score=7, sampling=MEASURED)
TWO = ("run", "astream")


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


def database(form: str, folder: Path) -> BaseDb | AsyncBaseDb:
    """Each form of a run with a database of its kind."""
    kind = AsyncSqliteDb if form in ("arun", "astream") else SqliteDb
    return kind(db_file=str(folder / "agno.db"))


def staged(scene: Scene, *scores: Any, gate: Gate = GATE, **options: Any) -> Team:
    scene.judge(*scores)
    scene.script(*ROUND)
    return scene.team(gate, **options)


def judge_of(team: Team) -> Agent:
    return next(member for member in team.members if member.name == "Judge")


# What it comes to


@pytest.mark.parametrize("form", FORMS)
def test_a_noisy_judge_passes_a_good_plan_once_it_is_sure(
    form: str, scene: Scene, tmp_path: Path
) -> None:
    team = staged(scene, *GOOD, db=database(form, tmp_path))
    assert play(team, form).shipped
    assert scene.release.done == STEPS
    asked = len(scene.judged)
    assert 2 <= asked <= MEASURED.most
    [kept] = books_of(team).history.series()
    [_, check] = kept.checks
    assert (kept.passed, kept.outcome, check.samples) == (True, "pass", asked)
    assert check.score == pytest.approx(sum(GOOD[:asked]) / asked / 10)


@pytest.mark.parametrize("form", FORMS)
def test_a_noisy_judge_fails_a_bad_plan(form: str, scene: Scene, tmp_path: Path) -> None:
    team = staged(scene, *BAD, db=database(form, tmp_path))
    assert play(team, form).status == RunStatus.error
    assert (scene.release.done, scene.runner_calls) == ([], [])
    assert "and 7 is needed" in scene.refusals[0]
    [kept, *_] = books_of(team).history.series()
    assert kept.outcome == "fail"


@pytest.mark.parametrize("form", FORMS)
def test_what_can_not_be_told_is_underpowered_and_says_how_many_more(
    form: str, scene: Scene, tmp_path: Path
) -> None:
    team = staged(scene, *NEAR, db=database(form, tmp_path))
    ended = play(team, form)
    assert ended.status == RunStatus.error
    assert (scene.release.done, len(scene.judged)) == ([], MEASURED.most)
    [refusal, *_] = scene.refusals
    # Its mean is 7.02, so close to 7 that no thousand samples tell.
    assert "can't be told apart by any number of samples" in refusal
    [kept, *_] = books_of(team).history.series()
    assert kept.outcome == "underpowered"


def test_how_many_more_samples_it_would_take_is_in_the_refusal(scene: Scene) -> None:
    team = staged(scene, *NEAR, gate=Gate(min_score=6.5, sampling=MEASURED))
    play(team)
    judged = next(e.verdict for e in scene.told("gate") if e.verdict and not e.verdict.passed)
    more = judged.evidence["more"]
    assert more > 0
    assert f"it would take about {more} more samples" in judged.reason


def test_one_more_sample_is_one(scene: Scene) -> None:
    check = JudgementCheck(min_score=7, sampling=Sampling(least=2, most=4, noise=0.1))
    team = staged(scene, 9, gate=Gate(checks=(check,)))
    run = charter_of(team).open("run", "Release")
    said = check.poll([judgement(9)], 7)
    assert (said.more, said.done) == (1, False)
    assert charter_of(team).wants_more(run, "sha256:0", [judgement(9)])


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_a_gate_that_does_not_hold_is_sampled_only_where_it_is_observed(
    mode: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable_of("gate"), mode)
    team = staged(scene, *BAD)
    play(team)
    assert (len(scene.judged) > 1) is (mode == "observe")
    assert (scene.told("gate") != []) is (mode == "observe")


def test_a_gate_without_sampling_asks_once(scene: Scene) -> None:
    team = staged(scene, 9, gate=Gate())
    assert play(team).shipped
    [asked] = scene.judged
    assert "x-portkey-cache-force-refresh" not in asked.headers


# What is asked


@pytest.mark.parametrize("form", TWO)
def test_each_sample_is_the_same_question_and_no_cache_may_answer_it(
    form: str, scene: Scene
) -> None:
    play(staged(scene, *GOOD), form)
    first, *others = scene.judged
    assert len(others) >= 1
    for request in scene.judged:
        assert request.headers["x-portkey-cache-force-refresh"] == "true"
        assert request.body == first.body
    others = [call for call in scene.provider.calls if call.schema_name != "Judgement"]
    assert all("x-portkey-cache-force-refresh" not in call.headers for call in others)


def test_a_sample_is_blind_to_who_planned_and_to_what_others_said(scene: Scene) -> None:
    scene.judge(judgement(8, reason="tidy-as-can-be"), *GOOD)
    scene.provider.when("You are the Critic.", '{"summary": "CRITIC-SAYS", "issues": []}')
    scene.script()
    play(scene.team(GATE))
    assert len(scene.judged) > 2
    for request in scene.judged:
        told = json.dumps(request.messages)
        for word in ("Planner", "Critic", "CRITIC-SAYS", "tidy-as-can-be", "Your turn", "fine"):
            assert word not in told


# What goes wrong


@pytest.mark.parametrize("form", TWO)
@pytest.mark.parametrize(
    "broken",
    [Fault.status(500), "I would say it is fine.", '{"decision": "approve", "score": 99}'],
    ids=["down", "words", "out of range"],
)
def test_a_sample_that_fails_leaves_the_gate_closed(form: str, broken: Any, scene: Scene) -> None:
    team = staged(scene, 8, broken)
    assert play(team, form).status == RunStatus.error
    assert (scene.release.done, scene.runner_calls) == ([], [])
    assert "has not judged this plan yet" in " ".join(scene.refusals)


@pytest.mark.parametrize("form", TWO)
def test_what_all_samples_took_is_in_the_metrics_of_the_run(form: str, scene: Scene) -> None:
    team = staged(scene, *GOOD)
    ended = play(team, form, session_id="s")
    [judge] = [each for each in ended.output.member_responses if each.agent_name == "Judge"]
    used = [event.data for event in scene.told("attempt") if event.role == "Judge"]
    assert len(used) == len(scene.judged) >= 2
    assert judge.metrics.input_tokens == sum(each["input_tokens"] for each in used)
    assert judge.metrics.output_tokens == sum(each["output_tokens"] for each in used)


def test_what_a_sample_took_before_another_failed_is_counted(scene: Scene) -> None:
    team = staged(scene, 8, Fault.status(500))
    play(team)
    station = charter_of(team).runs.find(scene.told("plan")[0].run_id)
    judged = [e for e in scene.told("attempt") if e.role == "Judge"]
    first, *failed = judged
    assert {event.data["status"] for event in failed} == {500}
    assert first.data["input_tokens"] > 0
    assert station.run.usage.calls == len(scene.told("attempt"))
    everyone = [event.data for event in scene.told("attempt")]
    tokens = [each.get("input_tokens", 0) + each.get("output_tokens", 0) for each in everyone]
    assert station.run.usage.tokens == sum(tokens)


@pytest.mark.parametrize("form", TWO)
def test_where_no_contract_holds_words_are_no_judgement(
    form: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable_of("contracts"), "off")
    team = staged(scene, 10, "I would say it is fine.")
    assert play(team, form).status == RunStatus.error
    assert (scene.release.done, len(scene.judged)) == ([], 2)
    assert "has not judged this plan yet" in scene.refusals[0]


# The Judge's own tools


def look_up(name: str) -> str:
    """Look something up.

    Args:
        name: What to look up.
    """
    return f"{name} is as it should be"


LOOKS = Reply(tool_calls=(ToolCall("look_up", {"name": "2.1"}),))


def _with_tools(team: Team) -> None:
    judge_of(team).tools = [look_up]


@pytest.mark.parametrize("form", TWO)
def test_a_judge_may_look_things_up_and_is_sampled_on_what_it_found(
    form: str, scene: Scene
) -> None:
    team = staged(scene, LOOKS, *GOOD, change=_with_tools)
    assert play(team, form).shipped
    first, *sampled = scene.judged
    assert first.tool_results == []
    assert len(sampled) >= 2
    assert all(request.body == sampled[0].body for request in sampled)
    assert sampled[0].tool_results == ["2.1 is as it should be"]


@pytest.mark.parametrize("form", TWO)
def test_what_a_judge_said_before_it_looked_something_up_counts_too(
    form: str, scene: Scene
) -> None:
    # A no, then a look, then praise without end.
    team = staged(scene, judgement(1, "reject"), LOOKS, 10, change=_with_tools)
    ended = play(team, form)
    station = charter_of(team).runs.find(scene.told("plan")[0].run_id)
    said = station.run.samples_of(station.run.plan_digest)
    assert [each.score for each in said[:2]] == [1, 10]
    if ended.output is not None:
        [judge] = [r for r in ended.output.member_responses if r.agent_name == "Judge"]
        used = [e.data["input_tokens"] for e in scene.told("attempt") if e.role == "Judge"]
        assert judge.metrics.input_tokens == sum(used)


# Who would have it higher


def _altered(change: Any) -> Any:
    def alter(run_output: Any) -> None:
        run_output.content = change(run_output.content)

    return lambda team: setattr(judge_of(team), "post_hooks", [alter])


@pytest.mark.parametrize("form", TWO)
@pytest.mark.parametrize("scores", [BAD, NEAR], ids=["bad", "near"])
def test_a_hook_that_alters_what_the_judge_said_can_not_raise_it(
    form: str, scores: tuple[float, ...], scene: Scene
) -> None:
    praise = _altered(lambda said: judgement(10))
    # One sample of praise would be enough.
    gate = Gate(min_score=7, sampling=Sampling(most=6, noise=1.0))
    assert gate.judges[0].poll([judgement(10)], 7).outcome == "pass"
    team = staged(scene, *scores, gate=gate, change=praise)
    assert play(team, form).status == RunStatus.error
    assert scene.release.done == []


def test_a_hook_may_lower_what_the_judge_said(scene: Scene) -> None:
    team = staged(scene, *GOOD, change=_altered(lambda said: judgement(1, "reject")))
    assert play(team).status == RunStatus.error
    assert "the Judge says reject" in scene.refusals[0]


# Asked again


@pytest.mark.parametrize("form", TWO)
def test_asking_the_judge_again_adds_samples_up_to_the_most_and_no_more(
    form: str, scene: Scene
) -> None:
    scene.judge(*NEAR, 10)
    scene.script("planner", "critic", "judge", "judge", "judge", "judge", "runner")
    team = scene.team(Gate(min_score=7, sampling=MEASURED, max_rounds=9))
    assert play(team, form).status == RunStatus.error
    assert len(scene.judged) == MEASURED.most
    assert scene.release.done == []
    assert "can't be told apart" in scene.refusals[0]
    # Each time it has answered, and said what it had said.
    assert len(scene.told("judgement")) == 4


@pytest.mark.parametrize("form", TWO)
def test_what_is_said_again_is_the_middle_of_what_was_said(form: str, scene: Scene) -> None:
    marked = judgement(7.02, reason="so </think> so")
    scene.judge(*NEAR[:5], marked, 10)
    scene.script("planner", "critic", "judge", "judge", "runner")
    play(scene.team(Gate(min_score=7, sampling=MEASURED, max_rounds=9)), form)
    first, again = scene.told("judgement")
    assert again.data == first.data
    assert again.data["reasons"] == ["so </think> so"]


def test_a_decided_plan_gets_one_more_sample_if_it_is_asked_for(scene: Scene) -> None:
    scene.judge(9.5, 9.5, 9.4, 0)
    scene.script("planner", "critic", "judge", "judge", "runner")
    team = scene.team(Gate(min_score=7, sampling=MEASURED))
    assert play(team).shipped
    assert len(scene.judged) == 3


def test_two_gates_sample_as_long_as_one_of_them_needs_it_and_count_what_they_asked_for(
    scene: Scene,
) -> None:
    few = Gate(name="few", min_score=7, sampling=Sampling(least=2, most=2, noise=1.0))
    many = Gate(name="many", min_score=7, sampling=Sampling(least=4, most=5, noise=1.0))
    scene.judge(9, 9, 9, 9, 9)
    scene.script()
    team = scene.team((few, many))
    assert play(team).shipped
    assert len(scene.judged) == 4
    run = charter_of(team).runs.find(scene.told("plan")[0].run_id).run
    said = [judgement(9)] * 4
    assert few.judges[0].poll(said, 7).samples == 2
    assert many.judges[0].poll(said, 7).samples == 4
    assert charter_of(team).has_all(run, run.plan_digest) is False


# The one that stands for all


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ([judgement(9), judgement(7), judgement(8)], judgement(8)),
        # As near: the less favourable one.
        ([judgement(9), judgement(7)], judgement(7)),
        ([judgement(9), judgement(2, "reject")], judgement(2, "reject")),
        ([judgement(9), judgement(6, "revise")], judgement(6, "revise")),
        ([judgement(5, "revise"), judgement(2, "reject")], judgement(2, "reject")),
        ([judgement(9), judgement(8), judgement(0, "reject")], judgement(8)),
        ([judgement(9)], judgement(9)),
    ],
)
def test_the_answer_is_a_sample_of_the_commonest_decision(
    said: list[Judgement], chosen: Judgement
) -> None:
    assert middle(said) == chosen
    assert middle(said[::-1]) == chosen


def test_a_judge_that_was_tried_by_itself_is_asked_once(scene: Scene) -> None:
    team = staged(scene, *GOOD)
    output = judge_of(team).run("Is it any good?")
    assert output.content == judgement(8)
    assert len(scene.judged) == 1
