"""A model with the brake where a governed one has it, for as long as it is looked at by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.tools.function import FunctionCall

from agno_portkey.calls import IO, Call
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, drive
from agno_portkey.model import PortkeyModel
from agno_portkey.pipeline import compose, merge
from agno_portkey.routing.recovery.rescue import recovered
from agno_portkey.stopping import Brake, aguard_tool, guard_tool, stop_layer


@dataclass(repr=False)
class BrakedModel(PortkeyModel):
    """A `PortkeyModel` whose calls, requests and tools ask `brake` first."""

    brake: Any = None

    def _deltas(self, call: Call, io: IO) -> Owned[ModelResponse]:
        brake: Brake = self.brake
        over = brake.over(io, call.run_id)
        return compose([stop_layer(brake)], io, lambda c: recovered(self, c, over))(call)

    def invoke(self, messages: list[Message], assistant_message: Message, **kw: Any) -> Any:
        return merge(drive(self._deltas(_call(messages, assistant_message, kw), SyncIO())))

    async def ainvoke(self, messages: list[Message], assistant_message: Message, **kw: Any) -> Any:
        async with self._deltas(_call(messages, assistant_message, kw), AsyncIO()) as out:
            return merge([delta async for delta in out])

    def invoke_stream(
        self, messages: list[Message], assistant_message: Message, **kw: Any
    ) -> Iterator[ModelResponse]:
        yield from drive(self._deltas(_call(messages, assistant_message, kw, True), SyncIO()))

    async def ainvoke_stream(
        self, messages: list[Message], assistant_message: Message, **kw: Any
    ) -> AsyncIterator[ModelResponse]:
        async with self._deltas(_call(messages, assistant_message, kw, True), AsyncIO()) as out:
            async for delta in out:
                yield delta

    def run_function_call(self, function_call: FunctionCall, *args: Any, **kwargs: Any) -> Any:
        guard_tool(self.brake, function_call)
        return super().run_function_call(function_call, *args, **kwargs)

    async def arun_function_call(self, function_call: FunctionCall) -> Any:
        await aguard_tool(self.brake, function_call)
        return await super().arun_function_call(function_call)


def braked(model: PortkeyModel, brake: Brake) -> BrakedModel:
    """`model` with `brake`."""
    twin = object.__new__(BrakedModel)
    vars(twin).update(vars(model), brake=brake)
    return twin


def _call(
    messages: list[Message], assistant: Message, kwargs: dict[str, Any], stream: bool = False
) -> Call:
    kwargs.pop("retry_with_guidance", None)
    return Call(messages, assistant, stream=stream, **kwargs)
