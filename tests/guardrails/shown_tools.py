"""A tool whose result says the word that guards look for, and a model that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno.tools import tool
from gathered import WORD

from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


def found_text() -> str:
    return f"Found the {WORD}."


def find_tool(made: Callable[[], Any], **settings: Any) -> Any:
    settings = {"name": "find", **settings}
    return tool(description="Find something.", **settings)(made)


def asks(provider: EmbeddedProvider, *names: str) -> None:
    provider.reply(Reply(tool_calls=[ToolCall(name, {}) for name in names or ("find",)]))
