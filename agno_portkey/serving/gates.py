"""`gate_router`: the gates of a team or database, as routes of AgentOS or of any FastAPI app."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from agno_portkey.errors import ClearanceRefused, DatabaseGone
from agno_portkey.gates.approving import APPROVE, OVERRIDE, READ, approve, revoke
from agno_portkey.gates.clearance import Grant
from agno_portkey.serving.callers import Caller, caller_of, problem
from agno_portkey.serving.desk import Asked, Desk, desk_of, shown
from agno_portkey.verdict import Observer, check_observers, failure_of

__all__ = ["GATE_SCOPES", "gate_router"]

GATE_SCOPES: dict[str, list[str]] = {
    "GET /gates": [READ],
    "GET /gates/history": [READ],
    "GET /gates/*": [READ],
    "POST /gates/*/approve": [APPROVE],
    "POST /gates/*/revoke": [APPROVE],
}
"""The scopes that a token needs for each route of `gate_router`, in the form of AgentOS' own map.

The routes ask for them themselves. AgentOS lets anybody it knows get to a route that its map does
not name, and keeps no trail of that; after `app.state.scope_mappings.update(GATE_SCOPES)` it asks
for them too, before the route does. Approving what a gate has refused also takes `gates:override`.
"""

# Bytes of a request, and characters of a reason.
_LARGEST, _LONGEST = 16_384, 2_000
_STATUS = {"unknown": 404, "expired": 410, "busy": 503}
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
    doors = _Doors(desk_of(source, check_observers(observers)), allow_unauthenticated, tenant_claim)
    router = APIRouter(tags=["Gates"])
    may_read = Depends(doors.reader)

    @router.get("/gates", name="list_gates")
    def list_gates(caller: Caller = may_read) -> dict[str, Any]:
        with _answering():
            waiting = [shown(grant) for grant in doors.desk.waiting(caller)]
            altered = doors.desk.altered(caller)
            return {"gates": waiting, **({"altered": altered} if altered else {})}

    @router.get("/gates/history", name="get_gate_history")
    def get_gate_history(
        asked: Annotated[Asked, Query()], caller: Caller = may_read
    ) -> dict[str, Any]:
        with _answering():
            return doors.desk.told(asked, caller)

    @router.get("/gates/{id}", name="get_gate")
    def get_gate(id: _Id, caller: Caller = may_read) -> dict[str, Any]:
        with _answering():
            return shown(doors.desk.find(id, caller))

    @router.post("/gates/{id}/approve", name="approve_gate")
    async def approve_gate(request: Request, id: _Id) -> dict[str, Any]:
        return await doors.decided(request, id, approve)

    @router.post("/gates/{id}/revoke", name="revoke_gate")
    async def revoke_gate(request: Request, id: _Id) -> dict[str, Any]:
        return await doors.decided(request, id, revoke)

    return router


@dataclass(frozen=True)
class _Doors:
    """Who gets to the desk, and for what."""

    desk: Desk
    allow_unauthenticated: bool
    tenant_claim: str

    async def reader(self, request: Request) -> Caller:
        return await caller_of(request, [READ], open_to_all=True, tenant_claim=self.tenant_claim)

    async def _decider(self, request: Request, *more: str) -> Caller:
        free, claim = self.allow_unauthenticated, self.tenant_claim
        return await caller_of(request, [APPROVE, *more], open_to_all=free, tenant_claim=claim)

    async def decided(self, request: Request, id: str, act: Act) -> dict[str, Any]:
        """Approve or revoke `id` with the reason in the request; what it has become."""
        caller = await self._decider(request)
        reason = await _reason_in(request)
        with _answering():
            grant = await run_in_threadpool(self.desk.find, id, caller)
            override = act is approve and not grant.passed
            if override:
                await self._decider(request, OVERRIDE)
            if reason is None and (override or act is revoke):
                what = "to override a gate" if override else "to revoke a clearance"
                raise problem(422, "no_reason", f'{what} takes a reason: send {{"reason": "..."}}')
            heard = self.desk.observers
            done = partial(
                act, self.desk.books, id, by=str(caller.name), reason=reason, observers=heard
            )
            return shown(await run_in_threadpool(done))


@contextmanager
def _answering() -> Iterator[None]:
    """What went wrong as a status, a code, and what to do; no word of a database's own."""
    try:
        yield
    except ClearanceRefused as error:
        raise problem(_STATUS.get(error.code, 409), error.code, str(error)) from error
    except (DatabaseGone, SQLAlchemyError, OSError) as error:
        said = f"{failure_of('the gate database', error)}: try again, or see the server's log"
        raise problem(503, "database", said) from error


async def _reason_in(request: Request) -> str | None:
    """The reason in a small JSON object, or None where the request has no body."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            raise problem(413, "too_large", f"the request may have {_LARGEST} bytes")
    if not body.strip():
        return None
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise problem(422, "no_json", 'send JSON: {"reason": "..."}') from None
    if not isinstance(said, dict) or said.keys() - {"reason"}:
        raise problem(422, "unknown_fields", 'send an object with a reason alone: {"reason": ...}')
    reason = said.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise problem(422, "no_text", "the reason has to be a text")
    reason = (reason or "").strip()
    if len(reason) > _LONGEST or any(_odd(letter) for letter in reason):
        raise problem(
            422, "reason", f"the reason may have {_LONGEST} characters, and no control characters"
        )
    return reason or None


def _odd(letter: str) -> bool:
    return (letter < " " and letter not in "\n\t") or "\ud800" <= letter <= "\udfff"
