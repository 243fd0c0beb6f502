"""A guard's `check` for whoever can await it, and for whoever can't."""

from __future__ import annotations

import inspect
import sys
from dis import opmap
from types import CodeType, FrameType
from typing import Any

from agno_portkey.drivers import AsyncIO
from agno_portkey.guardrails.forms import HookForms, in_hook
from agno_portkey.hosted import Bound, Done

__all__ = ["EitherForm"]

_AWAITING = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_ASKING = ("inspect", "asyncio.coroutines", "functools")
# What stands after a call whose result is awaited on the spot, and what fills the space between.
_SIGNATURE = inspect.signature(HookForms().check)
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

    def __init__(self, guard: Any, *, plain: bool = False) -> None:
        super().__init__(guard, HookForms.check, _SIGNATURE)
        self._called_plain = plain

    @property
    def __code__(self) -> CodeType:
        if _awaits(_asker(sys._getframe(1))):
            return _awaited.__code__
        self._called_plain = True
        return _plain.__code__

    def __call__(
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
        user_id: Any = None,
    ) -> Any:
        frame = sys._getframe(1)
        if _awaits(frame) and (not self._called_plain or _awaits_on_the_spot(frame)):
            return in_hook(
                self.__self__, AsyncIO(), run_input, run_output, run_context, agent, team
            )
        HookForms.check(self.__self__, run_input, run_output, run_context, agent, team)
        return Done()


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
