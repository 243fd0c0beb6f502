"""The matrix of ways round a guard: its cells, and those that can't be, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations, product

__all__ = [
    "CELLS",
    "ENTRIES",
    "FAULTS",
    "HOOKS_CANT",
    "IMPOSSIBLE",
    "OS_ENTRIES",
    "PRODUCT",
    "READIED",
    "SHAPES",
    "STAGES",
    "Cell",
    "by_hook",
    "covering",
    "is_taken_away",
    "why_not",
]

PLAIN_ENTRIES = ("run", "arun", "stream", "astream", "print", "aprint")
CONTINUED = ("continue", "acontinue", "continue stream", "acontinue stream")
OS_ENTRIES = ("os", "os sse", "os continue", "os continue sse")
# What runs inside of somebody else's run, which is told, and goes on.
WITHIN = ("workflow", "nested", "as tool", "eval")
ENTRIES = (*PLAIN_ENTRIES, *CONTINUED, *OS_ENTRIES, "background", *WITHIN)
SHAPES = ("agent", "coordinate", "route", "tasks", "nested")
# What is forbidden is in the request, the answer, a tool's arguments, or its result; or, with the
# guard in the model only, in what no hook sees (it is sent), or in the answer.
STAGES = ("pre", "post", "tool in", "tool out", "model in", "model out")
FAULTS = ("raises", "times out", "junk", "async only", "dropped", "background")

# In these pre- and post-hooks are not taken away: the host made them ready for an async run, and
# this one is not. Tool hooks it makes ready anew for each run.
READIED = ("run", "stream", "print", "workflow", "as tool", "nested")
STREAMED = frozenset(each for each in ENTRIES if "stream" in each or "sse" in each) | {
    "aprint",
    "eval",
}


@dataclass(frozen=True, order=True)
class Cell:
    """One way of asking, one shape asked, where its guard is, and what is wrong with that guard."""

    entry: str
    shape: str
    stage: str
    fault: str

    def __str__(self) -> str:
        return f"{self.entry} / {self.shape} / {self.stage} / {self.fault}"


# Why cells can't be: the first that applies is the reason.
IMPOSSIBLE: dict[str, Callable[[Cell], bool]] = {
    "Agno never moves a tool hook to the background": (
        lambda cell: cell.fault == "background" and cell.stage.startswith("tool")
    ),
    "a guard that is in the model alone is no hook that could be moved": (
        lambda cell: cell.fault == "background" and cell.stage.startswith("model")
    ),
    "Agno hands no background tasks on to a member, or to a case of a suite": (
        lambda cell: cell.fault == "background" and cell.entry in ("nested", "eval")
    ),
}


def why_not(cell: Cell) -> str | None:
    """The reason why `cell` can't be; None if it can."""
    return next((reason for reason, applies in IMPOSSIBLE.items() if applies(cell)), None)


def is_taken_away(cell: Cell) -> bool:
    """Whether the hooks are taken out of their lists in `cell`."""
    return cell.fault == "dropped" and (cell.entry not in READIED or cell.stage.startswith("tool"))


# Why a guard in its hook list alone can't hold some cells, and has to be in the model as well.
HOOKS_CANT: dict[str, Callable[[Cell], bool]] = {
    "its list is gone": lambda cell: is_taken_away(cell),
    "it is in no list": lambda cell: cell.stage.startswith("model"),
    "it is asked when the answer is out": lambda cell: cell.fault == "background",
    "Agno runs no pre-hook where a run is continued": (
        lambda cell: cell.stage == "pre" and cell.entry in (*CONTINUED, *OS_ENTRIES[2:])
    ),
    "Agno shows a streamed answer before its post-hooks run": (
        lambda cell: cell.stage == "post" and cell.entry in STREAMED
    ),
}


PRODUCT = tuple(Cell(*values) for values in product(ENTRIES, SHAPES, STAGES, FAULTS))


CELLS: Sequence[Cell] = tuple(cell for cell in PRODUCT if why_not(cell) is None)


def by_hook() -> list[Cell]:
    """The possible cells that a guard in its hook list alone has to hold."""
    return [cell for cell in CELLS if not any(cant(cell) for cant in HOOKS_CANT.values())]


def covering(cells: Sequence[Cell], *, strength: int = 2) -> list[Cell]:
    """Some of `cells` in which each combination of `strength` values occurs that occurs in all.

    Greedy: the cell with the most combinations that are still missing comes next.
    """
    parts = {cell: set(combinations(enumerate(astuple(cell)), strength)) for cell in cells}
    missing = set().union(*parts.values())
    chosen: list[Cell] = []
    while missing:
        best = max(cells, key=lambda cell: len(parts[cell] & missing))
        chosen.append(best)
        missing -= parts[best]
    return chosen
