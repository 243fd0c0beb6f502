"""`dashboard_router`: what an Agno database's spans come to, as routes of AgentOS or FastAPI."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agno_portkey.security.access.scopes import DASHBOARD
from agno_portkey.serving.bodies import answering
from agno_portkey.serving.callers import Caller, Doors, problem
from agno_portkey.telemetry.dashboard import Asked, Board
from agno_portkey.telemetry.dashboard.panels import PANELS
from agno_portkey.verdict import Observer, check_observers
from agno_portkey.workers import Failed, Job, TooLate, arace

__all__ = ["dashboard_router"]

Found = TypeVar("Found")
# Seconds that a question may take, questions that are asked at once, and that wait to be.
_SECONDS, _AT_ONCE, _WAITING = 10.0, 4, 64
_LONGEST = timedelta(days=366)
# A NUL is in no name, and PostgreSQL fails at one.
_Name = Annotated[str | None, Field(max_length=255, pattern=r"^[^\x00]*$")]


class _Range(BaseModel):
    """Since when and until when (with a zone), and of whom; an empty filter is of no name."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime
    until: AwareDatetime
    swarm: _Name = None
    role: _Name = None
    environment: _Name = None
    by: Literal["model", "swarm", "cost_center", "role"] = "model"

    def asked(self) -> Asked:
        since, until = self.since.timestamp(), self.until.timestamp()
        if not 0 <= since < until or until - since > _LONGEST.total_seconds():
            said = "since: a time before until, at most 366 days, and after 1970"
            raise problem(422, "range", said)
        names = {name: getattr(self, name) for name in ("swarm", "role", "environment")}
        return Asked(int(since * 1_000), int(until * 1_000), **names)


class _Behind(_Range):
    """The panel whose figures are asked about, and which of them."""

    panel: str = Field(max_length=32)
    key: _Name = None
    of: _Name = None


def dashboard_router(
    db: Any,
    *,
    observers: Sequence[Observer] = (),
    tenant_claim: str = "tenant",
) -> APIRouter:
    """The routes of the dashboard of `db`, Agno's database that `telemetry.setup` was given.

    `GET /portkey/api/panels/{panel}` tells a panel's figures `since` and `until` (ISO 8601, with a
    zone) of a `swarm`, `role` and `environment`; `GET /portkey/api/runs` the runs behind those of a
    `panel` and `key`, `GET /portkey/api/runs/{trace_id}` the spans of one, and `GET
    /portkey/api/filters` the names to filter by. All take the scope `dashboard:read`, and as they
    are of all tenants, a token that names one under `tenant_claim` does for none. Without an
    authorization anybody may read. `observers` hear of who is refused.

    An answer takes 10 s at most. Raises ConfigurationError for any other database.
    """
    doors = Doors(check_observers(observers), False, tenant_claim)
    desk = _Desk(Board(db))
    router = APIRouter(tags=["Dashboard"], prefix="/portkey/api")

    async def reader(request: Request) -> Caller:
        return await doors.caller(request, DASHBOARD, reads=True, of_all=True)

    may_read = Depends(reader)

    @router.get("/panels/{panel}", name="get_panel", dependencies=[may_read])
    async def get_panel(
        panel: Annotated[str, Path(max_length=32)], range: Annotated[_Range, Query()]
    ) -> dict[str, Any]:
        asked, name = range.asked(), _panel(panel)
        return await desk.ask(lambda: desk.board.panel(name, asked, range.by))

    @router.get("/runs", name="list_portkey_runs", dependencies=[may_read])
    async def list_runs(behind: Annotated[_Behind, Query()]) -> dict[str, Any]:
        asked, name = behind.asked(), _panel(behind.panel)
        return await desk.ask(
            lambda: desk.board.runs(name, asked, behind.by, behind.key, behind.of)
        )

    @router.get("/runs/{trace_id}", name="get_portkey_run", dependencies=[may_read])
    async def get_run(trace_id: Annotated[str, Path(max_length=255)]) -> dict[str, Any]:
        found = await desk.ask(lambda: desk.board.run(trace_id) if trace_id.isprintable() else None)
        if found is None:
            said = "there are no spans of that run here: the trace may have been taken away"
            raise problem(404, "unknown", said)
        return found

    @router.get("/filters", name="get_filters", dependencies=[may_read])
    async def get_filters() -> Any:
        return await desk.ask(desk.board.filters)

    return router


def _panel(name: str) -> str:
    if name not in PANELS:
        raise problem(404, "unknown", f"there is no panel {name!r}: {', '.join(PANELS)}")
    return name


class _Desk:
    """The board, which so many may ask at once: a database that hangs takes no more threads."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._asking = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._waiting = 0
        self._begun = False

    async def ask(self, question: Callable[[], Found]) -> Found:
        """The answer, from a thread; HTTPException for what went wrong, or took too long."""
        with self._waits(), answering("the dashboard's database"):
            self._begin()
            [outcome] = await arace([Job(lambda: self._asked(question), _SECONDS)], _never)
            if not isinstance(outcome, Failed):
                found: Found = outcome
                return found
            if isinstance(outcome.error, TooLate):
                said = f"the database took more than {_SECONDS:g} s: ask for less, or try again"
                raise problem(503, "too_late", said)
            raise outcome.error

    def _asked(self, question: Callable[[], Found]) -> Found:
        if not self._asking.acquire(timeout=_SECONDS):
            raise TooLate("others are asking")
        try:
            return question()
        finally:
            self._asking.release()

    def _begin(self) -> None:
        # With the first question, and not where a server is only being put together.
        with self._lock:
            if self._begun:
                return
            self._begun = True
        self.board.begin()

    @contextmanager
    def _waits(self) -> Iterator[None]:
        with self._lock:
            if self._waiting >= _WAITING:
                raise problem(503, "busy", "too many are asking: try again in a while")
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1


def _never(index: int, outcome: Any) -> bool:
    return False
