"""Contracts in each mode."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS, play
from modes_scene import MODES, SOURCES, Scene

from agno_portkey import Event, govern
from agno_portkey.contracts import Plan
from agno_portkey.hooks import ContractHook
from agno_portkey.hooks.base import Moment
from agno_portkey.modes import Mode
from agno_portkey.policy import Policy
from agno_portkey.testing import Reply, ToolCall
from agno_portkey.testing.story import SOUND


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_a_broken_structured_output(
    mode: Mode, form: str, source: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.provider.when(lambda request: True, "I would rather not plan.")
    events: list[Event] = []
    agent = Agent(name="Planner", model=scene.model, output_schema=Plan)
    policy = scene.policy("contracts", mode, source)
    govern(agent, policy=policy, observers=[events.append])
    run = play(agent, form)
    told = [event for event in events if event.kind == "contract"]
    if mode == "enforce":
        assert run.status == RunStatus.error
        assert "is not a valid Plan" in str(run.content)
        assert run.text_shown == ""
    else:
        assert run.status == RunStatus.completed
        assert run.content == "I would rather not plan."
    attempts = {"off": [], "observe": [1], "enforce": [3]}[mode]
    figures = ("stage", "mode", "rung", "attempts")
    assert [tuple(event.data[name] for name in figures) for event in told] == [
        ("model", mode, None, count) for count in attempts
    ]
    assert {event.role for event in told} <= {"Planner"}
    assert not any(event.verdict.passed for event in told)
    assert ("observed, not refused: Planner's output" in caplog.text) is (mode == "observe")


def test_an_observed_contract_does_not_hold_a_stream(scene: Scene) -> None:
    scene.provider.when(lambda request: True, "I would rather not plan anything today.")

    def pieces(mode: Mode) -> list[str]:
        scene.say("contracts", mode)
        asked = scene.model.invoke_stream(
            [Message(role="user", content="Hi")],
            Message(role="assistant"),
            response_format={"type": "json_object"},
        )
        return [delta.content for delta in asked if delta.content]

    assert "".join(pieces("observe")) == "I would rather not plan anything today."
    assert len(pieces("observe")) == len(pieces("off")) > 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe"])
def test_a_whole_structured_output_is_an_object_in_every_mode(
    mode: Mode, form: str, scene: Scene
) -> None:
    scene.provider.when(lambda request: True, SOUND)
    events: list[Event] = []
    agent = Agent(name="Planner", model=scene.model, output_schema=Plan)
    govern(agent, policy=Policy(contracts=mode), observers=[events.append])
    assert play(agent, form).content == SOUND
    told = [event.data["rung"] for event in events if event.kind == "contract"]
    assert told == (["given"] if mode == "observe" else [])


def test_words_beside_a_tool_call_are_no_broken_output(scene: Scene) -> None:
    def look(place: str) -> str:
        """Look somewhere."""
        return f"nothing in {place}"

    first = Reply("Let me look.", tool_calls=(ToolCall("look", {"place": "the shed"}),))
    scene.provider.when(lambda request: True, [first, "No plan."])
    events: list[Event] = []
    agent = Agent(name="Planner", model=scene.model, output_schema=Plan, tools=[look])
    govern(agent, policy=Policy(contracts="observe"), observers=[events.append])
    agent.run("Plan")
    told = [event.data["stage"] for event in events if event.kind == "contract"]
    assert told == ["model"]


@pytest.mark.parametrize("mode", ["off", "observe", "enforce", "obsreve"])
def test_the_contract_hook_by_hand(mode: str, scene: Scene) -> None:
    scene.provider.when(lambda request: True, '{"goal": "none"}')
    scene.say("contracts", mode)
    events: list[Event] = []
    hook = ContractHook(mode="off", observers=[events.append])
    # In JSON mode the model does not know the schema: only the hook does.
    team = Team(name="T", members=[], model=scene.model, output_schema=Plan, use_json_mode=True)
    team.post_hooks = [hook]
    run = team.run("Plan")
    if mode in ("enforce", "obsreve"):
        assert (run.status, [e.data["mode"] for e in events]) == (RunStatus.error, ["enforce"])
        return
    assert run.status == RunStatus.completed
    assert not isinstance(run.content, Plan)
    assert [(e.role, e.swarm) for e in events] == ([("T", "T")] if mode == "observe" else [])


@pytest.mark.parametrize("mode", MODES)
def test_only_an_enforced_hook_makes_an_object_of_a_text(mode: Mode) -> None:
    output = SimpleNamespace(run_id="r", content=SOUND.model_dump_json())
    context = SimpleNamespace(output_schema=Plan)
    hook = ContractHook(mode=mode)
    hook.after(Moment(None, output, context, SimpleNamespace(name="P"), False, None))
    assert isinstance(output.content, Plan) is (mode == "enforce")
