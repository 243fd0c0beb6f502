"""`agno-portkey gate waiting` beside a row that was changed by hand."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.gates.clearance import Clearances, Grant, new_id

PLAN = Plan(goal="Ship 2.1", steps=(Step(action="Deploy it", tool="deploy"),))


def left(file: str) -> str:
    now = datetime.now(UTC)
    grant = Grant(
        id=new_id(),
        gate="release",
        swarm="Release",
        tenant=None,
        session_id="s1",
        user_id=None,
        plan=PLAN,
        plan_digest=digest(PLAN),
        fingerprint="sha256:f1",
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        state="waiting",
    )
    Clearances(file).put(grant)
    return grant.id


def test_it_is_told_and_the_others_are_listed(tmp_path: Path) -> None:
    file = str(tmp_path / "agno.db")
    good, bad = left(file), left(file)
    connection = sqlite3.connect(file)
    connection.execute("update agno_portkey_clearances set reason='x' where id=?", (bad,))
    connection.commit()
    connection.close()
    ended = CliRunner().invoke(app, ["gate", "waiting", "--db", file], terminal_width=300)
    assert ended.exit_code == 0
    assert f"agno-portkey gate approve {good}" in ended.stdout
    assert bad not in ended.stdout
    assert f"Passed over: the row {bad}" in ended.stderr
    listed = CliRunner().invoke(app, ["gate", "waiting", "--json", "--db", file])
    assert [each["id"] for each in json.loads(listed.stdout)] == [good]
