"""What a request says beside its messages is looked at as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from four_forms import FORMS, play

from agno_portkey.guardrails import Block, Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

WORD = "bluebird"


class Mask(Guard):
    rewrites = True
    inline = True

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace(WORD, "****")
        return None if text == passage.text else Rewrite(text)


class Refuse(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a project is named") if WORD in passage.text else None


class Hears(Guard):
    inline = True
    on = "input"

    def inspect(self, passage: Passage) -> None:
        heard.append((passage.text, passage.source, passage.path))


heard: list[tuple[str, str, str]] = []
FIELDS: dict[str, Any] = {
    "user": WORD,
    "metadata": {"who": WORD},
    "stop": [f"the {WORD}", "END"],
    "audio": {"voice": WORD, "format": "wav"},
    "modalities": ["text", WORD],
    "service_tier": WORD,
    "extra_body": {"safety_identifier": WORD, "deep": [{"a": (WORD, 7)}]},
    "extra_query": {"q": WORD},
    "request_params": {"prediction": {"type": "content", "content": WORD}},
}


def _sent(provider: EmbeddedProvider) -> str:
    return "".join(f"{request.path}{json.dumps(request.body)}" for request in provider.requests)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_rewritten(
    name: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    setattr(portkey_model, name, FIELDS[name])
    portkey_model.guards = (Mask(),)
    play(Agent(model=portkey_model), form, "Hi")
    assert portkey_provider.requests
    assert WORD not in _sent(portkey_provider)
    if name != "extra_query":
        # The gateway keeps a query to itself.
        assert "****" in _sent(portkey_provider)
    # The model keeps what it was given.
    assert getattr(portkey_model, name) == FIELDS[name]
    assert WORD in repr(getattr(portkey_model, name))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_blocked(
    name: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    setattr(portkey_model, name, FIELDS[name])
    portkey_model.guards = (Refuse(),)
    ended = play(Agent(model=portkey_model), form, "Hi")
    assert ended.content == "a project is named"
    assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["metadata", "extra_body"])
def test_a_key_is_not_rewritten_and_not_sent(
    name: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    setattr(portkey_model, name, {"a": "x", WORD: "y"})
    portkey_model.guards = (Mask(),)
    ended = play(Agent(model=portkey_model), form, "Hi")
    assert f"Mask would rewrite a key of {name}" in str(ended.content)
    assert WORD not in str(ended.content)
    assert portkey_provider.requests == []
    portkey_model.guards = (Mask(mode="observe"),)
    assert play(Agent(model=portkey_model), form, "Hi").status.value == "COMPLETED"
    # The gateway drops what it does not know of a body.
    assert (WORD in _sent(portkey_provider)) is (name == "metadata")


@pytest.mark.parametrize("several", [list, tuple])
@pytest.mark.parametrize("form", FORMS)
def test_a_key_of_a_mapping_among_several_is_not_rewritten_either(
    form: str, several: type, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.extra_body = {"deep": several([{WORD: "y"}])}
    portkey_model.guards = (Mask(),)
    ended = play(Agent(model=portkey_model), form, "Hi")
    assert "Mask would rewrite a key of extra_body.(key)[0]:" in str(ended.content)
    assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
def test_what_was_rewritten_in_a_field_changes_nothing_of_the_run(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    """A run holds no field: the same word in an answer is another one's, for another guard."""
    portkey_model.user = WORD
    portkey_model.guards = (Mask(on="input"),)
    portkey_provider.reply(f"The {WORD} sings.")
    ended = play(Agent(model=portkey_model), form, "Hi")
    assert WORD not in _sent(portkey_provider)
    assert ended.content == f"The {WORD} sings."
    assert ended.output is not None
    assert str(ended.output.messages[-1].content) == f"The {WORD} sings."


def test_a_field_that_is_nested_too_deep_is_not_sent(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    deep: Any = "x"
    for _ in range(150):
        deep = [deep]
    portkey_model.extra_body = {"a": deep}
    portkey_model.guards = (Refuse(),)
    assert "can't tell" in str(Agent(model=portkey_model).run("Hi").content)
    assert portkey_provider.requests == []


def test_figures_and_what_the_api_says_itself_are_not_asked_about(
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (Hears(),)
    portkey_model.temperature, portkey_model.store, portkey_model.top_p = 0.5, False, 1.0
    portkey_model.reasoning_effort, portkey_model.modalities = "low", ["text"]
    Agent(model=portkey_model).run("Hi")
    assert [each for each in heard if each[1] == "data"] == []
    heard.clear()
    # A long one may be somebody's.
    portkey_model.seed, portkey_model.user = 4111111111111111, "u"
    portkey_model.metadata = {"": "x"}
    # And nobody knows what a field says that is none of the API's figures.
    portkey_model.request_params = {"seat": 12}
    Agent(model=portkey_model).run("Hi")
    assert [each for each in heard if each[1] == "data"] == [
        ("4111111111111111", "data", "seed"),
        ("u", "data", "user"),
        ("x", "data", "metadata."),
        ("12", "data", "seat"),
    ]
    heard.clear()
