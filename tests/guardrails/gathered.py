"""Runs in every form, with all that anybody could see of them: the consumer, and the database."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.team import Team
from four_forms import FORMS, STREAMED

from agno_portkey.guardrails import Block, Guard, Passage, Rewrite
from agno_portkey.testing import EmbeddedProvider

WORD = "bluebird"
MASK = "<name>"


class Whole(Guard):
    """Blocks the word; holds a streamed answer to its end."""

    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if WORD in passage.text.lower() else None


class Piecewise(Whole):
    """The same, piece by piece."""

    stream = "segment"


class Beside(Whole):
    """The same on a thread of its own."""

    inline = False


class Mask(Guard):
    """Replaces the word; holds a streamed answer to its end."""

    inline = True
    rewrites = True

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace(WORD, MASK)
        return None if text == passage.text else Rewrite(text)


class MaskPiecewise(Mask):
    stream = "segment"


def both_streams(whole: type[Guard], piecewise: type[Guard]) -> list[tuple[type[Guard], str]]:
    """The first in all four forms; the second where it makes a difference."""
    return [(whole, form) for form in FORMS] + [(piecewise, form) for form in STREAMED]


@dataclass
class Seen:
    """What a run showed, in order, and how it ended."""

    output: Any = None
    events: list[Any] = field(default_factory=list)
    # As each event was when it came: some are changed afterwards.
    told: list[str] = field(default_factory=list)

    @property
    def last(self) -> Any:
        """The output, or the event that ends a stream that failed."""
        return self.output if self.output is not None else self.events[-1]

    @property
    def failed(self) -> bool:
        if self.output is not None:
            return bool(self.output.status.value == "ERROR")
        return type(self.events[-1]).__name__.endswith("RunErrorEvent")

    @property
    def text(self) -> str:
        """The words of the answer that were shown piece by piece."""
        return "".join(
            event.content
            for event in self.events
            if type(event).__name__ in ("RunContentEvent", "TeamRunContentEvent")
            and isinstance(event.content, str)
        )

    @property
    def everything(self) -> str:
        """All that reached the consumer, as one text."""
        whole = [] if self.output is None else [_plain(self.output.to_dict())]
        return "\n".join([*self.told, *whole])


def go(runner: Agent | Team, form: str, message: Any = "Hi", **options: Any) -> Seen:
    """Run `runner` in one of the four forms and keep all that is shown."""
    if form == "run":
        return Seen(runner.run(message, **options))
    if form == "arun":
        return Seen(asyncio.run(_whole(runner, message, options)))
    options = {"stream": True, "stream_events": True, "yield_run_output": True, **options}
    if form == "stream":
        seen = Seen()
        for event in runner.run(message, **options):
            _note(seen, event)
        return seen
    return asyncio.run(_collected(runner, message, options))


async def _whole(runner: Any, message: Any, options: dict[str, Any]) -> Any:
    return await runner.arun(message, **options)


async def _collected(runner: Any, message: Any, options: dict[str, Any]) -> Seen:
    seen = Seen()
    async for event in runner.arun(message, **options):
        _note(seen, event)
    return seen


def _note(seen: Seen, event: Any) -> None:
    seen.told.append(_plain(event.to_dict()))
    if type(event).__name__ in ("RunOutput", "TeamRunOutput"):
        seen.output = event
    else:
        seen.events.append(event)


def stored(db: Any) -> str:
    """Everything that a database holds, as one text."""
    rows = [session.to_dict() for session in db.get_sessions()]
    rows += [memory.to_dict() for memory in db.get_user_memories()]
    return _plain(rows)


def sent(provider: EmbeddedProvider) -> str:
    """All that reached the provider."""
    return _plain([request.body for request in provider.calls])


def _plain(value: Any) -> str:
    # Escapes taken off, so that none of them hides a word.
    return json.dumps(value, default=str, ensure_ascii=False)


def agent(model: Any, **settings: Any) -> Agent:
    """An agent that keeps its events, in a database of its own."""
    db = settings.pop("db", None) or InMemoryDb()  # type: ignore[no-untyped-call]
    return Agent(model=model, db=db, store_events=True, **settings)
