"""`keys_router`: how keys are, and their rotation, as routes of AgentOS or of any FastAPI app."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Protocol, runtime_checkable

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from agno_portkey.errors import (
    AgnoPortkeyError,
    ConfigurationError,
    RevocationPending,
    RotationFailed,
    RotationUnderWay,
)
from agno_portkey.security.access.scopes import KEYS, ROTATE
from agno_portkey.security.access.telling import done_by
from agno_portkey.serving.bodies import answering, required, texts_in
from agno_portkey.serving.callers import Doors, problem
from agno_portkey.verdict import Observer, check_observers, failure_of, tell

__all__ = ["KeyKeeper", "keeper_of", "keys_router"]

# Seconds that a caller waits; what takes longer goes on without them.
_WAIT = 10.0
_Name = Annotated[str, Path(max_length=255)]
_Now = Annotated[bool, Query(description="Also what may be in use by calls under way.")]


@runtime_checkable
class KeyKeeper(Protocol):
    """Whoever rotates keys, each known by its name. Each method blocks; values are never told."""

    def status(self) -> Sequence[Mapping[str, Any]]:
        """Each key in JSON's own types; `key` is its name."""
        ...

    def rotate(self, name: str, *, by: str, reason: str) -> Mapping[str, Any]:
        """Put a new one in place of `name`; the old one is deleted now, or once nobody uses it."""
        ...

    def revoke(self, name: str, *, by: str, reason: str, now: bool) -> Mapping[str, Any]:
        """Delete what was replaced under `name` and is not in use any more, or all of it `now`."""
        ...


class _Rotation(Protocol):
    """One key, as `agno_portkey.security.rotation.Rotation` has it."""

    name: str
    clock: Callable[[], float]

    def rotate(self, *, wait: bool) -> Any: ...
    def revoke(self, *, now: bool = False) -> Any: ...
    def status(self) -> Any: ...


class _Keeper:
    def __init__(self, rotations: Iterable[_Rotation]) -> None:
        self._rotations = {each.name: each for each in rotations}

    def status(self) -> Sequence[Mapping[str, Any]]:
        return [each.status().to_dict() for each in self._rotations.values()]

    def rotate(self, name: str, *, by: str, reason: str) -> Mapping[str, Any]:
        rotation = self._rotations[name]
        # Who waits has the key alone: it could not be revoked for as long, as after a leak.
        done = rotation.rotate(wait=False)
        _revoke_later(rotation, done)
        told: Mapping[str, Any] = done.to_dict()
        return told

    def revoke(self, name: str, *, by: str, reason: str, now: bool) -> Mapping[str, Any]:
        done: Mapping[str, Any] = self._rotations[name].revoke(now=now).to_dict()
        return done


def _revoke_later(rotation: _Rotation, done: Any) -> None:
    """Delete what was replaced once nobody uses it; where this process ends first, others do."""

    def revoke() -> None:
        try:
            rotation.revoke()
        except Exception as error:
            why = failure_of(f"to revoke what {rotation.name} was before", error)
            logging.getLogger("agno_portkey").error("%s: run `agno-portkey keys revoke`", why)

    if done.pending:
        last = max(max(each.after, each.until) for each in done.pending)
        timer = threading.Timer(max(0.0, last - rotation.clock()), revoke)
        timer.daemon, timer.name = True, "agno-portkey-keys"
        timer.start()


def keeper_of(source: Any) -> KeyKeeper:
    """`source` itself, a `KeyKeeper`, or that of a `Rotation` or several, each by its name."""
    if isinstance(source, KeyKeeper) and not hasattr(source, "name"):
        return source
    several: list[Any] = list(source) if isinstance(source, Iterable) else [source]
    if not several or not all(_is_rotation(each) for each in several):
        raise ConfigurationError("keys_router: a KeyKeeper, a Rotation, or a list of them")
    if len({each.name for each in several}) < len(several):
        raise ConfigurationError("keys_router: two rotations of one name")
    return _Keeper(several)


def _is_rotation(each: Any) -> bool:
    methods = (getattr(each, name, None) for name in ("rotate", "revoke", "status", "clock"))
    return isinstance(getattr(each, "name", None), str) and all(map(callable, methods))


