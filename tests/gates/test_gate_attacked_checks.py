"""Ways round a gate's checks: renamed records, runs that failed, and JSON that is read twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from admission_scene import Desk, Scene, play
from agno.db.base import BaseDb
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.eval.suite import CaseResult, SuiteResult
from agno.team import Team

from agno_portkey import Gate
from agno_portkey.gates import GuardCheck, ReliabilityCheck, SuiteCheck
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.suite import record_suite
from agno_portkey.gates.matching import same_value
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Event, Verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


# The name of an evaluation's row, which AgentOS lets its users change


@pytest.fixture(params=[SqliteDb, InMemoryDb])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> BaseDb:
    kind: Any = request.param
    made: BaseDb = kind(db_file=str(tmp_path / "agno.db")) if kind is SqliteDb else kind()
    return made


def kept(db: BaseDb, suite: str, passed: bool, ago: timedelta) -> str:
    result = SuiteResult([CaseResult("a", (), judge_passed=passed)])
    return record_suite(
        result, suite=suite, fingerprint="sha256:f1", database=db, clock=lambda: NOW - ago
    )


def said(db: BaseDb, **settings: Any) -> Verdict:
    check = SuiteCheck(suite="release", clock=lambda: NOW, **settings)
    return check.decide(Case(SOUND, "d", None, None, fingerprint="sha256:f1", database=db))


def renamed(db: BaseDb, id: str, name: str) -> str:
    """As `PATCH /eval-runs/{id}` does it."""
    db.rename_eval_run(eval_run_id=id, name=name)
    return id


def test_the_pass_of_another_suite_is_none_under_this_ones_name(db: BaseDb) -> None:
    stray = renamed(db, kept(db, "smoke", True, HOUR), "suite:release")
    verdict = said(db)
    assert not verdict.passed
    assert stray in verdict.reason
    assert "run the suite release again" in verdict.reason


@pytest.mark.parametrize("name", ["suite:gone", "gone"])
def test_a_failure_that_was_renamed_away_still_refuses(db: BaseDb, name: str) -> None:
    kept(db, "release", True, 3 * HOUR)
    stray = renamed(db, kept(db, "release", False, 2 * HOUR), name)
    verdict = said(db)
    assert not verdict.passed
    assert stray in verdict.reason
    # Run again it is known where it stands.
    kept(db, "release", True, HOUR)
    assert said(db).passed


def test_what_was_renamed_and_is_older_changes_nothing(db: BaseDb) -> None:
    renamed(db, kept(db, "release", False, 3 * HOUR), "suite:gone")
    renamed(db, kept(db, "smoke", False, 3 * HOUR), "suite:release")
    kept(db, "release", True, 2 * HOUR)
    kept(db, "other", False, HOUR)
    assert said(db).passed


# What a run that failed has called


def drops_first(done: list[str]) -> Callable[[Team], None]:
    def drop_table(name: str) -> str:
        """Drop a table.

        Args:
            name: Its name.
        """
        done.append(name)
        return "dropped"

    return lambda team: setattr(team.members[0], "tools", [drop_table])


@pytest.mark.parametrize("broken", [True, False], ids=["in a run that failed", "in one that went"])
def test_a_forbidden_tool_counts_wherever_it_was_called(scene: Scene, broken: bool) -> None:
    dropped: list[str] = []
    words = ["I have no plan."] * 3 if broken else []
    answers = [Reply(tool_calls=(ToolCall("drop_table", {"name": "users"}),)), *words, SOUND]
    scene.provider.when(lambda request: request.schema_name == "Plan", answers)
    scene.judge(9)
    scene.script(*["planner"] * (1 + broken), "critic", "judge", "runner")
    gate = Gate(checks=(ReliabilityCheck(forbidden="drop_table"),))  # type: ignore[arg-type]
    ended = play(scene.team(gate, drops_first(dropped)))
    assert dropped == ["users"]
    assert not ended.shipped
    assert scene.release.done == []
    assert "drop_table was called, and is forbidden" in scene.refusals[-1]


def test_a_call_in_a_run_that_failed_is_none_that_went_well(scene: Scene) -> None:
    dropped: list[str] = []
    call = Reply(tool_calls=(ToolCall("drop_table", {"name": "users"}),))
    answers = [call, *["I have no plan."] * 3, SOUND]
    scene.provider.when(lambda request: request.schema_name == "Plan", answers)
    scene.judge(9)
    scene.script("planner", "planner", "critic", "judge", "runner")
    gate = Gate(checks=(ReliabilityCheck(expected="drop_table"),))  # type: ignore[arg-type]
    assert not play(scene.team(gate, drops_first(dropped))).shipped
    assert "no call of it went well" in scene.refusals[-1]


# A guard that fails often


def test_a_guard_that_may_fail_does_not_hide_one_that_may_not() -> None:
    desk = Desk.of(Gate(checks=(GuardCheck(allow=("noisy",)),))).judged(9)
    for name in (*["noisy"] * 200, "injection"):
        verdict = Verdict(False, name, ("it was found",))
        desk.charter.meter(Event("guard", run_id="team", verdict=verdict))
    assert "the guard injection refused" in desk.refused().reason
    assert desk.run.failures == ["noisy", "injection"]


# A structure that is planned as text, and may be read as another


@pytest.mark.parametrize(
    ("planned", "actual"),
    [
        ('{"target": "staging", "target": "production"}', {"target": "production"}),
        ('{"target": "staging", "target": "production"}', {"target": "staging"}),
        ("[NaN]", [float("nan")]),
        ("[1e400]", [float("inf")]),
        ('{"a": Infinity}', {"a": float("inf")}),
        ("[1e-400]", [0.0]),
        ('{"1": 2}', {1: 2, "1": 3}),
    ],
)
def test_what_contracts_would_not_read_is_the_same_as_nothing(planned: str, actual: Any) -> None:
    assert not same_value(planned, actual)


@pytest.mark.parametrize(
    ("planned", "actual"),
    [
        ('{"a": 0.1, "b": [1, null]}', {"b": [1, None], "a": 0.1}),
        ('{"1": 2}', {1: 2}),
        ("[12345678901234567890]", [12345678901234567890]),
        ('["\\u00e9"]', ["é"]),
    ],
)
def test_what_they_read_is_still_the_same(planned: str, actual: Any) -> None:
    assert same_value(planned, actual)
