"""Which schema a call asks for, in the forms the host and providers have."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, play
from pydantic import BaseModel

from agno_portkey.contracts import Repair, validate
from agno_portkey.contracts.check import asks_for_json, held_to, wanted
from agno_portkey.contracts.schemas import Schema
from agno_portkey.errors import ContractError
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.verdict import Event

TICKET = {
    "type": "json_schema",
    "json_schema": {
        "name": "Ticket",
        "schema": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "tags": {"type": "array"}},
            "required": ["id"],
            "additionalProperties": False,
        },
    },
}


class Note(BaseModel):
    text: str
    count: int = 0


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (Note, "Note"),
        (TICKET, "Ticket"),
        ({"type": "json_schema", "json_schema": {"schema": {"title": "T"}}}, "T"),
        ({"type": "json_schema"}, "JSON object"),
        ({"type": "json_object"}, "JSON object"),
        ({"type": "text"}, None),
        (None, None),
        (str, None),
    ],
)
def test_the_schema_that_is_asked_for(asked: Any, name: str | None) -> None:
    found = wanted(asked)
    assert (found and found.name) == name
    assert asks_for_json(asked) is (name is not None)


def test_data_is_held_to_a_schema_too() -> None:
    assert validate(Note, {"text": "a"}) == Note(text="a")
    assert held_to(Schema({"required": ["a"]}), {"a": 1}).value == {"a": 1}
    with pytest.raises(ContractError, match="is not a valid Note: text: "):
        validate(Note, {"text": 3})
    with pytest.raises(ContractError, match="Writer's output is not a valid JSON object"):
        held_to(Schema({"required": ["a"]}), {}, role="Writer")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("text", "rung"),
    [
        ('{"id": 7}', "given"),
        ('```json\n{"id": 7}\n```', "given"),
        ('Here it is: {"id": 7,}', "repair"),
        ('{"ID": "7"}', "coercion"),
    ],
)
def test_a_schema_that_is_a_mapping_ends_as_data(
    text: str, rung: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    heard: list[Event] = []
    portkey_model.observers = (heard.append,)
    portkey_provider.reply(Reply(text, chunk_size=4))
    ended = play(Agent(name="Desk", model=portkey_model, output_schema=TICKET), form)
    assert (ended.status, ended.content) == (RunStatus.completed, {"id": 7})
    told = [event for event in heard if event.kind == "contract"]
    assert [(event.data["rung"], event.role) for event in told] == [(rung, "Desk")]
    assert all(event.verdict is not None and event.verdict.passed for event in told)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ['{"id": "seven"}', '{"id": 7, "more": 1}', '{"id": 7', "{}"])
def test_what_does_not_fit_the_mapping_ends_in_error(
    text: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.repair = Repair(reasks=0)
    portkey_provider.reply(Reply(text, chunk_size=4))
    ended = play(Agent(name="Desk", model=portkey_model, output_schema=TICKET), form)
    assert ended.status == RunStatus.error
    assert ended.content.startswith("Desk's output is not a valid Ticket: ")


@pytest.mark.parametrize("form", FORMS)
def test_a_repaired_object_is_what_everybody_gets(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply("{'text': 'it\\'s', 'Count': '3',}", chunk_size=3))
    ended = play(Agent(model=portkey_model, output_schema=Note), form)
    assert (ended.status, ended.content) == (RunStatus.completed, Note(text="it's", count=3))
