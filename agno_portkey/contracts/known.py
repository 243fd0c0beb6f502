"""What is known of a run beside its output: to rules, and to the model from a hook."""

from __future__ import annotations

from dataclasses import dataclass

from agno_portkey.contracts.roles import Critique, Plan
from agno_portkey.contracts.schemas import Schema

__all__ = ["Known", "Noted"]


@dataclass(frozen=True, slots=True)
class Known:
    """The plan that an output's author was shown, and what a critic said of that plan."""

    plan: Plan | None = None
    critique: Critique | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """What a hook has noted of a run whose input it held: the schema of its output."""

    schema: Schema | None = None
