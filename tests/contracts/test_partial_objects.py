"""A stream tells what is there of an object while it fills, as partial and never as final."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run.agent import RunContentEvent, RunOutput
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS, STREAMED, play
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from verses import GOOD, WRONG, Verse

from agno_portkey import govern
from agno_portkey.contracts import Contract, Partial, partial_of
from agno_portkey.contracts.partial import Filling
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall


class Tale(BaseModel):
    """A longer text."""

    title: str
    parts: list[str]


TALE = Tale(title="The rain", parts=["It rained.", "It rained on.", "It stopped."])


@pytest.fixture
def telling(portkey_model: PortkeyModel) -> PortkeyModel:
    portkey_model.contracts = (Contract(Tale, partials=True),)
    return portkey_model


def _events(agent: Agent | Team, form: str, **options: Any) -> list[Any]:
    options = {"stream": True, "stream_events": True, "yield_run_output": True, **options}
    if form == "stream":
        return list(agent.run("Hi", **options))

    async def collected() -> list[Any]:
        return [event async for event in agent.arun("Hi", **options)]

    return asyncio.run(collected())


def _partials(events: list[Any]) -> list[Partial]:
    return [found for event in events if (found := partial_of(event)) is not None]


@pytest.mark.parametrize("form", STREAMED)
def test_an_object_is_told_while_it_fills(
    form: str, portkey_provider: EmbeddedProvider, telling: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(TALE.model_dump_json(), chunk_size=5))
    events = _events(Agent(model=telling, output_schema=Tale), form)

    partials = _partials(events)
    assert len(partials) > 5
    assert {partial.schema for partial in partials} == {"Tale"}
    titles = [partial.data.get("title", "") for partial in partials]
    assert all("The rain".startswith(title) for title in titles)
    parts = [partial.data.get("parts", []) for partial in partials]
    assert [len(each) for each in parts] == sorted(len(each) for each in parts)
    assert parts[-1][:2] == TALE.parts[:2]

    # The text is nowhere shown as content; the one content is the object.
    shown = [e.content for e in events if isinstance(e, RunContentEvent) and e.content is not None]
    assert shown == [TALE]
    (output,) = [event for event in events if isinstance(event, RunOutput)]
    assert (output.status, output.content) == (RunStatus.completed, TALE)
    assert "partial" not in json.dumps(output.to_dict(), default=str)


@pytest.mark.parametrize("form", STREAMED)
def test_partials_begin_anew_when_the_model_is_asked_again(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(Verse, partials=True),)
    portkey_provider.reply(Reply(WRONG, chunk_size=3))
    portkey_provider.reply(Reply(GOOD.model_dump_json(), chunk_size=3))
    events = _events(Agent(model=portkey_model, output_schema=Verse), form)
    told = [(one.attempt, one.data.get("text", "")) for one in _partials(events)]
    assert (1, "a") in told
    assert (2, "a\nb") in told
    assert [attempt for attempt, _ in told] == sorted(attempt for attempt, _ in told)
    (output,) = [event for event in events if isinstance(event, RunOutput)]
    assert output.content == GOOD


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_refused_in_the_end_is_left_nowhere(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel, tmp_path: Any
) -> None:
    portkey_model.contracts = (Contract(Verse, partials=True),)
    reply = Reply('{"text": "rejected", "lines": 0}', chunk_size=3)
    portkey_provider.when(lambda request: True, reply)
    database = SqliteDb(db_file=str(tmp_path / "runs.db"))
    agent = Agent(model=portkey_model, output_schema=Verse, db=database)
    events = _events(agent, form, session_id="s")
    assert any("reject" in partial.data.get("text", "") for partial in _partials(events))
    session: Any = agent.get_session(session_id="s")
    assert session.runs[0].status == RunStatus.error
    kept = [run.to_dict() for run in session.runs]
    assert "reject" not in json.dumps(kept, default=str)


@pytest.mark.parametrize("form", STREAMED)
def test_a_stream_that_is_cut_after_a_partial_is_asked_for_again(
    form: str, portkey_provider: EmbeddedProvider, telling: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, Reply(TALE.model_dump_json(), chunk_size=5))
    portkey_provider.fault(Fault.cut(0.7), times=1)
    events = _events(Agent(model=telling, output_schema=Tale), form)
    (output,) = [event for event in events if isinstance(event, RunOutput)]
    assert (output.status, output.content) == (RunStatus.completed, TALE)
    assert len(portkey_provider.calls) == 2
    # Nothing was wrong with the answer but that it broke off.
    assert portkey_provider.calls[1].messages == portkey_provider.calls[0].messages


@pytest.mark.parametrize("form", STREAMED)
def test_a_provider_that_always_cuts_is_not_asked_for_ever(
    form: str, portkey_provider: EmbeddedProvider, telling: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, Reply(TALE.model_dump_json(), chunk_size=5))
    portkey_provider.fault(Fault.cut(0.7), times=None)
    ended = play(Agent(model=telling, output_schema=Tale), form)
    assert ended.status == RunStatus.error
    assert len(portkey_provider.calls) <= 12


class Forbids(Guard):
    """Blocks a word, of which it has to see the whole answer."""

    on = "output"
    streams = "whole"

    def inspect(self, passage: Passage) -> Block | None:
        return Block("it stopped") if "stopped" in passage.text else None


@pytest.mark.parametrize("form", STREAMED)
def test_partials_are_what_guards_have_let_through(
    form: str, portkey_provider: EmbeddedProvider, telling: PortkeyModel
) -> None:
    telling.guards = (Forbids(),)
    portkey_provider.reply(Reply(TALE.model_dump_json(), chunk_size=5))
    events = _events(Agent(model=telling, output_schema=Tale), form)
    assert _partials(events) == []
    assert "It stopped" not in repr(events)


@pytest.mark.parametrize("form", STREAMED)
def test_a_members_object_is_told_while_it_fills(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    call = ToolCall("delegate_task_to_member", {"member_id": "teller", "task": "a tale"})
    for reply in (
        Reply(tool_calls=(call,)),
        Reply(TALE.model_dump_json(), chunk_size=5),
        "Done.",
    ):
        portkey_provider.reply(reply)
    teller = Agent(id="teller", name="Teller", model=portkey_model, output_schema=Tale)
    team = Team(members=[teller], model=portkey_model, stream_member_events=True)
    govern(team, contracts=[Contract(Tale, partials=True)])
    partials = _partials(_events(team, form))
    assert len(partials) > 5
    assert partials[-1].data["title"] == "The rain"


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_told_unasked(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(TALE.model_dump_json(), chunk_size=5))
    agent = Agent(model=portkey_model, output_schema=Tale)
    ended = play(agent, form)
    assert ended.shown in ((), [TALE])


# Reading what has begun


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
), st.integers(1, 9))  # fmt: skip
def test_the_last_partial_is_a_beginning_of_the_object(value: Any, size: int) -> None:
    text = json.dumps({"all": value, "end": True})
    filling = Filling()
    found = [filling.feed(text[at : at + size]) for at in range(0, len(text), size)]
    told = [each for each in found if each is not None]
    assert all(isinstance(each, dict) for each in told)
    for each in told:
        assert _begins(each, {"all": value, "end": True})


def _begins(part: Any, whole: Any) -> bool:
    """Whether `part` is a beginning of `whole`."""
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(_begins, part, whole))
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _begins(part[key], whole[key]) for key in part)
    return part == whole or isinstance(part, int)


@given(st.text(max_size=60), st.integers(1, 7))
def test_any_text_is_read_without_an_error(text: str, size: int) -> None:
    filling = Filling()
    for at in range(0, len(text), size):
        filling.feed(text[at : at + size])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('Here you are: {"a": 1, "b": "x', {"a": 1, "b": "x"}),
        ('```json\n{"a": [1, 2', {"a": [1, 2]}),
        ('<think>{"a": 0}</think>{"a": "b', {"a": "b"}),
        ('<think>{"a": 0}', None),
        ("no object", None),
        ('[{"a": "b', [{"a": "b"}]),
    ],
)
def test_what_is_read_of_a_beginning(text: str, found: Any) -> None:
    assert Filling().feed(text) == found


def test_events_as_json_are_read_as_well() -> None:
    told = {"schema": "Verse", "data": {"text": "a"}, "attempt": 2}
    event = {"event": "RunContent", "model_provider_data": {"portkey": {"partial": told}}}
    assert partial_of(event) == Partial("Verse", {"text": "a"}, attempt=2)
    assert partial_of({"event": "RunContent"}) is None
    assert partial_of({"model_provider_data": {"portkey": {"partial": "?"}}}) is None
