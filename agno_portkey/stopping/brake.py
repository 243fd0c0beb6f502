"""Where a stop is felt: before each call and request of a model, and each call of a tool."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from agno.tools.function import Function, FunctionCall

from agno_portkey.calls import IO, Call, Deltas, Layer, Next, refuse_tool
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import Stopped, ToolRefused
from agno_portkey.modes import Mode, mode_now
from agno_portkey.stopping.late import LateSwitch
from agno_portkey.stopping.switch import StopSwitch
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["Brake", "aguard_tool", "guard_tool", "stop_layer", "stoppable"]

_MARK = "_agno_portkey_brake"


@dataclass(frozen=True, eq=False)
class Brake:
    """Whom a switch stops: one role, by the names of the teams that it is in, at any depth.

    `mode`: off does not look at the switch; observe tells the observers and lets calls through.
    `AGNO_PORTKEY_STOP_MODE` overrides it. `joined` are brakes that hold as well: those of the
    workflows that a governed team was put into. Without a `switch` it holds only with them.
    """

    switch: StopSwitch | LateSwitch | None
    swarms: tuple[str, ...]
    role: str | None = None
    mode: Mode = "enforce"
    observers: tuple[Observer, ...] = ()
    joined: list[Brake] = field(default_factory=list, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Brake:
        return self

    @property
    def holds(self) -> bool:
        """Whether there is a switch to look at."""
        return bool(self.joined) or (self.switch is not None and self.switch.has_database)

    def refusal(self, run_id: str | None = None, tool: str | None = None) -> Verdict | None:
        """Why nothing may begin now, or None; blocks while the state is read."""
        for brake in (self, *self.joined):
            switch, mode = brake.switch, mode_now("stop", brake.mode)
            if switch is not None and mode != "off":
                verdict = switch.check(*brake.swarms)
                if self._held(brake, mode, verdict, run_id, tool):
                    return verdict
        return None

    async def arefusal(
        self, io: IO, run_id: str | None = None, tool: str | None = None
    ) -> Verdict | None:
        """The same for one that waits through `io`."""
        for brake in (self, *self.joined):
            switch, mode = brake.switch, mode_now("stop", brake.mode)
            if switch is not None and mode != "off":
                verdict = await switch.verdict(io, *brake.swarms)
                if self._held(brake, mode, verdict, run_id, tool):
                    return verdict
        return None

    async def require(self, io: IO, run_id: str | None) -> None:
        """Raise `Stopped` if no call of a model may begin now."""
        if (verdict := await self.arefusal(io, run_id)) is not None:
            raise Stopped(verdict)

    def over(self, io: IO, run_id: str | None = None) -> IO:
        """`io`, refusing each single request: the later ones of a call that tries again, too."""
        return cast("IO", _StoppableIO(io, self, run_id))

    def _held(
        self,
        brake: Brake,
        mode: Mode,
        verdict: Verdict | None,
        run_id: str | None,
        tool: str | None,
    ) -> bool:
        """Tell what `brake` says, and whether that holds."""
        if verdict is None:
            return False
        data = {"mode": mode} | ({} if tool is None else {"tool": tool})
        swarm = brake.swarms[0] if brake.swarms else None
        tell(brake.observers, Event("stop", self.role, swarm, run_id, verdict, data))
        return mode == "enforce"


class _StoppableIO:
    """io whose requests are refused while the brake holds."""

    def __init__(self, io: IO, brake: Brake, run_id: str | None) -> None:
        self._io = io
        self._brake = brake
        self._run_id = run_id

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        await self._brake.require(self._io, self._run_id)
        return await self._io.create(model, params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)


def stop_layer(brake: Brake) -> Layer:
    """The layer that refuses a new call; one that is under way goes on to its end."""

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        await brake.require(io, call.run_id)
        async with inner(call) as out:
            async for delta in out:
                yield delta

    return layer


def guard_tool(brake: Brake, call: FunctionCall) -> None:
    """Make a tool call that is about to run a refused one, if nothing may begin now.

    The host then runs it, hears `ToolRefused`, and tells the model why. Blocks.
    """
    _refuse(call, brake.refusal(_run_of(call.function), call.function.name))


async def aguard_tool(brake: Brake, call: FunctionCall) -> None:
    """The same on an event loop."""
    _refuse(call, await brake.arefusal(AsyncIO(), _run_of(call.function), call.function.name))


def _run_of(function: Function) -> str | None:
    return getattr(function._run_context, "run_id", None)


def _refuse(call: FunctionCall, verdict: Verdict | None) -> None:
    if verdict is not None:
        refuse_tool(call, f"{call.function.name} was refused: {verdict.reason}")


def stoppable(brake: Brake, function: Function) -> Function:
    """Put the brake into `function`'s entrypoint, in place: it holds whoever runs the tool."""
    entrypoint: Any = function.entrypoint
    if entrypoint is None or getattr(entrypoint, _MARK, None) is brake:
        return function
    function.entrypoint = _braked(entrypoint, function.name, brake)
    setattr(function.entrypoint, _MARK, brake)
    function.cache_results = False
    return function


def _braked(inner: Callable[..., Any], name: str, brake: Brake) -> Callable[..., Any]:
    """A function of the same kind as `inner` that asks first."""

    async def require(kwargs: dict[str, Any]) -> None:
        _require_none(name, await brake.arefusal(AsyncIO(), _run_in(kwargs), name))

    if inspect.isasyncgenfunction(inner):

        @functools.wraps(inner)
        async def stream(*args: Any, **kwargs: Any) -> Any:
            await require(kwargs)
            async for item in inner(*args, **kwargs):
                yield item

        return stream
    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def run(*args: Any, **kwargs: Any) -> Any:
            await require(kwargs)
            return await inner(*args, **kwargs)

        return run

    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        _require_none(name, brake.refusal(_run_in(kwargs), name))
        return inner(*args, **kwargs)

    return call


def _run_in(kwargs: dict[str, Any]) -> str | None:
    """The run that a tool is called in, where the host hands its context to it."""
    return getattr(kwargs.get("_agno_run_context"), "run_id", None)


def _require_none(name: str, verdict: Verdict | None) -> None:
    if verdict is not None:
        raise ToolRefused(f"{name} was refused: {verdict.reason}")
