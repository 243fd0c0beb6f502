"""The table of what was played end to end, and whether ours meets its goals in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.contracts.peers import Player
from benchmarks.contracts.played import Tally

__all__ = ["RESCUED", "goals", "show_played"]

# Of the replies in which nothing is lost, those that need no second call.
RESCUED = 0.95
# Of Instructor's further calls, those that ours may make.
FURTHER = 0.5

Played = Sequence[tuple[Player, Tally]]


def show_played(console: Console, played: Played, missing: Sequence[str]) -> bool:
    """Print the table, the settings and the goals; whether all of these are met."""
    console.print(_table(played))
    for player, tally in played:
        refused = ", ".join(f"{count} {name}" for name, count in tally.refused.items())
        console.print(f"{_name(player)}{f'; raised: {refused}' if refused else ''}", soft_wrap=True)
    for line in missing:
        console.print(f"not measured: {line}", markup=False)
    judged = [*goals(played)]
    for text, met in judged:
        console.print(f"{'met' if met else '[bold red]missed[/]'}: {text}")
    return all(met for _, met in judged)


def goals(played: Played) -> Iterator[tuple[str, bool]]:
    """Each goal, with what was measured, and whether it is met."""
    ours = next((tally for player, tally in played if player.name == "ours"), None)
    if ours is None:
        yield "ours is not measured", False
        return
    yield (
        f"{ours.lossless_first} of {ours.lossless} need no second call where nothing is lost "
        f"(goal: {RESCUED:.0%})",
        ours.lossless_first >= RESCUED * ours.lossless,
    )
    yield f"{ours.wrong} wrong (goal 0)", ours.wrong == 0
    yield f"{ours.strings} strings (goal 0)", ours.strings == 0
    # Instructor's best setting in this is the hardest to meet.
    best = min(
        (t for p, t in played if p.name == "Instructor"), key=lambda t: t.calls, default=None
    )
    if best is None:
        yield "further calls beside Instructor's are not measured", False
        return
    yield (
        f"{ours.further} calls beyond the first, with {ours.refused.total()} refused; "
        f"Instructor {best.further}, with {best.refused.total()} refused (goal: at most half); "
        f"of all calls {ours.calls} and {best.calls}, {ours.calls / best.calls:.2f}x, not judged",
        ours.further <= FURTHER * best.further,
    )


def _table(played: Played) -> Table:
    tally = played[0][1]
    table = Table(
        title=f"{tally.replies} replies played end to end, in {tally.lossless} nothing is lost",
        caption="wrong: where nothing is lost + where part is, as of two objects that differ; "
        "calls: a reply, and those beyond its first; tokens: of all calls, for each right object",
    )
    table.add_column("")
    for name in ("right", "at once", "at once, lossless", "wrong", "strings", "refused"):
        table.add_column(name, justify="right")
    for name in ("calls", "further", "tokens"):
        table.add_column(name, justify="right")
    for player, each in played:
        table.add_row(_short(player), *_cells(each))
    return table


def _cells(tally: Tally) -> list[str]:
    lossy_wrong = tally.wrong - tally.lossless_wrong
    wrong = f"{tally.lossless_wrong} + {lossy_wrong}"
    return [
        f"{tally.right / tally.replies:.3f}",
        f"{tally.first / tally.replies:.3f}",
        f"{tally.lossless_first / tally.lossless:.3f}",
        f"[red]{wrong}[/]" if tally.wrong else wrong,
        f"[red]{tally.strings}[/]" if tally.strings else "0",
        str(tally.refused.total()),
        f"{tally.calls / tally.replies:.2f}",
        f"{tally.further / tally.replies:.2f}",
        f"{tally.tokens / tally.right:.0f}" if tally.right else "-",
    ]


def _short(player: Player) -> str:
    return f"{player.name}, {player.setting.split(',')[0]}"


def _name(player: Player) -> str:
    return f"{player.name}: {player.setting}"
