"""The guard layer by itself: what it sends, and what it keeps of it."""

from __future__ import annotations

from typing import Any

import pytest
from agno.models.message import Message
from agno.models.response import ModelResponse
from four_forms import FORMS, ask
from gathered import MASK, WORD, Mask, Piecewise, Whole, agent, go, sent
from played import Played

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


def test_a_guard_sees_all_that_is_sent(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    seen: set[tuple[str, str, str]] = set()

    class Notes(Guard):
        def inspect(self, passage: Passage) -> None:
            seen.add((passage.direction, passage.source, passage.text))
            assert passage.scene.stage in ("model", "tool")
            assert (passage.scene.session_id, passage.scene.user_id) == ("s", "u")
            assert passage.scene.run_id == "one"
            # In front of a tool it is asked once more, for who has changed what was asked for.
            assert passage.scene.role == ("Ann" if passage.scene.stage == "model" else None)

    def find(what: str) -> str:
        """Find something."""
        return f"found {what}"

    portkey_model.guards = (Notes(),)
    call = ToolCall("find", {"what": "a book"})
    portkey_provider.reply(Reply("I look.", reasoning="Where?", tool_calls=(call,)))
    portkey_provider.reply("There.")
    asked = agent(portkey_model, name="Ann", tools=[find], instructions="Be short.")
    go(asked, "run", "Find it", session_id="s", user_id="u", run_id="one")
    assert {
        ("input", "system", "Be short."),
        ("input", "user", "Find it"),
        ("output", "reasoning", "Where?"),
        ("output", "assistant", "I look."),
        ("output", "tool_call", "find"),
        ("output", "tool_call", "a book"),
        ("input", "assistant", "I look."),
        ("input", "tool_call", "a book"),
        ("input", "tool", "found a book"),
        ("output", "assistant", "There."),
    } <= seen


@pytest.mark.parametrize("form", FORMS)
def test_guards_on_one_side_do_not_look_at_the_other(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(on="output"),)
    portkey_provider.reply("fine")
    ask(portkey_model, form, WORD)
    assert WORD in sent(portkey_provider)
    portkey_model.guards = (Whole(on="input"),)
    portkey_provider.reply(f"the {WORD}")
    ask(portkey_model, form, "Hi")
    assert len(portkey_provider.calls) == 2


def test_what_is_sent_is_kept_in_the_hosts_messages_and_nowhere_else() -> None:
    message = Message(role="user", content=f"the {WORD}")
    played = Played([Mask()], messages=[message, other := Message(role="user", content="Hi")])
    assert played.out == [ModelResponse()] or played.out
    assert [each.content for each in played.sent] == [f"the {MASK}", "Hi"]
    assert message.content == f"the {MASK}"
    assert played.sent[1] is other
    assert played.kept.of("r") == {f"the {WORD}": f"the {MASK}"}


def test_nothing_is_copied_where_nothing_changes() -> None:
    messages = [Message(role="user", content="Hi")]
    for guards in ([Mask()], [Whole()], []):
        played = Played(guards, messages=messages)
        assert isinstance(played.out, list)
        assert played.sent is messages


class Upper(Guard):
    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Any:
        return Rewrite(passage.text.upper())


@pytest.mark.parametrize(
    ("guards", "kept"),
    [
        ([Mask(keep_raw=True)], WORD),
        ([Mask(keep_raw=True), Whole()], WORD),
        ([Mask()], MASK),
        ([Mask(), Whole(keep_raw=True)], MASK),
        # Where two rewrite a text and one may not be stored as it was, none of it is.
        ([Mask(keep_raw=True), Upper()], MASK.upper()),
    ],
)
def test_what_is_kept_raw(guards: list[Guard], kept: str) -> None:
    message = Message(role="user", content=WORD)
    played = Played(guards, messages=[message])
    assert len(played.out) == 1
    assert message.content == kept
    assert WORD not in str(played.sent)


@pytest.mark.parametrize("stream", [True, False])
def test_what_can_not_be_read_is_not_sent(stream: bool) -> None:
    deep: Any = WORD
    for _ in range(300):
        deep = [deep]

    def messages() -> list[Message]:
        return [Message(role="user", content=[{"x": deep}])]

    played = Played([Whole(name="A"), Piecewise(name="B")], messages=messages(), stream=stream)
    with pytest.raises(InputBlocked, match=r"A, B can't tell: .* nested"):
        assert played.out
    assert played.sent == []
    # Who only observes lets it through.
    asked = messages()
    played = Played([Whole(mode="observe")], messages=asked, stream=stream)
    assert played.out is not None
    assert played.sent is asked
