"""A guard by the name of what makes it, and the guard that is made of it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Annotated, Any, Self

from agno.guardrails import BaseGuardrail
from pydantic import AfterValidator, ConfigDict, PlainValidator, WithJsonSchema, model_validator

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import AgnoGuard, Guard
from agno_portkey.policy.parts import OneMode
from agno_portkey.routing.config.parts import Part, Text, part_error
from agno_portkey.routing.config.references import resolve_all

__all__ = ["AnyGuard", "GuardUse", "imported", "made"]


def _plain(value: Any) -> Any:
    """A copy of `value`, which is JSON; a later change of it reaches no frozen policy."""
    try:
        copied = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        copied = None
    if copied != value:
        raise ValueError("plain JSON is due here: texts as keys, lists, no NaN and no objects")
    return copied


class GuardUse(Part):
    """A guard as a file names it: `use` is the class or function, as `package.module:Name`.

    All other fields but `mode` are its arguments; a text `${NAME}` in them, however deep, comes
    from the environment when the guard is made. What is made may be an Agno guardrail.
    """

    model_config = ConfigDict(extra="allow")

    use: Text
    mode: OneMode | None = None
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]]  # pyright: ignore

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # The arguments may hold secrets.
        yield "use", self.use
        yield "mode", self.mode
        for name in self.arguments:
            yield name, ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        return self.model_extra or {}

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not _is_name(self.use):
            raise part_error("policy", [(("use",), f"package.module:Name, not {self.use!r}")])
        return self

    def factory(self, path: str) -> Callable[..., Any]:
        """The class or function, imported; `path` is this guard's, for the error."""
        return imported(self.use, f"{path}.use")

    def make(self, path: str) -> BaseGuardrail:
        """The guard itself, in the mode that is said here, if one is."""
        factory = self.factory(path)
        arguments = resolve_all(self.arguments, path=path)
        try:
            guard = factory(**arguments)
        except Exception as error:
            raise ConfigurationError(
                f"{path}: {self.use} can't be made ({type(error).__name__}: {error})"
            ) from error
        if not isinstance(guard, BaseGuardrail):
            raise ConfigurationError(
                f"{path}.use: {self.use} makes a {type(guard).__name__}, and no guardrail"
            )
        return guard if self.mode is None else _in_mode(guard, self.mode)


def imported(use: str, path: str) -> Callable[..., Any]:
    """The class or function that `use` names as `package.module:Name`; `path` is for the error."""
    if not _is_name(use):
        raise ConfigurationError(f"{path}: package.module:Name, not {use!r}")
    module, _, name = use.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module of the user's may raise anything
        raise ConfigurationError(
            f"{path}: can't import {use} ({type(error).__name__}: {error})"
        ) from error
    if not callable(found):
        raise ConfigurationError(f"{path}: {use} is neither a class nor a function")
    return found


def _is_name(use: str) -> bool:
    module, colon, name = use.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))


def _in_mode(guard: BaseGuardrail, mode: Any) -> Guard:
    if not isinstance(guard, Guard):
        return AgnoGuard(guard, mode=mode)
    # A copy: the function may give the same guard to others.
    twin = copy(guard)
    twin.mode = mode
    return twin


def made(guard: GuardUse | BaseGuardrail, path: str) -> BaseGuardrail:
    """The guard of an entry of a policy, which may be the guard itself."""
    return guard.make(path) if isinstance(guard, GuardUse) else guard


def _guard(value: Any) -> GuardUse | BaseGuardrail:
    if isinstance(value, GuardUse | BaseGuardrail):
        return value
    if isinstance(value, str):
        value = {"use": value}
    if not isinstance(value, Mapping):
        raise ValueError(f"a guard, or a mapping with use: package.module:Name, not {value!r}")
    return GuardUse(**value)


AnyGuard = Annotated[
    GuardUse | BaseGuardrail,
    PlainValidator(_guard),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[^:]+:[^:]+$"},
                {
                    "type": "object",
                    "properties": {
                        "use": {"type": "string", "pattern": "^[^:]+:[^:]+$"},
                        "mode": {"enum": ["off", "observe", "enforce"]},
                    },
                    "required": ["use"],
                },
            ]
        }
    ),
]
