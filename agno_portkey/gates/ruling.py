"""How strictly a team's gates hold, and who hears of what they say: decided here, nowhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from agno_portkey.errors import Blocked, GateClosed, RunDeclined, ToolRefused
from agno_portkey.modes import Mode, check_mode, mode_now
from agno_portkey.runs import Run, Runs, Station
from agno_portkey.verdict import Event, Observer, Verdict, check_observers, heard, tell

__all__ = ["Ruling"]

T = TypeVar("T")

_log = logging.getLogger("agno_portkey")


class _ToldOnce(logging.Filter):
    """Leaves out what the host logs of a gate's decision, which the end of the run tells.

    A member that is refused, and the team that ends on it, would each say the same once more.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = sys.exc_info()[1]
        decided = isinstance(error, RunDeclined) or (
            isinstance(error, GateClosed) and "plan_digest" in error.verdict.evidence
        )
        return not decided or not record.getMessage().startswith("Validation failed: ")


_TOLD_ONCE = _ToldOnce()


class Ruling:
    """What becomes of a no: it stops what asked (enforce), is told (observe), or never said (off).

    A team run keeps to its end the mode in which it began, so no lock that was closed opens under
    it. A call that belongs to no known run is held in the mode of the moment: `mode`, unless
    AGNO_PORTKEY_GATE_MODE says another. Auxiliary calls, such as memories, are such calls.
    """

    def __init__(
        self,
        *,
        swarm: str | None,
        observers: Iterable[Observer],
        mode: Mode,
        runs: Runs | None,
    ) -> None:
        self.swarm = swarm
        self.observers = check_observers(observers)
        self.mode: Mode = check_mode(mode, name="gate.mode")
        self.runs = runs or Runs()
        for logger in ("agno", "agno-team"):
            logging.getLogger(logger).addFilter(_TOLD_ONCE)

    def open(self, run_id: str, name: str) -> Run:
        """Begin the team run of this id, in the mode of this moment."""
        return self.runs.open(run_id, name, mode_now("gate", self.mode))

    def mode_of(self, run: Run | None) -> Mode:
        return mode_now("gate", self.mode) if run is None else run.mode

    def closed(self, run: Run) -> str | None:
        """Why nobody would hear of what the Runner of `run` does any more, if nobody would."""
        if run.declined is not None:
            return "its team's run was declined"
        if run.ended and run.mode == "enforce":
            return "its team's run has ended"
        if (known := self.runs.find(run.id)) is None or known.run is not run:
            return "its team's run began anew, or is forgotten here"
        return None

    def enforces(self, run_id: str | None) -> bool:
        """Whether a no stops what the run `run_id` does."""
        return self.mode_of(self._run_of(run_id)) == "enforce"

    def held(self, run_id: str | None, check: Callable[[], T]) -> T | None:
        """What `check` returns for the run `run_id`; the no that it raises stands in enforce only.

        None where it was refused but is only observed, or where the gate is off and not asked.
        """
        mode = self.mode_of(self._run_of(run_id))
        if mode == "off":
            return None
        try:
            return check()
        except Exception as error:
            self._stand(mode, error)
            return None

    async def aheld(self, run_id: str | None, check: Callable[[], Awaitable[T]]) -> T | None:
        """`held` of a check that has to wait."""
        mode = self.mode_of(self._run_of(run_id))
        if mode == "off":
            return None
        try:
            return await check()
        except Exception as error:
            self._stand(mode, error)
            return None

    def _stand(self, mode: Mode, error: Exception) -> None:
        """Let a no stand where it is enforced."""
        if mode == "enforce":
            raise error
        if not isinstance(error, Blocked | ToolRefused):
            _log.error("%s: the gate could not be observed", self.swarm or "team", exc_info=error)

    def _run_of(self, run_id: str | None) -> Run | None:
        station = self.runs.find(run_id)
        return station.run if station else None

    # Telling

    def tell_declined(self, station: Station | None, verdict: Verdict) -> None:
        """Say that a team run ends without a result, or would have."""
        if self.mode_of(station.run if station else None) == "observe":
            self.tell("gate", station, verdict, {"would": "decline"})
            return
        # The host's own line is left out: of sync streams it has none.
        _log.warning("%s: declined by %s: %s", self.swarm or "team", verdict.source, verdict.reason)
        self.tell("declined", station, verdict)

    def tell(
        self,
        kind: str,
        station: Station | None,
        verdict: Verdict | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """Let the observers hear of `verdict`, and in which mode; one only observed is logged."""
        mode = self.mode_of(station.run if station else None)
        if mode == "observe" and verdict is not None and not verdict.passed:
            _log.warning("%s: observed, not refused: %s", self.swarm or "team", verdict.reason)
        if not heard(self.observers):
            return
        event = Event(
            kind,
            role=station.role if station else None,
            swarm=self.swarm,
            run_id=station.run.id if station else None,
            verdict=verdict,
            data={**(data or {}), "mode": mode},
        )
        tell(self.observers, event)
