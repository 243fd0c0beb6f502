"""One call through the guard layer, played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput
from pydantic import BaseModel

from agno_portkey.calls import Call
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, drive
from agno_portkey.guardrails import Guard
from agno_portkey.guardrails.at_rest import Kept
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.verdict import Event


class Bird(BaseModel):
    name: str
    notes: list[str] = []


class Played:
    """One call through the layer, with what was sent and what was let go."""

    def __init__(self, guards: list[Guard], *deltas: ModelResponse, **settings: Any) -> None:
        self.sent: list[Message] = []
        self.onward: Call | None = None
        self.kept = Kept()
        self.events: list[Event] = []
        self._deltas = deltas
        messages = settings.pop("messages", [Message(role="user", content="Hi")])
        settings.setdefault("run_response", RunOutput(run_id="r"))
        self.call = Call(messages, Message(role="assistant"), **settings)
        self._layer = guard_layer(guards, observers=[self.events.append], kept=self.kept)

    def _inner(self, call: Call) -> Owned[ModelResponse]:
        return Owned(self._answer(call))

    async def _answer(self, call: Call) -> AsyncIterator[ModelResponse]:
        self.sent = call.messages
        self.onward = call
        for delta in self._deltas:
            yield delta

    @property
    def out(self) -> list[ModelResponse]:
        return list(drive(self._layer(self.call, SyncIO(), self._inner)))

    async def aout(self) -> list[ModelResponse]:
        return [delta async for delta in self._layer(self.call, AsyncIO(), self._inner)]
