"""A team of one Desk and its Writer, with a hook on both, run in each of the four forms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from agno.agent import Agent
from agno.team import Team

from agno_portkey import PortkeyModel
from agno_portkey.errors import InputBlocked, OutputBlocked
from agno_portkey.hooks import Hook, Moment
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.verdict import Verdict

FORMS = ("run", "arun", "stream", "astream")


class Refuses(Hook):
    """Refuses whatever it is asked about."""

    def before(self, moment: Moment) -> None:
        raise InputBlocked(Verdict(False, "no entry", ("the reason is private",)))

    def after(self, moment: Moment) -> None:
        raise OutputBlocked(Verdict(False, "no exit", ("the reason is private",)))


def play(owner: Any, form: str, message: Any = "Hi", **options: Any) -> Any:
    """Run an agent or team in one of the four forms; its output or last event."""
    if form == "run":
        return owner.run(message, **options)
    if form == "arun":
        return asyncio.run(owner.arun(message, **options))
    options = {"stream": True, "stream_events": True, "yield_run_output": True, **options}
    if form == "stream":
        return list(owner.run(message, **options))[-1]

    async def last() -> Any:
        return [event async for event in owner.arun(message, **options)][-1]

    return asyncio.run(last())


def desk(
    model: PortkeyModel,
    hooks: Sequence[Hook],
    *,
    before: Sequence[Hook] = (),
    after: Sequence[Hook] = (),
    **options: Any,
) -> Team:
    """The team; `before` and `after` are the Writer's own, after and before the shared ones."""
    ending = [hook for hook in hooks if type(hook).after is not Hook.after]
    writer = Agent(
        id="writer",
        name="Writer",
        model=model,
        instructions="You are the Writer",
        pre_hooks=[*hooks, *before],
        post_hooks=[*after, *ending],
    )
    return Team(
        name="Desk",
        members=[writer],
        model=model,
        instructions="You are the Desk",
        pre_hooks=[*hooks],
        post_hooks=[*ending],
        **options,
    )


def tell(provider: EmbeddedProvider, member: str = "writer") -> None:
    """The Desk asks its Writer once, and ends."""
    ask = ToolCall("delegate_task_to_member", {"member_id": member, "task": "a task for you"})
    provider.when("You are the Desk", [Reply(tool_calls=(ask,)), "All is written."])
    provider.when("You are the Writer", "Once upon a time")
