"""A gate clears the tools of its own swarm: that another's has passed clears none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from board_spans import NOON, agno_db, around, put, span, totals

from agno_portkey.telemetry.dashboard import Board

BEFORE = NOON - timedelta(seconds=1)


@pytest.fixture
def db(database: str) -> Iterator[Any]:
    with agno_db(database) as found:
        yield found


def tool(trace: str, swarm: str | None, **ours: Any) -> dict[str, Any]:
    told = {"tool": "deploy", "mode": "enforce", **ours}
    return span("tool", trace=trace, **told, **_of(swarm))


def gate(trace: str, decision: str, swarm: str | None, **ours: Any) -> dict[str, Any]:
    said = {"gate.decision": decision}
    return span("gate", BEFORE, trace=trace, source="gate", said=said, **ours, **_of(swarm))


def _of(swarm: str | None) -> dict[str, Any]:
    return {} if swarm is None else {"swarm": swarm}


def test_of_two_swarms_in_one_trace_each_is_cleared_by_its_own_gate(db: Any) -> None:
    put(
        db,
        *(gate("one", "passed", "Release"), gate("one", "refused", "Payments")),
        *(tool("one", "Release"), tool("one", "Payments", id="f" * 16)),
        *(gate("both", "passed", "Release"), gate("both", "passed", "Payments")),
        *(tool("both", "Release"), tool("both", "Payments")),
    )
    board = Board(db)
    assert totals(board.panel("incidents", around()))["tool"]["incidents"] == 1
    assert totals(board.panel("incidents", around(swarm="Payments")))["tool"]["incidents"] == 1
    assert totals(board.panel("incidents", around(swarm="Release"))) == {}
    [found] = board.runs("incidents", around())["runs"]
    assert found["trace_id"] == "one"


def test_so_it_is_of_one_run_in_several_traces(db: Any) -> None:
    put(
        db,
        gate("waited", "passed", "Release", run_id="r"),
        tool("goes on", "Release", run_id="r"),
        tool("another's", "Payments", run_id="r"),
    )
    [found] = Board(db).runs("incidents", around())["runs"]
    assert found["trace_id"] == "another's"


def test_a_gate_and_a_tool_of_no_swarm_belong_together(db: Any) -> None:
    put(
        db,
        *(gate("by hand", "passed", None), tool("by hand", None)),
        *(gate("mixed", "passed", None), tool("mixed", "Payments")),
    )
    [found] = Board(db).runs("incidents", around())["runs"]
    assert found["trace_id"] == "mixed"
