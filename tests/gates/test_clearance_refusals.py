"""Each way in which a clearance is not good for who asks has a code and a sentence of its own."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from clearance_scene import HOUR, NOW, OTHER, SECOND, a_grant, an_asking, grants, refusal
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import digest
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance import CODES, Asking, Clearances, Grant
from agno_portkey.gates.clearance.refusing import check_fits, refused

REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("other_tenant", {}, {"tenant": "evil"}),
    ("other_tenant", {}, {"tenant": None}),
    ("other_tenant", {"tenant": None}, {}),
    ("other_team", {}, {"swarm": "Other"}),
    ("other_team", {"swarm": None}, {}),
    ("other_user", {}, {"user_id": "eve"}),
    ("other_user", {}, {"user_id": None}),
    ("other_session", {}, {"session_id": "s2"}),
    ("other_session", {}, {"session_id": None}),
    ("other_fingerprint", {}, {"fingerprint": "sha256:f2"}),
    ("other_fingerprint", {"fingerprint": ""}, {"fingerprint": ""}),
    ("other_plan", {}, {"plan_digest": digest(OTHER)}),
    ("revoked", {"state": "revoked"}, {}),
    ("waiting", {"state": "waiting"}, {}),
    ("other_run", {"state": "claimed", "claimed_by": "r9", "claimed_at": NOW}, {}),
    ("replayed", {"state": "spent", "claimed_by": "r9", "claimed_at": NOW}, {}),
    ("replayed", {"state": "spent", "claimed_by": "r1", "claimed_at": NOW}, {}),
    ("not_yet_valid", {"issued_at": NOW + 61 * SECOND}, {}),
    ("expired", {"issued_at": NOW - HOUR, "expires_at": NOW}, {}),
]


@pytest.mark.parametrize(("code", "granted", "asked"), REFUSED)
def test_each_refusal_has_its_own_code(
    code: str, granted: dict[str, Any], asked: dict[str, Any], clearances: Clearances
) -> None:
    grant = a_grant(**granted)
    clearances.put(grant)
    said = refusal(code, lambda: clearances.claim(grant.id, an_asking(**asked)))
    assert grant.id in said
    assert clearances.get(grant.id) == grant


def test_what_is_not_there_is_unknown(clearances: Clearances) -> None:
    calls: list[Callable[[], object]] = [
        lambda: clearances.get("x"),
        lambda: clearances.claim("x", an_asking()),
        lambda: clearances.take_step("x", 1),
        lambda: clearances.spend("x"),
        lambda: clearances.approve("x", by="ann"),
        lambda: clearances.revoke("x", by="ann"),
    ]
    for put in (None, a_grant()):
        if put is not None:
            clearances.put(put)
        for call in calls:
            assert "no clearance x is known here" in refusal("unknown", call)


def test_what_nobody_claimed_has_no_steps(clearances: Clearances) -> None:
    grant = a_grant()
    clearances.put(grant)
    refusal("unclaimed", lambda: clearances.take_step(grant.id, 1))
    refusal("unclaimed", lambda: clearances.spend(grant.id))
    assert clearances.get(grant.id) == grant


def test_each_code_has_a_sentence_of_its_own() -> None:
    said = {
        code: str(
            refused(
                code,
                **dict.fromkeys(
                    ("id", "its", "asked", "what", "problem", "by", "reason", "run", "at"), "X"
                ),
                **dict.fromkeys(("number", "became", "state"), "X"),
            )
        )
        for code in CODES
    }
    assert len(set(said.values())) == len(CODES)
    assert {
        *("replayed", "other_run", "other_session", "other_team", "other_tenant", "other_user"),
        *("expired", "not_yet_valid", "forged", "unsigned", "other_fingerprint", "other_plan"),
        *("revoked", "waiting", "unknown", "malformed"),
    } <= CODES
    # Each says what to do, or why nothing can be done.
    assert all(":" in sentence or code == "unclaimed" for code, sentence in said.items())


def test_a_refusal_survives_a_process() -> None:
    error = pickle.loads(pickle.dumps(refused("unsigned")))
    assert (error.code, str(error)) == ("unsigned", str(refused("unsigned")))


def test_whom_it_is_for_comes_first_and_its_time_last(clearances: Clearances) -> None:
    """Nobody else learns what became of a clearance."""
    wrong = {
        "tenant": "evil",
        "swarm": "Other",
        "user_id": "eve",
        "session_id": "s2",
        "fingerprint": "sha256:f2",
        "plan_digest": digest(OTHER),
    }
    order = ["other_tenant", "other_team", "other_user", "other_session"]
    order += ["other_fingerprint", "other_plan", "revoked"]
    grant = a_grant(issued_at=NOW - HOUR, expires_at=NOW, state="revoked")
    clearances.put(grant)
    for field, code in zip([*wrong, None], order, strict=True):
        refusal(code, lambda: clearances.claim(grant.id, an_asking(**wrong)))
        if field is not None:
            del wrong[field]
    old = {"issued_at": NOW - HOUR, "expires_at": NOW}
    used = a_grant(**old, state="spent", claimed_by="r9", claimed_at=NOW)
    clearances.put(used)
    refusal("replayed", lambda: clearances.claim(used.id, an_asking()))


@pytest.mark.parametrize("field", ["session_id", "user_id"])
def test_a_clearance_may_leave_session_and_user_open(field: str, clearances: Clearances) -> None:
    grant = a_grant(**{field: None})
    clearances.put(grant)
    assert clearances.claim(grant.id, an_asking(**{field: "any"})).state == "claimed"


def test_clocks_may_differ_at_the_beginning_and_not_at_the_end(clearances: Clearances) -> None:
    early = a_grant(issued_at=NOW + 60 * SECOND)
    clearances.put(early)
    refusal("not_yet_valid", lambda: clearances.claim(early.id, an_asking(), NOW - SECOND))
    clearances.claim(early.id, an_asking(), NOW)
    end = early.expires_at
    just = end - timedelta(microseconds=1)
    assert clearances.held_by("r1", just) is not None
    clearances.take_step(early.id, 1, just)
    refusal("expired", lambda: clearances.held_by("r1", end))
    refusal("expired", lambda: clearances.claim(early.id, an_asking(), end))
    refusal("expired", lambda: clearances.take_step(early.id, 2, end))
    # What was begun in time may end after it.
    assert clearances.finish_step(early.id, 1).done == {1}
    with pytest.raises(ConfigurationError, match="zone"):
        clearances.held_by("r1", just.replace(tzinfo=None))


@given(grant=grants(used=False), data=st.data())
def test_a_clearance_fits_one_asking_alone(grant: Grant, data: st.DataObject) -> None:
    asking = Asking(
        runner_run_id="r",
        **{
            each.name: getattr(grant, each.name)
            for each in fields(Asking)
            if hasattr(grant, each.name)
        },
    )
    check_fits(grant, asking)
    field = data.draw(st.sampled_from(["swarm", "tenant", "fingerprint", "plan_digest"]))
    with pytest.raises(ClearanceRefused):
        check_fits(grant, replace(asking, **{field: f"{getattr(grant, field)}x"}))
