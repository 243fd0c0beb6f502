"""`Alerts`: alerts without Prometheus, from what observers hear, to a webhook."""

from __future__ import annotations

import asyncio
import atexit
import logging
import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from agno_portkey.errors import ConfigurationError
from agno_portkey.secrets import Secret
from agno_portkey.settings import check_url
from agno_portkey.telemetry.alerts.message import message
from agno_portkey.telemetry.alerts.sending import Sender
from agno_portkey.telemetry.alerts.states import States
from agno_portkey.telemetry.alerts.thresholds import Thresholds
from agno_portkey.telemetry.alerts.watching import HEARD, Watch
from agno_portkey.telemetry.ledger.prices import Prices
from agno_portkey.verdict import Event

__all__ = ["Alerts", "check_receiver"]

_log = logging.getLogger("agno_portkey")

# Events between two looks; with half of them the thread takes them in before the next.
_INBOX = 20_000
# Models and teams may both have it: the same event comes twice, with few others between.
_LATELY = 64
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Alerts:
    """An observer that tells a webhook when figures go beyond `thresholds`, and when that is over.

    `govern(team, observers=[alerts])`, or `hear_everything(alerts)` for all of the process, which
    is what its figures are of. It looks every `interval` seconds, on a thread of its own, and posts
    what Alertmanager posts (JSON, version 4): a message for each kind of alert with something new,
    or that still fires after `repeat_interval` seconds. `labels` are in all alerts; `url`
    is where people look. The address and `headers` may be a `Secret`. A message is tried `attempts`
    times, `timeout` seconds each; what can't be delivered is logged once, and counted in
    `undelivered`. It never holds up a run.

    Of the time to the first word, and of metrics that are gone, only Prometheus tells. Raises
    ConfigurationError for what does not fit.
    """

    def __init__(
        self,
        webhook: str | Secret,
        thresholds: Thresholds | None = None,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        labels: Mapping[str, str] | None = None,
        receiver: str = "agno-portkey",
        url: str = "",
        interval: float = 15.0,
        repeat_interval: float = 4 * 3600.0,
        attempts: int = 6,
        timeout: float = 10.0,
        prices: Prices | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not isinstance(thresholds, Thresholds | None):
            raise ConfigurationError("thresholds: Thresholds(...), or Thresholds.from_yaml(path)")
        if not isinstance(prices, Prices | None):
            raise ConfigurationError("prices: a Prices; Prices.from_file reads a file")
        for name, seconds in (
            ("interval", interval), ("repeat_interval", repeat_interval), ("timeout", timeout),
        ):  # fmt: skip
            if not _is_seconds(seconds):
                raise ConfigurationError(f"{name}: seconds, more than 0, not {seconds!r}")
        if type(attempts) is not int or not 1 <= attempts <= 100:
            raise ConfigurationError(f"attempts: a number in 1-100, not {attempts!r}")
        self._webhook, self._headers = check_receiver(webhook, headers)
        self._labels = _checked_labels(labels)
        self._receiver, self._url = receiver, url and check_url(url, name="url")
        self._thresholds = thresholds or Thresholds()
        self._prices = prices or Prices.shipped()
        self._interval, self._repeat = float(interval), float(repeat_interval)
        self._attempts, self._timeout, self._sleep = attempts, float(timeout), sleep
        self._clock = clock
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._inbox: deque[tuple[float, Event]] = deque(maxlen=_INBOX)
        self._lately: deque[Event] = deque(maxlen=_LATELY)
        self._watch = Watch(self._thresholds, self._prices)
        self._states = States(self._watch.kinds, self._repeat)
        self._sender = Sender(
            self._webhook,
            self._headers,
            attempts=self._attempts,
            timeout=self._timeout,
            sleep=self._sleep,
        )
        self.missed = 0
        self._is_told = False
        # Held by whoever looks; no run waits for it.
        self._looking = threading.Lock()
        self._starting = threading.Lock()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event, /) -> None:
        if event.kind not in HEARD or self._closed:
            return
        if self._pid != os.getpid():
            # A child has none of its parent's threads, and maybe their locks, taken.
            self._begin()
        # The oldest is lost then.
        self.missed += len(self._inbox) >= _INBOX
        self._inbox.append((self._clock(), event))
        if self._thread is None:
            self._start()
        elif len(self._inbox) >= _INBOX // 2:
            self._wake.set()

    def __repr__(self) -> str:
        # Addresses of webhooks hold keys.
        return f"Alerts({self._receiver!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Alerts:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("Alerts stay in their process: make them where they are needed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def firing(self) -> tuple[tuple[str, str], ...]:
        """The names of the alerts that fire, and what each is of: a model, provider, gate."""
        return tuple((each.kind.name, each.of) for each in self._states.firing)

    @property
    def undelivered(self) -> int:
        """How many messages the webhook did not take."""
        return self._sender.undelivered

    @property
    def delivered(self) -> int:
        """How many messages the webhook took."""
        return self._sender.delivered

    def look(self) -> None:
        """Look now, as it is done every `interval` seconds; returns before anything is sent."""
        with self._looking:
            self._take_in()
            now = self._clock()
            groups = self._states.step(now, datetime.now(UTC), self._watch.found(now))
        for group in groups:
            self._sender.send(
                message(group, receiver=self._receiver, labels=self._labels, url=self._url)
            )

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait up to `timeout` seconds until what was found is sent or given up; whether it is."""
        return self._sender.flush(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Look once more, send what there is to say within `timeout` seconds, and end all threads.

        From here on it hears of nothing.
        """
        if self._closed or self._pid != os.getpid():
            self._closed = True
            return
        self._closed = True
        atexit.unregister(self.close)
        self._ending.set()
        self._wake.set()
        with self._starting:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        self._look_safely()
        self._sender.close(timeout)

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._work, daemon=True, name="agno-portkey-alerts")
            try:
                thread.start()
            except RuntimeError:  # the system has none now; with the next event there may be one
                return
            self._thread = thread
        atexit.register(self.close)

    def _work(self) -> None:
        due = time.monotonic() + self._interval
        while not self._ending.is_set():
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            if self._ending.is_set():
                return
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                self._look_safely()
            else:
                with self._looking:
                    self._take_in()

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception as error:
            self._tell(error)

    def _take_in(self) -> None:
        for _ in range(len(self._inbox)):
            at, event = self._inbox.popleft()
            if any(each is event for each in self._lately):
                continue
            self._lately.append(event)
            try:
                self._watch.take(at, event)
            except Exception as error:
                self.missed += 1
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        if self._is_told:
            return
        self._is_told = True
        # Its words may quote the event.
        kind = type(error).__name__
        _log.warning("alerts: an event could not be counted (%s); of others nothing is said", kind)


