"""Where `PIIGuardrail` reads more than a text by itself: keys, names, masks, what stands before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message

from agno_portkey.guardrails import Passage, Rewrite, Scene
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.guard import PIIGuardrail
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply

SCENE = Scene(session_id="s", user_id="u", run_id="r")


def left(guard: PIIGuardrail, text: str, source: Any, path: str = "", **more: Any) -> str:
    """What `guard` leaves of `text`."""
    passage = Passage(text, source, more.pop("direction", "input"), path, scene=SCENE, **more)
    found = guard.inspect(passage)
    assert found is None or isinstance(found, Rewrite)
    return text if found is None else found.text


@pytest.mark.parametrize("mode", ["mask", "pseudonymize"])
@pytest.mark.parametrize(
    ("path", "value"),
    [("ssn", "536228726"), ("people[0].phone", "5550187"), ("of[3][1].surname", "okonkwo")],
)
def test_a_value_in_arguments_is_read_behind_its_key(
    path: str, value: str, mode: Any, analyzer: Analyzer
) -> None:
    guard = PIIGuardrail(mode, analyzer=analyzer)
    assert left(guard, value, "tool_call", "size") == value
    assert left(guard, value, "tool_definition", path) == value
    assert value not in left(guard, value, "tool_call", path)


def test_an_answers_arguments_are_read_so_too(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    masked = left(guard, "536228726", "tool_call", "ssn", direction="output")
    assert masked == "<US_SSN>"


def test_a_long_value_speaks_for_itself(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    text = "nobody was here, and so it went on and on, until all of it was over at long last"
    assert left(guard, text, "tool_call", "title") == text
    assert left(guard, f"{text} a@corp.internal", "tool_call", "title").endswith("<EMAIL_ADDRESS>")


def test_what_is_known_needs_no_thread_behind_its_key(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    asked = Passage("536 228 721", "tool_call", "input", "ssn", scene=SCENE)
    assert not guard.at_once([asked])
    guard.inspect(asked)
    assert guard.at_once([asked])


def test_an_answer_without_placeholders_needs_no_thread_and_no_vault(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    plain, told = (Passage(text, "assistant", "output") for text in ("Hello ", "<PERSON_1>"))
    assert guard.at_once([plain])
    assert not guard.at_once([plain, told])
    assert not guard.at_once([Passage("Hello", "user", "input")])


@pytest.mark.parametrize(("mode", "name"), [("mask", "PERSON"), ("pseudonymize", "PERSON_1")])
def test_the_name_of_who_speaks_is_hidden_as_a_name_may_be_written(
    mode: Any,
    name: str,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_model.guards = (PIIGuardrail(mode, analyzer=analyzer),)
    portkey_provider.reply(Reply("Hello."))
    said = Message(role="user", content="Hi", name="John_Smith")
    Agent(model=portkey_model, additional_input=[said]).run("And?")
    [request] = portkey_provider.requests
    assert "Smith" not in json.dumps(request.body)
    assert name in [message.get("name") for message in request.body["messages"]]


def test_names_of_tools_are_no_names_of_people(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    for source in ("tool", "tool_call"):
        assert left(guard, "ask_john_smith", source, "name") == "ask_john_smith"


def test_the_name_of_a_file_is_read_word_by_word(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    assert "Gonzalez" not in left(guard, "Maria_Gonzalez.txt", "user", "files[0].filename")


def test_what_surrounds_a_mask_is_still_hidden() -> None:
    class Wide(Analyzer):
        """Takes all of a text for an address."""

        def spans(self, text: str) -> tuple[Span, ...]:
            return (Span(0, len(text), "ADDRESS"),)

    guard = PIIGuardrail("mask", analyzer=Wide(["PERSON"], deny_list={"ADDRESS": ["x"]}))
    assert left(guard, "12 Elm <PERSON> Road", "user") == "<ADDRESS><PERSON><ADDRESS>"
    assert left(guard, "<PERSON>", "user") == "<PERSON>"


def test_names_that_a_program_gives_are_not_looked_for_later(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    left(guard, "Rings Marguerite Okonkwo.", "tool_definition")
    assert left(guard, "so okonkwo it is", "user") == "so okonkwo it is"


def test_a_placeholder_goes_by_what_stands_before_it(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    assert left(guard, "My name is John Smith.", "user") == "My name is <PERSON_1>."
    said = {"direction": "output"}
    assert left(guard, "PERSON_1 is", "assistant", before="so ", **said) == "John Smith is"
    # A part of a longer word, which was cut here.
    assert left(guard, "PERSON_1 is", "assistant", before="a_", **said) == "PERSON_1 is"
