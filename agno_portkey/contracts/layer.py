"""The layer that holds the answers of a model to the schema that was asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts.check import held_to, wanted
from agno_portkey.contracts.rescue import Rescued
from agno_portkey.contracts.schemas import Schema
from agno_portkey.errors import ContractError
from agno_portkey.modes import Mode, mode_now
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["contract_layer", "tell_broken"]


def contract_layer(
    call: Call,
    *,
    mode: Mode = "enforce",
    observers: Iterable[Observer] = (),
    swarm: str | None = None,
) -> Layer | None:
    """The layer that holds the answer to `call` to its schema, if it asks for JSON.

    `mode`, unless AGNO_PORTKEY_CONTRACTS_MODE says another: `enforce` keeps the answer back until
    it is whole and valid, and passes it on in one piece; `observe` passes it on as it comes, and
    afterwards tells of a broken one; `off` does not look. In JSON mode the host does not say which
    schema is meant: there, any JSON object is valid.
    """
    now = mode_now("contracts", mode)
    if now == "off" or (schema := wanted(call.response_format)) is None:
        return None
    holder = _Holder(schema, call, now, observers, swarm)
    return _held(holder) if now == "enforce" else _observed(holder)


class _Holder:
    """Holds answers to a schema; observers hear of those that were broken, or mended."""

    def __init__(
        self,
        schema: Schema,
        call: Call,
        mode: Mode,
        observers: Iterable[Observer],
        swarm: str | None,
    ) -> None:
        run = call.run_response
        self.schema = schema
        self._role = getattr(run, "agent_name", None) or getattr(run, "team_name", None)
        self._who = {"role": self._role, "swarm": swarm, "run_id": call.run_id}
        self._mode: Mode = mode
        self._observers = observers

    def hold(self, text: str) -> Rescued:
        """The object that `text` holds; raises ContractError."""
        try:
            found = held_to(self.schema, text, role=self._role)
        except ContractError as error:
            tell_broken(self._observers, error, mode=self._mode, stage="model", **self._who)
            raise
        if found.rung == "given":
            return found
        data = {
            "stage": "model",
            "mode": self._mode,
            "rung": found.rung,
            "edits": [edit.kind for edit in found.edits],
            "changes": [f"{'.'.join(map(str, one.path))}: {one.kind}" for one in found.changes],
        }
        verdict = Verdict(True, f"contract {self.schema.name}")
        tell(self._observers, Event("contract", verdict=verdict, data=data, **self._who))
        return found


def tell_broken(
    observers: Iterable[Observer], error: ContractError, *, mode: Mode, stage: str, **who: Any
) -> None:
    """Let observers hear that an output does not fit; where it goes through, it is logged too."""
    if mode == "observe":
        logging.getLogger("agno_portkey").warning("observed, not refused: %s", error)
    data = {"stage": stage, "mode": mode}
    tell(observers, Event("contract", verdict=error.verdict, data=data, **who))


def _held(holder: _Holder) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        answer = _Answer()
        async with inner(call) as out:
            async for delta in out:
                answer.take(delta)
                yield delta
        if not answer.calls_tools:
            # The repair of a long text takes its time, off the event loop where there is one.
            found = await io.run(partial(holder.hold, answer.text))
            yield answer.whole(found)
        # Words beside a tool call would be glued to the object by the host, and break it.

    return layer


class _Answer:
    """One answer as it comes in; its text is kept back, and what is known of it."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._known: dict[str, Any] | None = None
        self.calls_tools = False

    @property
    def text(self) -> str:
        return "".join(self._text)

    def take(self, delta: ModelResponse) -> None:
        """Take the text out of `delta`, which goes on without it."""
        self.calls_tools = self.calls_tools or bool(delta.tool_calls)
        if isinstance(delta.content, str) and delta.content:
            self._text.append(delta.content)
        delta.content = None
        self._known = delta.provider_data or self._known
        if not delta.tool_calls:
            delta.provider_data = None

    def whole(self, found: Rescued) -> ModelResponse:
        """The object as the host reads it, with what is known of the answer."""
        text = self.text
        if found.rung != "given" or found.edits:
            text = json.dumps(found.data, ensure_ascii=False)
        # The host takes what stands before this mark for a model's thoughts, in JSON as well.
        text = text.replace("</think>", r"<\/think>")
        return ModelResponse(content=text, provider_data=self._known)


def _observed(holder: _Holder) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        text: list[str] = []
        calls_tools = False
        async with inner(call) as out:
            async for delta in out:
                calls_tools = calls_tools or bool(delta.tool_calls)
                text.append(delta.content if isinstance(delta.content, str) else "")
                yield delta
        if not calls_tools:
            with suppress(ContractError):
                await io.run(partial(holder.hold, "".join(text)))

    return layer
