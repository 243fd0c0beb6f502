"""The calls of a model and of its tools, as the host makes them, each led through the layers."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from agno.exceptions import InputCheckError, OutputCheckError, RunCancelledException
from agno.guardrails import BaseGuardrail
from agno.metrics import accumulate_model_metrics
from agno.models.message import Message
from agno.models.openai.like import OpenAILike
from agno.models.response import ModelResponse, ModelResponseEvent
from agno.run.cancel import araise_if_cancelled
from agno.tools.function import FunctionCall

from agno_portkey.calls import Call
from agno_portkey.contracts import Contract
from agno_portkey.contracts.forms import provider_form
from agno_portkey.contracts.known import Noted
from agno_portkey.drivers import AsyncIO, Owned, Stoppable, SyncIO, drive, step
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Seat, guard_call
from agno_portkey.guardrails.at_rest import Kept, clean
from agno_portkey.guardrails.delegations import atold, require_answer, told
from agno_portkey.guardrails.last_results import check_unsent, unsent, withhold
from agno_portkey.guardrails.refusals import forget_refusal, note_refusal
from agno_portkey.guardrails.tool_calls import acheck_tool, check_tool, note_as_sent
from agno_portkey.guardrails.tool_results import ashown, shown
from agno_portkey.latest import Latest
from agno_portkey.pipeline import deltas, merge
from agno_portkey.routing.recovery.router import Router
from agno_portkey.run_facts import hand_on
from agno_portkey.stopping import aguard_tool, guard_tool

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["Calls"]

# What ends a run between its calls as well, where no guard is asked; a gate refuses tools there.
_ENDED = (RunCancelledException, CancelledError, GeneratorExit, KeyboardInterrupt, GateClosed)
# Events at which a stream may hold results that no call has sent yet.
_BETWEEN = (
    ModelResponseEvent.tool_call_completed.value,
    ModelResponseEvent.model_request_started.value,
)


class Calls(OpenAILike):
    """What the host calls of a `PortkeyModel`, which has the fields."""

    seat: Seat | None
    guards: Sequence[BaseGuardrail]
    contracts: Sequence[Contract]
    output_schema: Any
    fresh: bool
    outputs: Latest[Noted]
    router: Router
    kept: Kept

    # The host passes everything by name, and `retry_with_guidance` beside what its own models take.

    def invoke(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> ModelResponse:
        with _noting(self, call := _call(self, messages, assistant_message, kwargs)):
            return step(_whole(deltas(cast("PortkeyModel", self), call, SyncIO())))

    async def ainvoke(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> ModelResponse:
        call = _call(self, messages, assistant_message, kwargs)
        with _noting(self, call), Stoppable(_run_id(kwargs)):
            return await _whole(deltas(cast("PortkeyModel", self), call, AsyncIO()))

    def invoke_stream(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> Iterator[ModelResponse]:
        with _noting(self, call := _call(self, messages, assistant_message, kwargs, stream=True)):
            yield from drive(deltas(cast("PortkeyModel", self), call, SyncIO()))

    async def ainvoke_stream(  # type: ignore[override]
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> AsyncIterator[ModelResponse]:
        with _noting(self, call := _call(self, messages, assistant_message, kwargs, stream=True)):
            stoppable = Stoppable(_run_id(kwargs))
            async with deltas(cast("PortkeyModel", self), call, AsyncIO()) as out:
                while True:
                    with stoppable:
                        delta = await anext(out, None)
                    if delta is None:
                        return
                    yield delta

    # Round the calls of a run: its metrics name who answered, its record holds what may be kept

    def response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response: ModelResponse | None = None
        hand_on(self, kwargs)
        try:
            with self.kept.showing.nothing(_run_id(kwargs)):
                response = super().response(*args, **kwargs)
            self._look_at_rest(kwargs)
            if self._ends():
                require_answer(response, kwargs.get("run_response"))
            return response
        except _ENDED:
            withhold(self, kwargs)
            raise
        finally:
            self._settle(kwargs, response)

    async def aresponse(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response: ModelResponse | None = None
        hand_on(self, kwargs)
        try:
            with self.kept.showing.nothing(_run_id(kwargs)):
                response = await super().aresponse(*args, **kwargs)
            await self._alook_at_rest(kwargs)
            if self._ends():
                require_answer(response, kwargs.get("run_response"))
            return response
        except _ENDED:
            withhold(self, kwargs)
            raise
        finally:
            self._settle(kwargs, response)

    def response_stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._stream_partials(kwargs)
        hand_on(self, kwargs)
        try:
            # Closed as soon as the host drops it: before it stores a run that was cancelled.
            yield from super().response_stream(*args, **kwargs)
            self._look_at_rest(kwargs)
        except _ENDED:
            withhold(self, kwargs)
            raise
        finally:
            self._settle(kwargs, None)

    async def aresponse_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self._stream_partials(kwargs)
        hand_on(self, kwargs)
        try:
            async with Owned(super().aresponse_stream(*args, **kwargs)) as events:
                async for event in events:
                    # The host, which asks next, closes this only after it has stored the run.
                    if _may_hold_results(event, kwargs):
                        await araise_if_cancelled(kwargs["run_response"].run_id)
                    yield event
            await self._alook_at_rest(kwargs)
        except _ENDED:
            withhold(self, kwargs)
            raise
        finally:
            self._settle(kwargs, None)

    def _stream_partials(self, asked: dict[str, Any]) -> None:
        """Have an object streamed that is to be told while it fills: the host asks for it whole."""
        if self.contracts:
            noted = self.outputs.of(_run_id(asked))
            form = asked.get("response_format")
            if cast("PortkeyModel", self).keeping.fills(form, noted.schema if noted else None):
                asked["stream_model_response"] = True

    def _look_at_rest(self, asked: dict[str, Any]) -> None:
        if self.guards and (rest := unsent(asked)) is not None:
            with _noting(self, rest):
                step(check_unsent(self, rest, SyncIO()))

    async def _alook_at_rest(self, asked: dict[str, Any]) -> None:
        if self.guards and (rest := unsent(asked)) is not None:
            with _noting(self, rest):
                await check_unsent(self, rest, AsyncIO())

    def _ends(self) -> bool:
        """Whether a team that routes ends with its member's refusal; a gate sees to its own."""
        return self.seat is None or self.seat.charter is None

    def _settle(self, asked: dict[str, Any], response: ModelResponse | None) -> None:
        run_response = asked.get("run_response")
        self.router.shares.settle(self, run_response)
        if kept := self.kept.of(_run_id(asked)):
            clean(asked.get("messages"), kept)
            clean(run_response, kept)
            clean(response, kept)

    # Every tool of an agent or team runs through its model

    def get_function_calls_to_run(
        self, assistant_message: Message, messages: list[Message], functions: Any = None
    ) -> list[FunctionCall]:
        calls = super().get_function_calls_to_run(assistant_message, messages, functions)
        note_as_sent(calls, messages)
        return calls

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


