"""`vaulted`: an Agno database that holds placeholders where its owner reads values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from agno.db.base import AsyncBaseDb, BaseDb

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii import marks
from agno_portkey.guardrails.pii.records import is_record, mapped, owner_of
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.vault import Vault
from agno_portkey.guardrails.pii.vaults import Vaults
from agno_portkey.workers import Failed, Job, arace

__all__ = ["READS", "WRITES", "vaulted"]

D = TypeVar("D", BaseDb, AsyncBaseDb)
Find = Callable[[str], Iterable[Span]]
Owner = tuple[str | None, str | None]

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
    "search_compactions",
    "search_learnings",
)
# Writes that name a row and not whose it is, and how the row is read.
_LOOKED_UP = {
    "update_approval": ("get_approval", "approval_id"),
    "update_learning": ("get_learning_by_id", "id"),
}
# Seconds for all that one call asks of the store, which has a time of its own for each.
_TIMEOUT = 60.0
# Set while a method runs: what it calls of its own is about what is stored.
_inside: ContextVar[bool] = ContextVar("agno_portkey_vaulted", default=False)


def vaulted(db: D, vaults: Vaults, *, find: Find | None = None) -> D:
    """`db`, but what is written to it holds placeholders, and what is read holds the values.

    It shares connections and state with `db`, and is of a subclass of its class. A session's
    values go to and come from the session's vault; those of what has a user only, as memories do,
    from the vaults of that user. A record that names neither goes with those beside it in the same
    call (spans do), and is stored as it is where there are none. With `find`, such as an
    analyzer's `spans`, values that no vault knows yet are found when they are written.

    It can't hide ids, nor search by text in what is hidden. Raises VaultUnavailable, and writes
    nothing, where the vaults can't be read or kept.
    """
    if not isinstance(db, BaseDb | AsyncBaseDb):
        raise ConfigurationError(f"vaulted: an Agno database, not a {type(db).__name__}")
    if hasattr(type(db), "_agno_portkey_vaults"):
        raise ConfigurationError("vaulted: this database is vaulted already")
    made: dict[str, Any] = {"_agno_portkey_vaults": vaults, "__module__": type(db).__module__}
    made |= {"__qualname__": type(db).__qualname__, "__doc__": type(db).__doc__}
    rooms = _Rooms(vaults, find)
    for name in (*WRITES, *READS):
        if (method := getattr(type(db), name, None)) is not None:
            form = _awaited if inspect.iscoroutinefunction(method) else _plain
            made[name] = form(method, rooms, name in WRITES)
    twin: Any = object.__new__(type(type(db).__name__, (type(db),), made))
    # The same one: what either of them makes, finds or caches, the other has.
    twin.__dict__ = db.__dict__
    found: D = twin
    return found


def _plain(method: Any, rooms: _Rooms, writes: bool) -> Any:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _inside.get():
            return method(self, *args, **kwargs)
        bound = inspect.signature(method).bind(self, *args, **kwargs)
        token = _inside.set(True)
        try:
            owner = _named(bound.arguments)
            if writes:
                if (looked_up := _LOOKED_UP.get(method.__name__)) is not None:
                    reader, key = looked_up
                    owner = owner_of(getattr(self, reader)(bound.arguments[key]))
                rooms.hide(bound, owner)
            result = method(*bound.args, **bound.kwargs)
            return rooms.shown(result, owner)
        finally:
            _inside.reset(token)

    return call


def _awaited(method: Any, rooms: _Rooms, writes: bool) -> Any:
    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _inside.get():
            return await method(self, *args, **kwargs)
        bound = inspect.signature(method).bind(self, *args, **kwargs)
        token = _inside.set(True)
        try:
            owner = _named(bound.arguments)
            if writes:
                if (looked_up := _LOOKED_UP.get(method.__name__)) is not None:
                    reader, key = looked_up
                    owner = owner_of(await getattr(self, reader)(bound.arguments[key]))
                await _beside(lambda: rooms.hide(bound, owner))
            result = await method(*bound.args, **bound.kwargs)
            return await _beside(lambda: rooms.shown(result, owner))
        finally:
            _inside.reset(token)

    return call


async def _beside(action: Callable[[], Any]) -> Any:
    """What `action` returns, done on a thread: it asks the store."""
    [outcome] = await arace([Job(action, _TIMEOUT)], lambda place, said: False)
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome


def _named(arguments: dict[str, Any]) -> Owner:
    """Whose a call is by its arguments."""
    session = arguments.get("agno_session_id") or arguments.get("session_id")
    return session, arguments.get("user_id")


class _Rooms:
    """Hides and shows the records of a call, each with the vaults of its owner."""

    def __init__(self, vaults: Vaults, find: Find | None) -> None:
        self._vaults = vaults
        self._find = find

    def hide(self, bound: inspect.BoundArguments, owner: Owner) -> None:
        """Put hidden copies in the place of the arguments."""
        arguments = bound.arguments
        for name, value in arguments.items():
            if name == "self" or name == "id" or name.endswith(("_id", "_ids", "_type", "_key")):
                continue
            if name in ("expected_status", "framework", "namespace", "subpath"):
                continue
            arguments[name] = self._hidden(value, owner)

    def _hidden(self, value: Any, owner: Owner) -> Any:
        if isinstance(value, list) and any(is_record(item) for item in value):
            first = _first(value, owner)
            return [self._hidden(item, first) for item in value]
        plain = isinstance(value, dict) or is_record(value)
        vaults = self._writers(_either(owner_of(value), owner) if plain else owner)
        if not vaults:
            return value
        return mapped(value, lambda text: self._kept(text, vaults), writing=True)

    def _kept(self, text: str, vaults: Sequence[Vault]) -> str:
        if self._find is not None and (spans := [*self._find(text)]):
            vaults[0].learn(text, spans)
        return marks.kept(text, vaults)

    def _writers(self, owner: Owner) -> list[Vault]:
        session, user = owner
        if session:
            # What was hidden before the session was anybody's is in a vault of its own.
            return [self._vaults.of(session, each) for each in dict.fromkeys((user, None))]
        return self._vaults.of_user(user) if user else []

    def shown(self, value: Any, owner: Owner) -> Any:
        """The same records with their values."""
        if isinstance(value, list | tuple):
            first = _first(value, owner)
            items = [self.shown(item, first) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if not isinstance(value, str | dict) and not is_record(value):
            return value
        session, user = _either(owner_of(value), owner)
        if not session and not user:
            return value
        known: dict[str, Vault | None] = {}

        def vault_of(mark: str) -> Vault | None:
            if mark not in known:
                known[mark] = self._vaults.by_mark(mark, session, user)
            return known[mark]

        return mapped(value, lambda text: marks.unkept(text, vault_of), writing=False)


def _either(named: Owner, otherwise: Owner) -> Owner:
    """Whose a record is: what it says itself, else what its call says."""
    return named[0] or otherwise[0], named[1] or otherwise[1]


def _first(records: Sequence[Any], owner: Owner) -> Owner:
    """Whose those are that do not say it: of the spans of a trace, few do."""
    plain = (each for each in records if isinstance(each, dict) or is_record(each))
    return owner if owner != (None, None) else next(filter(any, map(owner_of, plain)), owner)
