"""What an app joins while it serves, and leaves with it: streams, cancellation, telemetry."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from importlib import import_module
from typing import Any

from agno.db.base import BaseDb
from agno.db.sqlite import SqliteDb
from agno.os.event_streams import BaseEventStream, get_event_stream, set_event_stream
from agno.os.event_streams.redis import RedisEventStream
from agno.run.cancel import get_cancellation_manager, set_cancellation_manager
from agno.run.cancellation_management.redis_cancellation_manager import RedisRunCancellationManager
from starlette.concurrency import run_in_threadpool

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.playground.streams import Overheard
from agno_portkey.playground.told import Live
from agno_portkey.sql import file_of, in_memory, named, private_file

__all__ = ["REDIS_VARIABLE", "Joined", "database_at"]

REDIS_VARIABLE = "AGNO_PORTKEY_REDIS_URL"
# Events of a run that are kept, and seconds: between events of a stream, and for an answer.
_EVENTS, _PATIENCE, _TIMEOUT = 20_000, 30.0, 5.0
# How many apps of this process are on each of the streams; one may end before another.
_users: Counter[Overheard] = Counter()
_lock = threading.Lock()
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def database_at(place: str) -> BaseDb:
    """Agno's database at an address, or of a SQLite file; ConfigurationError for what is none."""
    url = named(place)
    if url.get_backend_name() == "sqlite":
        if (file := file_of(url)) is not None and not in_memory(url):
            # What users and models say is kept there.
            private_file(file)
        return SqliteDb(db_url=url.render_as_string(hide_password=False))
    from agno.db.postgres import PostgresDb

    return PostgresDb(db_url=url.render_as_string(hide_password=False))


class Joined:
    """What one app has of its process from its start to its end."""

    def __init__(self, database: BaseDb, redis_url: str | None, telemetry: bool) -> None:
        self._database, self._telemetry = database, telemetry
        self._redis_url = redis_url or os.environ.get(REDIS_VARIABLE, "").strip() or None
        if telemetry:
            # Whether it can be is known before anything is served.
            _telemetry()

    def around(self, inner: Lifespan) -> Lifespan:
        """A lifespan that joins before `inner` begins, and leaves once it has ended."""

        @asynccontextmanager
        async def whole(app: Any) -> AsyncIterator[Any]:
            async with self._joined(), inner(app) as state:
                yield state

        return whole

    @asynccontextmanager
    async def _joined(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as left:
            if (telemetry := self._traced()) is not None:
                left.push_async_callback(run_in_threadpool, telemetry.shutdown)
            streams = left.enter_context(_streams(self._redis_url))
            # Whoever asks first would wait for it.
            await run_in_threadpool(_warm)
            live = Live(streams)
            live.start()
            left.push_async_callback(live.stop)
            yield

    def _traced(self) -> Any:
        if not self._telemetry:
            return None
        is_set_up, setup = _telemetry()
        return None if is_set_up() else setup(db=self._database)


def _telemetry() -> tuple[Any, Any]:
    from agno_portkey.telemetry import setup
    from agno_portkey.telemetry.setting_up import is_set_up

    return is_set_up, setup


def _warm() -> None:
    """Import what the first call would, which takes seconds on a small machine."""
    for name in ("openai.resources.chat.completions", "openai.resources.embeddings"):
        import_module(name)


@contextmanager
def _streams(redis_url: str | None) -> Iterator[Overheard]:
    """The streams of this process, or those at Redis, with whom a run is cancelled there too."""
    before = get_event_stream()
    if redis_url is None:
        _buffer_more()
        streams = before if isinstance(before, Overheard) else Overheard(before)
        cancels = None
    else:
        inner, cancels = _shared(redis_url)
        streams = Overheard(inner)
    cancelled_before = get_cancellation_manager()
    with _lock:
        _users[streams] += 1
        set_event_stream(streams)
    if cancels is not None:
        set_cancellation_manager(cancels)
    try:
        yield streams
    finally:
        _left(streams, streams.inner if streams is before else before)
        if cancels is not None and get_cancellation_manager() is cancels:
            set_cancellation_manager(cancelled_before)


def _left(streams: Overheard, before: BaseEventStream) -> None:
    """Put back what was there, once no app of this process is on `streams` any more."""
    with _lock:
        _users[streams] -= 1
        if _users[streams] == 0:
            del _users[streams]
            if get_event_stream() is streams:
                set_event_stream(before)


def _buffer_more() -> None:
    """Keep as many events of a run as Redis would: who reloads late is to read all of an answer."""
    from agno.os.managers import event_buffer

    event_buffer.max_events_per_run = max(event_buffer.max_events_per_run, _EVENTS)


def _shared(url: str) -> tuple[RedisEventStream, RedisRunCancellationManager]:
    try:
        from redis import Redis
        from redis.asyncio import Redis as AsyncRedis
    except ImportError as error:
        raise MissingExtraError(
            "several processes share streams in Redis: pip install 'agno-portkey[redis]'"
        ) from error
    try:
        # Tails wait for longer than the client's own limit.
        waiting = AsyncRedis.from_url(url, socket_timeout=_PATIENCE)
        asking = Redis.from_url(url, socket_timeout=_TIMEOUT)
    except ValueError as error:
        raise ConfigurationError(
            f"redis_url: an address such as redis://host:6379/0 ({error})"
        ) from None
    stream = RedisEventStream(waiting, maxlen=_EVENTS)
    return stream, RedisRunCancellationManager(asking, waiting)
