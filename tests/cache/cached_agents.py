"""What the tests of cached calls share: stores that misbehave, a tool, a guard, and figures."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from agno.agent import Agent

from agno_portkey.cache import CacheFigures
from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.testing import Reply, ToolCall

PARIS = ["What is the capital of France?", "What's the capital of France?"]
Makes = Callable[..., Agent]


class Always(Random):
    """Draws the least there is: what may be served is."""

    def random(self) -> float:
        return 0.0


class Instead:
    """A store that does as another one, but for what is given by name."""

    def __init__(self, store: Any, **instead: Callable[..., Any]) -> None:
        self._store, self._instead = store, instead

    def __getattr__(self, name: str) -> Any:
        return self._instead.get(name) or getattr(self._store, name)


class Counting(Guard):
    """Lets everything pass, and keeps the answers that it has seen."""

    inline = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def inspect(self, passage: Passage) -> Rewrite | None:
        if passage.direction == "output":
            self.seen.append(passage.text)
        return None


def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sun"


def asks_for_weather(request: Any) -> Any:
    """What a model says that calls `weather`, and then tells what it heard."""
    if any(message.get("role") == "tool" for message in request.body["messages"]):
        return "Sun."
    return Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),))


def outcomes(figures: CacheFigures) -> dict[str, int]:
    return dict(
        sum((row.outcomes for row in figures.rows()), start=type(figures.rows()[0].outcomes)())
    )
