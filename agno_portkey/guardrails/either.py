"""The `check` of a guard or hook for whoever can await it, and for whoever can't."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from dis import opmap
from functools import cache
from types import CodeType, FrameType
from typing import Any

from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.hosted import Bound, Done

__all__ = ["EitherForm"]

_AWAITING = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_ASKING = ("inspect", "asyncio.coroutines", "functools")
# The body of a check: of its owner, of how it waits, and of what the host tells it.
Asked = Callable[..., Coroutine[Any, Any, None]]
# What stands after a call whose result is awaited on the spot, and what fills the space between.
_AWAIT, _FILLING = opmap["GET_AWAITABLE"], opmap["CACHE"]


class EitherForm(Bound):
    """A bound `check` that is a coroutine function to whoever can await it, and a plain one else.

    The host chooses between `check` and `async_check` once, for the mode of the first run, and
    skips in a later sync run what `iscoroutinefunction` is true of. So both are one of these, and
    the answer follows the frame that asks: a coroutine is told yes, and gets one; a plain
    function gets the check done. A coroutine that may not know that there is something to await,
    since it calls `check` or had a plain function ask, gets the check done too, unless it awaits
    on the spot.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(
        self, owner: Any, check: Callable[..., Any], asked: Asked, *, plain: bool = False
    ) -> None:
        super().__init__(owner, check, _signature(check))
        self._asked = asked
        self._called_plain = plain

    @property
    def __code__(self) -> CodeType:
        if _awaits(_asker(sys._getframe(1))):
            return _awaited.__code__
        self._called_plain = True
        return _plain.__code__

    def __call__(self, *args: Any, **given: Any) -> Any:
        frame = sys._getframe(1)
        if _awaits(frame) and (not self._called_plain or _awaits_on_the_spot(frame)):
            return self._asked(self.__self__, AsyncIO(), *args, **given)
        step(self._asked(self.__self__, SyncIO(), *args, **given))
        return Done()


@cache
def _signature(check: Callable[..., Any]) -> inspect.Signature:
    """What the host is to know of a `check`: all but its owner."""
    _, *parameters = inspect.signature(check).parameters.values()
    return inspect.Signature(parameters)


def _plain() -> None:
    """What `EitherForm` looks like to a plain function."""


async def _awaited() -> None:
    """What it looks like to a coroutine."""


def _awaits(frame: FrameType | None) -> bool:
    return frame is not None and bool(frame.f_code.co_flags & _AWAITING)


def _awaits_on_the_spot(frame: FrameType) -> bool:
    """Whether `frame` awaits the result of the call that it is in, before all else."""
    code = frame.f_code.co_code
    after = frame.f_lasti + 2
    while code[after] == _FILLING:
        after += 2
    return code[after] == _AWAIT


def _asker(frame: FrameType | None) -> FrameType | None:
    """The first frame that is not of the modules that look at functions for others."""
    while frame is not None and frame.f_globals.get("__name__") in _ASKING:
        frame = frame.f_back
    return frame
