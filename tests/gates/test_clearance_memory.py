"""Clearances of one process: seen by all that share the database object, and bounded."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from clearance_scene import HOUR, NOW, a_grant, an_asking
from sqlalchemy import create_engine

from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.clearance import Clearances, Grant, MemoryClearances
from agno_portkey.gates.clearance.memory import MemoryStore
from agno_portkey.gates.clearance.row import packed

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    "database", [InMemoryDb(), SqliteDb(db_engine=create_engine("sqlite://"))], ids=["agno", "sql"]
)
def test_they_are_kept_on_the_database_object(database: object) -> None:
    grant = a_grant()
    Clearances(database).put(grant)
    again = Clearances(database)
    assert again.place == "this process"
    assert again.get(grant.id) == grant
    for elsewhere in (Clearances(InMemoryDb()), MemoryClearances(), Clearances()):
        with pytest.raises(ClearanceRefused, match="no clearance"):
            elsewhere.get(grant.id)


def old(days: int, **given: object) -> Grant:
    issued = NOW - days * DAY
    return a_grant(issued_at=issued, expires_at=issued + HOUR, **given)


def test_what_ran_out_long_ago_is_forgotten_past_the_limit() -> None:
    store = MemoryStore(most=3)
    used = old(3, state="spent", claimed_by="r1", claimed_at=NOW)
    yesterday, lasting = old(1), a_grant(issued_at=NOW - 9 * DAY)
    for grant in (used, yesterday, lasting):
        assert store.insert(packed(grant))
    assert store.get(used.id) is not None
    newest = a_grant()
    assert store.insert(packed(newest))
    assert store.get(used.id) is None
    assert store.by_run("r1") is None
    assert [row["id"] for row in store.rows()] == [yesterday.id, lasting.id, newest.id]
    # What may still be used is never forgotten, and so not used twice.
    assert store.insert(packed(a_grant()))
    assert len(store.rows()) == 4


def test_what_was_given_out_is_not_what_is_kept() -> None:
    store = MemoryStore()
    row = packed(a_grant())
    store.insert(row)
    row["state"] = "spent"
    assert store.rows(state="granted") != []
    assert not store.swap(row, row)


def test_a_thousand_runs_at_once_hold_one_clearance_each() -> None:
    """And of the runs that want the same one, one."""
    clearances = MemoryClearances(clock=lambda: NOW)
    grants = [a_grant() for _ in range(500)]
    for grant in grants:
        clearances.put(grant)
    begin, claimed, codes = threading.Barrier(10), [], []

    def run(worker: int) -> None:
        begin.wait()
        for number, grant in enumerate(grants):
            # Two at a time want the same.
            try:
                claimed.append(clearances.claim(grant.id, an_asking(f"r{worker % 2}-{number}")).id)
            except ClearanceRefused as refused:
                codes.append(refused.code)

    threads = [threading.Thread(target=run, args=[worker]) for worker in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(claimed)) == sorted(grant.id for grant in grants)
    assert len(claimed) == len(codes) == 2500
    assert set(codes) == {"other_run"}
