"""What a member says is shown as it speaks if its leader's guards have heard it, and else after."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.team import Team
from four_forms import STREAMED
from gathered import MASK, WORD, Mask, MaskPiecewise, Whole, go, stored

from agno_portkey.guardrails import Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@pytest.fixture
def model(portkey_model: PortkeyModel) -> PortkeyModel:
    return portkey_model


def _team(leader: PortkeyModel, member: PortkeyModel, **settings: Any) -> Team:
    scout = Agent(name="Scout", model=member, **settings)
    return Team(members=[scout], model=leader, db=InMemoryDb(), store_events=True)  # type: ignore[no-untyped-call]


def _delegates(provider: EmbeddedProvider, said: str) -> None:
    task = {"member_id": "scout", "task": "find it"}
    provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
    provider.reply(Reply(said, chunk_size=4))
    provider.reply("It was found.")


@pytest.mark.parametrize("form", STREAMED)
def test_what_a_member_says_is_not_shown_before_its_leaders_guards(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    bare = dataclasses.replace(model)
    for guard in (Mask(), Mask(on="input"), Whole(), Whole(on="input")):
        portkey_provider.reset()
        model.guards = (guard,)
        team = _team(model, bare)
        _delegates(portkey_provider, f"I saw the {WORD} of us.")
        seen = go(team, form, "find it")
        assert seen.failed == isinstance(guard, Whole)
        assert "bird" not in "\n".join(seen.told)
        assert (MASK in "\n".join(seen.told)) != seen.failed
        assert WORD not in stored(team.db)


class Watches(MaskPiecewise):
    """Notes what had been shown whenever it was asked about a result."""

    def __init__(self, shown: list[Any]) -> None:
        super().__init__()
        self.shown, self.seen = shown, list[str]()

    def inspect(self, passage: Passage) -> Any:
        if passage.scene.stage == "tool" and passage.source == "tool":
            self.seen.append("".join(self.shown))
        return super().inspect(passage)


def _watch(team: Team, form: str, out: list[Any]) -> None:
    def note(event: Any) -> None:
        if type(event).__name__ == "RunContentEvent":
            out.append(event.content or "")

    if form == "stream":
        for event in team.run("find it", stream=True, stream_events=True):
            note(event)
        return

    async def run() -> None:
        async for event in team.arun("find it", stream=True, stream_events=True):
            note(event)

    asyncio.run(run())


@pytest.mark.parametrize("form", STREAMED)
def test_a_member_with_the_same_guards_is_heard_as_it_speaks(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    said = f"I saw the {WORD} of us."
    for has_it, settings, expected in (
        (True, {}, said.replace(WORD, MASK)),
        (False, {}, ""),
        (True, {"parser_model": True}, ""),
    ):
        portkey_provider.reset()
        out: list[Any] = []
        model.guards = (watches := Watches(out),)
        other = dataclasses.replace(model)
        other.guards = model.guards if has_it else ()
        given = {name: dataclasses.replace(model) for name in settings}
        team = _team(model, other, **given)
        _delegates(portkey_provider, said)
        _watch(team, form, out)
        assert watches.seen[0] == expected


@pytest.mark.parametrize("form", STREAMED)
def test_a_team_within_a_team_is_heard_if_all_have_the_guards(
    form: str, portkey_provider: EmbeddedProvider, model: PortkeyModel
) -> None:
    for has_it in (True, False):
        portkey_provider.reset()
        out: list[Any] = []
        model.guards = (watches := Watches(out),)
        bare = dataclasses.replace(model)
        bare.guards = ()
        inner = Team(name="Inner", members=[Agent(name="Scout", model=model if has_it else bare)])
        inner.model = model
        team = Team(members=[inner], model=model)
        task = {"member_id": "inner", "task": "find it"}
        portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
        _delegates(portkey_provider, f"I saw the {WORD} of us.")
        portkey_provider.reply("All was found.")
        _watch(team, form, out)
        assert (MASK in "".join(watches.seen)) == has_it
        assert WORD not in "".join(out)
