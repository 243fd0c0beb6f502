"""How a cache fares: what was answered from it, and what that saved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_portkey.verdict import Event, shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

__all__ = ["CacheFigures", "CacheRow"]

_MAX_ROWS = 10_000
# Reasons that are shown of each row, the most frequent ones.
_MOST = 3
# Between columns; and the longest word of a name that is not broken.
_GAP, _WORD = 2, 24
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
    what the gateway's own cache said, `unusable` why the store was of no use to calls.
    """

    role: str
    scope: str
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    gateway: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
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


Columns = dict[str, Callable[[CacheRow], str]]


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
            elif outcome == "unusable":
                row.unusable[str(data.get("reason"))] += 1
                return
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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One table; beneath it what it has no room for, and why answers were not kept."""
        rows = self.rows()
        title = "answers from the cache"
        for part in _parts(rows, options.max_width):
            yield _table(title, rows, part)
            title = ""
        if reasons := [(row, *each) for row in rows for each in _reasons(row)]:
            yield _why(reasons)

    def __repr__(self) -> str:
        served = sum(row.outcomes[each] for row in self.rows() for each in _SERVED)
        return f"CacheFigures({served} served)"


def _parts(rows: Sequence[CacheRow], width: int) -> list[Columns]:
    """The columns, as many side by side as have room beside the longest words of names.

    What is nothing everywhere is left out, for it would only take the others' room.
    """
    words = [word for row in rows for word in (*row.role.split(), row.scope)]
    names = min(max(map(len, words), default=0), _WORD) + _GAP + len("gateway")
    parts: list[Columns] = [{}]
    left = width - names
    for name, show in _COLUMNS.items():
        cells = [show(row) for row in rows]
        if name not in _ALWAYS and all(cell in ("", "0") for cell in cells):
            continue
        takes = _GAP + max(map(len, (name, *cells)))
        if takes > left and parts[-1]:
            parts.append({})
            left = width - names
        parts[-1][name] = show
        left -= takes
    return parts


def _table(title: str, rows: Sequence[CacheRow], columns: Columns) -> Table:
    table = _named(title, any(row.role for row in rows))
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [show(row) for show in columns.values()]
        table.add_row(*_names(row, any(each.role for each in rows)), *cells)
    return table


def _why(reasons: Sequence[tuple[CacheRow, str, str, int]]) -> Table:
    roles = any(row.role for row, *_ in reasons)
    table = _named("why not, and what the gateway's own cache said", roles)
    for name in ("what", "why"):
        table.add_column(name, overflow="fold")
    table.add_column("calls", justify="right", no_wrap=True)
    for row, what, why, count in reasons:
        table.add_row(*_names(row, roles), what, _plain(why), str(count))
    return table


def _named(title: str, roles: bool) -> Table:
    """A table that begins with whose figures they are; only their names are ever wrapped."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("role",) * roles + ("scope",):
        table.add_column(name, overflow="fold")
    return table


def _names(row: CacheRow, roles: bool) -> list[Text]:
    return [_plain(name) for name in (row.role,) * roles + (row.scope,)]


def _plain(text: str) -> Text:
    """`text` as it may be printed: who calls a model has named its role."""
    from rich.text import Text

    return Text(shown(text))


def _reasons(row: CacheRow) -> Iterator[tuple[str, str, int]]:
    told = (("not kept", row.reasons), ("store", row.unusable), ("gateway", row.gateway))
    for what, counts in told:
        for why, count in counts.most_common(_MOST):
            yield what, why, count


_ALWAYS = ("hits", "misses", "hit rate")
_COLUMNS: Columns = {
    "hits": lambda row: str(row.outcomes["hit"]),
    "near": lambda row: str(row.outcomes["near"]),
    "shared": lambda row: str(row.outcomes["shared"]),
    "misses": lambda row: str(row.outcomes["miss"]),
    "hit rate": lambda row: f"{row.hit_rate:.0%}",
    "bypassed": lambda row: str(row.outcomes["bypass"]),
    "would hit": lambda row: str(row.would.total()),
    "tokens saved": lambda row: str(row.saved_tokens),
    "dollars": lambda row: f"{row.saved_cost:.4f}" if row.saved_cost else "",
    "seconds": lambda row: f"{row.saved_seconds:.1f}" if row.saved_seconds else "",
    "compared": lambda row: str(row.compared),
    "differed": lambda row: str(row.different),
}
