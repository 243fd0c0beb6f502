"""A governed team that went through a database: itself again, closed, and governed anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from agno.db.sqlite import SqliteDb
from agno.run.base import RunStatus
from agno.team import Team

from agno_portkey import Declined, Gate, PortkeyModel, govern, registry_of
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell


@pytest.fixture
def release() -> Release:
    return Release()


@pytest.fixture
def rebuilt(tmp_path: Path, portkey_model: PortkeyModel, release: Release) -> Team:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = release_team(portkey_model, release, db=db)
    govern(team, runner="Runner", gate=Gate(min_score=8), tags={"cost_center": "cc-42"})
    for owner in (*team.members, team):
        owner.db = db
        owner.save()
    back = Team.load(team.id, db=db, registry=registry_of(team))
    assert isinstance(back, Team)
    return back


def test_everyone_has_its_own_model_again(rebuilt: Team) -> None:
    for owner in (rebuilt, *rebuilt.members):
        assert isinstance(owner.model, PortkeyModel)
        assert owner.model.seat.role == owner.name
        assert owner.model.provider == f"agno-portkey:Release/{owner.name}"
        assert owner.model.tags == {"cost_center": "cc-42"}
        assert not owner.pre_hooks


def test_it_refuses_to_run_without_its_hooks(
    rebuilt: Team, release: Release, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    out = rebuilt.run(REQUEST)
    assert out.status == RunStatus.error
    assert isinstance(out.content, Declined)
    assert release.done == []
    assert portkey_provider.calls == []


def test_governed_again_it_runs_once_and_its_models_are_its_own(
    rebuilt: Team, release: Release, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    before = {owner.name: owner.model for owner in rebuilt.members}
    govern(rebuilt, runner="Runner", gate=Gate(min_score=8), tags={"cost_center": "cc-43"})
    assert rebuilt.run(REQUEST).status == RunStatus.completed
    assert [name for name, _ in release.done] == ["run_tests", "deploy"]
    for owner in rebuilt.members:
        assert owner.model.provider == before[owner.name].provider
        assert owner.model.seat.charter is not before[owner.name].seat.charter
        assert owner.model.tags == {"cost_center": "cc-43"}
        assert before[owner.name].tags == {"cost_center": "cc-42"}
