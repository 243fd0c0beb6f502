"""What may be given as guards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agno.guardrails import BaseGuardrail

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.base import Guard, check_guard
from agno_portkey.guardrails.foreign import AgnoGuard

__all__ = ["check_guards"]


def check_guards(guards: Iterable[BaseGuardrail]) -> tuple[Guard, ...]:
    """`guards` as a tuple of `Guard`s, Agno's own guardrails among them; others are refused."""
    if not isinstance(guards, Iterable):
        raise ConfigurationError(f"guards: a list of guardrails, not {type(guards).__name__}")
    several: list[Guard] = []
    given: Iterable[Any] = guards
    for guard in given:
        if not isinstance(guard, BaseGuardrail):
            name = getattr(guard, "__name__", "")
            if isinstance(guard, type):
                how = f" (a class: make one, {name}())"
            else:
                how = " (decorate a function with @guard)" if callable(guard) else ""
            raise ConfigurationError(
                f"guards: a Guard, or an Agno BaseGuardrail, not {guard!r}{how}"
            )
        if isinstance(guard, Guard):
            check_guard(guard)
        several.append(guard if isinstance(guard, Guard) else AgnoGuard(guard))
    return tuple(several)
