"""Clearances are given, approved, claimed once, used up step by step, and taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clearance_scene import HOUR, NOW, OTHER, SECOND, a_grant, an_asking, refusal

from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance import Clearances, digest_of_request

# Given, claimed, used up


def test_a_clearance_is_claimed_once_and_by_the_same_run_again(clearances: Clearances) -> None:
    grant = a_grant()
    clearances.put(grant)
    assert clearances.get(grant.id) == grant
    claimed = clearances.claim(grant.id, an_asking("r1", team_run_id="t1"), NOW)
    assert claimed == replace(
        grant, state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t1"
    )
    later = NOW + HOUR / 2
    assert clearances.claim(grant.id, an_asking("r1"), later) == claimed
    assert clearances.held_by("r1", later) == claimed
    assert clearances.of_team_run("t1", later) == claimed
    assert clearances.held_by("r2", later) is None
    assert clearances.of_team_run("t2", later) is None
    said = refusal("other_run", lambda: clearances.claim(grant.id, an_asking("r2"), later))
    assert "r1" in said
    assert "r2" in said


def test_steps_are_taken_once_and_the_clearance_is_used_up(clearances: Clearances) -> None:
    grant = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t1")
    clearances.put(grant)
    assert clearances.take_step(grant.id, 1).taken == {1}
    refusal("step_taken", lambda: clearances.take_step(grant.id, 1))
    assert clearances.release_step(grant.id, 1).taken == set()
    clearances.take_step(grant.id, 1)
    assert clearances.finish_step(grant.id, 1).done == {1}
    assert clearances.release_step(grant.id, 1).taken == {1}
    assert "is done" in refusal("step_taken", lambda: clearances.take_step(grant.id, 1))
    for number in (0, 3, True):
        with pytest.raises((ConfigurationError, ClearanceRefused)):
            clearances.take_step(grant.id, number)
    with pytest.raises(ConfigurationError, match="never taken"):
        clearances.finish_step(grant.id, 2)
    spent = clearances.spend(grant.id)
    assert clearances.spend(grant.id) == spent == clearances.held_by("r1")
    assert spent.state == "spent"
    refusal("replayed", lambda: clearances.take_step(grant.id, 2))
    for run in ("r1", "r2"):
        said = refusal("replayed", lambda run=run: clearances.claim(grant.id, an_asking(run)))
        assert "used by the run r1 at 2026-03-01 12:00:00 UTC" in said


def test_the_last_clearance_of_a_team_run_is_its_own(clearances: Clearances) -> None:
    first = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t")
    second = a_grant(
        state="claimed", claimed_by="r2", claimed_at=NOW + SECOND, team_run_id="t", plan=OTHER
    )
    waiting = a_grant(state="waiting", team_run_id="t")
    for grant in (first, second, waiting):
        clearances.put(grant)
    assert clearances.of_team_run("t") == second


def test_a_run_holds_one_clearance(clearances: Clearances) -> None:
    first, second = a_grant(), a_grant()
    clearances.put(first)
    clearances.put(second)
    clearances.claim(first.id, an_asking("r1"))
    said = refusal("other_clearance", lambda: clearances.claim(second.id, an_asking("r1")))
    assert first.id in said
    third = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW)
    refusal("other_clearance", lambda: clearances.put(third))
    refusal("other_clearance", lambda: clearances.admit(a_grant(), an_asking("r1")))
    assert clearances.held_by("r1") == clearances.get(first.id)


def test_what_is_put_again_is_left_as_it_is(clearances: Clearances) -> None:
    grant = a_grant()
    clearances.put(grant)
    clearances.put(grant)
    with pytest.raises(ConfigurationError, match="is another one"):
        clearances.put(replace(grant, session_id=None))
    clearances.claim(grant.id, an_asking())
    with pytest.raises(ConfigurationError, match="is another one"):
        clearances.put(grant)
    assert clearances.get(grant.id).state == "claimed"


# A person's approval


def test_a_plan_waits_for_a_person_over_night(clearances: Clearances) -> None:
    morning = NOW + HOUR / 2
    grant = a_grant(state="waiting", request_digest=digest_of_request("Ship 2.1"))
    clearances.put(grant)
    old = {"issued_at": NOW - SECOND, "expires_at": NOW + SECOND}
    clearances.put(a_grant(state="waiting", swarm="Other", **old))
    assert [each.swarm for each in clearances.waiting()] == ["Other", "Release"]
    assert clearances.waiting(now=morning) == [grant] == clearances.waiting("Release")
    assert "approved" in refusal("waiting", lambda: clearances.claim(grant.id, an_asking()))
    assert clearances.approved(an_asking(), morning) is None
    approved = clearances.approve(grant.id, by="ann", now=morning, max_age=7200)
    assert (approved.state, approved.approved_by) == ("granted", "ann")
    assert approved.expires_at == morning + 2 * HOUR
    assert clearances.waiting("Release") == []
    said = refusal("not_waiting", lambda: clearances.approve(grant.id, by="bob", now=morning))
    assert "is granted" in said
    planless = an_asking(plan_digest=None)
    for asked, found in {
        "Ship 2.1": approved,
        "\tShip\n2.1 ": approved,
        f"run {grant.id}, please": approved,
        "Ship 2.2": None,
        "": None,
    }.items():
        assert clearances.approved(replace(planless, request=asked), morning) == found
    assert clearances.claim(grant.id, an_asking(plan_digest=None), morning).claimed_by == "r1"
    assert clearances.approved(an_asking(), morning) is None


def test_only_the_newest_approval_that_fits_is_found(clearances: Clearances) -> None:
    old = a_grant(state="waiting", issued_at=NOW - SECOND)
    new = a_grant(state="waiting")
    late = a_grant(state="waiting", issued_at=NOW - HOUR, expires_at=NOW + SECOND)
    nobody_approved = a_grant(issued_at=NOW + SECOND)
    for grant in (old, new, late, nobody_approved):
        clearances.put(grant)
    for grant in (old, new, late):
        clearances.approve(grant.id, by="ann")
    found = clearances.approved(an_asking())
    assert found is not None
    assert found.id == new.id
    assert clearances.approved(an_asking(), NOW + 2 * HOUR) is None
    for field in ("swarm", "tenant", "session_id", "user_id", "plan_digest", "fingerprint"):
        assert clearances.approved(replace(an_asking(), **{field: "another"})) is None
    assert clearances.approved(an_asking(fingerprint="")) is None


def test_who_approves_is_named_and_an_override_has_a_reason(clearances: Clearances) -> None:
    grant = a_grant(state="waiting", passed=False, reason="score 5 under 8")
    clearances.put(grant)
    for by, reason in (("", "why"), (" ", "why"), (None, "why"), ("ann", None), ("ann", " ")):
        with pytest.raises(ConfigurationError, match="a text is needed"):
            clearances.approve(grant.id, by=by, reason=reason)  # type: ignore[arg-type]
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="max_age"):
            clearances.approve(grant.id, by="ann", reason="urgent", max_age=seconds)
    refusal("expired", lambda: clearances.approve(grant.id, by="a", reason="b", now=NOW + HOUR))
    assert clearances.get(grant.id) == grant
    assert clearances.approve(grant.id, by="ann", reason="urgent").reason == "urgent"


def test_what_is_revoked_ends_whatever_has_become_of_it(clearances: Clearances) -> None:
    for grant in (
        a_grant(state="waiting"),
        a_grant(),
        a_grant(state="claimed", claimed_by="r7", claimed_at=NOW),
    ):
        clearances.put(grant)
        with pytest.raises(ConfigurationError):
            clearances.revoke(grant.id, by="")
        revoked = clearances.revoke(grant.id, by="ann", reason="wrong target")
        assert clearances.revoke(grant.id, by="bob") == revoked
        said = refusal("revoked", lambda grant=grant: clearances.claim(grant.id, an_asking("r7")))
        assert "by ann (wrong target)" in said
        refusal("revoked", lambda grant=grant: clearances.take_step(grant.id, 1))
        refusal("revoked", lambda grant=grant: clearances.spend(grant.id))
    refusal("revoked", lambda: clearances.held_by("r7"))
