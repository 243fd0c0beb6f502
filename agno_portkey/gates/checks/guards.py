"""`GuardCheck`: no guard has refused anything in the run, or failed at it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check
from agno_portkey.verdict import Verdict

__all__ = ["GuardCheck"]


@dataclass(frozen=True, kw_only=True)
class GuardCheck(Check):
    """Passes a run in which no guard but those that `allow` names has refused or failed."""

    name: str = "guards"
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.allow
        given = (given,) if isinstance(given, str) else given
        names = tuple(given) if isinstance(given, Iterable) else (None,)
        if not all(isinstance(name, str) and name.strip() for name in names):
            raise ConfigurationError(f"{self.name}.allow: the names of guards")
        object.__setattr__(self, "allow", names)

    def decide(self, case: Case) -> Verdict:
        held = dict.fromkeys(guard for guard in case.failures if guard not in self.allow)
        may = f"none but {', '.join(self.allow)} may" if self.allow else "none may"
        return self.verdict(
            *(
                f"the guard {one} refused something in this run, or failed, and {may}"
                for one in held
            )
        )
