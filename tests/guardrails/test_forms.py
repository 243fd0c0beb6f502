"""A guard as a hook of agents and teams: asked in every form, whichever was first, anywhere."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.agent import RunInput, RunOutput
from agno.run.base import RunStatus
from agno.team import Team
from fastapi import BackgroundTasks
from four_forms import FORMS, play
from gathered import MASK, WORD, Beside, Mask, Whole
from pydantic import BaseModel

from agno_portkey.errors import InputBlocked, OutputBlocked
from agno_portkey.guardrails import Block, Guard, Passage, guard, raise_on_block, verdict_of
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.verdict import Event

KINDS = ("agent", "team")
ASKED = f"Is the {WORD} ready?"


class Awaits(Whole):
    """The same with an async body."""

    inline = False

    async def inspect(self, passage: Passage) -> Block | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().inspect(passage)


GUARDS = (Whole, Beside, Awaits)


def owner(kind: str, model: PortkeyModel, **fields: Any) -> Any:
    if kind == "agent":
        return Agent(name="solo", model=model, **fields)
    return Team(name="crew", model=model, members=[Agent(name="a", model=model)], **fields)


def play_in(kind: str, owned: Any, form: str, message: str, **options: Any) -> Any:
    """The output of a run, of a streamed one its last event."""
    if kind == "agent":
        ended = play(owned, form, message, **options)
        return ended.output or ended.errors[0]
    match form:
        case "run":
            return owned.run(message, **options)
        case "arun":
            return asyncio.run(_whole(owned, message, options))
        case "stream":
            return [*owned.run(message, stream=True, **options)][-1]
        case _:
            return asyncio.run(_last(owned, message, options))


async def _whole(owned: Any, message: str, options: dict[str, Any]) -> Any:
    return await owned.arun(message, **options)


async def _last(owned: Any, message: str, options: dict[str, Any]) -> Any:
    return [e async for e in owned.arun(message, stream=True, **options)][-1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", GUARDS)
def test_a_pre_hook_refuses_before_anybody_is_asked(
    made: type[Guard],
    kind: str,
    form: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    db = InMemoryDb()  # type: ignore[no-untyped-call]
    owned = owner(kind, portkey_model, pre_hooks=[made()], db=db)
    out = play_in(kind, owned, form, ASKED)
    assert out.content == "a secret project is named"
    assert portkey_provider.requests == []
    assert WORD not in json.dumps(db._sessions, default=lambda held: str(vars(held)))
    with pytest.raises(InputBlocked, match="a secret project"):
        raise_on_block(out)
    assert play_in(kind, owned, form, "Is it ready?").content is not None
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", GUARDS)
def test_a_post_hook_refuses_what_was_produced(
    made: type[Guard],
    kind: str,
    form: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.reply(Reply(f"The {WORD} is."))
    db = InMemoryDb()  # type: ignore[no-untyped-call]
    owned = owner(kind, portkey_model, post_hooks=[made()], db=db)
    out = play_in(kind, owned, form, "Which is ready?", session_id="s")
    assert out.content == "a secret project is named"
    with pytest.raises(OutputBlocked, match="a secret project"):
        raise_on_block(out)
    assert WORD not in json.dumps(db._sessions, default=str)


@pytest.mark.parametrize("order", ["arun run", "run arun", "astream stream", "stream astream"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", GUARDS)
def test_whichever_form_came_first_no_later_one_skips_it(
    made: type[Guard],
    kind: str,
    order: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    owned = owner(kind, portkey_model, pre_hooks=[made()], post_hooks=[made()])
    for form in [*order.split(), *order.split()]:
        out = play_in(kind, owned, form, ASKED)
        assert out.content == "a secret project is named"
    assert portkey_provider.requests == []
    for form in [*order.split(), *order.split()]:
        portkey_provider.reply(Reply(f"The {WORD} is."))
        out = play_in(kind, owned, form, "Which is ready?")
        assert out.content == "a secret project is named"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", GUARDS)
async def test_a_sync_run_inside_a_running_loop(
    made: type[Guard], kind: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    owned = owner(kind, portkey_model, pre_hooks=[made()])
    first = owned.run(ASKED)
    second = await owned.arun(ASKED)
    third = owned.run(ASKED)
    assert {each.status for each in (first, second, third)} == {RunStatus.error}
    assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_hooks_in_the_background_of_a_server_still_block(
    kind: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tasks = BackgroundTasks()
    owned = owner(kind, portkey_model, pre_hooks=[Beside()], post_hooks=[Awaits()])
    owned._run_hooks_in_background = True
    for _ in range(2):
        out = play_in(kind, owned, form, ASKED, background_tasks=tasks)
        assert out.content == "a secret project is named"
    assert portkey_provider.requests == []
    portkey_provider.reply(Reply(f"The {WORD} is."))
    out = play_in(kind, owned, form, "Which is ready?", background_tasks=tasks)
    assert out.content == "a secret project is named"
    assert tasks.tasks == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_copies_that_a_server_makes_for_each_request_ask_it_too(
    kind: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    own = Beside(observers=[heard.append])
    owned = owner(kind, portkey_model, pre_hooks=[own])
    for _ in range(2):
        copies = [owned.deep_copy() for _ in range(4)]
        outputs = await asyncio.gather(*(copy.arun(ASKED) for copy in copies))
        assert {out.status for out in outputs} == {RunStatus.error}
        # And once its hooks have taken the form of a run.
        assert owned.run(ASKED).status is RunStatus.error
    assert len(heard) == 10
    assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_rewritten_reaches_the_model_and_the_store_as_rewritten(
    kind: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    db = InMemoryDb()  # type: ignore[no-untyped-call]
    portkey_provider.reply(Reply(f"The {WORD} is."))
    hooks: dict[str, Any] = {"pre_hooks": [Mask()], "post_hooks": [Mask()], "store_events": True}
    owned = owner(kind, portkey_model, db=db, **hooks)
    play_in(kind, owned, form, ASKED, session_id="s")
    assert portkey_provider.calls[0].last_user == f"Is the {MASK} ready?"
    stored = json.dumps(db._sessions, default=lambda held: getattr(held, "__dict__", str(held)))
    assert WORD not in stored
    assert f"The {MASK} is." in stored


class Order(BaseModel):
    to: str
    note: dict[str, str] = {}


@pytest.mark.parametrize("content", [Order(to=WORD), {"to": WORD}, [WORD], [Order(to=WORD)]])
def test_what_is_not_a_text_is_looked_into(content: Any) -> None:
    asked = RunInput(input_content=content)
    with pytest.raises(InputBlocked):
        Whole().check(asked)
    assert WORD not in str(asked.input_content)
    with pytest.raises(OutputBlocked):
        Whole().check(run_output=RunOutput(content=content))


def test_content_and_reasoning_are_one_stage() -> None:
    heard: list[Event] = []
    out = RunOutput(content="fine", reasoning_content=f"the {WORD}, of course")
    with pytest.raises(OutputBlocked) as caught:
        Whole(observers=[heard.append]).check(run_output=out)
    assert (out.content, out.reasoning_content) == (None, None)
    assert [event.data["passages"] for event in heard] == [2]
    assert caught.value.verdict.evidence["found"][0]["source"] == "reasoning"
    assert verdict_of(out) == caught.value.verdict
    masked = RunOutput(content=f"a {WORD}", reasoning_content=WORD)
    Mask().check(run_output=masked)
    assert (masked.content, masked.reasoning_content) == (f"a {MASK}", MASK)


@pytest.mark.parametrize("given", [{}, {"run_input": object()}, {"run_output": object()}])
def test_what_cant_be_read_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises((InputBlocked, OutputBlocked), match="Whole can't tell"):
        Whole().check(**given)


def test_what_ends_the_process_is_not_held_up() -> None:
    @guard(inline=True)
    def interrupted(passage: Passage) -> None:
        raise KeyboardInterrupt

    out = RunOutput(content="x")
    with pytest.raises(KeyboardInterrupt):
        interrupted.check(run_output=out)
    assert out.content is None
