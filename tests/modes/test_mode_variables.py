"""What a part's mode is: its own, or what the environment says while the process runs."""

from __future__ import annotations

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from hypothesis import given
from hypothesis import strategies as st
from modes_scene import Scene

from agno_portkey import Gate, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Charter
from agno_portkey.hooks import ContractHook, GateHook
from agno_portkey.modes import PARTS, check_mode, mode_now, variable_of


@pytest.mark.parametrize("part", PARTS)
def test_a_variable_wins_over_the_policy_while_the_process_runs(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mode_now(part, "observe") == "observe"
    monkeypatch.setenv(f"AGNO_PORTKEY_{part.upper()}_MODE", " Off ")
    assert mode_now(part, "enforce") == "off"
    monkeypatch.setenv(variable_of(part), "")
    assert mode_now(part, "observe") == "observe"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_variable_that_says_anything_else_is_enforce(said: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable_of("gate"), said)
        known = said.strip().lower()
        expected = known if known in ("off", "observe", "enforce") else "enforce"
        assert mode_now("gate", "off") == expected


def test_a_wrong_value_is_told_once_and_holds_each_time(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def told(variable: str, value: str) -> int:
        said = f"{variable} is {value!r}, and not one of"
        return sum(said in record.getMessage() for record in caplog.records)

    for value in ("on-call", "on-call!", "on-call"):
        scene.say("stop", f" {value.upper()}")
        assert {mode_now("stop", "off") for _ in range(50)} == {"enforce"}
        assert told("AGNO_PORTKEY_STOP_MODE", value) == 1
    # Another part's variable is another one to mend.
    scene.say("gate", "on-call")
    assert mode_now("gate", "off") == mode_now("gate", "off") == "enforce"
    assert told("AGNO_PORTKEY_GATE_MODE", "on-call") == 1


def test_a_swarm_with_a_wrong_value_is_stopped_and_that_is_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.say("stop", "halt")
    agent = govern(Agent(name="Desk", model=scene.model, db=InMemoryDb()))
    agent.model.seat.brake.switch.stop("Desk")
    for _ in range(3):
        assert agent.run("Hi").status == RunStatus.error
    assert scene.provider.calls == []
    assert caplog.text.count("AGNO_PORTKEY_STOP_MODE is 'halt'") == 1


def test_an_argument_that_is_no_mode_is_refused() -> None:
    for make in (
        lambda: check_mode("watch"),
        lambda: Charter(Gate(), mode="on"),  # type: ignore[arg-type]
        lambda: GateHook(Gate(), runner="R", mode="on"),  # type: ignore[arg-type]
        lambda: ContractHook(mode="on"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match="one of off, observe, enforce"):
            make()
