"""`vaulted`: an Agno database that holds placeholders where its owner reads values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial, wraps
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from agno.db.base import AsyncBaseDb, BaseDb

from agno_portkey.drivers import SyncIO, step
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii.records import owner_of
from agno_portkey.guardrails.pii.rooms import ANYBODY, Find, Rooms, named
from agno_portkey.guardrails.pii.vaults import Vaults
from agno_portkey.workers import Failed, Job, arace

__all__ = ["OTHERS", "READS", "WRITES", "vaulted"]

D = TypeVar("D", BaseDb, AsyncBaseDb)
Bound: TypeAlias = inspect.BoundArguments
Run = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
Body = Callable[[Any, Rooms, Bound, Run], Coroutine[Any, Any, Any]]

# The methods that store what people and models said, and those that give it back. A test holds
# them against the host's, so that none which an upgrade adds goes unseen.
WRITES = (
    "append_transcript_entries",
    "cancel_pending_run",
    "create_approval",
    "create_eval_run",
    "create_span",
    "create_spans",
    "rename_eval_run",
    "rename_session",
    "update_approval",
    "update_learning",
    "upsert_compaction",
    "upsert_knowledge_content",
    "upsert_learning",
    "upsert_memories",
    "upsert_run",
    "upsert_session",
    "upsert_sessions",
    "upsert_tool_result",
    "upsert_trace",
    "upsert_user_memory",
)
READS = (
    "get_all_memory_topics",
    "get_approval",
    "get_approvals",
    "get_compaction",
    "get_compactions_for_session",
    "get_eval_run",
    "get_eval_runs",
    "get_expired_tool_results",
    "get_knowledge_content",
    "get_knowledge_contents",
    "get_learning",
    "get_learning_by_id",
    "get_learnings",
    "get_run",
    "get_runs",
    "get_session",
    "get_sessions",
    "get_span",
    "get_spans",
    "get_tool_result",
    "get_tool_results_for_session",
    "get_trace",
    "get_traces",
    "get_transcript_entries",
    "get_user_memories",
    "get_user_memory",
    "list_learnings",
    "search_learnings",
)
# Writes that name a row and not whose it is, and how the row is read.
_LOOKED_UP = {
    "update_approval": ("get_approval", "approval_id"),
    "update_learning": ("get_learning_by_id", "id"),
}
# Read by the ids of another program, which name no session of the host's.
_FOREIGN = "get_transcript_entries"
# Seconds for all that one call asks of the store, which has a time of its own for each.
_TIMEOUT = 60.0
# Set while a method runs: what it calls of its own is about what is stored.
_inside: ContextVar[bool] = ContextVar("agno_portkey_vaulted", default=False)


def vaulted(
    db: D, vaults: Vaults, *, find: Find | None = None, hides: Callable[[], bool] | None = None
) -> D:
    """`db`, but what is written to it holds placeholders, and what is read holds the values.

    It shares connections and state with `db`, and is of a subclass of its class. A session's
    values go to and come from the session's vault, of whichever user where none is told; those of
    what has a user only, as memories do, from the vaults of that user (the last 50 sessions). A
    record that names neither goes with those beside it in the same trace, else to the vaults of
    no user. With `find`, such as an analyzer's `spans`, values that no vault knows yet are found
    when they are written. Raises VaultUnavailable, and writes nothing, where the vaults can't be
    read or kept, or a session was forgotten since it was read. While `hides`, asked at each
    write, says no, what is written is stored as it is; what is read is restored all the same.

    Ids stay as they are, an e-mail address as `user_id` too: the host looks records up by them, so
    give ids that tell nothing. The database can't search by text in what is hidden; only
    compactions are searched here. What the host writes past these methods is not hidden: payloads
    of `offload_tool_results` and other files of `agno.fs`, schedules, tasks, and vector stores.
    """
    if not isinstance(db, BaseDb | AsyncBaseDb):
        raise ConfigurationError(f"vaulted: an Agno database, not a {type(db).__name__}")
    if hasattr(type(db), "_agno_portkey_vaults"):
        raise ConfigurationError("vaulted: this database is vaulted already")
    made: dict[str, Any] = {"_agno_portkey_vaults": vaults, "__module__": type(db).__module__}
    made |= {"__qualname__": type(db).__qualname__, "__doc__": type(db).__doc__}
    made["_agno_portkey_hides"] = staticmethod(hides or (lambda: True))
    rooms = Rooms(vaults, find)
    bodies = {**dict.fromkeys((*WRITES, *READS), _kept), **OTHERS}
    for name, body in bodies.items():
        if (method := getattr(type(db), name, None)) is not None:
            made[name] = _wrapped(method, partial(body, method, rooms))
    twin: Any = object.__new__(type(type(db).__name__, (type(db),), made))
    # The same one: what either of them makes, finds or caches, the other has.
    twin.__dict__ = db.__dict__
    found: D = twin
    return found


# One body for both kinds of databases: `run` does what asks the vaults, beside an event loop.


async def _kept(method: Any, rooms: Rooms, bound: Bound, run: Run) -> Any:
    name, db = method.__name__, bound.arguments["self"]
    owner = ANYBODY if name == _FOREIGN else named(bound.arguments)
    if (looked_up := _LOOKED_UP.get(name)) is not None:
        reader, key = looked_up
        owner = owner_of(await _said(getattr(db, reader)(bound.arguments[key])))
    if name in WRITES and type(db)._agno_portkey_hides():
        await run(partial(rooms.hide, bound, owner))
    if name == "get_session":
        rooms.read_anew(owner[0])
    result = await _said(method(*bound.args, **bound.kwargs))
    return await run(partial(rooms.shown, result, owner))


async def _handed_over(method: Any, rooms: Rooms, bound: Bound, run: Run) -> Any:
    """The vault goes first: should this process end here, it can be done again."""
    said = bound.arguments
    session, user, to = said["session_id"], said["previous_user_id"], said["user_id"]
    moved, done = await run(partial(rooms.vaults.hand_over, session, user, to)), False
    try:
        done = await _said(method(*bound.args, **bound.kwargs))
        return done
    finally:
        if moved and not done:
            await run(partial(rooms.vaults.hand_over, session, to, user))


async def _searched(method: Any, rooms: Rooms, bound: Bound, run: Run) -> Any:
    """What the database would find if nothing were hidden."""
    bound.apply_defaults()
    said = bound.arguments
    query = said["query"]
    terms = [term.lower() for term in ([query] if isinstance(query, str) else query) if term]
    rows = await _said(said["self"].get_compactions_for_session(said["session_id"]))
    shown = await run(partial(rooms.shown, rows, named(said)))
    texts = [(row["archived_messages"] or "").lower() for row in shown]
    found = (row for row, text in zip(shown, texts, strict=True) if any(t in text for t in terms))
    return [*islice(found, said["limit"])]


OTHERS: dict[str, Body] = {
    "reassign_session_owner": _handed_over,
    "search_compactions": _searched,
}


def _wrapped(method: Any, body: Callable[[Bound, Run], Coroutine[Any, Any, Any]]) -> Any:
    signature = inspect.signature(method)

    @wraps(method)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        if _inside.get():
            return await method(*args, **kwargs)
        token = _inside.set(True)
        try:
            return await body(signature.bind(*args, **kwargs), _beside)
        finally:
            _inside.reset(token)

    @wraps(method)
    def plain(*args: Any, **kwargs: Any) -> Any:
        if _inside.get():
            return method(*args, **kwargs)
        token = _inside.set(True)
        try:
            return step(body(signature.bind(*args, **kwargs), SyncIO().run))
        finally:
            _inside.reset(token)

    return awaited if inspect.iscoroutinefunction(method) else plain


async def _said(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


async def _beside(action: Callable[[], Any]) -> Any:
    """What `action` returns, done on a thread: it asks the store."""
    [outcome] = await arace([Job(action, _TIMEOUT)], lambda place, said: False)
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome
