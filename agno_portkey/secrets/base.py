"""A reference to a secret, which hands its value out late."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Self

from agno_portkey.errors import ConfigurationError, SecretMissing, SecretUnavailable
from agno_portkey.secrets.asking import Asking, again, asked
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.source import SecretSource, WritableSource, check_name
from agno_portkey.threads import pool

__all__ = [
    "Secret",
    "SecretSource",
    "WritableSource",
    "arefreshed",
    "check_name",
    "held_by",
    "refreshed",
]

# So long a value of a source that has failed is used without asking again.
_REST = 5.0
# Readings that hang can't be ended; no secret leaves more threads behind.
_MOST_HANGING = 4
# More than that no lock can wait.
_LONGEST = 1e6


class Secret:
    """A reference to the secret `name` of `source`; its value is in no repr, pickle or traceback.

    A value is kept for `ttl` seconds. Where the source fails after that, or gives none that can be
    used, the last one is used for up to `grace` seconds more, and that is logged. A source is given
    `timeout` seconds. Threads and event loops share one Secret; they ask its source once.
    """

    def __init__(
        self,
        name: str,
        source: SecretSource,
        *,
        ttl: float = 30.0,
        grace: float = 300.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(source, SecretSource) or isinstance(source, type):
            raise ConfigurationError("source: where the secret is, as EnvironmentSecrets()")
        for argument, seconds in (("ttl", ttl), ("grace", grace), ("timeout", timeout)):
            if not _is_seconds(seconds) or (argument == "timeout" and seconds > _LONGEST):
                raise ConfigurationError(f"{argument}: seconds, not {seconds!r}")
        self.name = check_name(name)
        self.source = source
        self.ttl, self.grace, self.timeout = ttl, grace, timeout
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._value: Hidden | None = None
        self._version = 0
        # When the value was read, and until when nobody need ask again.
        self._read_at = self._good_until = float("-inf")
        self._asking: Asking | None = None
        self._hanging = 0

    @property
    def version(self) -> int:
        """How often the value has changed so far, its first reading included."""
        return self._version

    @property
    def fresh(self) -> bool:
        """Whether `reveal` would answer without asking the source."""
        return self._value is not None and self._clock() < self._good_until

    @property
    def known(self) -> str | None:
        """The value that was read last, if any; nobody is asked."""
        return self._value

    def reveal(self) -> str:
        """The value; blocks while the source is asked.

        Raises SecretMissing, and SecretUnavailable where there is no value that may be used.
        """
        return self.held()[0]

    async def areveal(self) -> str:
        """`reveal` that waits on the event loop."""
        return (await self.aheld())[0]

    def held(self) -> tuple[str, int]:
        """The value and its version, which belong together."""
        held = self._fresh_one()
        if held is None:
            asking, _ = self._ask()
            asking.wait(self.timeout)
            held = self._outcome(asking)
        return held

    async def aheld(self) -> tuple[str, int]:
        """`held` that waits on the event loop."""
        held = self._fresh_one()
        if held is None:
            asking, _ = self._ask()
            await asking.await_(self.timeout)
            held = self._outcome(asking)
        return held

    def refresh(self, *, since: int | None = None) -> bool:
        """Ask the source now; whether the value has changed, `since` a version or the present one.

        Nobody is asked where it has changed already. Raises what the source does: what is held
        already stays in use.
        """
        before = self._version if since is None else since
        for asking in self._askings(before):
            asking.wait(self.timeout)
        return self._version != before

    async def arefresh(self, *, since: int | None = None) -> bool:
        """`refresh` that waits on the event loop."""
        before = self._version if since is None else since
        for asking in self._askings(before):
            await asking.await_(self.timeout)
        return self._version != before

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, {type(self.source).__name__})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not pickled: make one where it is needed")

    def _fresh_one(self) -> tuple[str, int] | None:
        if self._process != os.getpid():
            # A child has none of its parent's threads, and maybe its lock, taken.
            self._begin()
        with self._lock:
            if self._value is not None and self._clock() < self._good_until:
                return self._value, self._version
        return None

    def _ask(self) -> tuple[Asking, bool]:
        """The reading that is under way, or a new one; and whether it is new."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._asking is not None and not self._asking.over(self.timeout):
                return self._asking, False
            asking = self._asking = Asking()
            if self._hanging >= _MOST_HANGING:
                asking.error = self._unavailable(f"{self._hanging} readings of it hang")
                asking.done.set_result(None)
                return asking, True
            self._hanging += 1
        if not pool.submit(lambda: self._read(asking)):
            self._settle(asking, None, self._unavailable("no thread is to be had to read it"))
        return asking, True

    def _askings(self, before: int) -> Iterator[Asking]:
        """The readings to wait for, one after the other, until the version is not `before`'s."""
        mine = False
        # A reading that others have begun may be older than what this is asked for.
        while not mine and self._version == before:
            asking, mine = self._ask()
            yield asking
            self._require(asking)

    def _read(self, asking: Asking) -> None:
        value, error = asked(self.source, self.name)
        self._settle(asking, value, error)

    def _settle(self, asking: Asking, value: Hidden | None, error: Exception | None) -> None:
        with self._lock:
            self._hanging -= 1
            # What comes late may be older than what was read since.
            if self._asking is asking:
                if value is not None:
                    self._take(value)
                asking.error = error
                self._asking = None
        asking.done.set_result(None)

    def _take(self, value: Hidden) -> None:
        if value != self._value:
            self._value = value
            self._version += 1
        self._read_at = self._clock()
        self._good_until = self._read_at + self.ttl

    def _outcome(self, asking: Asking) -> tuple[str, int]:
        """What is to be used once the source was asked."""
        error = asking.error or (None if asking.done.done() else self._late())
        with self._lock:
            if isinstance(error, SecretMissing):
                # It was taken away, and is not to be used any longer.
                self._value, self._good_until = None, float("-inf")
            now, until = self._clock(), self._read_at + self.ttl + self.grace
            if self._value is None or (error is not None and now >= until):
                raise again(error or self._unavailable("nobody has read it"))
            held = self._value, self._version
            first = error is not None and now >= self._good_until
            if first:
                self._good_until = now + min(_REST, self.ttl)
        if first:
            logging.getLogger("agno_portkey").warning(
                "%r can't be read (%s): its last value is used for up to %g s",
                self, error, until - now,
            )  # fmt: skip
        return held

    def _require(self, asking: Asking) -> None:
        if not asking.done.done():
            raise self._late()
        if asking.error is not None:
            raise again(asking.error)

    def _late(self) -> SecretUnavailable:
        return self._unavailable(f"no answer within {self.timeout:g} s")

    def _unavailable(self, why: str) -> SecretUnavailable:
        return SecretUnavailable(
            f"{self.name}: {why}; see to {type(self.source).__name__}, which is to hold it"
        )