def keys_router(
    source: Any,
    *,
    observers: Sequence[Observer] = (),
    allow_unauthenticated: bool = False,
    tenant_claim: str = "tenant",
    wait: float = _WAIT,
) -> APIRouter:
    """The routes of the keys of `source`: a `KeyKeeper`, or the `Rotation` of each key.

    `GET /keys` tells how they are, and takes the scope `keys:read`; `POST /keys/{name}/rotate` and
    `/revoke` (`?now=true`) take `keys:rotate`, and a `reason`. A `Rotation` is over once the new
    key is in use; the old one is deleted when its time has come, or by `/revoke`, and by `keys
    revoke` where this process has ended before that. What takes longer than `wait`
    seconds is answered with 202, and goes on; `GET /keys` then tells of it. Who did it is the
    subject of the token, and `observers` hear of it, as an event `operation`, once it is done.
    Without an authorization anybody may read, and nobody rotate unless `allow_unauthenticated`. A
    token that names a tenant under `tenant_claim` does for none of them.
    """
    doors = Doors(check_observers(observers), allow_unauthenticated, tenant_claim)
    work = _Work(keeper_of(source), doors, wait)
    router = APIRouter(tags=["Keys"])

    @router.get("/keys", name="list_keys")
    async def list_keys(request: Request) -> dict[str, Any]:
        await doors.caller(request, KEYS, reads=True, of_all=True)
        return {"keys": await work.status(), "under_way": work.under_way}

    @router.post("/keys/{name}/rotate", name="rotate_key")
    async def rotate_key(request: Request, name: _Name) -> Any:
        return await work.do(request, "rotate", name, work.keeper.rotate)

    @router.post("/keys/{name}/revoke", name="revoke_key")
    async def revoke_key(request: Request, name: _Name, now: _Now = False) -> Any:
        return await work.do(request, "revoke", name, partial(work.keeper.revoke, now=now))

    return router


@dataclass
class _Work:
    """What is done to keys: one thing at a time to each, whoever goes on waiting for it."""

    keeper: KeyKeeper
    doors: Doors
    wait: float
    _busy: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def under_way(self) -> list[str]:
        with self._lock:
            return sorted(self._busy)

    async def status(self) -> list[dict[str, Any]]:
        with answering("the store of keys"), _keys():
            return [dict(each) for each in await run_in_threadpool(self.keeper.status)]

    async def do(
        self, request: Request, what: str, name: str, act: Callable[..., Mapping[str, Any]]
    ) -> Any:
        """What becomes of `name`, or 202 while that is not known yet."""
        caller = await self.doors.caller(request, ROTATE, of_all=True)
        said = (await texts_in(request, "reason"))["reason"]
        reason = required(said, "reason", f"to {what} a key")
        if not any(each.get("key") == name for each in await self.status()):
            raise problem(404, "unknown", "there is no key of that name: GET /keys lists them")
        with self._lock:
            if name in self._busy:
                raise problem(409, "under_way", f"{name} is being worked on: GET /keys tells of it")
            self._busy.add(name)
        done = partial(self._done, what, name, str(caller.name), reason, act)
        future = _begun(done, lambda: self._busy.discard(name))
        with answering("the store of keys"), _keys():
            try:
                return await run_in_threadpool(future.result, self.wait)
            except NotYet:
                if future.done():  # it is its own, or came with the end
                    return future.result()
                told = {"key": name, "state": "under way"}
                return JSONResponse(told, status_code=202)

    def _done(
        self, what: str, name: str, by: str, reason: str, act: Callable[..., Mapping[str, Any]]
    ) -> dict[str, Any]:
        try:
            result = act(name, by=by, reason=reason)
        except Exception as error:
            # Nobody may be waiting for it any more.
            why = failure_of(f"to {what} {name}", error)
            logging.getLogger("agno_portkey").error("%s", why)
            tell(self.doors.observers, done_by(by, f"{what} failed", name, reason))
            raise
        tell(self.doors.observers, done_by(by, what, name, reason))
        return dict(result)


def _begun(action: Callable[[], Any], ended: Callable[[], object]) -> Future[Any]:
    """`action` on a thread of its own: a pool's would be waited for where a process ends."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            result = action()
        except BaseException as error:
            ended()
            future.set_exception(error)
        else:
            ended()
            future.set_result(result)

    try:
        threading.Thread(target=run, daemon=True, name="agno-portkey-keys").start()
    except RuntimeError as error:
        ended()
        said = "the server has no thread for it now: try again in a while"
        raise problem(503, "busy", said) from error
    return future


class _keys:
    """What went wrong with keys as a status; a source's own words stay in the log."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RotationUnderWay):
            raise problem(409, "under_way", str(error)) from error
        if isinstance(error, RotationFailed):
            code = "pending" if isinstance(error, RevocationPending) else "failed"
            raise problem(502, code, str(error)) from error
        if isinstance(error, AgnoPortkeyError):
            said = f"{type(error).__name__}: see the server's log, and `agno-portkey keys status`"
            logging.getLogger("agno_portkey").error("keys: %s", error)
            raise problem(503, "keys", said) from error
