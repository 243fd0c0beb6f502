"""An agent with an output schema ends with an object of it, or in ERROR; never with a string."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play
from pydantic import BaseModel, Field

from agno_portkey.contracts import Plan, Repair
from agno_portkey.errors import ContractError
from agno_portkey.hooks import ContractHook
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.testing.story import SOUND


class Verse(BaseModel):
    """A small schema of a user's own."""

    text: str
    lines: int = Field(ge=1)


@pytest.fixture(autouse=True)
def _asked_once(portkey_model: PortkeyModel) -> None:
    """Asking again has tests of its own."""
    portkey_model.repair = Repair(reasks=0)


GOOD = Verse(text="a\nb", lines=2)

BROKEN = {
    "cut off": '{"text": "a", "lin',
    "prose": "Here you are: a verse of two lines.",
    "a field is missing": '{"text": "a"}',
    "a field does not fit": '{"text": "a", "lines": 0}',
    "another type": '["a", 1]',
    "two objects": '{"text": "a", "lines": 1} {"text": "b", "lines": 1}',
    "nothing": "",
    "blanks": " \n ",
    "thoughts of an object": '<think>{"text": "a", "lines": 1}</think>',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_fit_ends_in_error(
    name: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, Reply(BROKEN[name], chunk_size=4))
    agent = Agent(name="Poet", model=portkey_model, output_schema=Verse)

    ended = play(agent, form)

    assert ended.status == RunStatus.error
    assert ended.content.startswith("Poet's output is not a valid Verse: ")
    assert ended.shown == [] or ended.shown == ()
    with pytest.raises(ContractError) as caught:
        ask(portkey_model, form, response_format=Verse)
    assert caught.value.verdict.reasons
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.model_dump_json(), id="plain"),
        pytest.param(f"```json\n{GOOD.model_dump_json(indent=1)}\n```", id="fenced"),
        pytest.param(f"\n```\n{GOOD.model_dump_json()}\n```\n", id="fenced without a name"),
        pytest.param(f"<think>Two lines.</think>{GOOD.model_dump_json()}", id="after thoughts"),
    ],
)
def test_what_fits_ends_as_an_object(
    text: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(text, chunk_size=5))
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert (ended.status, ended.content) == (RunStatus.completed, GOOD)
    assert [shown for shown in ended.shown if not isinstance(shown, Verse)] == []
    assert ended.output is not None
    assert (ended.output.model_provider_data or {})["portkey"]["finish_reason"] == "stop"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "```json\n{}\n```",
        "</think> {",
        "<think>a</think> b </think>",
        'she said "yes", {"no"}',
        "*bold* `code` #tag \\ \t",
    ],
)
def test_texts_that_the_host_might_mistake_do_not_become_strings(
    text: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    verse = Verse(text=text, lines=1)
    portkey_provider.reply(verse)
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    if ended.status == RunStatus.completed:
        assert ended.content == verse
    else:
        # The host takes all before the mark for thoughts, and what is left is no object.
        assert "</think>" in text


@pytest.mark.parametrize("form", FORMS)
def test_a_mark_of_thoughts_in_a_text_is_not_taken_for_one_twice(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    verse = Verse(text="so </think> it is", lines=1)
    portkey_provider.reply(f"<think>Hm.</think>{verse.model_dump_json()}")
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert (ended.status, ended.content) == (RunStatus.completed, verse)


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_comes_after_its_tools(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def look(where: str) -> str:
        """Look something up."""
        return f"nothing in {where}"

    portkey_provider.reply(Reply("I look first.", tool_calls=(ToolCall("look", {"where": "it"}),)))
    portkey_provider.reply(SOUND)
    ended = play(Agent(model=portkey_model, output_schema=Plan, tools=[look]), form)
    assert ended.content == SOUND
    assert "I look first." not in ended.text_shown
    assert portkey_provider.calls[1].tool_results == ["nothing in it"]


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_is_refused_is_not_an_object(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(refusal="I would rather not."))
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert ended.status == RunStatus.error
    assert "the model refuses to answer" in str(ended.content)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["a verse", '{"text": "a", "li', "[1]", ""])
def test_in_json_mode_what_is_no_object_ends_in_error(
    text: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(text, chunk_size=3))
    agent = Agent(model=portkey_model, output_schema=Verse, use_json_mode=True)
    ended = play(agent, form)
    assert portkey_provider.calls[0].response_format == {"type": "json_object"}
    assert ended.status == RunStatus.error
    assert "not a valid JSON object" in ended.content
    assert ended.text_shown == ""


@pytest.mark.parametrize("form", FORMS)
def test_in_json_mode_what_fits_ends_as_an_object(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(f"```json\n{GOOD.model_dump_json()}\n```", chunk_size=5))
    agent = Agent(model=portkey_model, output_schema=Verse, use_json_mode=True)
    assert play(agent, form).content == GOOD


@pytest.mark.parametrize("form", FORMS)
def test_in_json_mode_the_hook_knows_the_schema(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    # The host tells the model that JSON is wanted, and not which.
    portkey_provider.reply('{"text": "a", "lines": 0}')
    agent = Agent(
        model=portkey_model,
        output_schema=Verse,
        use_json_mode=True,
        post_hooks=[ContractHook()],
    )
    ended = play(agent, form)
    assert ended.status == RunStatus.error
    assert "not a valid Verse" in str(ended.content) or ended.content is None


@pytest.mark.parametrize("form", FORMS)
def test_a_schema_in_the_providers_own_form_asks_for_an_object_too(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    schema = {"name": "Verse", "schema": Verse.model_json_schema()}
    wanted: dict[str, Any] = {"type": "json_schema", "json_schema": schema}
    portkey_provider.reply("not JSON")
    ended = play(Agent(model=portkey_model, output_schema=wanted), form)
    assert ended.status == RunStatus.error

    portkey_provider.reply(GOOD)
    ended = play(Agent(model=portkey_model, output_schema=wanted), form)
    assert ended.content == json.loads(GOOD.model_dump_json())


@pytest.mark.parametrize("form", ["stream", "astream"])
def test_a_stream_that_breaks_off_is_no_object_even_if_it_looks_whole(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(chunks=[GOOD.model_dump_json(), " "]))
    portkey_provider.fault(Fault.cut(0.99, clean=True), times=None)
    with pytest.raises(Exception, match="not whole"):
        ask(portkey_model, form, response_format=Verse)
