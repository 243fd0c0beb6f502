"""One model call on its way through the layers, and the io that lets one body serve sync and async.

A layer is an async generator over response deltas; a plain call is a stream of one item.
The async driver awaits it. The sync driver steps it by hand, which works because with blocking
io nothing in it ever suspends: a layer waits only through `IO`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from agno.metrics import MessageMetrics
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.tools.function import FunctionCall

from agno_portkey.drivers import Owned
from agno_portkey.errors import ToolRefused
from agno_portkey.workers import Job

if TYPE_CHECKING:
    from agno_portkey.spans import CallSpan

__all__ = ["IO", "Call", "Deltas", "Layer", "Next", "Opens", "refuse_tool"]

Deltas = AsyncIterator[ModelResponse]


@dataclass(frozen=True, slots=True)
class Call:
    """What one call is about to send. `stream` says whether the caller reads deltas.

    `fields` are those of the request's other fields that guards have rewritten. `target` is the one
    target of the route that may answer (without a route: the model). A JSON answer is passed on
    before it is whole if `partials` are wanted, and a text just as it came if it is to be
    `verbatim`: the host takes what it has for thoughts out of it. No cache may answer a call that
    is to be `fresh`. `spent` is what each answer took, `pending` what a cache may keep of it.
    `guarded` is empty until its guards are asked. `span` is what its trace knows it by.
    """

    messages: list[Message]
    assistant_message: Message
    response_format: Any = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    run_response: Any = None
    compress_tool_results: bool = False
    stream: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    partials: bool = False
    verbatim: bool = False
    fresh: bool = False
    spent: list[MessageMetrics] = field(default_factory=list)
    pending: list[Any] = field(default_factory=list)
    guarded: list[bool] = field(default_factory=list)
    span: CallSpan | None = None

    @property
    def run_id(self) -> str | None:
        return getattr(self.run_response, "run_id", None)

    def with_messages(self, messages: list[Message]) -> Self:
        return replace(self, messages=messages)


class IO(Protocol):
    """How a layer waits: blocking in a sync call, awaiting in an async one."""

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        """Send a chat completion through `model`'s client."""

    async def embed(self, model: Any, params: dict[str, Any]) -> Any:
        """Have texts embedded through `model`'s client: the answer's JSON, not looked at."""

    def iterate(self, model: Any, stream: Any, patience: Any) -> AsyncIterator[Any]:
        """The chunks of a streamed completion; TimeoutError where `patience` ends first."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, and let others run meanwhile."""

    async def read(self, stream: Any) -> bytes:
        """The body of what was to be a stream and is none."""
        ...

    async def run(
        self, function: Callable[[], Any], *, undo: Callable[[Any], Any] | None = None
    ) -> Any:
        """Call what may block on the network, off the event loop where there is one.

        `undo` is called with the result, on the loop, if the caller is cancelled before it comes.
        """

    def later(self, function: Callable[..., Any], /, *args: Any) -> None:
        """The same for one who can't wait for it, being cancelled."""

    async def close(self, stream: Any) -> None:
        """Close a streamed completion, and with it the request upstream."""

    async def race(self, jobs: Sequence[Job], ends: Callable[[int, Any], bool]) -> list[Any]:
        """The outcomes of jobs that are run at once, each in its time; see `workers.race`."""
        ...


def refuse_tool(call: FunctionCall, reason: str) -> None:
    """Make a tool call that is about to run a refused one.

    The host then runs it, hears `ToolRefused`, and tells the model why.
    """

    def refuse(**kwargs: Any) -> Any:
        raise ToolRefused(reason)

    # A copy, without its hooks: the function itself is to run again once it may.
    refused = call.function.model_copy()
    refused.entrypoint = refuse
    refused.pre_hook = refused.post_hook = refused.tool_hooks = None
    refused.cache_results = False
    call.function = refused


# The answer to a call. A layer closes what it opens: `async with inner(call) as out`.
Next = Callable[[Call], Owned[ModelResponse]]
Layer = Callable[[Call, IO, Next], Deltas]
Opens = Callable[[Call], Deltas]