def _run_id(asked: dict[str, Any]) -> str | None:
    return getattr(asked.get("run_response"), "run_id", None)


def _may_hold_results(event: Any, asked: dict[str, Any]) -> bool:
    """Whether a run that is cancelled at `event` would keep results that no call has sent."""
    return asked.get("run_response") is not None and getattr(event, "event", None) in _BETWEEN


async def _whole(answer: Owned[ModelResponse]) -> ModelResponse:
    """The answer to a plain call."""
    async with answer as out:
        return merge([delta async for delta in out])


class _noting:
    """Leaves with the run that a call ends the verdict of what refuses it, and what it took.

    Of what no guard was asked about, nothing: stop switch, limits, gate and contracts come first.
    """

    def __init__(self, model: Calls, call: Call) -> None:
        self._model, self._call, self._run = model, call, call.run_response

    def __enter__(self) -> None:
        forget_refusal(self._run)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputCheckError | OutputCheckError):
            note_refusal(self._run, error)
        if error is not None:
            if not self._call.guarded:
                asked = {"run_response": self._run, "messages": self._call.messages}
                withhold(self._model, asked)
            # The host counts what comes back, and nothing does.
            metrics = getattr(self._run, "metrics", None)
            for usage in self._call.spent:
                answered = ModelResponse(response_usage=usage)
                accumulate_model_metrics(answered, self._model, self._model.model_type, metrics)


def _call(
    model: Calls,
    messages: list[Message],
    assistant_message: Message,
    kwargs: dict[str, Any],
    *,
    stream: bool = False,
) -> Call:
    kwargs.pop("retry_with_guidance", None)
    asked = kwargs.get("response_format")
    kwargs["response_format"] = provider_form(model.output_schema if asked is None else asked)
    return Call(messages, assistant_message, stream=stream, fresh=model.fresh, **kwargs)
