"""What a tool's function was made with, as far as that can't change between its calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dis import get_instructions
from enum import Enum
from functools import lru_cache, partial
from re import Pattern
from types import CodeType, FunctionType, MemberDescriptorType, MethodType
from typing import Any

from pydantic import BaseModel

from agno_portkey.gates.tools import layers

__all__ = ["given_to", "parameters_of"]

# Whose wrappers are round a tool, or are not, as the host goes on.
_HOSTS = ("agno", "agno_portkey", "pydantic")


def given_to(tool: Callable[..., Any]) -> Iterator[Mapping[str, Any]]:
    """What each function, method, partial or object under `tool` was made with, by its name.

    Lists and other objects are left out: they may be what it keeps of its calls.
    """
    for layer in layers(tool):
        given = {name: each for name, each in _given(layer).items() if _is_fixed(each)}
        if given:
            yield given


def parameters_of(kind: Any) -> set[str]:
    """The names of what an object of this class may be given when it is made."""
    try:
        named = set(inspect.signature(kind.__init__).parameters)
    except (TypeError, ValueError):
        # One of C does not tell.
        named = set()
    return named | set(kind.model_fields) if issubclass(kind, BaseModel) else named


def _given(layer: Any) -> dict[str, Any]:
    if isinstance(layer, partial):
        return {**{str(at): each for at, each in enumerate(layer.args)}, **layer.keywords}
    if isinstance(layer, FunctionType):
        return _of_function(layer)
    own = layer.__self__ if isinstance(layer, MethodType) else layer
    return {} if inspect.isroutine(own) or isinstance(own, type) else _of_object(own)


def _of_object(own: Any) -> dict[str, Any]:
    """What bears the name of a parameter: all else may be a state."""
    known = parameters_of(type(own))
    held = dict(getattr(own, "__dict__", {}))
    for name in known:
        if isinstance(getattr(type(own), name, None), MemberDescriptorType):
            held[name] = getattr(own, name, None)
    return {name: each for name, each in held.items() if name.removeprefix("_") in known}


def _of_function(function: FunctionType) -> dict[str, Any]:
    """The defaults of its parameters, and what it has from where it was defined."""
    if str(function.__globals__.get("__name__")).partition(".")[0] in _HOSTS:
        return {}
    code, defaults = function.__code__, function.__defaults__ or ()
    named = code.co_varnames[: code.co_argcount]
    given: dict[str, Any] = dict(zip(named[len(named) - len(defaults) :], defaults, strict=True))
    given |= function.__kwdefaults__ or {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        # One that is empty has no contents yet; what the function itself sets is a state.
        with suppress(ValueError):
            if name not in _set_by(code):
                given[name] = cell.cell_contents
    return given


@lru_cache(maxsize=1024)
def _set_by(code: CodeType) -> frozenset[str]:
    """The names from outside that a function sets."""
    return frozenset(str(i.argval) for i in get_instructions(code) if i.opname == "STORE_DEREF")


def _is_fixed(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_fixed, value))
    return isinstance(value, str | int | float | Enum | Pattern | type(None))
