"""What `CacheFigures` counts is printed whole, at any width of a terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agno_portkey.cache import CacheFigures
from agno_portkey.verdict import Event

ROLES = ("Researcher", "Documentation Writer of Releases")
SAVED = {"tokens": 1_000, "cost": 0.01, "seconds": 2.0}
HEADINGS = (
    "role",
    "scope",
    "hits",
    "near",
    "shared",
    "misses",
    "hit rate",
    "bypassed",
    "would hit",
    "tokens saved",
    "dollars",
    "seconds",
    "compared",
    "differed",
)


def printed(figures: CacheFigures, columns: int) -> list[str]:
    out = StringIO()
    Console(file=out, width=columns, force_terminal=True, color_system=None).print(figures)
    return out.getvalue().splitlines()


def full(roles: tuple[str, ...] = ROLES) -> CacheFigures:
    """Figures in which there is something of everything."""
    figures = CacheFigures()

    def tell(role: str, outcome: str, count: int, **data: Any) -> None:
        for _ in range(count):
            figures(Event("cache", role, data={"scope": "tenant", "outcome": outcome, **data}))

    for role in roles:
        tell(role, "hit", 1_234, saved=SAVED)
        tell(role, "near", 321)
        tell(role, "shared", 12)
        tell(role, "miss", 15, reason="personal data")
        tell(role, "bypass", 30, reason="no tenant")
        tell(role, "would near", 8)
        tell(role, "compared", 40, same=True)
        tell(role, "compared", 3, same=False)
        tell(role, "unusable", 7, reason="may not be written to")
    figures(Event("call", roles[0], data={"cache_status": "HIT"}))
    return figures


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_word_and_no_number_is_broken(columns: int) -> None:
    lines = printed(full(), columns)
    assert all(len(line) <= columns for line in lines)
    text = " ".join(lines)
    assert [heading for heading in HEADINGS if heading not in text] == []
    words = text.split()
    for word in ("Documentation", "Writer", "Releases", "Researcher", "personal", "written"):
        assert word in words
    for number in ("1234", "321", "12", "15", "99%", "30", "8", "1234000", "12.3400", "2468.0"):
        assert number in words
    assert words.count("43") == words.count("3") == words.count("7") == 2


@pytest.mark.parametrize("columns", range(40, 121))
def test_names_give_way_before_numbers_and_headings(columns: int) -> None:
    lines = printed(full(("An old man of the sea, of ice and of the snow on it",)), columns)
    assert all(len(line) <= columns for line in lines)
    assert [each for each in HEADINGS if not any(each in line for line in lines)] == []


@pytest.mark.parametrize(("columns", "tables"), [(80, 2), (200, 1)])
def test_what_has_room_stands_in_one_table(columns: int, tables: int) -> None:
    figures = CacheFigures()
    for role in ("Ann", "Bob"):
        for outcome in ("hit", "near", "shared", "miss", "would near"):
            data = {"scope": "user", "outcome": outcome, "saved": SAVED, "same": True}
            figures(Event("cache", role, data=data))
            figures(Event("cache", role, data={**data, "outcome": "compared"}))
    headings = [line for line in printed(figures, columns) if line.startswith("role")]
    assert len(headings) == tables
    # What is nothing everywhere has no column.
    assert "differed" not in " ".join(headings)


@pytest.mark.parametrize("columns", [80, 120])
def test_why_is_told_a_line_each(columns: int) -> None:
    lines = [line.split() for line in printed(full(), columns)]
    assert ["Researcher", "tenant", "not", "kept", "personal", "data", "15"] in lines
    assert ["Researcher", "tenant", "store", "may", "not", "be", "written", "to", "7"] in lines
    assert ["Researcher", "gateway", "gateway", "HIT", "1"] in lines


def test_nothing_counted_is_printed_too() -> None:
    assert [line.split() for line in printed(CacheFigures(), 80)][-1] == [
        "scope",
        "hits",
        "misses",
        "hit",
        "rate",
    ]


def test_a_terminal_obeys_no_name_of_a_role() -> None:
    figures = CacheFigures()
    data = {"scope": "user", "outcome": "miss", "reason": "\x1b[2Jx"}
    figures(Event("cache", "[red]\x1b]0;title\x07", data=data))
    lines = printed(figures, 80)
    assert "[red]" in "".join(lines)
    assert all(each.isprintable() for each in "".join(lines))


def test_a_word_that_is_longer_than_the_terminal_is_shown_whole() -> None:
    figures = CacheFigures()
    figures(Event("cache", "x" * 150, data={"scope": "user", "outcome": "hit"}))
    lines = printed(figures, 60)
    assert all(len(line) <= 60 for line in lines)
    assert sum(line.count("x") for line in lines) == 150
