"""The class in place of an object, as people write it by mistake: refused, never passed over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agno.agent import Agent
from four_forms import FORMS, play

from agno_portkey import Block, Guard, Passage, PortkeyModel, raise_on_block
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.hooks import Hook, Moment, TagHook


class NoBluebird(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if "bluebird" in passage.text else None


class Quiet(Hook):
    def before(self, moment: Moment) -> None:
        return None


class Needs(Hook):
    def __init__(self, hour: int) -> None:
        self.hour = hour


@pytest.mark.parametrize("place", ["pre_hooks", "post_hooks"])
@pytest.mark.parametrize("kind", [NoBluebird, Quiet, Needs, TagHook])
@pytest.mark.parametrize("form", FORMS)
def test_a_class_in_a_list_of_hooks_is_refused(
    form: str, kind: type, place: str, portkey_model: PortkeyModel
) -> None:
    ended = play(Agent(model=portkey_model, **{place: [kind]}), form, "bluebird")
    assert ended.status.value == "ERROR"
    assert f"give an object, {kind.__name__}()" in ended.content


def test_objects_are_made_as_before() -> None:
    assert Needs(3).hour == Needs(hour=3).hour == 3
    assert NoBluebird(name="other").name == "other"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(NoBluebird, r"make one, NoBluebird\(\)"), (lambda passage: None, "@guard"), (3, "not 3$")],
    ids=["a class", "a function", "a number"],
)
def test_what_is_no_guard_is_refused_with_what_to_do(wrong: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check_guards([wrong])


def test_only_a_run_or_an_event_can_be_raised_on(portkey_model: PortkeyModel) -> None:
    agent = Agent(model=portkey_model)
    with pytest.raises(TypeError, match="the last event of its stream"):
        raise_on_block(agent.run("Hi", stream=True))

    async def wrong() -> None:
        waiting: Any = agent.arun("Hi")
        try:
            raise_on_block(waiting)
        finally:
            await waiting

    with pytest.raises(TypeError, match="a run's output"):
        asyncio.run(wrong())
