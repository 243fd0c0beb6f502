"""`StopSwitch`: whether a swarm is stopped, as the database said it a moment ago."""

from __future__ import annotations

import logging
import math
import os
import shlex
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.errors import ConfigurationError
from agno_portkey.stopping.databases import store_of
from agno_portkey.stopping.names import Names
from agno_portkey.stopping.record import ALL, LONGEST, Resumed, Stop, fold, kept
from agno_portkey.verdict import Verdict

__all__ = ["DATABASE_VARIABLE", "StopSwitch"]

DATABASE_VARIABLE = "AGNO_PORTKEY_DATABASE_URL"
_LONGEST_PAUSE = 60.0
_log = logging.getLogger("agno_portkey")


@dataclass(frozen=True, slots=True)
class _Known:
    """What one read found, when it began, and how long that counts (monotonic seconds)."""

    began: float
    until: float
    stops: Mapping[str, Stop] = field(default_factory=dict)
    problem: str | None = None
    # From here on the next read is begun while this one still counts.
    ahead: float = -math.inf


class _Reading:
    """One read under way, on a thread of its own."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.done = threading.Event()


class StopSwitch:
    """Stops swarms for all processes that share `database`, and tells whether one is stopped.

    `database` is an Agno database on SQL, an `InMemoryDb` (which no other process sees), an
    address such as `postgresql://...` or `sqlite:///agno.db`, a file, or a `Store`. What was read
    counts for `max_age` seconds; a read takes at most `timeout`. So no call begins later than the
    longer of the two after a stop is written. A state that can't be read stops everything.
    """

    has_database = True

    def __init__(self, database: Any, *, max_age: float = 0.5, timeout: float = 1.0) -> None:
        for name, value in (("max_age", max_age), ("timeout", timeout)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 60:
                raise ConfigurationError(
                    f"{name}: seconds, more than 0 and under 60, not {value!r}"
                )
        self._store = store_of(database, timeout)
        # Where the command line looks unless it is told otherwise.
        named = database if isinstance(database, str) else ""
        self._is_default = named == os.environ.get(DATABASE_VARIABLE)
        self._max_age = max_age
        self._timeout = timeout
        self._names = Names(self._store, timeout)
        self._known = _Known(-math.inf, -math.inf, problem="it was not read yet")
        self._logged: object = (False, {})
        self._begin_anew()

    def __repr__(self) -> str:
        return f"StopSwitch({self._store.place!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> StopSwitch:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a StopSwitch stays in its process: make one from the database there")

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._names.begin_anew()
        self._reading: _Reading | None = None
        self._hanging = 0
        self._pause_until = -math.inf

    # What calls ask

    def check(self, *swarms: str) -> Verdict | None:
        """Why `swarms` may not go on, or None; blocks where what is known is too old."""
        if self.needs_reading():
            self.read()
        return self._verdict(swarms)

    async def verdict(self, io: IO, *swarms: str) -> Verdict | None:
        """The same for a layer: it waits through `io`."""
        if self.needs_reading():
            await io.run(self.read)
        return self._verdict(swarms)

    def needs_reading(self) -> bool:
        """Whether what is known is too old to answer from."""
        known, now = self._known, time.monotonic()
        if now >= known.until:
            return True
        if now >= known.ahead:
            self._begin()
        return False

    def read(self) -> None:
        """Have the state read anew, or wait for the read under way, for `timeout` each."""
        asked = time.monotonic()
        while (reading := self._begin()) is not None:
            reading.done.wait(max(0.0, reading.began + self._timeout - time.monotonic()))
            if not reading.done.is_set():
                self._give_up(reading)
            # One that was under way already may be from before a stop.
            if self._known.began >= asked or time.monotonic() < self._known.until:
                return

    def _verdict(self, swarms: tuple[str, ...]) -> Verdict | None:
        known = self._known
        if known.problem is not None:
            reason = f"the stop state can't be read: {known.problem}"
            return Verdict(False, "stop", (reason,), evidence={"problem": known.problem})
        self._names.keep(swarms)
        if not known.stops:
            return None
        for name in (ALL, *map(fold, swarms)):
            if (stop := known.stops.get(name)) is not None:
                return self._refusal(stop)
        return None

    def _refusal(self, stop: Stop) -> Verdict:
        which = ["--all"] if stop.swarm == ALL else ["--swarm", stop.swarm]
        address = getattr(self._store, "address", None)
        if address is None:  # the command line can't reach it
            after = f"{type(self).__name__}.resume({stop.swarm!r}) where it was stopped"
        else:
            where = [] if self._is_default else ["--db", address]
            after = shlex.join(["agno-portkey", "resume", *which, *where])
        evidence = {
            "swarm": stop.swarm,
            "stopped_at": stop.at.isoformat(),
            "by": stop.by,
            "reason": stop.reason,
        }
        return Verdict(False, "stop", (f"{stop}; it goes on after: {after}",), evidence=evidence)

    # Reading

    def _locked(self) -> threading.Lock:
        if os.getpid() != self._pid:
            # After a fork: neither who holds it nor who was reading is in this process.
            self._begin_anew()
        return self._lock

    def _begin(self) -> _Reading | None:
        """The read under way, or a new one; None while nothing is read for a while."""
        with self._locked():
            if self._reading is not None:
                return self._reading
            now = time.monotonic()
            if now < self._pause_until:
                return None
            reading = self._reading = _Reading(now)
        try:
            threading.Thread(
                target=self._work, args=(reading,), daemon=True, name="agno-portkey-stop"
            ).start()
        except RuntimeError as error:
            self._learn(reading, self._problem(str(error)))
        return reading

    def _work(self, reading: _Reading) -> None:
        try:
            stops = self._store.stops()
        except BaseException as error:
            known = self._problem(_cause(error))
        else:
            ahead, until = reading.began + self._max_age / 2, reading.began + self._max_age
            known = _Known(reading.began, until, stops, ahead=ahead)
        self._learn(reading, known)

    def _learn(self, reading: _Reading, known: _Known) -> None:
        with self._lock:
            if self._reading is reading:
                self._reading = None
                self._know(known)
            else:
                # Late, and too old to count; but the next one may come in time.
                self._hanging -= 1
                self._pause_until = -math.inf
                self._known = replace(self._known, until=-math.inf)
        reading.done.set()

    def _give_up(self, reading: _Reading) -> None:
        with self._lock:
            if self._reading is not reading:
                return
            self._reading = None
            self._hanging += 1
            # Threads that hang are not to pile up.
            pause = min(_LONGEST_PAUSE, self._timeout * 2**self._hanging)
            self._pause_until = time.monotonic() + pause
            known = self._problem(f"no answer within {self._timeout:g} s")
            self._know(replace(known, until=self._pause_until))

    def _problem(self, cause: str) -> _Known:
        now = time.monotonic()
        problem = f"{cause} ({self._store.place})"
        return _Known(now, now + self._max_age, problem=problem, ahead=math.inf)

    def _know(self, known: _Known) -> None:
        self._known = known
        before, self._logged = self._logged, (known.problem is not None, known.stops)
        if self._logged != before and known.problem is not None:
            _log.error("the stop state can't be read: %s", known.problem)
        elif self._logged != before:
            told = "; ".join(map(str, known.stops.values()))
            _log.warning("the stop state: %s", told or "nothing is stopped")

    # What an operator does

    def stop(self, swarm: str, *, reason: str | None = None, by: str | None = None) -> Stop:
        """Stop `swarm`, or with `*` every one; blocks until it is written."""
        if not isinstance(swarm, str) or not fold(swarm) or len(swarm) > LONGEST:
            raise ConfigurationError(f"swarm: a name of 1 to {LONGEST} characters, not {swarm!r}")
        stop = Stop(swarm.strip(), datetime.now(UTC), kept(by, LONGEST), kept(reason))
        self._at_the_store("written", lambda: self._store.put(stop))
        return stop

    def resume(self, swarm: str, *, reason: str | None = None, by: str | None = None) -> list[Stop]:
        """Let `swarm` go on, or with `*` those stopped together; returns what was lifted.

        `reason` and `by` are kept until it is stopped again.
        """
        who, why = kept(by, LONGEST), kept(reason)
        lift = partial(self._store.lift, swarm, by=who, reason=why)
        return [*self._at_the_store("written", lift)]

    def stopped(self) -> Mapping[str, Stop]:
        """What is stopped now, by name; read anew, and blocks."""
        stops = self._at_the_store("read", self._store.stops)
        return {stop.swarm: stop for stop in stops.values()}

    def resumed(self) -> Mapping[str, Resumed]:
        """Who let what is not stopped go on last, and why, by name, where it was said; blocks."""
        return {each.swarm: each for each in self._at_the_store("read", self._store.resumed)}

    def known_swarms(self) -> set[str]:
        """The swarms that some process has asked for, now or ever; blocks."""
        return {*self._at_the_store("read", self._store.noted)}

    def _at_the_store(self, done: str, action: Any) -> Any:
        try:
            return action()
        except Exception as error:
            raise ConfigurationError(
                f"database: the stop state can't be {done}: {_cause(error)} ({self._store.place})"
            ) from error
        finally:
            with self._locked():
                self._known = replace(self._known, until=-math.inf)


def _cause(error: BaseException) -> str:
    """What a database said, in one line, without the statement."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    return (said or type(error).__name__)[:300]
