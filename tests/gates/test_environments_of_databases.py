"""A database is of one environment, that of who writes first, and of no other."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from clearance_scene import PLAN, a_grant
from environment_scene import be
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from agno_portkey import PortkeyModel, govern
from agno_portkey.contracts import digest
from agno_portkey.environments import VARIABLE
from agno_portkey.errors import WrongEnvironment
from agno_portkey.gates.clearance import Clearances
from agno_portkey.policy import Policy
from agno_portkey.stopping import StopSwitch


@pytest.mark.parametrize("own", ["dev", None])
def test_a_database_of_production_is_refused_elsewhere(
    own: str | None, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    Clearances(database).put(a_grant(id="c1", environment="prod"))
    be(monkeypatch, own)
    with pytest.raises(WrongEnvironment, match=r"the database .* is of prod"):
        Clearances(database).get("c1")
    with pytest.raises(WrongEnvironment, match=r"the database .* is of prod"):
        Clearances(database).put(a_grant(environment=own))
    be(monkeypatch, "Production")
    assert Clearances(database).get("c1").plan_digest == digest(PLAN)


def test_a_database_of_nobody_is_that_of_who_writes_first(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clearances(database).put(a_grant(id="c1"))
    be(monkeypatch, "dev")
    here = Clearances(database)
    # To look says nothing of whose it is.
    assert here.get("c1").environment is None
    be(monkeypatch, "staging")
    there = Clearances(database)
    there.put(a_grant(environment="staging"))
    be(monkeypatch, "dev")
    with pytest.raises(WrongEnvironment, match="is of staging, and PORTKEY_ENVIRONMENT is dev"):
        here.put(a_grant(environment="dev"))


_FIRST = """
import sys
from clearance_scene import a_grant
from agno_portkey.errors import WrongEnvironment
from agno_portkey.gates.clearance import Clearances
kept = Clearances(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    kept.put(a_grant())
    print("mine")
except WrongEnvironment:
    print("refused")
"""


def test_of_two_environments_that_write_first_at_once_one_gets_the_database(database: str) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _FIRST, database],
            env={**os.environ, VARIABLE: name, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("dev", "prod", "dev", "prod")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[0].strip() for child in children]
    assert sorted(said) == ["mine", "mine", "refused", "refused"]
    assert said[0] == said[2]


def test_nobody_sees_a_database_that_does_not_say_yet_of_whom_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agno.db"
    seen: list[Any] = []

    def looks(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO agno_portkey_environment"):
            with closing(sqlite3.connect(file)) as another:
                seen.append(another.execute("SELECT name FROM sqlite_master").fetchall())

    be(monkeypatch, "dev")
    listen(Engine, "before_cursor_execute", looks)
    try:
        Clearances(f"sqlite:///{file}").put(a_grant(environment="dev"))
    finally:
        remove(Engine, "before_cursor_execute", looks)
    assert seen == [[]]


def test_a_kill_switch_of_another_environment_stops_rather_than_runs(
    tmp_path: Path, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path / 'stops.db'}"
    be(monkeypatch, "prod")
    StopSwitch(address).stop("else", reason="to write first", by="ann")
    be(monkeypatch, "dev")
    agent = Agent(name="Helper", model=portkey_model)
    govern(agent, policy=Policy(stop={"database": address}))  # type: ignore[arg-type]
    ended = agent.run("Hello")
    assert ended.status is RunStatus.error
    assert "stop" in str(ended.content).lower()
