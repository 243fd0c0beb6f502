"""Guards of a policy in each mode."""

from __future__ import annotations

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, play
from modes_scene import MODES, SOURCES, Scene

from agno_portkey import Event, govern
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.modes import Mode
from agno_portkey.policy import Policy


class NoBirds(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a bird") if "bluebird" in passage.text else None


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_guards_of_a_policy(mode: Mode, form: str, source: str, scene: Scene) -> None:
    own = scene.own_mode("guards", mode, source)
    policy = Policy(guards=[{"use": "test_guard_modes:NoBirds", "mode": own}])
    events: list[Event] = []
    agent = govern(Agent(model=scene.model), policy=policy, observers=[events.append])
    run = play(agent, form, "a bluebird")
    told = [
        event.data["mode"] for event in events if event.kind == "guard" and not event.verdict.passed
    ]
    assert (run.status == RunStatus.error) is (mode == "enforce")
    assert bool(scene.provider.calls) is (mode != "enforce")
    assert set(told) == (set() if mode == "off" else {mode})
