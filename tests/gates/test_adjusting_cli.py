"""`agno-portkey gate propose|adjust|rollback|thresholds`, as an operator uses them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adjusting_scene import a_decision, a_history, a_proposal, an_approval, scored
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.gates.adjusting import Thresholds
from agno_portkey.gates.history import Decided, History
from agno_portkey.stopping import DATABASE_VARIABLE


def command(*arguments: str, db: str | None = None) -> Result:
    env = {"COLUMNS": "300", DATABASE_VARIABLE: db or ""}
    return CliRunner().invoke(app, ["gate", *arguments], env=env)


def told(*arguments: str, db: str) -> Any:
    result = command(*arguments, "--json", db=db)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fill(database: str, decided: list[Decided]) -> str:
    history = History(database)
    for each in decided:
        history.put(each)
    return database


@pytest.fixture
def good(database: str) -> str:
    return fill(database, a_history([0.9] * 60))


@pytest.fixture
def strict(tmp_path: Path) -> str:
    refused = a_history([0.6] * 40)
    approved = [an_approval(each) for each in refused[:10]]
    return fill(str(tmp_path / "agno.db"), [*a_history([0.9] * 20), *refused, *approved])


def test_a_proposal_is_shown_with_its_figures_and_changes_nothing(good: str) -> None:
    result = command("propose", "release", db=good)
    assert result.exit_code == 0, result.output
    for shown in (
        "release of Release",
        "0.7 -> 0.9",
        "0.9 to 0.9",
        "1.00 (0.94 to 1.00)",
        "tightened; what became of plans is not in the record",
        # A bar for each of two thresholds, with the floor.
        "proposed",
        "the floor, 0.85",
    ):
        assert shown in result.stdout
    assert result.stdout.count("█" * 20) == 2
    [found] = told("propose", "release", "--check", "judgement", db=good)
    assert (found["before"], found["threshold"], found["runs"]) == (0.7, 0.9, 60)
    assert len(found["curve"]) == 2
    assert told("thresholds", "release", db=good) == []
    assert "was ever adjusted" in command("thresholds", "release", db=good).stdout


def test_it_is_said_why_nothing_is_proposed(good: str) -> None:
    result = command("propose", "release", "--least", "70", db=good)
    assert result.exit_code == 3
    assert "10 more" in result.stdout
    result = command("adjust", "release", "--least", "70", db=good)
    assert result.exit_code == 3
    assert "release/judgement: 60 plans were decided" in result.stderr
    # The bars show all the same, of a check that is named.
    fill(good, a_history([0.9] * 60, versions={"Judge.model": "x"}))
    result = command("propose", "release", "--check", "judgement", "--floor", "0.99", db=good)
    assert result.exit_code == 3
    assert "now" in result.stdout


def test_a_tightening_is_applied_and_taken_back(good: str) -> None:
    result = command("adjust", "release", "--by", "ann", "--reason", "why not", db=good)
    assert result.exit_code == 0, result.output
    assert "agno-portkey gate rollback release --to 0" in result.stdout
    kept = Thresholds(good, swarm="Release")
    assert kept.current(["release"]) == {"release": {"judgement": 0.9}}
    [change] = told("thresholds", "release", db=good)
    assert (change["by"], change["reason"], change["kind"]) == ("ann", "why not", "tightened")
    [back] = told("rollback", "release", "--by", "ann", db=good)
    assert (back["version"], back["threshold"], back["kind"]) == (2, None, "rolled back")
    assert kept.current(["release"]) == {}
    shown = command("thresholds", "release", db=good).stdout
    assert "0.7 -> 0.9" in shown
    assert "0.9 -> as written" in shown
    nothing = command("rollback", "release", "--to", "0", db=good)
    assert nothing.exit_code == 1
    assert "holds already" in nothing.stderr


def test_a_loosening_takes_approval(strict: str) -> None:
    assert "loosened" in command("propose", "release", db=strict).stdout
    result = command("adjust", "release", db=strict)
    assert result.exit_code == 1
    assert "gates:approve (here: --approve)" in result.stderr
    assert told("thresholds", "release", db=strict) == []
    [change] = told("adjust", "release", "--approve", db=strict)
    assert (change["kind"], change["threshold"]) == ("loosened", 0.6)
    # By whom, where nobody says.
    assert "@" in change["by"]


def test_a_proposal_that_was_kept_is_applied_by_its_version(strict: str) -> None:
    found = told("propose", "release", db=strict)[0]
    kept = Thresholds(strict, swarm="Release").leave(a_proposal(found["threshold"]), by="auto")
    number = str(kept.version)
    assert command("adjust", "release", "--version", number, db=strict).exit_code == 1
    [change] = told("adjust", "release", "--version", number, "--approve", db=strict)
    assert (change["version"], change["state"]) == (2, "applied")
    missing = command("adjust", "release", "--version", "9", "--approve", db=strict)
    assert missing.exit_code == 1
    assert "there is no version 9" in missing.stderr


def test_one_check_at_a_time(tmp_path: Path) -> None:
    def both() -> Decided:
        return a_decision(scored(0.9), scored(0.9, 0.5, check="accuracy"))

    file = fill(str(tmp_path / "agno.db"), [both() for _ in range(60)])
    result = command("adjust", "release", db=file)
    assert result.exit_code == 1
    assert "several can be adjusted (judgement, accuracy)" in result.stderr
    assert told("adjust", "release", "--check", "accuracy", db=file)[0]["check"] == "accuracy"
    wrong = command("propose", "release", "--check", "critique", db=file)
    assert wrong.exit_code == 1
    assert "has no check 'critique' by its last decision, but judgement, accuracy" in wrong.stderr


def test_which_swarm_is_asked_for_where_several_have_the_gate(good: str) -> None:
    fill(good, a_history([0.8] * 60, swarm="Sales"))
    result = command("propose", "release", db=good)
    assert result.exit_code == 1
    assert "'Release', 'Sales'; say which" in result.stderr.replace("\n", " ")
    [found] = told("propose", "release", "--swarm", "Sales", db=good)
    assert (found["swarm"], found["threshold"]) == ("Sales", 0.8)
    told("adjust", "release", "--swarm", "Sales", db=good)
    assert Thresholds(good, swarm="Release").current(["release"]) == {}


def test_a_gate_that_does_not_follow_is_told_of(good: str) -> None:
    """Its decisions are still made at the threshold that it is written with."""
    told("adjust", "release", db=good)
    late = Thresholds(good, swarm="Release").log("release")[0].at
    fill(good, a_history([0.9], at=late.replace(year=late.year + 1)))
    result = command("thresholds", "release", db=good)
    assert "does the gate have adjust=Adjust()?" in result.stderr
    assert "not to the 0.9 of version 1" in result.stderr


def test_a_gate_that_was_written_anew_is_taken_as_it_is(good: str) -> None:
    """Its thresholds are none of those that the table knows."""
    told("adjust", "release", db=good)
    late = Thresholds(good, swarm="Release").log("release")[0].at
    late = late.replace(year=late.year + 1)
    fill(good, a_history([0.85] * 60, 0.8, at=late))
    [found] = told("propose", "release", db=good)
    assert (found["before"], found["threshold"]) == (0.8, 0.85)
    [change] = told("adjust", "release", db=good)
    assert (change["before"], change["written"]) == (0.8, 0.8)


def test_a_gate_of_whose_decisions_none_are_left_is_rolled_back(tmp_path: Path) -> None:
    """What it is written with nobody knows then, but that it was written so."""
    file = str(tmp_path / "agno.db")
    kept = Thresholds(file, swarm="Release", written={"release": {"judgement": 0.7}})
    kept.put("release", "judgement", 0.8, by="ann")
    [back] = told("rollback", "release", "--swarm", "Release", db=file)
    assert (back["before"], back["threshold"], back["written"]) == (0.8, None, 0.7)
    assert kept.current(["release"]) == {}


def test_a_check_that_goes_by_no_threshold_is_passed_over(tmp_path: Path) -> None:
    def both() -> Decided:
        mood = replace(scored(0.9, check="mood"), threshold=None)
        return a_decision(scored(0.9), mood)

    file = fill(str(tmp_path / "agno.db"), [both() for _ in range(60)])
    [found] = told("propose", "release", db=file)
    assert (found["check"], found["threshold"]) == ("judgement", 0.9)


def test_what_can_not_be_done_is_said(good: str, tmp_path: Path) -> None:
    for arguments, db, code, words in (
        (["propose", "release"], None, 1, "Which database?"),
        (["propose", "release"], str(tmp_path / "none.db"), 1, "There is no database"),
        (["propose", "relaese"], good, 3, "There are: release of Release"),
        (["thresholds", "release", "--swarm", "Nobody"], good, 3, "'release' of 'Nobody'"),
        (["rollback", "release"], good, 1, "was ever adjusted"),
        (["propose", "release", "--least", "9"], good, 2, "Invalid value"),
    ):
        result = command(*arguments, db=db)
        assert result.exit_code == code, (arguments, result.output)
        assert words in result.stderr
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    result = command("propose", "release", db=str(broken))
    assert result.exit_code == 1
    assert "The database can't be used" in result.stderr


def test_names_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    file = fill(str(tmp_path / "agno.db"), a_history([0.9] * 60, swarm="\x1b[31m[red]x[/red]"))
    for name in ("propose", "adjust", "thresholds"):
        result = command(name, "release", db=file)
        assert result.exit_code == 0, result.output
        assert "\x1b[31m[" not in result.output
        assert "[red]x[/red]" in result.output
