"""The calls of a model and of its tools, as the host makes them, each led through the layers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from agno.exceptions import InputCheckError, OutputCheckError
from agno.models.message import Message
from agno.models.openai.like import OpenAILike
from agno.models.response import ModelResponse
from agno.tools.function import FunctionCall

from agno_portkey.calls import Call
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, drive
from agno_portkey.gates import Seat, guard_call
from agno_portkey.guardrails import (
    Kept,
    acheck_tool,
    ashown,
    atold,
    check_tool,
    clean,
    forget_refusal,
    note_refusal,
    require_answer,
    shown,
    told,
)
from agno_portkey.pipeline import deltas, merge
from agno_portkey.routing.recovery.router import Router
from agno_portkey.stopping import aguard_tool, guard_tool

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["Calls"]


class Calls(OpenAILike):
    """What the host calls of a `PortkeyModel`, which has the fields."""

    seat: Seat | None
    router: Router
    kept: Kept

    # The host passes everything by name, and `retry_with_guidance` beside what its own models take.

    def invoke(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> ModelResponse:
        with _noting(call := _call(messages, assistant_message, kwargs)):
            return merge(drive(deltas(cast("PortkeyModel", self), call, SyncIO())))

    async def ainvoke(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> ModelResponse:
        with _noting(call := _call(messages, assistant_message, kwargs)):
            async with deltas(cast("PortkeyModel", self), call, AsyncIO()) as out:
                return merge([delta async for delta in out])

    def invoke_stream(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> Iterator[ModelResponse]:
        with _noting(call := _call(messages, assistant_message, kwargs, stream=True)):
            yield from drive(deltas(cast("PortkeyModel", self), call, SyncIO()))

    async def ainvoke_stream(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> AsyncIterator[ModelResponse]:
        with _noting(call := _call(messages, assistant_message, kwargs, stream=True)):
            async with deltas(cast("PortkeyModel", self), call, AsyncIO()) as out:
                async for delta in out:
                    yield delta

    # Round the calls of a run: its metrics name who answered, its record holds what may be kept

    def response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response: ModelResponse | None = None
        try:
            response = super().response(*args, **kwargs)
            if self._ends():
                require_answer(response, kwargs.get("run_response"))
            return response
        finally:
            self._settle(kwargs.get("run_response"), response)

    async def aresponse(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response: ModelResponse | None = None
        try:
            response = await super().aresponse(*args, **kwargs)
            if self._ends():
                require_answer(response, kwargs.get("run_response"))
            return response
        finally:
            self._settle(kwargs.get("run_response"), response)

    def response_stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from super().response_stream(*args, **kwargs)
        finally:
            self._settle(kwargs.get("run_response"), None)

    async def aresponse_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            async with Owned(super().aresponse_stream(*args, **kwargs)) as events:
                async for event in events:
                    yield event
        finally:
            self._settle(kwargs.get("run_response"), None)

    def _ends(self) -> bool:
        """Whether a team that routes ends with its member's refusal; a gate sees to its own."""
        return self.seat is None or self.seat.charter is None

    def _settle(self, run_response: Any, response: ModelResponse | None) -> None:
        self.router.shares.settle(self, run_response)
        if kept := self.kept.of(getattr(run_response, "run_id", None)):
            clean(run_response, kept)
            clean(response, kept)

    # Every tool of an agent or team runs through its model

    def run_function_call(
        self,
        function_call: FunctionCall,
        function_call_results: list[Message],
        *args: Any,
        **kwargs: Any,
    ) -> Iterator[Any]:
        check_tool(self, function_call)
        if self.seat is not None:
            guard_call(self.seat, function_call)
            if self.seat.brake is not None:
                guard_tool(self.seat.brake, function_call)
        results, calls = function_call_results, [function_call]
        events = super().run_function_call(function_call, results, *args, **kwargs)
        return told(calls, shown(self, calls, events, results), results, ends=self._ends())

    async def arun_function_call(self, function_call: FunctionCall) -> Any:
        await acheck_tool(self, function_call)
        if self.seat is not None:
            guard_call(self.seat, function_call)
            if self.seat.brake is not None:
                await aguard_tool(self.seat.brake, function_call)
        return await super().arun_function_call(function_call)

    async def arun_function_calls(
        self,
        function_calls: list[FunctionCall],
        function_call_results: list[Message],
        *args: Any,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        results = function_call_results
        events = super().arun_function_calls(function_calls, results, *args, **kwargs)
        answer = ashown(self, function_calls, events, results)
        async with Owned(atold(function_calls, answer, results, ends=self._ends())) as out:
            async for event in out:
                yield event

    # The host's response cache stands above `invoke`, where no guard sees it

    def _get_cached_model_response(self, cache_key: str) -> None:
        return None

    def _save_model_response_to_cache(self, *args: Any, **kwargs: Any) -> None:
        return None

    def _save_streaming_responses_to_cache(self, *args: Any, **kwargs: Any) -> None:
        return None


@contextmanager
def _noting(call: Call) -> Iterator[None]:
    """Leave the verdict of what refuses the call with the run that it ends."""
    forget_refusal(call.run_response)
    try:
        yield
    except (InputCheckError, OutputCheckError) as error:
        note_refusal(call.run_response, error)
        raise


def _call(
    messages: list[Message],
    assistant_message: Message,
    kwargs: dict[str, Any],
    *,
    stream: bool = False,
) -> Call:
    kwargs.pop("retry_with_guidance", None)
    return Call(messages, assistant_message, stream=stream, **kwargs)
