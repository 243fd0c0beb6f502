"""The matrix of ways round a guard: of all cells so many that each two values meet.

`python benchmarks/bypass.py` plays every cell.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import astuple, fields
from itertools import combinations

import pytest
from agno.eval.suite import Case
from agno.hooks import hook
from matrix_asked import Host
from matrix_cells import (
    CELLS,
    ENTRIES,
    FAULTS,
    HOOKS_CANT,
    IMPOSSIBLE,
    PRODUCT,
    READIED,
    SHAPES,
    STAGES,
    Cell,
    by_hook,
    covering,
    why_not,
)
from matrix_entries import ENTRY_PLAYERS
from matrix_guards import guard_for, plain_guard_for
from matrix_play import IN_TIME, Table, control, play
from matrix_shapes import SHAPE_MAKERS

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture(scope="module")
def table(portkey_gateway: LocalGateway) -> Iterator[Table]:
    host = Host()
    with EmbeddedProvider() as provider:
        model = PortkeyModel(
            base_url=portkey_gateway.url,
            portkey_provider="openai",
            api_key="test-key",
            custom_host=provider.url,
        )
        yield Table(host, provider, model)
        host.close()


@pytest.mark.parametrize("cell", covering(CELLS), ids=str)
def test_a_guard_holds(cell: Cell, table: Table) -> None:
    assert play(table, cell) == []


@pytest.mark.parametrize("cell", covering(by_hook()), ids=str)
def test_a_guard_in_its_hook_list_alone_holds_where_the_host_asks_it_in_time(
    cell: Cell, table: Table
) -> None:
    assert play(table, cell, who="hooks") == []


@pytest.mark.parametrize(
    "cell",
    covering([Cell(e, s, "none", "none") for e in ENTRIES for s in SHAPES], strength=1),
    ids=str,
)
def test_what_is_not_forbidden_goes_through(cell: Cell, table: Table) -> None:
    assert control(table, cell.entry, cell.shape) == []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("entry", ["run", "astream", "os sse", "acontinue"])
def test_a_leak_would_be_seen(entry: str, stage: str, table: Table) -> None:
    # A guardrail of plain Agno that says neither yes nor no.
    assert play(table, Cell(entry, "coordinate", stage, "junk"), who="plain") != []


# What goes wrong with a guard does go wrong, and plain Agno is set up so that it can hold


@pytest.mark.parametrize("stage", ["pre", "tool in", "tool out", "model in"])
@pytest.mark.parametrize("entry", ["run", "astream", "os", "os sse", "nested"])
def test_plain_agno_holds_where_nothing_is_wrong_with_its_guard(
    entry: str, stage: str, table: Table
) -> None:
    assert play(table, Cell(entry, "coordinate", stage, "none"), who="plain") == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("entry", ["run", "print", "os", "os sse"])
def test_a_fault_happens_to_the_guard_of_plain_agno(entry: str, fault: str, table: Table) -> None:
    guard = plain_guard_for("pre", fault, threading.Event())
    found = play(table, Cell(entry, "agent", "pre", fault), who="plain", guard=guard)
    never_asked = fault == "dropped" or (fault == "async only" and entry in READIED)
    assert guard.found == (0 if never_asked else 1)
    holds = fault == "async only" and not never_asked
    assert (found == []) == holds


# Impossible cells are so for the reason that is given: what happens to who tries one


@pytest.mark.parametrize("who", ["hooks", "plain"])
@pytest.mark.parametrize("stage", ["tool in", "tool out"])
@pytest.mark.parametrize("entry", ["run", "astream", "os", "os sse"])
def test_a_tool_hook_for_the_background_is_asked_in_time(
    entry: str, stage: str, who: str, table: Table
) -> None:
    cell = Cell(entry, "agent", stage, "background")
    assert why_not(cell) is not None
    assert play(table, cell, who=who) == []


@pytest.mark.parametrize("stage", ["model in", "model out"])
@pytest.mark.parametrize("entry", ["run", "os", "os sse"])
def test_a_guard_in_the_model_is_asked_where_all_hooks_go_to_the_background(
    entry: str, stage: str, table: Table
) -> None:
    cell = Cell(entry, "coordinate", stage, "background")
    assert why_not(cell) is not None
    assert play(table, cell) == []


def test_a_hook_for_the_background_is_no_guard_of_a_model(table: Table) -> None:
    guard = guard_for("model in", "background", threading.Event())
    with pytest.raises(ConfigurationError, match="guards"):
        PortkeyModel(guards=[hook(run_in_background=True)(guard.check)])


@pytest.mark.parametrize("entry", ["nested", "eval"])
def test_the_hook_of_a_member_or_of_a_case_is_not_moved_to_the_background(
    entry: str, table: Table
) -> None:
    cell = Cell(entry, "agent", "pre", "background")
    assert why_not(cell) is not None
    # The caller of the team has handed it background tasks; a case takes none.
    assert not any("background" in field.name for field in fields(Case))
    assert play(table, cell, who="hooks") == [IN_TIME.format("pre")]


# The cells themselves


def test_possible_and_impossible_cells_are_the_whole_product() -> None:
    impossible = [cell for cell in PRODUCT if why_not(cell) is not None]
    assert not set(CELLS) & set(impossible)
    assert set(CELLS) | set(impossible) == set(PRODUCT)
    assert (
        len(PRODUCT) == len(set(PRODUCT)) == math.prod(map(len, (ENTRIES, SHAPES, STAGES, FAULTS)))
    )
    assert {why_not(cell) for cell in impossible} == set(IMPOSSIBLE)


def test_every_value_is_played() -> None:
    assert set(ENTRY_PLAYERS) == set(ENTRIES)
    assert set(SHAPE_MAKERS) == set(SHAPES)


@pytest.mark.parametrize("cells", [CELLS, by_hook()], ids=["all", "by hook"])
def test_each_two_values_that_meet_anywhere_meet_in_the_cells_that_are_played(
    cells: list[Cell],
) -> None:
    def pairs(some: list[Cell]) -> set[object]:
        return {pair for cell in some for pair in combinations(enumerate(astuple(cell)), 2)}

    assert pairs(covering(cells)) == pairs(list(cells))


def test_every_reason_why_a_hook_can_not_hold_a_cell_is_needed() -> None:
    for reason, applies in HOOKS_CANT.items():
        others = [each for name, each in HOOKS_CANT.items() if name != reason]
        assert any(applies(cell) and not any(other(cell) for other in others) for cell in CELLS), (
            reason
        )
