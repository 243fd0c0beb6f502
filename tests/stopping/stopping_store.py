"""A store for tests that counts, waits and fails as it is told; and waiting for a switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from agno_portkey.stopping import Resumed, Stop, StopSwitch, fold
from agno_portkey.verdict import Verdict

SECONDS = 30.0


class Kept:
    """Stops in memory. `error` is raised by each read; `hold` has reads wait once they looked."""

    place = "the test"

    def __init__(self) -> None:
        self.kept: dict[str, Stop] = {}
        self.reads = 0
        self.noting = 0
        self.error: BaseException | None = None
        self.entered = threading.Event()
        self._gate: threading.Event | None = None

    def hold(self) -> threading.Event:
        """Reads that begin from now on wait for this event, with what they saw before it."""
        self.entered.clear()
        self._gate = threading.Event()
        return self._gate

    def kept_stop(self, swarm: str) -> None:
        self.put(Stop(swarm, datetime.now(UTC)))

    def stops(self) -> Mapping[str, Stop]:
        self.reads += 1
        seen, gate, error = self.kept.copy(), self._gate, self.error
        self.entered.set()
        if gate is not None:
            gate.wait(SECONDS)
        if error is not None:
            raise error
        return seen

    def put(self, stop: Stop) -> None:
        self.kept[fold(stop.swarm)] = stop

    def lift(self, swarm: str, *, by: str | None = None, reason: str | None = None) -> list[Stop]:
        stop = self.kept.pop(fold(swarm), None)
        return [] if stop is None else [stop]

    def resumed(self) -> list[Resumed]:
        return []

    def note(self, swarms: Collection[str]) -> None:
        self.noting += 1

    def noted(self) -> set[str]:
        return set()


def settled(switch: Any, *swarms: str, passed: bool) -> Verdict | None:
    """The answer of `switch` once it lets pass, or does not."""
    assert isinstance(switch, StopSwitch)
    deadline = time.monotonic() + SECONDS
    while True:
        verdict = switch.check(*swarms)
        if (verdict is None) == passed:
            return verdict
        assert time.monotonic() < deadline, f"it stays so: {verdict}"
        time.sleep(0.005)
