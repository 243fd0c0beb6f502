"""What the checks of a gate see of a team's run: its leader's calls, its tokens, its database."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest
from admission_scene import Scene, charter_of, to
from agno.db.sqlite import SqliteDb
from agno.eval.suite import CaseResult, SuiteResult

from agno_portkey import Gate
from agno_portkey.gates import BudgetCheck, ReliabilityCheck, SuiteCheck, record_suite
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

ORDER = ("planner", "critic", "judge", "runner")


def look_up(query: str) -> str:
    """Look something up."""
    return f"{query}: nothing"


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


def lead(scene: Scene, *first: Reply, times: int = 1) -> None:
    """A leader that does something else first, then asks its members, in each run."""
    a_run = [*to(*ORDER), "Release 2.1 is live on staging."]
    scene.provider.when("Ask the Planner", [*first, *a_run * times])
    scene.script()


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (ReliabilityCheck(forbidden=("look_up",)), "look_up"),
        (ReliabilityCheck(expected=("look_up",)), None),
        (ReliabilityCheck(expected=("search",)), "search"),
    ],
)
def test_what_the_leader_has_called_counts(
    scene: Scene, check: ReliabilityCheck, said: str | None
) -> None:
    lead(scene, Reply(tool_calls=(ToolCall("look_up", {"query": "2.1"}),)))
    team = scene.team(Gate(min_score=8, checks=(check,)), tools=[look_up])
    team.run("Ship 2.1 to staging")
    if said is None:
        assert scene.refusals == []
        assert scene.runner_calls
    else:
        assert said in scene.refusals[0]
        assert not scene.runner_calls


def tokens_by(scene: Scene, leader: bool) -> int:
    """What the leader, or everybody else, has taken before the gate was asked."""
    before = takewhile(lambda event: event.kind != "gate", scene.events)
    data = [e.data for e in before if e.kind == "attempt" and (e.role == "Release") is leader]
    return sum(each["input_tokens"] + each["output_tokens"] for each in data)


def test_the_tokens_of_everyone_count(scene: Scene) -> None:
    lead(scene, times=2)
    scene.team(Gate(min_score=8, checks=(BudgetCheck(tokens=10**6),))).run("Ship 2.1 to staging")
    assert scene.refusals == []
    calls = len(scene.runner_calls)
    # Neither the leader's alone nor the members' alone are too many.
    most = max(tokens_by(scene, leader=True), tokens_by(scene, leader=False))
    assert min(tokens_by(scene, leader=True), tokens_by(scene, leader=False)) > 0
    scene.events.clear()
    team = scene.team(Gate(min_score=8, checks=(BudgetCheck(tokens=most),)))
    team.run("Ship 2.1 to staging")
    assert "tokens" in scene.refusals[0]
    assert len(scene.runner_calls) == calls > 0


def test_a_suite_is_looked_for_in_the_gates_own_database(scene: Scene, tmp_path: Path) -> None:
    lead(scene, times=2)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = scene.team(Gate(min_score=8, checks=(SuiteCheck(suite="release"),)), db=db)
    team.run("Ship 2.1 to staging")
    assert "the suite release is not recorded" in scene.refusals[0]

    known = charter_of(team).fingerprint_now
    assert known is not None
    good = SuiteResult(results=[CaseResult(name="one", tags=(), judge_passed=True)])
    record_suite(good, suite="release", fingerprint=known().digest, database=db)
    scene.events.clear()
    team.run("Ship 2.1 to staging")
    assert scene.refusals == []
    assert scene.runner_calls