def check_receiver(
    webhook: object, headers: Mapping[str, str | Secret] | None
) -> tuple[str | Secret, dict[str, str | Secret]]:
    """The address of a receiver and what is sent to it, once they are known to be such."""
    if isinstance(webhook, str):
        # Refused where it is none, and left as it is otherwise: receivers tell slashes apart.
        check_url(webhook, name="webhook")
        webhook = webhook.strip()
    elif not isinstance(webhook, Secret):
        raise ConfigurationError(f"webhook: an address, or a Secret, not {type(webhook).__name__}")
    told = dict(headers or {})
    for name, value in told.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name):
            raise ConfigurationError(f"headers: {name!r} is no header's name")
        plain = isinstance(value, str) and value.isascii() and value.isprintable()
        if not plain and not isinstance(value, Secret):
            raise ConfigurationError(f"headers: {name} is a text in ASCII, or a Secret")
    return webhook, told


def _checked_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    told = dict(labels or {})
    for name, value in told.items():
        if not isinstance(name, str) or not _LABEL.fullmatch(name) or not isinstance(value, str):
            raise ConfigurationError(
                f"labels: texts by names of letters, digits and '_', not {name!r}"
            )
    return told


def _is_seconds(seconds: object) -> bool:
    plain = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return plain and math.isfinite(seconds) and seconds > 0  # type: ignore[arg-type,operator]