def held_by(secrets: Iterable[Secret]) -> dict[Secret, tuple[str, int]]:
    """`held` of each; those that are to be read are read at the same time."""
    begun = [(each, each._fresh_one() or each._ask()[0]) for each in secrets]
    held = {}
    for each, found in begun:
        if isinstance(found, Asking):
            found.wait(each.timeout)
            found = each._outcome(found)
        held[each] = found
    return held


def refreshed(sent: Iterable[tuple[Secret, int]]) -> bool:
    """Ask the sources of secrets whose values, of these versions, were refused, all at the same
    time; whether one has changed. Those that fail are logged.
    """
    asked = [(each, each._askings(version), version) for each, version in sent]
    found: dict[Secret, bool | BaseException] = {}
    while any(each not in found for each, _, _ in asked):
        left = [(each, *_next(askings)) for each, askings, _ in asked if each not in found]
        for each, asking, error in left:
            if asking is not None:
                asking.wait(each.timeout)
            else:
                found[each] = error or False
    changed = [_told(each, found[each] or each.version != version) for each, _, version in asked]
    return any(changed)


async def arefreshed(sent: Iterable[tuple[Secret, int]]) -> bool:
    """`refreshed` that waits on the event loop."""
    asked = [(each, each.arefresh(since=version)) for each, version in sent]
    found = await asyncio.gather(*(waiting for _, waiting in asked), return_exceptions=True)
    changed = [_told(each, outcome) for (each, _), outcome in zip(asked, found, strict=True)]
    return any(changed)


def _is_seconds(seconds: object) -> bool:
    plain = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return plain and seconds >= 0  # type: ignore[operator]


def _next(askings: Iterator[Asking]) -> tuple[Asking | None, Exception | None]:
    """What is to be waited for next, or how it has ended."""
    try:
        return next(askings, None), None
    except (ConfigurationError, SecretUnavailable) as error:
        return None, error


def _told(secret: Secret, found: bool | BaseException) -> bool:
    if isinstance(found, bool):
        return found
    if not isinstance(found, ConfigurationError | SecretUnavailable):
        raise found
    logging.getLogger("agno_portkey").warning(
        "%r was refused, and can't be read: %s", secret, found
    )
    return False
