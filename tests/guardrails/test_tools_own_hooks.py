"""A tool's own `pre_hook` is not shown its call: what is put there is refused, not passed over."""

from __future__ import annotations

from typing import Any

import pytest
from agno.tools import tool
from four_forms import FORMS
from gathered import WORD, Whole, agent, go

from agno_portkey.hooks import Hook, Moment
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


class Quiet(Hook):
    def before(self, moment: Moment) -> None:
        return None

    def after(self, moment: Moment) -> None:
        return None


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (Whole(), "Whole sees no call as a tool's own hook: use tool_hooks"),
        (Quiet(), "Quiet is no tool's hook: put it round a run"),
        (Whole, "Whole is a class and holds nothing: give an object, Whole()"),
        (Quiet, "Quiet is a class and holds nothing: give an object, Quiet()"),
    ],
)
@pytest.mark.parametrize("place", ["pre_hook", "post_hook"])
@pytest.mark.parametrize("form", FORMS)
def test_a_guard_or_hook_as_a_tools_own_hook_refuses_the_call(
    form: str,
    place: str,
    hook: Any,
    said: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    ran: list[str] = []

    def find(word: str) -> str:
        """Find a word."""
        ran.append(word)
        return f"found {word}"

    portkey_provider.reply(Reply(tool_calls=[ToolCall("find", {"word": WORD})]))
    portkey_provider.reply("Well.")
    settings: Any = {place: hook}
    seen = go(agent(portkey_model, tools=[tool(**settings)(find)]), form)
    assert ran == ([] if place == "pre_hook" else [WORD])
    [told] = [m for m in portkey_provider.calls[1].body["messages"] if m["role"] == "tool"]
    assert said in told["content"]
    assert f"found {WORD}" not in seen.everything


@pytest.mark.parametrize("kind", [Whole, Quiet])
@pytest.mark.parametrize("form", FORMS)
def test_a_class_round_tools_refuses_the_call_and_says_what_to_give(
    form: str, kind: type, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    ran: list[str] = []

    def find(word: str) -> str:
        """Find a word."""
        ran.append(word)
        return f"found {word}"

    portkey_provider.reply(Reply(tool_calls=[ToolCall("find", {"word": WORD})]))
    portkey_provider.reply("Well.")
    go(agent(portkey_model, tools=[find], tool_hooks=[kind]), form)
    assert ran == []
    [told] = [m for m in portkey_provider.calls[1].body["messages"] if m["role"] == "tool"]
    assert f"{kind.__name__} is a class and holds nothing" in told["content"]
