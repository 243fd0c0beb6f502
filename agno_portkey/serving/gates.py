"""`gate_router`: the gates of a team or database, as routes of AgentOS or of any FastAPI app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from agno_portkey.gates.approving import APPROVE, OVERRIDE, READ, approve, revoke
from agno_portkey.gates.clearance import Grant
from agno_portkey.security.access.routes import ROUTE_SCOPES
from agno_portkey.serving.bodies import answering, required, texts_in
from agno_portkey.serving.callers import Caller, Doors
from agno_portkey.serving.desk import Asked, Desk, desk_of, shown
from agno_portkey.verdict import Observer, check_observers

__all__ = ["GATE_SCOPES", "gate_router"]

GATE_SCOPES: dict[str, list[str]] = {
    route: scopes for route, scopes in ROUTE_SCOPES.items() if " /gates" in route
}
"""The scopes that a token needs for each route of `gate_router`, in the form of AgentOS' own map.

The routes ask for them themselves. AgentOS lets anybody it knows get to a route that its map does
not name, and keeps no trail of that; `protect` has it ask too, before the route does. Approving
what a gate has refused also takes `gates:override`.
"""

_DATABASE = "the gate database"
_Id = Annotated[str, Path(max_length=255)]
Act = Callable[..., Grant]


def gate_router(
    source: Any,
    *,
    observers: Sequence[Observer] = (),
    allow_unauthenticated: bool = False,
    tenant_claim: str = "tenant",
) -> APIRouter:
    """The routes of the gates of `source`: a governed team or workflow, or a database.

    `GET /gates` lists the plans that wait for a person (and to who sees all, under `altered`, rows
    that were changed by hand), `GET /gates/{id}` tells one, `GET
    /gates/history` the decisions; `POST /gates/{id}/approve` and `/revoke` decide, each with a
    `reason`. Reading takes the scope `gates:read`, deciding `gates:approve`, and approving what a
    gate has refused `gates:override` as well. Who decided is the subject of the token. Callers see
    what is of the tenant that their token names under `tenant_claim`. Without an authorization
    anybody may read, and nobody decide unless `allow_unauthenticated`. `observers` hear of
    approvals beside those of `source`.

    Raises ConfigurationError for a source without a gate.
    """
    desk = desk_of(source, check_observers(observers))
    doors = _Doors(desk.observers, allow_unauthenticated, tenant_claim, desk)
    router = APIRouter(tags=["Gates"])
    may_read = Depends(doors.reader)

    @router.get("/gates", name="list_gates")
    def list_gates(caller: Caller = may_read) -> dict[str, Any]:
        with answering(_DATABASE):
            waiting = [shown(grant) for grant in doors.desk.waiting(caller)]
            altered = doors.desk.altered(caller)
            return {"gates": waiting, **({"altered": altered} if altered else {})}

    @router.get("/gates/history", name="get_gate_history")
    def get_gate_history(
        asked: Annotated[Asked, Query()], caller: Caller = may_read
    ) -> dict[str, Any]:
        with answering(_DATABASE):
            return doors.desk.told(asked, caller)

    @router.get("/gates/{id}", name="get_gate")
    def get_gate(id: _Id, caller: Caller = may_read) -> dict[str, Any]:
        with answering(_DATABASE):
            return shown(doors.desk.find(id, caller))

    @router.post("/gates/{id}/approve", name="approve_gate")
    async def approve_gate(request: Request, id: _Id) -> dict[str, Any]:
        return await doors.decided(request, id, approve)

    @router.post("/gates/{id}/revoke", name="revoke_gate")
    async def revoke_gate(request: Request, id: _Id) -> dict[str, Any]:
        return await doors.decided(request, id, revoke)

    return router


@dataclass(frozen=True)
class _Doors(Doors):
    """Who gets to the desk, and for what."""

    desk: Desk

    async def reader(self, request: Request) -> Caller:
        return await self.caller(request, READ, reads=True)

    async def decided(self, request: Request, id: str, act: Act) -> dict[str, Any]:
        """Approve or revoke `id` with the reason in the request; what it has become."""
        caller = await self.caller(request, APPROVE)
        reason = (await texts_in(request, "reason"))["reason"]
        with answering(_DATABASE):
            grant = await run_in_threadpool(self.desk.find, id, caller)
            override = act is approve and not grant.passed
            if override:
                await self.caller(request, APPROVE, OVERRIDE)
            if override or act is revoke:
                what = "to override a gate" if override else "to revoke a clearance"
                required(reason, "reason", what)
            heard = self.desk.observers
            done = partial(
                act, self.desk.books, id, by=str(caller.name), reason=reason, observers=heard
            )
            return shown(await run_in_threadpool(done))
