"""What Agno does with structured outputs that contracts rely on."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from agno.agent import Agent, _response
from agno.models.base import Model
from four_forms import FORMS, play
from pydantic import BaseModel

from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider


class Verse(BaseModel):
    """Some lines of text."""

    first_line: str


@pytest.mark.parametrize("form", FORMS)
def test_in_json_mode_the_schema_is_in_the_prompt(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply('{"first_line": "a"}')
    play(Agent(model=portkey_model, output_schema=Verse, use_json_mode=True), form)
    (call,) = portkey_provider.calls
    assert call.response_format == {"type": "json_object"}
    assert "first_line" in call.system


@pytest.mark.parametrize("form", FORMS)
def test_without_one_it_is_in_the_request(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply('{"first_line": "a"}')
    play(Agent(model=portkey_model, output_schema=Verse), form)
    (call,) = portkey_provider.calls
    asked: Any = call.response_format
    assert asked["type"] == "json_schema"
    assert "first_line" in asked["json_schema"]["schema"]["properties"]


@pytest.mark.parametrize("name", ["response_stream", "aresponse_stream"])
def test_whether_a_stream_is_streamed_is_an_argument(name: str) -> None:
    """An agent with an output schema says False, which `_stream_partials` overrules."""
    parameters = inspect.signature(getattr(Model, name)).parameters
    assert parameters["stream_model_response"].default is True
    assert "stream_model_response = False" in inspect.getsource(_response)
