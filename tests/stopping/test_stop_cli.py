"""`agno-portkey stop`, `resume` and `stops` say what they did, and what to do if they can not."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agno.db.in_memory import InMemoryDb
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.stopping import ALL, DATABASE_VARIABLE, Stop, StopSwitch

COMMANDS = ("stop", "resume", "stops")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": "300"})


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that a process has asked for Release and Search."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    switch = StopSwitch("agno.db", max_age=0.01)
    while switch.known_swarms() != {"Release", "Search"}:
        switch.check("Release", "Search")
    return "agno.db"


def test_a_swarm_is_stopped_and_resumed_as_it_says(db: str) -> None:
    result = command("stop", "--swarm", "Release", "--db", db, "--reason", "enough", "--by", "kim")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "Release is stopped: new calls are refused from now on, in all processes.",
        'To let it go on: agno-portkey resume --swarm Release --db agno.db --reason "..."',
    ]
    [stop] = StopSwitch(db).stopped().values()
    assert (stop.swarm, stop.reason, stop.by) == ("Release", "enough", "kim")
    listed = command("stops", "--db", db)
    assert listed.exit_code == 0
    for shown in ("Release", "stopped", "kim", "enough", "UTC", "Search", "may call"):
        assert shown in listed.output
    told = result.output.splitlines()[1].partition(": ")[2]
    resumed = command(*shlex.split(told)[1:])
    assert resumed.exit_code == 0
    [line] = resumed.output.splitlines()
    assert re.fullmatch(
        r"Release may go on; it had been stopped since 20.* UTC by kim \(enough\)\.", line
    )
    assert StopSwitch(db).stopped() == {}
    again = command("resume", "--swarm", "Release", "--db", db)
    assert (again.exit_code, again.output) == (
        3,
        "'Release' was not stopped by that name: nothing has changed. Stopped by name: none at "
        "all.\n",
    )


def row_of(swarm: str, db: str) -> list[str]:
    """What `stops` tells of one swarm."""
    said = command("stops", "--db", db)
    assert said.exit_code == 0, said.output
    [line] = [line for line in said.output.splitlines() if swarm in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_who_lets_a_swarm_go_on_and_why_is_kept_until_it_is_stopped_again(db: str) -> None:
    command("stop", "--swarm", "Release", "--db", db, "--reason", "enough", "--by", "kim")
    again = ("resume", "--swarm", "release", "--db", db)
    assert command(*again, "--reason", "mended", "--by", "ann").exit_code == 0
    assert row_of("Release", db) == ["Release", "may call", "", "ann", "mended"]
    # Nothing is taken back, and so nothing is said of it.
    assert command(*again, "--reason", "twice", "--by", "eve").exit_code == 3
    assert row_of("Release", db)[3:] == ["ann", "mended"]
    command("stop", "--swarm", "Release", "--db", db, "--by", "kim")
    assert row_of("Release", db)[3:] == ["kim", ""]
    command(*again)
    name, state, _, by, reason = row_of("Release", db)
    assert (name, state, reason) == ("Release", "may call", "")
    assert "@" in by
    command("stop", "--all", "--db", db)
    assert command("resume", "--all", "--db", db, "--reason", "over").exit_code == 0
    assert row_of("Search", db)[1:] == ["may call", "", "", ""]


def test_several_are_stopped_at_once_by_whoever_it_is(db: str) -> None:
    assert command("stop", "--swarm", "Release", "--swarm", "search", "--db", db).exit_code == 0
    stopped = StopSwitch(db).stopped()
    assert {*stopped} == {"Release", "search"}
    assert all("@" in str(stop.by) for stop in stopped.values())
    listed = command("stops", "--db", db).output
    assert "may call" not in listed
    assert "Search" not in listed


def test_all_are_stopped_and_all_go_on(db: str) -> None:
    result = command("stop", "--all", "--db", db)
    assert result.exit_code == 0
    assert "Every swarm is stopped" in result.output
    assert "agno-portkey resume --all --db agno.db" in result.output
    assert command("stop", "--swarm", "Release", "--db", db).exit_code == 0
    listed = command("stops", "--db", db).output
    assert "Every swarm" in listed
    assert "stopped with all" in listed
    # One alone does not go on while all are stopped.
    one = command("resume", "--swarm", "Release", "--db", db)
    assert one.exit_code == 3
    assert "Release is not stopped by its name any more; it had been stopped" in one.output
    assert "may go on" not in one.output
    assert "It does not go on yet: every swarm is stopped since" in one.output
    command("stop", "--swarm", "Release", "--db", db)
    assert command("resume", "--all", "--db", db).exit_code == 0
    assert StopSwitch(db).stopped() == {}
    again = command("resume", "--all", "--db", db)
    assert (again.exit_code, again.output) == (0, "Nothing was stopped: nothing has changed.\n")


def test_a_name_that_nobody_has_asked_for_is_stopped_and_said(db: str) -> None:
    result = command("stop", "--swarm", "Relaese", "--db", db)
    assert result.exit_code == 3
    assert "Relaese is stopped" in result.output
    assert (
        "No process has asked this database for 'Relaese' yet, but for: Release, Search. "
        "Did you mean Release?"
    ) in result.output
    assert "Relaese" in StopSwitch(db).stopped()


def test_a_name_that_was_not_stopped_is_not_said_to_go_on(db: str) -> None:
    command("stop", "--swarm", "Release", "--swarm", "Search", "--db", db)
    result = command("resume", "--swarm", "Relaese", "--swarm", "search", "--db", db)
    assert result.exit_code == 3
    assert "Search may go on; it had been stopped since" in result.output
    assert (
        "'Relaese' was not stopped by that name: nothing has changed. Stopped by name: Release, "
        "Search. Did you mean Release?"
    ) in result.output
    assert "Did you mean" not in command("resume", "--swarm", "Nope", "--db", db).output
    assert {*StopSwitch(db).stopped()} == {"Release"}
    command("stop", "--all", "--db", db)
    both = command("resume", "--swarm", "Nope", "--db", db)
    assert both.exit_code == 3
    assert "'Nope' was not stopped by that name" in both.output
    assert "It does not go on yet: every swarm is stopped" in both.output


_ASKS = """
import sys
from agno_portkey.stopping import StopSwitch
assert StopSwitch(sys.argv[1]).check("Release") is None
"""


def test_a_name_that_a_process_asked_for_before_it_ended_is_known(tmp_path: Path) -> None:
    for number in range(3):
        file = str(tmp_path / f"{number}.db")
        subprocess.run([sys.executable, "-c", _ASKS, file], check=True, timeout=60)
        result = command("stop", "--swarm", "Release", "--db", file)
        assert result.exit_code == 0, result.output


def test_a_refusal_says_how_to_go_on_with_the_database_it_is_in(
    db: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "it's $HOME"

    def told(switch: StopSwitch, stopped: str) -> str:
        switch.stop(stopped)
        verdict = switch.check(name)
        assert verdict is not None
        return verdict.reason.partition("it goes on after: ")[2]

    hint = told(StopSwitch(db), name)
    assert shlex.split(hint)[-2:] == ["--db", str(tmp_path / db)]
    resumed = command(*shlex.split(hint)[1:])
    assert (resumed.exit_code, StopSwitch(db).stopped()) == (0, {})
    monkeypatch.setenv(DATABASE_VARIABLE, db)
    default = shlex.split(told(StopSwitch(db), name))
    assert default == ["agno-portkey", "resume", "--swarm", name]
    command("resume", "--swarm", name)
    assert told(StopSwitch(db), ALL) == "agno-portkey resume --all"
    assert "--db" in told(StopSwitch(database), ALL)
    assert told(StopSwitch(InMemoryDb()), ALL) == "StopSwitch.resume('*') where it was stopped"


def test_a_password_is_in_no_hint() -> None:
    address = "postgresql://user:pa55word@127.0.0.1:1/x?password=pa55word"
    verdict = StopSwitch(address)._refusal(Stop("Release", datetime.now(UTC)))
    assert "pa55word" not in verdict.reason
    assert "--db 'postgresql+psycopg://user:***@127.0.0.1:1/x'" in verdict.reason


def test_a_database_that_nobody_has_asked_is_said(tmp_path: Path) -> None:
    file = str(tmp_path / "other.db")
    sqlite3.connect(file).close()
    Path(file).touch()
    listed = command("stops", "--db", file)
    assert (listed.exit_code, listed.output) == (
        0,
        "Nothing is stopped, and no process has asked this database yet.\n",
    )
    for which in (("--all",), ("--swarm", "Release")):
        result = command("stop", *which, "--db", file)
        assert result.exit_code == 3
        assert "No process has asked this database for" in result.output
    assert {*StopSwitch(file).stopped()} == {ALL, "Release"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_is_not_there_is_not_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    which = [] if name == "stops" else ["--swarm", "Release"]
    for at in ("agno.db", "sqlite:///agno.db", str(tmp_path), "sqlite+aiosqlite:///no/agno.db"):
        result = command(name, *which, "--db", at)
        assert result.exit_code == 1
        assert "There is no database " in result.output
        assert "one made now would stop nobody" in result.output
        assert "db_file" in result.output
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_which_database_is_asked(
    name: str, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = [] if name == "stops" else ["--swarm", "Release"]
    for arguments in ([], ["--db", " "]):
        result = command(name, *which, *arguments)
        assert result.exit_code == 1
        assert "Which database? Give --db" in result.output
    monkeypatch.setenv(DATABASE_VARIABLE, f"sqlite:///{tmp_path / db}")
    result = command(name, *which)
    # Nothing was stopped by that name.
    assert result.exit_code == (3 if name == "resume" else 0)
    assert "--db" not in result.output


@pytest.mark.parametrize("name", ["stop", "resume"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Which swarm?"),
        (["--swarm", "Release", "--all"], "Either --swarm or --all"),
        (["--swarm", "*"], "every swarm is --all"),
        (["--swarm", " "], "--swarm takes a name"),
    ],
)
def test_which_swarm_is_asked(name: str, arguments: list[str], said: str, db: str) -> None:
    result = command(name, *arguments, "--db", db)
    assert result.exit_code == 1
    assert said in result.output
    assert StopSwitch(db).stopped() == {}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("sqlite://", "in memory"),
        ("postgresql://user:pa55word@host:port/x", "an address such as"),
        ("postgresql://user:pa55word@127.0.0.1:1/x", "the stop state can't be"),
        ("oracle://user:pa55word@host/x", "the driver of oracle is not installed"),
    ],
)
def test_a_database_that_can_not_be_used_is_said(name: str, database: str, said: str) -> None:
    which = [] if name == "stops" else ["--all"]
    result = command(name, *which, "--db", database)
    assert result.exit_code == 1
    assert said in result.output
    assert "pa55word" not in result.output
    assert "Traceback" not in result.output


def test_an_address_is_not_repeated(database: str) -> None:
    StopSwitch(database).resume("nothing")
    result = command("stop", "--swarm", "Release", "--db", database)
    assert "resume --swarm Release --db ADDRESS" in result.output


def test_a_user_without_a_name_is_somebody(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise OSError("no such user")

    monkeypatch.setattr("getpass.getuser", unknown)
    command("stop", "--all", "--db", db)
    [stop] = StopSwitch(db).stopped().values()
    assert str(stop.by).startswith("somebody@")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_the_exit_code_means(name: str) -> None:
    result = command(name, "--help")
    assert result.exit_code == 0
    assert "--db" in result.output
    assert ("Ends with 3" in result.output) is (name != "stops")


def test_nothing_that_was_said_of_a_stop_is_obeyed_by_a_terminal(
    db: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = "a\x1b[2J\x1b]0;b\x07\x9b31m\u202ec\nd\x00"
    switch = StopSwitch(db)
    switch.stop("Release", by=said, reason=said)
    switch.stop("Search", by="kim")
    switch.resume("Search", by=said, reason=said)
    switch.stop(f"X{said}")
    switch.read()
    told = [
        command("stops", "--db", db),
        command("resume", "--swarm", "Nobody", "--db", db),
        command("resume", "--swarm", "Release", "--db", db),
    ]
    texts = [line for each in told for line in each.output.splitlines()] + caplog.messages
    assert sum("[2J" in text for text in texts) >= 5
    assert [text for text in texts if not text.isprintable()] == []
    assert str(Stop("Release", datetime.now(UTC), said, said)).isprintable()
