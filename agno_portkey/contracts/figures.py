"""How structured outputs fare: what came right at once, what was mended, and what that took."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agno_portkey.verdict import Event

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ContractFigures", "Figures"]

# Role, model, target (or arm of an experiment) and schema.
_Key = tuple[str, str, str, str]
_MAX_ROWS = 10_000
_FIRST = "given"


@dataclass
class Figures:
    """The outputs of one schema that one role got of one model at one target, or arm.

    `rungs` counts the answers by what brought them: `given` (the first try), `repair`, `coercion`,
    `reask`, `stronger`. `failed_tokens` and `failed_cost` (US dollars, as far as providers report
    it) are those of attempts that came to nothing; the host counts them for the run as a whole.
    """

    role: str
    model: str
    arm: str
    schema: str
    rungs: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    attempts: int = 0
    failed_tokens: int = 0
    failed_cost: float = 0.0

    @property
    def outputs(self) -> int:
        """How many were asked for."""
        return self.rungs.total() + self.refused

    @property
    def first_try_rate(self) -> float:
        """The share that was right as it came, in 0-1."""
        return self.rungs[_FIRST] / self.outputs if self.outputs else 0.0


class ContractFigures:
    """An observer that counts; give it to `govern` or a model, and print it with rich.

    ```python
    figures = ContractFigures()
    team = govern(team, observers=[figures])
    ...
    rich.print(figures)
    ```
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[_Key, Figures] = {}

    def __call__(self, event: Event) -> None:
        if event.kind != "contract" or event.verdict is None or event.data.get("stage") != "model":
            return
        data = event.data
        if "attempts" not in data:
            return
        schema = event.verdict.source.removeprefix("contract ")
        arm = str(data.get("arm") or data.get("target") or "")
        key = (event.role or "", str(data.get("model") or ""), arm, schema)
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                if len(self._rows) >= _MAX_ROWS:
                    return
                row = self._rows[key] = Figures(*key)
            row.attempts += data["attempts"]
            row.failed_tokens += data.get("failed_tokens") or 0
            row.failed_cost += data.get("failed_cost") or 0.0
            if event.verdict.passed:
                row.rungs[str(data.get("rung"))] += 1
            else:
                row.refused += 1

    def rows(self) -> list[Figures]:
        """The figures, by role, model, arm and schema."""
        with self._lock:
            return [self._rows[key] for key in sorted(self._rows)]

    def __rich__(self) -> Table:
        from rich.table import Table

        table, rows = Table(title="structured outputs"), self.rows()
        # What is nothing everywhere only takes the others' room.
        shown = [
            (name, [show(row) for row in rows])
            for name, show in _COLUMNS
            if name in _ALWAYS or any(show(row) not in ("", "0") for row in rows)
        ]
        for name, _ in shown:
            words = name in ("role", "model", "arm", "schema")
            table.add_column(name, justify="left" if words else "right", overflow="fold")
        for number in range(len(rows)):
            table.add_row(*(cells[number] for _, cells in shown))
        return table

    def __repr__(self) -> str:
        return f"ContractFigures({sum(row.outputs for row in self.rows())} outputs)"


_ALWAYS = ("role", "outputs", "first try", "refused")


def _rung(name: str) -> tuple[str, Callable[[Figures], str]]:
    return name, lambda row: str(row.rungs[name])


_COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("role", lambda row: row.role),
    ("model", lambda row: row.model),
    ("arm", lambda row: row.arm),
    ("schema", lambda row: row.schema),
    ("outputs", lambda row: str(row.outputs)),
    ("first try", lambda row: f"{row.first_try_rate:.0%}"),
    _rung("repair"),
    _rung("coercion"),
    _rung("reask"),
    _rung("stronger"),
    ("refused", lambda row: str(row.refused)),
    ("attempts", lambda row: str(row.attempts)),
    ("failed tokens", lambda row: str(row.failed_tokens)),
    ("failed cost", lambda row: f"${row.failed_cost:.4f}" if row.failed_cost else ""),
)
