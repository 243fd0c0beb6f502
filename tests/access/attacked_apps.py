"""What the tests that attack access share: apps of several kinds, and clearances in their books."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from fastapi import FastAPI
from served_access import Served, pair

from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.gates.books import Books
from agno_portkey.gates.clearance import Grant

REASON = {"reason": "because"}


KEYS: dict[str, Any] = {
    "verification_keys": [pair()[1]],
    "audience": "os",
    "verify_audience": True,
}


def managed(db: SqliteDb, base: FastAPI, authorization: Any) -> FastAPI:
    agents = [Agent(id="a")]
    os = AgentOS(
        id="os",
        agents=agents,
        db=db,
        base_app=base,
        authorization=authorization,
        telemetry=False,
    )
    return os.get_app()


def waiting(books: Books, id: str, **changed: Any) -> None:
    plan, now = (
        Plan(goal="Ship 2.1", steps=(Step(action="Test it", tool="run_tests"),)),
        books.clock(),
    )
    given: dict[str, Any] = {"tenant": None, "user_id": "ann", "passed": True, **changed}
    grant = Grant(
        id=id,
        gate="release",
        swarm="Release",
        session_id="s1",
        plan=plan,
        plan_digest=digest(plan),
        fingerprint="sha256:f1",
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        state="waiting",
        **given,
    )
    books.clearances.put(grant)


def of(app: FastAPI) -> Served:
    """What asks `app`."""
    served = Served.__new__(Served)
    served.app = app
    return served
