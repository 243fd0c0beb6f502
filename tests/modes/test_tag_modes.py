"""Tags in each mode."""

from __future__ import annotations

import json

import pytest
from agno.agent import Agent
from four_forms import FORMS, play
from modes_scene import MODES, SOURCES, Scene

from agno_portkey import Event, PortkeyModel, govern
from agno_portkey.modes import Mode


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_tags_are_sent_unless_they_are_off(
    mode: Mode, form: str, source: str, scene: Scene
) -> None:
    agent = Agent(name="Clerk", model=PortkeyModel(base_url=scene.provider.url))
    policy = scene.policy("tags", mode, source, values={"cost_center": "cc-42"})
    events: list[Event] = []
    govern(agent, policy=policy, observers=[events.append])
    play(agent, form)
    headers = scene.provider.calls[0].headers
    assert headers["x-portkey-trace-id"]
    if mode == "off":
        assert "x-portkey-metadata" not in headers
    else:
        assert json.loads(headers["x-portkey-metadata"])["cost_center"] == "cc-42"
    # Observers know whose call it is, whatever is sent.
    assert {event.role for event in events} == {"Clerk"}


def test_a_model_that_nobody_governs_follows_the_variable(scene: Scene) -> None:
    agent = Agent(name="Clerk", model=PortkeyModel(base_url=scene.provider.url))
    for mode, sent in (("off", False), ("observe", True), ("none", True)):
        scene.say("tags", mode)
        agent.run("Hi")
        assert ("x-portkey-metadata" in scene.provider.calls[-1].headers) is sent
