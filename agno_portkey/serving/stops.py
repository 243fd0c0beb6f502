"""`stop_router`: the kill switch of a database, as routes of AgentOS or of any FastAPI app."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from agno_portkey.errors import ConfigurationError
from agno_portkey.security.access.scopes import DASHBOARD
from agno_portkey.security.access.scopes import STOP as MAY_STOP
from agno_portkey.security.access.telling import done_by
from agno_portkey.serving.bodies import answering, named, required, texts_in
from agno_portkey.serving.callers import Doors, problem
from agno_portkey.stopping import ALL, Stop, StopSwitch, fold
from agno_portkey.verdict import Observer, check_observers, tell

__all__ = ["stop_router"]

Found = TypeVar("Found")


def stop_router(
    source: Any,
    *,
    observers: Sequence[Observer] = (),
    allow_unauthenticated: bool = False,
    tenant_claim: str = "tenant",
) -> APIRouter:
    """The routes of the switch in `source`: a `StopSwitch`, or a database that one is made of.

    `GET /swarm/stops` lists what is stopped, and the swarms that ask; it takes the scope
    `dashboard:read`. `POST /swarm/stop` and `/swarm/resume` take `swarm:stop`, and a `swarm` (`*`:
    every one) and a `reason` in the request, without which a swarm is resumed and not stopped. Who
    did it is the subject of the token, and `observers` hear of it, as an event `operation`. All
    tenants share a swarm, so that a token that names one under `tenant_claim` does for none of
    them. Without an authorization anybody may read, and nobody stop anything unless
    `allow_unauthenticated`.
    """
    switch = source if isinstance(source, StopSwitch) else StopSwitch(source)
    doors = Doors(check_observers(observers), allow_unauthenticated, tenant_claim)
    router = APIRouter(tags=["Swarm"])

    @router.get("/swarm/stops", name="list_stops")
    async def list_stops(request: Request) -> dict[str, Any]:
        await doors.caller(request, DASHBOARD, reads=True, of_all=True)
        stopped = await _at_the_switch(switch.stopped)
        known = await _at_the_switch(switch.known_swarms)
        return {
            "stops": [_shown(stop) for _, stop in sorted(stopped.items())],
            "known": sorted(known),
        }

    @router.post("/swarm/stop", name="stop_swarm")
    async def stop_swarm(request: Request) -> dict[str, Any]:
        by, swarm, said = await _asked(doors, request)
        reason = required(said, "reason", "to stop a swarm")
        stop = await _at_the_switch(lambda: switch.stop(swarm, by=by, reason=reason))
        event = done_by(by, "stop", stop.swarm, reason, swarm=stop.swarm)
        await run_in_threadpool(tell, doors.observers, event)
        known = await _at_the_switch(switch.known_swarms)
        # A name that nobody asks for may be mistyped.
        asks = swarm == ALL or fold(swarm) in map(fold, known)
        return {"stop": _shown(stop), "known": asks}

    @router.post("/swarm/resume", name="resume_swarm")
    async def resume_swarm(request: Request) -> dict[str, Any]:
        by, swarm, reason = await _asked(doors, request)
        lifted = await _at_the_switch(lambda: switch.resume(swarm, by=by, reason=reason))
        if not lifted:
            said = f"{swarm!r} is not stopped by that name: GET /swarm/stops lists what is"
            raise problem(404, "not_stopped", said)
        event = done_by(by, "resume", swarm, reason, swarm=swarm)
        await run_in_threadpool(tell, doors.observers, event)
        still = (await _at_the_switch(switch.stopped)).get(ALL)
        return {
            "lifted": [_shown(stop) for stop in lifted],
            "still": None if still is None else _shown(still),
        }

    return router


async def _asked(doors: Doors, request: Request) -> tuple[str, str, str | None]:
    """Who asks, for which swarm and why, where they say so."""
    caller = await doors.caller(request, MAY_STOP, of_all=True)
    said = await texts_in(request, "swarm", "reason")
    return str(caller.name), named(said["swarm"], "swarm"), said["reason"]


async def _at_the_switch(action: Callable[[], Found]) -> Found:
    with answering("the stop database"):
        try:
            return await run_in_threadpool(action)
        except ConfigurationError as error:
            # It quotes the database, and its address.
            logging.getLogger("agno_portkey").error("%s", error)
            said = "the stop state can't be read or written: try again, or see the server's log"
            raise problem(503, "database", said) from error


def _shown(stop: Stop) -> dict[str, Any]:
    return {"swarm": stop.swarm, "at": stop.at.isoformat(), "by": stop.by, "reason": stop.reason}
