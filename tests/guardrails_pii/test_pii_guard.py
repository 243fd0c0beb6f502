"""`PIIGuardrail` in runs: what the provider is sent, what the user sees, and what fails closed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.media import File, Image
from four_forms import FORMS, STREAMED, play

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import Passage, Scene
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.guard import PIIGuardrail
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

MAIL, CARD, NAME = "ann.lee@corp.internal", "4111 1111 1111 1111", "John Smith"
ASKED = f"My name is {NAME}, my e-mail is {MAIL}, charge {CARD}."


def sent(provider: EmbeddedProvider) -> str:
    """All that the provider was sent, as it would read it."""
    return "\n".join(json.dumps(request.body, ensure_ascii=False) for request in provider.requests)


def say(provider: EmbeddedProvider, *replies: str | ToolCall) -> None:
    for reply in replies:
        asks = [reply] if isinstance(reply, ToolCall) else []
        provider.reply(Reply(None if asks else str(reply), tool_calls=asks))


def passage(text: str, direction: Any = "input", **changed: Any) -> Passage:
    scene = Scene(session_id="s", user_id="u", run_id="r")
    return Passage(text, "user" if direction == "input" else "assistant", direction, scene=scene)


@pytest.mark.parametrize("form", FORMS)
def test_block_asks_nobody(
    form: str, analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (PIIGuardrail("block", analyzer=analyzer),)
    ended = play(Agent(model=portkey_model), form, ASKED)
    assert ended.status.value == "ERROR"
    assert portkey_provider.requests == []
    for value in (MAIL, CARD, NAME):
        assert value not in str(ended.content)


@pytest.mark.parametrize("form", FORMS)
def test_mask_hides_it_from_the_provider_and_the_user(
    form: str, analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(f"Write to {MAIL}. The card {CARD} is fine.")
    portkey_model.guards = (PIIGuardrail("mask", analyzer=analyzer),)
    ended = play(Agent(model=portkey_model), form, ASKED)
    assert ended.status.value == "COMPLETED"
    for value in (MAIL, CARD, NAME):
        assert value not in sent(portkey_provider)
        assert value not in ended.text_shown + str(ended.content)
    assert "<PERSON>" in sent(portkey_provider)
    assert ended.content == "Write to <EMAIL_ADDRESS>. The card <CREDIT_CARD> is fine."


@pytest.mark.parametrize("form", FORMS)
def test_pseudonymize_shows_the_user_and_the_tools_the_real_values(
    form: str, analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    called: list[dict[str, str]] = []

    def send_mail(to: str, text: str) -> str:
        called.append({"to": to, "text": text})
        return f"sent to {to}"

    asks = ToolCall("send_mail", {"to": "<EMAIL_ADDRESS_1>", "text": "Dear <PERSON_1>"})
    say(portkey_provider, asks, "I wrote to <PERSON_1> at <EMAIL_ADDRESS_1>.")
    portkey_model.guards = (PIIGuardrail("pseudonymize", analyzer=analyzer),)
    ended = play(Agent(model=portkey_model, tools=[send_mail]), form, ASKED)
    assert ended.status.value == "COMPLETED"
    assert called == [{"to": MAIL, "text": f"Dear {NAME}"}]
    assert ended.content == f"I wrote to {NAME} at {MAIL}."
    for value in (MAIL, CARD, NAME):
        assert value not in sent(portkey_provider)
    second = json.dumps(portkey_provider.requests[1].body)
    assert "sent to <EMAIL_ADDRESS_1>" in second


@pytest.mark.parametrize("form", STREAMED)
def test_a_placeholder_is_restored_however_a_stream_cuts_it(
    form: str, analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    answer = "Hello <PERSON_1>, I have < EMAIL_ADDRESS_1 > and &lt;PERSON_1&gt; here."
    portkey_model.guards = (PIIGuardrail("pseudonymize", analyzer=analyzer),)
    for size in (1, 2, 3, 5, 7):
        portkey_provider.reply(Reply(answer, chunk_size=size))
        ended = play(Agent(model=portkey_model), form, ASKED)
        expected = f"Hello {NAME}, I have {MAIL} and {NAME} here."
        assert ended.text_shown == ended.content == expected


def test_what_a_user_types_opens_nothing(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (PIIGuardrail("pseudonymize", analyzer=analyzer),)
    agent = Agent(model=portkey_model)
    portkey_provider.reply("Hello.")
    agent.run(ASKED, session_id="one")
    say(portkey_provider, "You wrote <LITERAL_1>.", "<PERSON_1>?")
    assert agent.run("I am <PERSON_1>", session_id="one").content == "You wrote <PERSON_1>."
    # Another session's placeholder of the same name means nobody here.
    assert agent.run("Who?", session_id="two").content == "<PERSON_1>?"


def test_history_is_hidden_behind_the_same_placeholders(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    from agno.db.in_memory import InMemoryDb

    portkey_model.guards = (PIIGuardrail("pseudonymize", analyzer=analyzer),)
    agent = Agent(model=portkey_model, db=InMemoryDb(), add_history_to_context=True)
    say(portkey_provider, "Hello <PERSON_1>.", "Again, <PERSON_1>.")
    agent.run(ASKED, session_id="s")
    assert agent.run("And?", session_id="s").content == f"Again, {NAME}."
    assert NAME not in sent(portkey_provider)
    assert "Hello <PERSON_1>." in json.dumps(portkey_provider.requests[1].body)


# Every place


def test_system_prompt_tool_results_and_arguments_in_the_history(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def look_up(key: str) -> str:
        return json.dumps({"owner": {"mail": MAIL}, "cards": [CARD]})

    say(portkey_provider, ToolCall("look_up", {"key": MAIL}), "Done.")
    portkey_model.guards = (PIIGuardrail("mask", analyzer=analyzer, on="input"),)
    agent = Agent(model=portkey_model, tools=[look_up], instructions=f"Ask {MAIL} first.")
    agent.run("Hi")
    assert MAIL not in sent(portkey_provider)
    assert CARD not in sent(portkey_provider)
    last = portkey_provider.requests[1].body["messages"]
    results = [json.loads(m["content"]) for m in last if m["role"] == "tool"]
    assert results == [{"owner": {"mail": "<EMAIL_ADDRESS>"}, "cards": ["<CREDIT_CARD>"]}]


def test_names_in_definitions_do_not_count_and_addresses_do(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def ring_john_smith(city: str = "Berlin") -> str:
        """Rings John Smith; write to ann.lee@corp.internal if he is out."""
        return "rang"

    portkey_provider.reply("Done.")
    portkey_model.guards = (PIIGuardrail("mask", analyzer=analyzer),)
    ended = Agent(model=portkey_model, tools=[ring_john_smith]).run("Hi")
    assert ended.content == "Done."
    assert "Rings John Smith; write to <EMAIL_ADDRESS>" in sent(portkey_provider)


@pytest.mark.parametrize("media", ["images", "files"])
def test_what_nobody_can_look_into_is_refused_unless_allowed(
    media: str, analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    held: Any = Image(content=b"\x89PNG\r\n\x1a\n\xff", format="png", mime_type="image/png")
    if media == "files":
        held = File(content=b"%PDF-1.4 \xff\xfe", mime_type="application/pdf", filename="a.pdf")
    portkey_model.guards = (PIIGuardrail("mask", analyzer=analyzer),)
    refused = Agent(model=portkey_model).run("Look", **{media: [held]})
    assert refused.status.value == "ERROR"
    assert portkey_provider.requests == []
    assert 'unreadable="allow"' in refused.content
    portkey_provider.reply("A cat.")
    portkey_model.guards = (PIIGuardrail("mask", analyzer=analyzer, unreadable="allow"),)
    assert Agent(model=portkey_model).run("Look", **{media: [held]}).content == "A cat."


def test_a_file_that_is_text_is_masked(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("Read.")
    portkey_model.guards = (PIIGuardrail("mask", analyzer=analyzer),)
    file = File(content=f"mail: {MAIL}".encode(), mime_type="text/plain", filename="a.txt")
    assert Agent(model=portkey_model).run("Read", files=[file]).content == "Read."
    assert MAIL not in sent(portkey_provider)


# Its settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "hash"}, "mode: one of block, mask, pseudonymize"),
        ({"release": "word"}, "release: sentence or eager"),
        ({"enforcement": "sometimes"}, "mode: one of off, observe, enforce"),
        ({"vaults": object()}, "vaults: only"),
        ({"analyzer": object(), "entities": ["PERSON"]}, "analyzer: it has its own recognizers"),
        ({"on": "never"}, "on: one of"),
        ({"unreadable": "perhaps"}, "unreadable: one of allow, refuse"),
        ({"color": "red"}, "no setting 'color'"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PIIGuardrail(**settings)


def test_evidence_holds_types_and_no_values(analyzer: Analyzer) -> None:
    for mode in ("block", "mask", "pseudonymize"):
        guard = PIIGuardrail(mode, analyzer=analyzer)  # type: ignore[arg-type]
        found = guard.inspect(passage(ASKED))
        assert found.evidence["types"] == {"PERSON": 1, "EMAIL_ADDRESS": 1, "CREDIT_CARD": 1}
        told = f"{found.reason} {found.evidence} {guard!r}"
        assert not any(value in told for value in (MAIL, CARD, NAME, "Smith"))


def test_masks_are_not_masked_again(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    masked = guard.inspect(passage(ASKED)).text
    assert guard.inspect(passage(masked)) is None


def test_a_name_is_found_again_on_its_own_in_its_session_only(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    guard.inspect(passage("I am Marguerite Okonkwo, your customer."))
    bare = "so okonkwo it is"
    found = guard.inspect(passage(bare))
    assert found is not None
    assert "okonkwo" not in found.text
    other = Passage(bare, "user", "input", scene=Scene(session_id="other", user_id="u"))
    assert guard.inspect(other) is None


def test_what_it_knows_it_says_without_a_thread(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    asked = passage("Is there anything that was not asked before, such as 17 camels?")
    assert not guard.at_once([asked])
    guard.inspect(asked)
    assert guard.at_once([asked])
    assert not guard.at_once([asked, passage("Nobody asked for 18 camels.")])


def test_calls_without_a_session_have_vaults_of_their_own(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    first, other = Scene(), Scene()
    hidden = guard.inspect(Passage(ASKED, "user", "input", scene=first))
    assert NAME not in hidden.text
    assert guard.inspect(Passage("<PERSON_1>", "assistant", "output", scene=first)).text == NAME
    assert guard.inspect(Passage("<PERSON_1>", "assistant", "output", scene=other)) is None
    masks = PIIGuardrail("mask", analyzer=analyzer)
    masks.inspect(Passage("I am Marguerite Okonkwo.", "user", "input", scene=first))
    assert masks.inspect(Passage("so okonkwo it is", "user", "input", scene=first)) is None


def test_definitions_without_personal_data_are_left_alone(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    scene = Scene(session_id="s")
    for source in ("tool_definition", "schema"):
        told = Passage("Rings <PERSON_1> in Berlin", source, "input", scene=scene)  # type: ignore[arg-type]
        assert guard.inspect(told) is None


def test_an_answer_held_whole_is_redacted_as_one(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer, stream="whole")
    assert guard.inspect(passage(f"Write to {MAIL}.", "output")).text == "Write to <EMAIL_ADDRESS>."
