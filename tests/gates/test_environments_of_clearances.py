"""A clearance of one environment is no good in another, kept, exported or approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.run.base import RunStatus
from clearance_scene import HOUR, NOW, a_grant, an_asking
from environment_scene import be

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ClearanceRefused, WrongEnvironment
from agno_portkey.gates import Charter
from agno_portkey.gates.approving import approve
from agno_portkey.gates.books import books_of
from agno_portkey.gates.clearance import Clearances, export, new_key, verify
from agno_portkey.hooks import GateHook
from agno_portkey.runs import CLEARANCE_KEY
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

FOREIGN = [("dev", "prod"), ("prod", "dev"), ("staging", "prod"), (None, "prod"), ("prod", None)]


# Clearances


@pytest.mark.parametrize(("its", "own"), FOREIGN)
def test_a_clearance_is_no_good_in_another_environment(its: str | None, own: str | None) -> None:
    kept = Clearances()
    kept.put(a_grant(id="c1", environment=its))
    with pytest.raises(ClearanceRefused) as refused:
        kept.claim("c1", an_asking(environment=own), NOW)
    assert refused.value.code == "other_environment"
    assert kept.get("c1").state == "granted"
    claimed = kept.claim("c1", an_asking(environment=its), NOW)
    assert claimed.state == "claimed"


@pytest.mark.parametrize(("its", "own"), FOREIGN)
def test_an_exported_clearance_is_no_good_in_another_environment(
    its: str | None, own: str | None
) -> None:
    pair = new_key()
    token = export(a_grant(environment=its), pair.private)
    with pytest.raises(ClearanceRefused) as refused:
        verify(token, pair.public, an_asking(environment=own), now=NOW)
    assert refused.value.code == "other_environment"
    assert verify(token, pair.public, an_asking(environment=its), now=NOW).environment == its


def test_a_token_that_was_used_here_is_not_good_for_a_row_of_another_environment() -> None:
    kept = Clearances()
    kept.put(a_grant(id="c1", environment="dev"))
    with pytest.raises(ClearanceRefused):
        kept.admit(a_grant(id="c1", environment="prod"), an_asking(environment="prod"), NOW)
    assert kept.get("c1").state == "granted"


def test_nobody_approves_what_waits_in_another_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    books = books_of(None)
    now = books.clock()
    grant = a_grant(
        id="c1", environment="prod", state="waiting", issued_at=now, expires_at=now + HOUR
    )
    books.clearances.put(grant)
    be(monkeypatch, "dev")
    with pytest.raises(WrongEnvironment, match="clearance c1 is of prod"):
        approve(books, "c1", by="ann")
    assert books.clearances.get("c1").state == "waiting"
    be(monkeypatch, "production")
    assert approve(books, "c1", by="ann").state == "granted"


def test_a_team_in_dev_does_not_run_on_what_was_approved_in_staging(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be(monkeypatch, "staging")
    tell(portkey_provider)
    release, gate = Release(), Gate(min_score=8, approval=True)
    team = govern(release_team(portkey_model, release), runner="Runner", gate=gate)
    team.run(REQUEST, session_id="s1")
    books = charter_of(team).books
    *_, waits = books.clearances.waiting()
    approve(books, waits.id, by="ann")
    brings = {"session_id": "s1", "metadata": {CLEARANCE_KEY: waits.id}}
    be(monkeypatch, "dev")
    team.run(REQUEST, **brings)
    assert release.done == []
    assert books.clearances.get(waits.id).state == "granted"
    be(monkeypatch, "Staging")
    assert team.run(REQUEST, **brings).status is RunStatus.completed
    assert [tool for tool, _ in release.done] == ["run_tests", "deploy"]


def charter_of(team: Any) -> Charter:
    """What the gate of a governed team keeps."""
    hooks = (getattr(hook, "__self__", None) for hook in team.pre_hooks)
    return next(hook.charter for hook in hooks if isinstance(hook, GateHook))
