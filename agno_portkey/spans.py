"""Where a trace hears of a call and of its attempts; without one, nothing is asked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

from agno_portkey.calls import IO, Call, Deltas, Layer, Next

__all__ = ["CallSpan", "Tracing", "trace_layer", "tracing", "use_tracing"]


class CallSpan(Protocol):
    """The span of one call."""

    def inside(self) -> AbstractContextManager[Any]:
        """A block, without a yield in it, in which the span is the current one."""
        ...

    def saw(self, delta: Any) -> None:
        """The caller gets `delta`."""

    def attempting(self, number: int) -> None:
        """A request is about to be sent."""

    def attempted(self, data: Mapping[str, Any]) -> None:
        """It has ended; `data` is what observers hear of an attempt."""

    def known(self, data: Mapping[str, Any]) -> None:
        """The call has ended; `data` is what observers hear of it."""

    def end(self, error: BaseException | None) -> None:
        """Nothing of the call is left."""


class Tracing(Protocol):
    """What makes spans of calls."""

    def call(self, model: Any, call: Call) -> CallSpan:
        """The span of `call`, begun, in what is current."""
        ...


_tracing: Tracing | None = None


def tracing() -> Tracing | None:
    """What makes spans in this process, if anything does."""
    return _tracing


def use_tracing(new: Tracing | None) -> None:
    """Have `new` make the spans of calls from here on."""
    global _tracing
    _tracing = new


def trace_layer(traced: Tracing, model: Any) -> Layer:
    """The outermost layer: all that a call does happens in its span."""

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        span = traced.call(model, call)
        error: BaseException | None = None
        try:
            async with inner(replace(call, span=span)) as out:
                try:
                    while True:
                        with span.inside():
                            try:
                                delta = await anext(out)
                            except StopAsyncIteration:
                                break
                        span.saw(delta)
                        yield delta
                finally:
                    # Who closes tells of it, too.
                    with span.inside():
                        await out.aclose()
        except BaseException as raised:
            error = raised
            raise
        finally:
            span.end(error)

    return layer
