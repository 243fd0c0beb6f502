"""Production refuses what is meant for trying out, unless it is said to allow it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from clearance_scene import NOW, a_grant, an_asking
from environment_scene import be

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.environments import (
    ALLOWS_VARIABLE,
    CAPTURE_VARIABLE,
    RELAXATIONS,
    check_production,
    is_allowed,
)
from agno_portkey.errors import ClearanceRefused, ConfigurationError, WrongEnvironment
from agno_portkey.gates.clearance import Clearances
from agno_portkey.modes import mode_now
from agno_portkey.policy import Policy
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, REQUEST, Release, release_team, tell


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_production_takes_no_gate_that_only_observes(
    mode: Any,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be(monkeypatch, "prod")
    policy = Policy(gate={"runner": "Runner", "min_score": 8, "mode": mode})  # type: ignore[arg-type]
    team = release_team(portkey_model, Release())
    with pytest.raises(WrongEnvironment, match=f"a gate that is to {mode} is not for production"):
        govern(team, policy=policy)
    monkeypatch.setenv(ALLOWS_VARIABLE, "raw-content, observed-gates")
    govern(team, policy=policy)


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_no_variable_loosens_a_gate_in_production(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", mode)
    be(monkeypatch, "staging")
    assert mode_now("gate", "enforce") == mode
    be(monkeypatch, "prod")
    assert mode_now("gate", "enforce") == "enforce"
    assert mode_now("gate", "observe") == "enforce"
    # What else has a mode may still be rolled back by its variable.
    monkeypatch.setenv("AGNO_PORTKEY_CONTRACTS_MODE", mode)
    assert mode_now("contracts", "enforce") == mode
    monkeypatch.setenv(ALLOWS_VARIABLE, "observed-gates")
    assert mode_now("gate", "enforce") == mode


def test_the_runner_does_not_run_in_production_whatever_the_variable_says(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    release = Release()
    team = govern(release_team(portkey_model, release), runner="Runner", gate=Gate(min_score=8))
    be(monkeypatch, "prod")
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", "observe")
    team.run(REQUEST)
    assert release.done == []


def test_production_logs_and_traces_no_messages(
    portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    with pytest.raises(WrongEnvironment, match="Helper: debug_mode"):
        govern(Agent(name="Helper", model=portkey_model, debug_mode=True))
    for said in ("true", "span_only", "SPAN_AND_EVENT"):
        monkeypatch.setenv(CAPTURE_VARIABLE, said)
        with pytest.raises(WrongEnvironment, match=CAPTURE_VARIABLE):
            govern(Agent(name="Helper", model=portkey_model))
    monkeypatch.setenv(CAPTURE_VARIABLE, "no_content")
    govern(Agent(name="Helper", model=portkey_model))
    monkeypatch.setenv(CAPTURE_VARIABLE, "true")
    monkeypatch.setenv(ALLOWS_VARIABLE, "raw-content")
    govern(Agent(name="Loud", model=portkey_model, debug_mode=True))


def test_traces_are_not_set_up_in_production_where_they_would_hold_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agno_portkey import telemetry

    be(monkeypatch, "prod")
    monkeypatch.setenv(CAPTURE_VARIABLE, "true")
    with pytest.raises(WrongEnvironment, match=CAPTURE_VARIABLE):
        telemetry.setup()


def test_production_is_not_told_made_up_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "prod")
    with pytest.raises(WrongEnvironment, match="is not for production"):
        EmbeddedProvider().start()
    monkeypatch.setenv(ALLOWS_VARIABLE, "embedded-provider")
    with EmbeddedProvider() as provider:
        model = PortkeyModel(base_url=provider.url, api_key="k")
        assert model.response([Message(role="user", content="Hello")]).content


def test_what_production_is_to_allow_has_to_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "prod")
    monkeypatch.setenv(ALLOWS_VARIABLE, "observed-gates,everything")
    with pytest.raises(ConfigurationError, match="not 'everything'"):
        is_allowed("observed-gates")


@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_each_relaxation_is_said_by_itself(
    relaxation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    others = [each for each in RELAXATIONS if each != relaxation]
    monkeypatch.setenv(ALLOWS_VARIABLE, ",".join(others))
    with pytest.raises(WrongEnvironment, match=f"{ALLOWS_VARIABLE}={relaxation}"):
        check_production(relaxation, "what is tried out")
    be(monkeypatch, "staging")
    check_production(relaxation, "what is tried out")


def test_a_wrong_clock_does_not_come_before_a_wrong_environment() -> None:
    """Nobody of another environment learns what became of a clearance."""
    kept = Clearances()
    kept.put(a_grant(id="c1", environment="prod"))
    late = NOW + timedelta(days=2)
    with pytest.raises(ClearanceRefused) as refused:
        kept.claim("c1", an_asking(environment="dev"), late)
    assert refused.value.code == "other_environment"
