"""Methods that the host calls by parameter name, with a signature that is worked out once.

Agno asks `inspect.signature` for it on every call of every hook, which for a bound method costs
more than most hooks do.
"""

from __future__ import annotations

import inspect
import sys
from abc import ABCMeta
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from agno_portkey.errors import InputBlocked, OutputBlocked, ToolRefused
from agno_portkey.verdict import Verdict

__all__ = ["Bound", "Done", "Made", "hosted"]

F = TypeVar("F", bound=Callable[..., Any])

# Where the host calls tools, and their hooks.
_CALLS_TOOLS = "agno.tools.function"


class Done(Coroutine[Any, Any, None]):
    """A finished coroutine: harmless where the host calls an async form and never awaits it."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield

    def send(self, value: Any) -> NoReturn:
        raise StopIteration

    def throw(self, error: Any, *rest: Any) -> NoReturn:
        raise error

    def close(self) -> None:
        """There is nothing to end."""


class Bound:
    """A method bound to `owner`, named after it in the host's events; itself after a deep copy."""

    def __init__(self, owner: Any, function: Callable[..., Any], signature: Any) -> None:
        self.__self__ = owner
        self.__name__ = str(getattr(owner, "name", None) or type(owner).__name__)
        self.__signature__ = signature
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self.__self__, *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Bound)
            and other.__self__ is self.__self__
            and other._function is self._function
        )

    def __hash__(self) -> int:
        return hash((id(self.__self__), self._function))

    def __copy__(self) -> Bound:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Bound:
        return self

    def __repr__(self) -> str:
        return f"<{self._function.__qualname__} of {self.__self__!r}>"


class Made(ABCMeta):
    """Makes objects for hooks, and refuses to be one: the class itself in a list of hooks.

    The host would call it, throw the object away that it gets, and go on.
    """

    @property
    def __signature__(cls) -> inspect.Signature:
        """That of the class's own `__init__`, for `help`, if it takes `**settings`.

        By any other the host would leave out what `__call__` knows it by.
        """
        _, *own = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
        if not own or own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
            _, *own = inspect.signature(object.__init__).parameters.values()
        return inspect.Signature(own)

    if not TYPE_CHECKING:
        # Type checkers are to see the classes' own `__init__`, and not this.
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            name = cls.__name__
            reason = f"{name} is a class and holds nothing: give an object, {name}()"
            if "run_context" in kwargs and ("run_input" in kwargs or "run_output" in kwargs):
                verdict = Verdict(False, name, (reason,))
                if (output := kwargs.get("run_output")) is None:
                    raise InputBlocked(verdict)
                output.content = None
                raise OutputBlocked(verdict)
            if sys._getframe(1).f_globals.get("__name__") == _CALLS_TOOLS:
                # As a hook of a tool: nothing but its caller tells it from a user's own call.
                raise ToolRefused(reason)
            return super().__call__(*args, **kwargs)


class _Hosted:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        parameters = [*inspect.signature(function).parameters.values()]
        self._signature = inspect.Signature(parameters[1:])

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self.__wrapped__
        return Bound(owner, self.__wrapped__, self._signature)


def hosted(method: F) -> F:
    """Make `method` one whose signature the host need not work out again."""
    return cast("F", _Hosted(method))
