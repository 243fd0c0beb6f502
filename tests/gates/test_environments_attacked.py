"""Ways from one environment into another, and into production, that look like no way."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.workflow import Step, Workflow
from clearance_scene import a_grant

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.environments import ALLOWS_VARIABLE, VARIABLE, current, is_production
from agno_portkey.errors import ConfigurationError, WrongEnvironment
from agno_portkey.gates.clearance import Clearances
from agno_portkey.modes import mode_now
from agno_portkey.policy import Policy
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing.story import FLAWED, REQUEST, Release, release_team, tell

DEV = "openai-dev-search-2026q4"


# Names


@pytest.mark.parametrize(
    "said",
    ["PROD\n", "\tprod ", "Production", "ｐｒｏｄ", "\u00a0prod", "PRODUCTION\r\n"],  # noqa: RUF001
)
def test_production_is_production_however_it_is_written(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, said)
    assert is_production()


@pytest.mark.parametrize(
    "said",
    ['"prod"', "'prod'", "prod;", "prod,dev", "pr\u200bod", "рrod", "prod #x", "$ENV", "a b"],  # noqa: RUF001
)
def test_a_name_that_is_none_is_refused_rather_than_taken_for_another(
    said: str, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file of variables with quotes has it, which would not be production."""
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(ConfigurationError, match=VARIABLE):
        current()
    with pytest.raises(ConfigurationError, match=VARIABLE):
        govern(Agent(name="Helper", model=portkey_model))


@pytest.mark.parametrize("said", ["all", "*", "observed_gates", "observed-gates;raw-content"])
def test_what_is_allowed_is_said_by_its_name(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "prod")
    monkeypatch.setenv(ALLOWS_VARIABLE, said)
    with pytest.raises(ConfigurationError, match=ALLOWS_VARIABLE):
        mode_now("gate", "observe")


@pytest.mark.parametrize("said", ["", " ", ",", " , ,"])
def test_nothing_that_is_said_allows_nothing(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "prod")
    monkeypatch.setenv(ALLOWS_VARIABLE, said)
    assert mode_now("gate", "observe") == "enforce"


# Databases


def test_a_stamp_that_was_begun_and_not_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was killed between the two: the database would be nobody's for good."""
    file = tmp_path / "agno.db"
    with sqlite3.connect(file) as made:
        made.execute(
            "CREATE TABLE agno_portkey_environment "
            "(id INTEGER PRIMARY KEY, environment VARCHAR(255) NOT NULL)"
        )
    made.close()
    monkeypatch.setenv(VARIABLE, "prod")
    Clearances(f"sqlite:///{file}").put(a_grant(environment="prod"))
    monkeypatch.setenv(VARIABLE, "dev")
    with pytest.raises(WrongEnvironment, match="is of prod"):
        Clearances(f"sqlite:///{file}").put(a_grant(environment="dev"))


def test_a_process_that_changes_sides_is_looked_at_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "prod")
    kept = Clearances(database)
    kept.put(a_grant(id="c1", environment="prod"))
    monkeypatch.setenv(VARIABLE, "dev")
    with pytest.raises(WrongEnvironment, match="is of prod"):
        kept.get("c1")
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(WrongEnvironment, match="is of prod"):
        kept.get("c1")
    monkeypatch.setenv(VARIABLE, "prod")
    assert kept.get("c1").environment == "prod"


def test_a_file_of_another_environment_that_is_put_in_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    for name, file in (("prod", theirs), ("dev", ours)):
        monkeypatch.setenv(VARIABLE, name)
        Clearances(f"sqlite:///{file}").put(a_grant(id="c1", environment=name))
    kept = Clearances(f"sqlite:///{ours}")
    assert kept.get("c1").environment == "dev"
    theirs.replace(ours)
    with pytest.raises(WrongEnvironment, match="is of prod"):
        kept.get("c1")


def test_two_databases_of_one_process_are_of_one_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops, gates = f"sqlite:///{tmp_path / 'stops.db'}", f"sqlite:///{tmp_path / 'gates.db'}"
    monkeypatch.setenv(VARIABLE, "prod")
    StopSwitch(stops).stop("Release", reason="to write first", by="ann")
    monkeypatch.setenv(VARIABLE, "dev")
    Clearances(gates).put(a_grant(environment="dev"))
    # Who can't read the switch is stopped; who can't read what was cleared runs nothing.
    with pytest.raises(ConfigurationError, match="is of prod"):
        StopSwitch(stops).resume("Release")


# Keys


@pytest.mark.parametrize(
    "given",
    [
        {"extra_headers": {"x-portkey-virtual-key": DEV}},
        {"extra_headers": {"X-Portkey-Provider": f"@{DEV}"}},
        {"default_headers": {"x-portkey-virtual-key": DEV}},
        {"config": {"virtual_key": "${TEAM_KEY}"}},
        {"repair_key": True},
        {},
    ],
    ids=["header", "provider's header", "default header", "reference", "stronger", "variable"],
)
def test_a_key_of_dev_comes_into_production_by_no_other_door(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agno_portkey import Repair

    monkeypatch.setenv(VARIABLE, "prod")
    monkeypatch.setenv("TEAM_KEY", DEV)
    if not given:
        monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", DEV)
    if given.get("repair_key"):
        given = {"repair": Repair(stronger=f"@{DEV}/o3")}
    with pytest.raises(WrongEnvironment, match=f"the key @?{DEV}.* is of dev"):
        PortkeyModel(portkey_api_key="k", **given)


def test_a_key_is_looked_at_again_where_the_environment_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "dev")
    model = PortkeyModel(portkey_api_key="k", portkey_provider=f"@{DEV}")
    monkeypatch.setenv(VARIABLE, "prod")
    with pytest.raises(WrongEnvironment, match="is of dev"):
        model.router.plan(model)


# Production


@pytest.mark.parametrize("said", ["true", "True", "TRUE"])
def test_no_variable_of_the_host_has_messages_logged(
    said: str, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "prod")
    monkeypatch.setenv("AGNO_DEBUG", said)
    with pytest.raises(WrongEnvironment, match="AGNO_DEBUG"):
        govern(Agent(name="Helper", model=portkey_model))
    monkeypatch.setenv(ALLOWS_VARIABLE, "raw-content")
    govern(Agent(name="Helper", model=portkey_model))


def test_a_workflow_logs_no_messages_either(
    portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "prod")
    steps = [Step(name="help", agent=Agent(name="Helper", model=portkey_model))]
    with pytest.raises(WrongEnvironment, match="Desk: debug_mode"):
        govern(Workflow(name="Desk", steps=steps, debug_mode=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_team_governed_elsewhere_is_held_once_it_is_in_production(
    mode: Any,
    portkey_model: PortkeyModel,
    portkey_provider: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    release = Release()
    monkeypatch.setenv(VARIABLE, "staging")
    policy = Policy(gate={"runner": "Runner", "min_score": 8, "mode": mode})  # type: ignore[arg-type]
    team = govern(release_team(portkey_model, release), policy=policy)
    monkeypatch.setenv(VARIABLE, "prod")
    assert team.run(REQUEST).status is not RunStatus.completed
    assert release.done == []


def test_a_hook_by_hand_that_observes_enforces_in_production(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agno_portkey.hooks import GateHook

    monkeypatch.setenv(VARIABLE, "prod")
    hook = GateHook(Gate(min_score=8), runner="Runner", mode="observe")
    run = hook.charter.open("r1", "Release", type("Context", (), {"dependencies": None})())
    assert hook.charter.mode_of(run) == "enforce"
