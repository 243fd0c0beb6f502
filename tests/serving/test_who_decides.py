"""Who may be named as the one that decided, and what a list tells of rows that are none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from agno.run.base import RunStatus
from served_gates import Desk

from agno_portkey.gates.history import History
from agno_portkey.serving.callers import ANYONE, ROOT
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import SOUND, tell

READ, APPROVE = "gates:read", "gates:approve"


@pytest.fixture
def desk(tmp_path: Path, portkey_provider: EmbeddedProvider) -> Desk:
    """A team whose sound plan waits for a person."""
    tell(portkey_provider, plans=[SOUND])
    desk = Desk(tmp_path, portkey_provider)
    assert desk.run().status == RunStatus.error
    return desk


@pytest.mark.parametrize(
    ("sub", "error"),
    [
        (ROOT, "reserved_subject"),
        (ANYONE, "reserved_subject"),
        ("the gate", "reserved_subject"),
        ("The  GATE ", "reserved_subject"),
        ("agno-portkey", "reserved_subject"),
        ("an operator", "reserved_subject"),
        ("ann\x1b[2K\nroot", "odd_subject"),
        ("\u202eeve", "odd_subject"),
        ("a" * 256, "odd_subject"),
    ],
)
def test_who_would_be_read_as_somebody_else_decides_nothing(
    desk: Desk, sub: str, error: str
) -> None:
    [waits] = desk.ask("GET", "/gates", READ).json()["gates"]
    told = desk.ask("POST", f"/gates/{waits['id']}/approve", APPROVE, sub=sub)
    assert (told.status_code, told.json()["detail"]["error"]) == (403, error)
    assert desk.charter.books.clearances.get(waits["id"]).state == "waiting"
    assert {each.by for each in History(desk.db).series()} == {None}


@pytest.mark.parametrize("sub", ["ann", "Zoë Müller", "auth0|5f7c8ec7", "gatekeeper", "a" * 255])
def test_everybody_else_does(desk: Desk, sub: str) -> None:
    [waits] = desk.ask("GET", "/gates", READ).json()["gates"]
    told = desk.ask("POST", f"/gates/{waits['id']}/approve", APPROVE, sub=sub)
    assert (told.status_code, told.json()["approved_by"]) == (200, sub)


def test_an_altered_row_keeps_no_list_from_being_told(desk: Desk) -> None:
    [waits] = desk.ask("GET", "/gates", READ).json()["gates"]
    altered = desk.waiting().id
    connection = sqlite3.connect(str(desk.db.db_file))
    connection.execute("update agno_portkey_clearances set reason='x' where id=?", (altered,))
    connection.commit()
    connection.close()
    assert desk.ask("GET", "/gates", READ).json() == {"gates": [waits]}
    # Whose it is nobody knows: who sees all is told of it.
    told = desk.ask("GET", "/gates", "agent_os:admin").json()
    assert told["gates"] == [waits]
    assert [altered in each for each in told["altered"]] == [True]
    one = desk.ask("GET", f"/gates/{altered}", READ)
    assert (one.status_code, one.json()["detail"]["error"]) == (409, "forged")
