"""A plan that waits for a person is kept as waiting, and counts as what the person decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from admission_scene import ROUND, Scene, books_of, play
from agno.db.sqlite import SqliteDb

from agno_portkey import Gate
from agno_portkey.gates.approving import approve, revoke
from agno_portkey.gates.history import History, report
from agno_portkey.testing import EmbeddedProvider


@pytest.mark.parametrize(("decide", "rate"), [(approve, 1.0), (revoke, 0.0)])
def test_it_waits_until_a_person_decides(
    portkey_provider: EmbeddedProvider, tmp_path: Path, decide: Callable[..., Any], rate: float
) -> None:
    scene, db = Scene(portkey_provider), SqliteDb(db_file=str(tmp_path / "agno.db"))
    scene.judge(9)
    scene.script(*ROUND)
    team = scene.team(Gate(approval=True), db=db)
    assert not play(team, session_id="s").shipped
    [kept] = History(db).series()
    assert (kept.outcome, kept.passed) == ("waiting", False)
    [left] = books_of(team).clearances.waiting()
    assert kept.reasons == (f"a person has to approve it (clearance {left.id})",)
    [before] = report([kept]).segments
    assert (before.waiting, before.pass_rate) == (1, None)
    decide(books_of(team), left.id, by="ann")
    [after] = report(History(db).series()).segments
    assert after.pass_rate is not None
    assert (after.waiting, after.pass_rate.mean) == (0, rate)
