"""What may be given as guards."""

from __future__ import annotations

from collections.abc import Iterable

from agno.guardrails import BaseGuardrail

from agno_portkey.errors import ConfigurationError

__all__ = ["check_guards"]


def check_guards(guards: Iterable[BaseGuardrail]) -> tuple[BaseGuardrail, ...]:
    """`guards` as a tuple; anything that is not an Agno guardrail is refused."""
    if not isinstance(guards, Iterable):
        raise ConfigurationError(f"guards: a list of guardrails, not {type(guards).__name__}")
    several = tuple(guards)
    for guard in several:
        if not isinstance(guard, BaseGuardrail):
            raise ConfigurationError(f"guards: an Agno BaseGuardrail, not {guard!r}")
    return several
