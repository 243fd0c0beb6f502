"""Who holds which tools, and the gate put into those of the Runner, wherever they are held."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from agno.tools import Toolkit
from agno.tools.function import Function

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.tools import is_protected, original, protect

__all__ = ["Tools"]


class Tools:
    """The Runner's tools, and every place where one of them is held.

    `take` and `claim` only look, and return the ways round that they can't close; `protect`
    changes. A tool is the Runner's by its name or by the function under it; of one that the host
    could not call they raise ConfigurationError, since it would leave that out and go on.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self.protected: list[Function] = []
        self._originals: set[int] = set()
        self._holders: list[Any] = []

    def take(self, runner: Any) -> list[str]:
        """Note the Runner's own tools."""
        paths = list(_uncountable(runner))
        if paths:
            return paths
        names = set()
        for function in _functions(runner):
            if function.external_execution:
                paths.append(
                    f"{runner.name or runner.id} holds {function.name}, which runs elsewhere"
                )
            names.add(function.name)
            if function.entrypoint is not None:
                _require_signature(runner, function)
                self._originals.add(id(original(function.entrypoint)))
        self.names = frozenset(names)
        return paths

    def claim(self, owner: Any) -> list[str]:
        """Note `owner` as a possible holder of the Runner's tools."""
        paths = list(_uncountable(owner))
        if not paths:
            for tool in owner.tools or ():
                if callable(tool) and self._names(tool):
                    _from_callable(owner, tool)
            self._holders.append(owner)
        return paths

    def protect(self, charter: Charter) -> None:
        """Put `charter` into each of the Runner's tools, in place; bare functions are replaced."""
        for holder in self._holders:
            if holder.tools:
                holder.tools = [self._guarded(holder, tool, charter) for tool in holder.tools]

    def unprotected(self, owner: Any) -> str | None:
        """The first of the Runner's tools that `owner` holds without the gate in it."""
        if (late := next(_uncountable(owner), None)) is not None:
            return late
        for tool in owner.tools or ():
            functions = _of_toolkit(tool) if isinstance(tool, Toolkit) else (tool,)
            for function in functions:
                if isinstance(function, Function):
                    bare = self._is_mine(function) and not is_protected(function)
                else:
                    bare = callable(function) and self._names(function)
                if bare:
                    return f"{owner.name or owner.id} holds {getattr(function, 'name', function)}"
        return None

    def unknown(self, runner: Any) -> str | None:
        """The first tool of the Runner's that no plan can name, since it came late."""
        try:
            for function in _functions(runner):
                if function.name not in self.names:
                    return f"{runner.name or runner.id} holds {function.name}"
        except ConfigurationError as error:
            return str(error)
        return None

    @property
    def functions(self) -> frozenset[int]:
        """The `id` of each function under the Runner's tools."""
        return frozenset(self._originals)

    def _names(self, function: Callable[..., Any]) -> bool:
        return (
            getattr(function, "__name__", None) in self.names
            or id(original(function)) in self._originals
        )

    def _is_mine(self, function: Function) -> bool:
        entrypoint = function.entrypoint
        return function.name in self.names or (
            entrypoint is not None and id(original(entrypoint)) in self._originals
        )

    def _guarded(self, holder: Any, tool: Any, charter: Charter) -> Any:
        if isinstance(tool, Toolkit):
            for function in _of_toolkit(tool):
                self._protect(function, charter)
            return tool
        if isinstance(tool, Function):
            self._protect(tool, charter)
            return tool
        if callable(tool) and self._names(tool):
            function = _from_callable(holder, tool)
            self._protect(function, charter)
            return function
        # Nobody's but its holder's: what the host can make of it is for the host to say.
        return tool

    def _protect(self, function: Function, charter: Charter) -> None:
        if self._is_mine(function):
            self.protected.append(protect(function, charter))


def _functions(owner: Any) -> Iterator[Function]:
    for tool in owner.tools or ():
        if isinstance(tool, Toolkit):
            yield from _of_toolkit(tool)
        elif isinstance(tool, Function):
            yield tool
        elif callable(tool):
            yield _from_callable(owner, tool)


def _of_toolkit(toolkit: Toolkit) -> Iterator[Function]:
    yield from toolkit.functions.values()
    yield from toolkit.async_functions.values()


def _from_callable(owner: Any, tool: Callable[..., Any]) -> Function:
    """The `Function` that the host would make of a bare callable, approvals included.

    Where it can make none, it warns and goes on without the tool, of which plans would still
    speak: that is refused.
    """
    try:
        function = Function.from_callable(tool)
    except Exception as error:
        named = getattr(original(tool), "__name__", f"a {type(tool).__name__}")
        raise _unusable(owner, named, "the host can make no schema of it", error) from error
    approval = getattr(tool, "_agno_approval_type", None)
    if approval is not None:
        function.approval_type = approval
        # An approval for the record alone needs a flag that only a @tool can have: the host
        # refuses it as well, and here it is asked for.
        function.requires_confirmation = True
    return function


def _require_signature(owner: Any, function: Function) -> None:
    """Refuse what takes nobody knows what: no call of it could be matched to a plan's step."""
    try:
        inspect.signature(function.entrypoint)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise _unusable(owner, function.name, "its parameters can't be known", error) from error


def _unusable(owner: Any, tool: str, why: str, error: Exception) -> ConfigurationError:
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ConfigurationError(
        f"{owner.name or owner.id}.tools: {tool} can't be used as a tool: {why} ({first}); "
        "wrap it in a function of your own, with annotated parameters and a docstring"
    )


def _uncountable(owner: Any) -> Iterator[str]:
    """Tools that can't be known before the run."""
    name = owner.name or owner.id
    if owner.tools is not None and not isinstance(owner.tools, list | tuple):
        yield f"{name}.tools is made at run time; give a list"
        return
    for tool in owner.tools or ():
        if isinstance(tool, Toolkit) and not (tool.functions or tool.async_functions):
            yield f"{name} holds {tool.name}, whose functions are not known until it is connected"
