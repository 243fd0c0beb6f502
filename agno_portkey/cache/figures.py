"""How a cache fares: what was answered from it, and what that saved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_portkey.verdict import Event

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CacheFigures", "CacheRow"]

_MAX_ROWS = 10_000
# What is answered from the cache, and what would be if it were not only observed.
_SERVED = ("hit", "near", "shared")
_LOOKED_UP = (*_SERVED, "miss")


@dataclass
class CacheRow:
    """The calls of one role in one scope.

    `outcomes` counts calls by what became of them: `hit` (asked before, to the letter), `near`
    (asked before in other words), `shared` (with a call under way), `miss`, `bypass` (not to be
    cached). `reasons` say why answers were not kept, or calls not looked up. `would` counts what
    would have been served where the cache is only observed. `saved_tokens`, `saved_cost` (US
    dollars) and `saved_seconds` are those of the answers that were served again. `gateway` counts
    what the gateway's own cache said.
    """

    role: str
    scope: str
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    gateway: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    different: int = 0
    kept: int = 0
    saved_tokens: int = 0
    saved_cost: float = 0.0
    saved_seconds: float = 0.0

    @property
    def hit_rate(self) -> float:
        """The share of looked up calls that were answered from the cache, in 0-1."""
        looked_up = sum(self.outcomes[each] for each in _LOOKED_UP)
        return sum(self.outcomes[each] for each in _SERVED) / looked_up if looked_up else 0.0


class CacheFigures:
    """An observer that counts; give it to `govern` or a model, and print it with rich.

    ```python
    figures = CacheFigures()
    model = PortkeyModel("gpt-4o-mini", cache=CachePolicy(), observers=[figures])
    ...
    rich.print(figures)
    ```
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], CacheRow] = {}

    def __call__(self, event: Event) -> None:
        data = event.data
        if event.kind == "cache":
            self._count(event.role or "", str(data.get("scope") or ""), data)
        elif event.kind == "call" and (status := data.get("cache_status")) != "DISABLED" and status:
            with self._lock:
                if (row := self._row(event.role or "", "gateway")) is not None:
                    row.gateway[str(status)] += 1

    def _count(self, role: str, scope: str, data: Any) -> None:
        outcome = str(data.get("outcome"))
        with self._lock:
            if (row := self._row(role, scope)) is None:
                return
            if outcome == "compared":
                row.compared += data.get("same") is not None
                row.different += data.get("same") is False
            elif outcome == "kept":
                row.kept += 1
            elif outcome.startswith("would "):
                row.would[outcome.removeprefix("would ")] += 1
            else:
                row.outcomes[outcome] += 1
            if reason := data.get("reason"):
                row.reasons[str(reason)] += 1
            if (saved := data.get("saved")) and outcome in _SERVED:
                row.saved_tokens += saved["tokens"]
                row.saved_cost += saved["cost"]
                row.saved_seconds += saved["seconds"]

    def _row(self, role: str, scope: str) -> CacheRow | None:
        row = self._rows.get((role, scope))
        if row is None and len(self._rows) < _MAX_ROWS:
            row = self._rows[role, scope] = CacheRow(role, scope)
        return row

    def rows(self) -> list[CacheRow]:
        """The figures, by role and scope."""
        with self._lock:
            return [self._rows[key] for key in sorted(self._rows)]

    def __rich__(self) -> Table:
        from rich.table import Table

        rows = self.rows()
        # What is nothing everywhere only takes the others' room.
        shown = [
            (name, cells)
            for name, show in _COLUMNS
            if name in _ALWAYS or any(cell not in ("", "0") for cell in map(show, rows))
            for cells in [[show(row) for row in rows]]
        ]
        table = Table(title="answers from the cache", box=None, pad_edge=False)
        for name, _ in shown:
            words = name in ("role", "scope", "not kept, as")
            table.add_column(name, justify="left" if words else "right", overflow="fold")
        for number in range(len(rows)):
            table.add_row(*(cells[number] for _, cells in shown))
        return table

    def __repr__(self) -> str:
        served = sum(row.outcomes[each] for row in self.rows() for each in _SERVED)
        return f"CacheFigures({served} served)"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(3))


_ALWAYS = ("scope", "hits", "misses", "hit rate")
_COLUMNS: tuple[tuple[str, Callable[[CacheRow], str]], ...] = (
    ("role", lambda row: row.role),
    ("scope", lambda row: row.scope),
    ("hits", lambda row: str(row.outcomes["hit"])),
    ("near", lambda row: str(row.outcomes["near"])),
    ("shared", lambda row: str(row.outcomes["shared"])),
    ("misses", lambda row: str(row.outcomes["miss"])),
    ("bypassed", lambda row: str(row.outcomes["bypass"])),
    ("would hit", lambda row: str(row.would.total())),
    ("hit rate", lambda row: f"{row.hit_rate:.0%}"),
    ("tokens saved", lambda row: str(row.saved_tokens)),
    ("dollars", lambda row: f"{row.saved_cost:.4f}" if row.saved_cost else ""),
    ("seconds", lambda row: f"{row.saved_seconds:.1f}"),
    ("compared", lambda row: str(row.compared)),
    ("differed", lambda row: str(row.different)),
    ("not kept, as", lambda row: _counted(row.reasons)),
    ("gateway", lambda row: _counted(row.gateway)),
)
