"""A clearance as a row: it comes back as it was, and what was changed by hand holds for nothing."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clearance_scene import NOW, OTHER, a_grant, an_asking, grants, refusal
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import digest
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance import Clearances, Grant
from agno_portkey.gates.clearance.row import packed, unpacked


@given(grant=grants())
def test_grants_come_back_as_they_were(grant: Grant) -> None:
    assert unpacked(packed(grant)) == grant


@given(grant=grants(), data=st.data())
def test_a_row_with_one_column_changed_is_refused(grant: Grant, data: st.DataObject) -> None:
    row = packed(grant)
    name = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(st.none() | st.text(max_size=20) | st.integers() | st.binary(max_size=3))
    if value == row[name]:
        value = f"{row[name]} "
    with pytest.raises(ClearanceRefused) as caught:
        unpacked({**row, name: value})
    assert caught.value.code in ("forged", "malformed")


def sealed(row: dict[str, Any]) -> dict[str, Any]:
    """`row` with the digest that it would have."""
    from agno_portkey.gates.clearance.row import _digest_of

    return {**row, "row_digest": _digest_of(row)}


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("forged", {"plan": packed(a_grant(plan=OTHER))["plan"]}),
        ("forged", {"plan_digest": digest(OTHER)}),
        ("malformed", {"plan": "{"}),
        ("malformed", {"plan": "[" * 100_000}),
        ("malformed", {"plan": '{"goal": "x"}'}),
        ("malformed", {"plan": None}),
        ("malformed", {"state": "open"}),
        ("malformed", {"state": "claimed"}),
        ("malformed", {"claimed_by": "r1"}),
        ("malformed", {"claimed_at": NOW.isoformat()}),
        ("malformed", {"passed": "maybe"}),
        ("malformed", {"taken": "[1]"}),
        ("malformed", {"taken": "1"}),
        ("malformed", {"done": "[[]]"}),
        ("malformed", {"issued_at": "today"}),
        ("malformed", {"issued_at": None}),
        ("malformed", {"expires_at": "2026-03-01T12:30:00"}),
        ("malformed", {"expires_at": "2026-03-01T11:00:00+00:00"}),
        ("malformed", {"gate": " "}),
        ("malformed", {"id": "a.b.c"}),
        ("malformed", {"more": "columns"}),
    ],
)
def test_a_row_that_was_made_by_another_program(code: str, changed: dict[str, Any]) -> None:
    row = packed(a_grant())
    unpacked(sealed(row))
    said = refusal(code, lambda: unpacked(sealed({**row, **changed})))
    assert "agno_portkey_clearances" in said


@pytest.mark.parametrize(
    "change",
    [
        "state = 'granted', claimed_by = NULL, claimed_at = NULL",
        "expires_at = '2999-01-01T00:00:00.000000+00:00'",
        "plan = replace(plan, '2.1', '6.6')",
        "fingerprint = 'sha256:f2'",
        "tenant = NULL",
        "taken = '[]'",
        "gate = x'00ff'",
    ],
)
def test_a_row_that_was_changed_by_hand_holds_for_nothing(change: str, tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    clearances = Clearances(str(file), clock=lambda: NOW)
    grant = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, taken=frozenset({1}))
    clearances.put(grant)
    with sqlite3.connect(file) as connection:
        assert connection.execute(f"UPDATE agno_portkey_clearances SET {change}").rowcount == 1
    connection.close()
    for call in (
        lambda: clearances.get(grant.id),
        lambda: clearances.claim(grant.id, an_asking(fingerprint="sha256:f2", tenant=None)),
        lambda: clearances.take_step(grant.id, 1),
        lambda: clearances.revoke(grant.id, by="ann"),
    ):
        with pytest.raises(ClearanceRefused) as caught:
            call()
        assert caught.value.code in ("forged", "malformed")


def test_a_grant_bears_the_digest_of_its_plan(clearances: Clearances) -> None:
    wrong = a_grant(plan_digest=digest(OTHER))
    refusal("forged", lambda: clearances.put(wrong))
    refusal("forged", lambda: clearances.admit(wrong, an_asking(plan_digest=digest(OTHER))))
    refusal("unknown", lambda: clearances.get(wrong.id))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 256),
        ("id", "a\0b"),
        ("id", "\ud800"),
        ("gate", None),
        ("swarm", 7),
        ("tenant", "a\0"),
        ("team_run_id", "t" * 256),
        ("fingerprint", None),
        ("passed", 1),
        ("plan", {"goal": "x"}),
        ("issued_at", NOW.replace(tzinfo=None)),
        ("expires_at", NOW),
        ("expires_at", "2026"),
        ("state", "open"),
        ("state", "spent"),
        ("claimed_by", "r1"),
        ("taken", frozenset({1})),
        ("taken", {1}),
        ("done", frozenset({1})),
    ],
)
def test_a_grant_that_contradicts_itself_is_none(field: str, value: Any) -> None:
    grant = a_grant()
    with pytest.raises(ConfigurationError, match=r"^Grant\."):
        replace(grant, **{field: value})


@pytest.mark.parametrize("field", ["runner_run_id", "team_run_id"])
@pytest.mark.parametrize("value", ["", " ", "x" * 256, "a\0b", 7])
def test_who_asks_has_a_run(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^Asking\.{field}"):
        replace(an_asking(), **{field: value})
