"""The matrix of ways round a guard: of all cells so many that each two values meet.

`python benchmarks/bypass.py` plays every cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple
from itertools import combinations

import pytest
from matrix_asked import Host
from matrix_cells import (
    CELLS,
    ENTRIES,
    FAULTS,
    HOOKS_CANT,
    IMPOSSIBLE,
    PRODUCT,
    SHAPES,
    STAGES,
    Cell,
    by_hook,
    covering,
    why_not,
)
from matrix_entries import ENTRY_PLAYERS
from matrix_play import Table, control, play
from matrix_shapes import SHAPE_MAKERS

from agno_portkey import PortkeyModel
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
