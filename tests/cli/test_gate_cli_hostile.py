"""What `agno-portkey gate ...` makes of texts and rows that mean no good to whoever reads them."""

from __future__ import annotations

import gc
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.contracts import Plan, digest
from agno_portkey.gates.clearance import Clearances, Grant, new_id
from agno_portkey.gates.history import Decided, History, Scored

NOW = datetime.now(UTC)
# Hides what follows, goes up a line and wipes it, sets a title, and turns the order round.
ESCAPES = "\x1b[8m\x1b[1A\x1b[2K\x1b]0;title\x07\u202e"
FORGED = "\n  1. only run the smoke tests\n  gate The gate has passed it\r\u2028"
HOSTILE = Plan.model_validate(
    {
        "goal": f"Ship{FORGED}{ESCAPES}",
        "steps": [
            {
                "action": f"deploy{FORGED}{ESCAPES}",
                "tool": f"deploy{FORGED}{ESCAPES}",
                "inputs": [{"name": f"to{FORGED}{ESCAPES}", "value": f"it{FORGED}{ESCAPES}"}],
                "expected": f"it is live{FORGED}{ESCAPES}",
                "risk": "high",
            }
        ],
    }
)


def left(file: str, *, plan: Plan = HOSTILE, **changed: Any) -> Grant:
    grant = Grant(
        id=new_id(),
        gate="release",
        swarm="Release",
        tenant=None,
        session_id="s1",
        user_id=None,
        plan=plan,
        plan_digest=digest(plan),
        fingerprint="sha256:f1",
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        state="waiting",
    )
    grant = replace(grant, **changed)
    Clearances(file).put(grant)
    return grant


def run(file: str, *arguments: str, columns: int = 1000) -> Result:
    env = {"COLUMNS": str(columns)}
    return CliRunner().invoke(app, ["gate", *arguments, "--db", file], env=env)


def obeyed(text: str) -> set[str]:
    """What of `text` a terminal would obey, but for the ends of lines."""
    return {letter for letter in text if not letter.isprintable()} - {"\n"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


@pytest.mark.parametrize("passed", [True, False])
def test_a_plan_is_listed_without_what_a_terminal_would_obey(file: str, passed: bool) -> None:
    theirs = dict.fromkeys(("swarm", "user_id", "session_id"), f"R{FORGED}{ESCAPES}")
    grant = left(file, passed=passed, reason=f"no{FORGED}{ESCAPES}", **theirs)
    told = run(file, "waiting")
    assert told.exit_code == 0
    assert obeyed(told.stdout) == set()
    begin = [line[:7].strip() for line in told.stdout.splitlines()]
    act = "to ap" if passed else "to ov"
    assert begin == [grant.id[:7], "goal", "1.", "risk", "then", "left", "gate", act, "to re"]


@pytest.mark.parametrize("passed", [True, False])
def test_a_text_that_fills_a_line_begins_none(file: str, passed: bool) -> None:
    goal = (
        "Ship" + " " * 60 + "1. only run the smoke tests" + " " * 60 + "gate The gate has passed it"
    )
    plan = Plan.model_validate({"goal": goal, "steps": [{"action": goal}]})
    left(file, plan=plan, passed=passed, reason=goal)
    told = run(file, "waiting", columns=60).stdout.splitlines()[1:-2]
    begin = [line[:7].strip() for line in told]
    assert [each for each in begin if each] == ["goal", "1.", "risk", "left", "gate"]


def test_the_risk_of_a_step_and_what_is_expected_of_it_are_listed(file: str) -> None:
    left(file)
    told = run(file, "waiting").stdout
    assert "risk high" in told
    assert "then it is live" in told


def test_why_it_was_refused_is_said_in_one_line_that_a_terminal_does_not_obey(file: str) -> None:
    grant = left(file, passed=False, reason=f"no{FORGED}{ESCAPES}")
    told = run(file, "approve", grant.id)
    assert told.exit_code == 1
    assert obeyed(told.stderr) == set()
    assert len(told.stderr.splitlines()) == 1
    assert "only run the smoke tests" in told.stderr
    assert told.stdout == ""


def changed(file: str, table: str, to: str, where: str) -> None:
    connection = sqlite3.connect(file)
    assert connection.execute(f"update {table} set {to} where {where}").rowcount == 1
    connection.commit()
    connection.close()


def test_a_row_that_is_no_text_is_told_and_the_others_are_listed(file: str) -> None:
    plan = Plan.model_validate({"goal": "Ship", "steps": [{"action": "deploy"}]})
    good, bad = left(file, plan=plan), left(file, plan=plan)
    changed(file, "agno_portkey_clearances", "reason=CAST(x'ff' AS TEXT)", f"id='{bad.id}'")
    told = run(file, "waiting")
    assert told.exit_code == 0
    assert good.id in told.stdout
    assert bad.id not in told.stdout
    assert f"Passed over: the row {bad.id}" in told.stderr


@pytest.mark.parametrize("hours", ["1e9", "1e300", "inf"])
def test_hours_past_the_end_of_time_are_refused(file: str, hours: str) -> None:
    grant = left(file)
    told = run(file, "approve", grant.id, "--hours", hours)
    assert told.exit_code == 1
    assert "max_age: seconds above 0" in told.stderr
    assert Clearances(file).get(grant.id).state == "waiting"


@pytest.mark.parametrize("command", [["history"], ["report"], ["propose", "release"]])
@pytest.mark.parametrize(
    "held",
    [
        "json_set(eval_data, '$.agno_portkey.at', '9999-12-31T23:59:59.999999-23:59')",
        f"'{'[' * 50_000}{']' * 50_000}'",
    ],
    ids=["at", "deep"],
)
def test_a_decision_that_can_not_be_read_is_passed_over(
    file: str, held: str, command: list[str]
) -> None:
    history = History(file)
    for number in range(3):
        history.put(decided(number))
    before = run(file, *command)
    changed(file, "agno_eval_runs", f"eval_data={held}", "run_id='decision-1'")
    # Where a recursion ends, the finalizers of what others left behind would fail.
    gc.collect()
    gc.disable()
    try:
        told = run(file, *command)
    finally:
        gc.enable()
    # 3: there is too little to propose anything from.
    ended = 3 if "propose" in command else 0
    assert (before.exit_code, told.exit_code) == (ended, ended)


def decided(number: int) -> Decided:
    nobody: dict[str, Any] = dict.fromkeys(
        ("team_id", "run_id", "session_id", "user_id", "tenant", "plan_digest", "fingerprint")
    )
    check = Scored(check="judgement", outcome="pass", score=0.8, threshold=0.7)
    return Decided(
        **nobody,
        id=f"decision-{number}",
        gate="release",
        swarm="Release",
        passed=True,
        outcome="pass",
        score=0.8,
        reasons=(),
        checks=(check,),
        at=NOW + timedelta(seconds=number),
        versions={},
        evidence={},
    )
