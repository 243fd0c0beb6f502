"""A Runner that paused, and goes on in another process: by its clearance, once, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import continuing
import pytest
from admission_scene import REQUEST, ROUND, SHIPPED, STEPS, Scene, books_of, charter_of
from agno.run.base import RunStatus
from agno.team import Team
from sqlalchemy import create_engine, text

from agno_portkey.environments import VARIABLE
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Charter, Gate
from agno_portkey.gates.books import Books
from agno_portkey.gates.clearance import Clearances
from agno_portkey.gates.restoring import restored
from agno_portkey.run_facts import Fingerprint
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import Release

TESTED, DEPLOYED = ([*STEPS[0]], [*STEPS[1]])


@dataclass
class Paused:
    """A run of the story's team that waits for a person's yes to its second step."""

    scene: Scene
    file: str
    run_id: str = ""
    others: list[Team] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.scene.provider.url

    @property
    def clearances(self) -> Clearances:
        return Clearances(self.file)

    @property
    def grant(self) -> Any:
        held = self.clearances.of_team_run(self.run_id)
        assert held is not None
        return held

    def again(self, **changed: str) -> tuple[Team, Release]:
        """The team as it is made after a restart: it knows no run."""
        release = Release()
        team = continuing.a_team(self.url, self.file, release, **changed)
        self.others.append(team)
        return team, release

    def goes_on(self, how: dict[str, Any] | None = None, **changed: str) -> dict[str, Any]:
        team, release = self.again(**changed)
        output = continuing.continued(team, self.run_id, how or {})
        return continuing.ended(team, output, release)

    def process(self) -> subprocess.Popen[str]:
        script = str(Path(continuing.__file__))
        command = [sys.executable, script, self.file, self.url, self.run_id]
        pipe = subprocess.PIPE
        begun = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert begun.stdout is not None
        line = begun.stdout.readline()
        assert line == "ready\n", begun.stderr.read() if begun.stderr else line
        return begun


@pytest.fixture
def paused(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Iterator[Paused]:
    scene = Scene(portkey_provider)
    scene.judge(9)
    scene.script(*ROUND)
    run = Paused(scene, str(tmp_path / "agno.db"))
    team, release = run.again()
    output = team.run(REQUEST, session_id="s", user_id="ann")
    assert (output.status, release.done) == (RunStatus.paused, [STEPS[0]])
    run.run_id = output.run_id
    yield run
    for each in run.others:
        each.db.close()


def said(begun: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = begun.communicate("\n", timeout=100)
    assert begun.returncode == 0, err
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def test_another_process_goes_on_by_the_clearance_that_is_kept(paused: Paused) -> None:
    ended = said(paused.process())
    assert (ended["status"], ended["content"]) == ("COMPLETED", SHIPPED)
    assert ended["done"] == [DEPLOYED]
    assert ended["who"] == ["s", "ann", None]
    assert (paused.grant.state, paused.grant.done) == ("spent", {1, 2})


def test_of_two_processes_that_go_on_at_once_one_runs_the_tool(paused: Paused) -> None:
    both = [paused.process(), paused.process()]
    ends: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda one=one: ends.append(said(one))) for one in both]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(len(end["done"]) for end in ends) == [0, 1]
    assert paused.grant.done == {1, 2}


# Refused, and the tool did not run


def _revoked(paused: Paused) -> None:
    paused.clearances.revoke(paused.grant.id, by="ann", reason="it is late")


def _changed(paused: Paused, **values: str) -> None:
    engine = create_engine(f"sqlite:///{paused.file}")
    with engine.begin() as connection:
        for name, value in values.items():
            connection.execute(
                text(f"UPDATE agno_portkey_clearances SET {name} = :value"), {"value": value}
            )
    engine.dispose()


def _gone(paused: Paused) -> None:
    engine = create_engine(f"sqlite:///{paused.file}")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM agno_portkey_clearances"))
    engine.dispose()


def _by_hand(paused: Paused) -> None:
    _changed(paused, expires_at="2099-01-01T00:00:00.000000+00:00")


def _no_json(paused: Paused) -> None:
    _changed(paused, taken="none")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_revoked, "was revoked by ann (it is late)"),
        (_gone, "its hooks did not run, or the run is unknown to this process"),
        (_by_hand, "is not as it was issued"),
        (_no_json, "is not as it was issued"),
    ],
)
def test_a_clearance_that_is_not_good_any_more_runs_no_tool(
    spoil: Any, why: str, paused: Paused
) -> None:
    spoil(paused)
    calls = len(paused.scene.runner_calls)
    ended = paused.goes_on()
    assert (ended["status"], ended["done"]) == ("ERROR", [])
    assert why in f"{ended['content']} {ended['tools']}"
    assert len(paused.scene.runner_calls) == calls


def test_one_that_was_used_up_meanwhile_runs_no_tool(paused: Paused) -> None:
    team, release = paused.again()
    waits = team.get_session(session_id="s").get_run(paused.run_id)
    for need in waits.active_requirements:
        need.confirm()
    assert paused.goes_on()["done"] == [DEPLOYED]
    calls = len(paused.scene.runner_calls)
    output = team.continue_run(run_response=waits, session_id="s")
    ended = continuing.ended(team, output, release)
    assert ended["done"] == []
    assert "the clearance is used up" in str(ended["tools"])
    assert len(paused.scene.runner_calls) == calls


def test_one_that_has_run_out_runs_no_tool(paused: Paused) -> None:
    until = paused.grant.expires_at
    for late in (timedelta(0), timedelta(days=1)):
        team, release = paused.again()
        charter = charter_of(team)
        charter.books = replace(charter.books, clock=lambda late=late: until + late)
        with pytest.raises(GateClosed, match="ran out at"):
            charter.require_clearance(paused.grant.claimed_by)
    output = continuing.continued(team, paused.run_id, {})
    assert (output.status, release.done) == (RunStatus.error, [])
    team, _ = paused.again()
    charter = charter_of(team)
    charter.books = replace(charter.books, clock=lambda: until - timedelta(microseconds=1))
    assert charter.require_clearance(paused.grant.claimed_by)


@pytest.mark.parametrize(
    "changed",
    [{"instructions": "Be quick."}, {"description": "In a hurry"}],
    ids=lambda c: next(iter(c)),
)
def test_a_team_that_was_changed_does_not_go_on(changed: dict[str, str], paused: Paused) -> None:
    ended = paused.goes_on(**changed)
    assert (ended["status"], ended["done"]) == ("ERROR", [])
    assert "models, prompts, tools or policy were changed" in ended["content"]
    assert paused.grant.state == "claimed"


def test_a_database_that_can_not_be_read_is_named_and_runs_no_tool(paused: Paused) -> None:
    team, release = paused.again()

    class Down(Clearances):
        def held_by(self, *args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError("secret")

    charter = charter_of(team)
    charter.books = replace(charter.books, clearances=Down(paused.file))
    output = continuing.continued(team, paused.run_id, {})
    assert (output.status, release.done) == (RunStatus.error, [])
    assert "the gate's database failed: ZeroDivisionError" in str(output.content)
    assert "secret" not in str(output.content)


@pytest.mark.parametrize(
    "how",
    [{"input": "And now to production."}, {"regenerate": True}],
    ids=["input", "regenerate"],
)
def test_a_run_that_was_finished_elsewhere_gives_no_leave_for_more(
    how: dict[str, Any], paused: Paused
) -> None:
    assert paused.goes_on()["status"] == "COMPLETED"
    paused.scene.provider.when("Ask the Planner", "ALL-IS-LIVE")
    calls = len(paused.scene.runner_calls)
    ended = paused.goes_on(how)
    assert (ended["status"], ended["done"]) == ("ERROR", [])
    assert "ALL-IS-LIVE" not in ended["content"]
    assert len(paused.scene.runner_calls) == calls


# The lock itself


def test_what_is_known_again_is_what_was_cleared(paused: Paused) -> None:
    team, _ = paused.again()
    charter, grant = charter_of(team), paused.grant
    station = restored(charter, paused.run_id)
    assert station is not None
    run = station.run
    assert (station.part, run.id, run.plan_digest) == ("leader", paused.run_id, grant.plan_digest)
    assert (run.steps.taken, run.steps.done, run.spent) == ({1}, {1}, False)
    assert run.clearance.id == grant.id
    assert run.clearance.expires_at == grant.expires_at
    assert run.fingerprint == charter.fingerprint_now()
    assert charter.runs.find(grant.claimed_by).part == "runner"
    assert charter.runs.find(grant.claimed_by).run is run


def test_who_knows_no_fingerprint_takes_that_of_the_clearance(paused: Paused) -> None:
    charter = Charter(Gate(), swarm="Release", books=Books(clearances=paused.clearances))
    station = charter.station(paused.run_id)
    assert station is not None
    assert station.run.fingerprint == Fingerprint(paused.grant.fingerprint)


@pytest.mark.parametrize("swarm", [None, "Another team"])
def test_another_team_does_not_know_the_run(swarm: str | None, paused: Paused) -> None:
    charter = Charter(Gate(), swarm=swarm, books=Books(clearances=paused.clearances))
    assert charter.station(paused.run_id) is None
    with pytest.raises(GateClosed, match="unknown to this process"):
        charter.require_clearance(paused.grant.claimed_by)


def test_a_run_of_no_environment_does_not_go_on_in_one(
    paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "dev")
    ended = paused.goes_on()
    assert ended["status"] == "ERROR"
    assert ended["done"] == []
    team, _ = paused.again()
    with pytest.raises(GateClosed, match=r"for the environment \(none\), not for dev"):
        charter_of(team).station(paused.run_id)
    assert paused.grant.done == {1}


def test_a_run_that_nobody_cleared_is_unknown(paused: Paused) -> None:
    team, _ = paused.again()
    for run_id in ("another", None):
        assert charter_of(team).station(run_id) is None
    assert restored(charter_of(team), "another") is None


def test_a_clearance_that_names_no_team_run_is_of_none(paused: Paused) -> None:
    grant = replace(paused.grant, id="other", claimed_by="r2", team_run_id=None)
    clearances = Clearances()
    clearances.put(grant)
    charter = Charter(Gate(), swarm="Release", books=Books(clearances=clearances))
    assert charter.station("r2") is None


def test_what_goes_on_is_asked_of_the_books_of_the_team(paused: Paused) -> None:
    team, _ = paused.again()
    assert books_of(team).clearances.get(paused.grant.id) == paused.grant
