"""Notices from the calls of models that a key is to be rotated."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from agno_portkey.drivers import beside_loop
from agno_portkey.errors import ConfigurationError, SecretUnavailable
from agno_portkey.guardrails.secrets.guard import digests_in, tells_of
from agno_portkey.security.rotation.due import Due, Reason
from agno_portkey.security.rotation.rotation import Rotation
from agno_portkey.verdict import Event

__all__ = ["KeyWatch"]

OnDue = Callable[[str, Due], object]

_REFUSED = (401, 403)
# Findings that wait for a source that is asked already.
_MOST = 10_000


class KeyWatch:
    """An observer that marks the key of `rotation` as due, and then calls `on_due(name, due)`.

    It does so after `burst` requests that were answered 401 or 403 `within` seconds, those to
    `target` of a route where that is given; and once a `SecretsGuardrail` of this process has found
    the value that the source names. Refusals make a key due once in `rest` seconds: those that a
    new key does not end are not its fault, which is logged.

    What blocks is done beside the event loop; `on_due` is called there, once for each reason and
    credential.
    """

    def __init__(
        self,
        rotation: Rotation,
        *,
        burst: int = 5,
        within: float = 60.0,
        target: str | None = None,
        on_due: OnDue | None = None,
        rest: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(burst, bool) or not isinstance(burst, int) or burst < 1:
            raise ConfigurationError(f"burst: how many refused requests, at least 1, not {burst!r}")
        if not within > 0:
            raise ConfigurationError(f"within: seconds, more than 0, not {within!r}")
        if not rest >= 0:
            raise ConfigurationError(f"rest: seconds, 0 or more, not {rest!r}")
        if on_due is not None and not callable(on_due):
            raise ConfigurationError("on_due: what is called with a key's name and a Due")
        self._rotation, self._target, self._on_due = rotation, target, on_due
        self._within, self._rest, self._clock = within, rest, clock
        self._refused: deque[float] = deque(maxlen=burst)
        self._found: deque[Mapping[str, Any]] = deque(maxlen=_MOST)
        self._comparing = False
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if event.kind == "attempt" and event.data.get("status") in _REFUSED:
            self._count(event.data)
        elif event.kind == "guard" and event.verdict is not None and event.verdict.evidence:
            evidence = event.verdict.evidence
            if digests_in(evidence):
                self._find(evidence)

    def _count(self, data: Mapping[str, Any]) -> None:
        if self._target is not None and data.get("target") != self._target:
            return
        with self._lock:
            now = self._clock()
            self._refused.append(now)
            full = len(self._refused) == self._refused.maxlen
            if not full or now - self._refused[0] > self._within:
                return
            self._refused.clear()
        said = f"{self._refused.maxlen} requests within {self._within:g} s were refused (401, 403)"
        beside_loop(partial(self._refuse, said))

    def _refuse(self, said: str) -> None:
        try:
            again = self._rotation.refused_within(self._rest)
        except ConfigurationError:
            again = False  # and to mark it says what is wrong
        if not again:
            self._mark("unauthorized", said)
            return
        logging.getLogger("agno_portkey").warning(
            "%s: %s, and it was due for that less than %g s ago: another key does not help. See to "
            "the gateway, and to who else sends keys through it",
            self._rotation.name, said, self._rest,
        )  # fmt: skip

    def _find(self, evidence: Mapping[str, Any]) -> None:
        # The source is asked once at a time, however many texts hold what looks like a key.
        with self._lock:
            self._found.append(evidence)
            busy, self._comparing = self._comparing, True
        if not busy:
            beside_loop(self._compare_all)

    def _compare_all(self) -> None:
        while True:
            with self._lock:
                found = [*self._found]
                self._found.clear()
                if not found:
                    self._comparing = False
                    return
            self._compare(found)

    def _compare(self, found: Sequence[Mapping[str, Any]]) -> None:
        try:
            value = self._rotation.named.value()
        except (ConfigurationError, SecretUnavailable) as error:
            # Whether it is this key is not known: to rotate it does no harm.
            self._mark("leak", f"a secret was found in a text, and it may be this one ({error})")
            return
        if value is not None and any(tells_of(each, value) for each in found):
            self._mark("leak", "SecretsGuardrail has found it in a text")

    def _mark(self, reason: Reason, said: str) -> None:
        try:
            due = self._rotation.mark_due(reason, said)
            if due is not None and self._on_due is not None:
                self._on_due(self._rotation.name, due)
        except Exception:
            # Nobody waits for it.
            logging.getLogger("agno_portkey").exception(
                "%s is to be rotated (%s), and that could not be noted", self._rotation.name, said
            )
