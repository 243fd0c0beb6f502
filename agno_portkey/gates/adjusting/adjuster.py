"""`Adjuster`: looks at the history of gates now and then, and proposes other thresholds.

What fails here opens and closes no gate: it is logged and told, and the thresholds stay.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.adjusting.change import Change
from agno_portkey.gates.adjusting.proposal import propose
from agno_portkey.gates.adjusting.proposed import NoProposal, Proposal
from agno_portkey.gates.adjusting.settings import Adjust
from agno_portkey.gates.adjusting.standing import Standing
from agno_portkey.gates.adjusting.versions import Thresholds
from agno_portkey.gates.checks.base import Check
from agno_portkey.gates.history import Decided, History
from agno_portkey.verdict import Event, Verdict, failure_of, tell

if TYPE_CHECKING:
    from agno_portkey.gates.gate import Gate

__all__ = ["AUTO", "Adjuster", "movable", "past"]

# By whom an adjustment is that no person made.
AUTO = "agno-portkey (auto)"
# So many decisions are looked at: they are enough to tell, and read in a fraction of a second.
_LOOKED_AT = 500


class Adjuster:
    """Adjusts the thresholds of those of `gates` that say `adjust`, from what `history` holds.

    Shared by threads: one looks at a time, and others go on.
    """

    def __init__(self, gates: Sequence[Gate], history: History, thresholds: Thresholds) -> None:
        self._gates = [(gate, gate.adjust) for gate in gates if gate.adjust is not None]
        self._history = history
        self._thresholds = thresholds
        self._counts = dict.fromkeys((gate.name for gate, _ in self._gates), 0)
        self._lock = threading.Lock()
        self._looking = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def decided(self) -> None:
        """Count one decision of each gate, and look at the history of those whose turn it is."""
        with self._lock:
            due = []
            for gate, adjust in self._gates:
                self._counts[gate.name] += 1
                if self._counts[gate.name] % adjust.every == 0:
                    due.append((gate, adjust))
        if not due or not self._looking.acquire(blocking=False):
            return
        try:
            for gate, adjust in due:
                self._look(gate, adjust)
        finally:
            self._looking.release()

    def _look(self, gate: Gate, adjust: Adjust) -> None:
        try:
            self.look(gate, adjust)
        except AdjustmentRefused as refused:
            if refused.code != "overtaken":
                self._failed(gate, refused)
            # Else another process has changed the gate meanwhile: evidence starts anew.
        except Exception as error:
            self._failed(gate, error)

    def look(self, gate: Gate, adjust: Adjust) -> list[Change]:
        """Propose for each check of `gate`, and apply or leave it; returns what was written.

        One change at most is applied at a time: after it the evidence of all its checks starts
        anew. Raises whatever the database raises.
        """
        standing = self._thresholds.standing(gate.name)
        decided = past(self._history, gate.name, self._thresholds.swarm)
        written: list[Change] = []
        for check in filter(movable, gate.every):
            adjusted = standing.adjusted(check.name)
            found = propose(
                decided,
                gate=gate.name,
                check=check.name,
                threshold=check.threshold if adjusted is None else adjusted,
                floor=adjust.floor,
                least=adjust.least,
                confidence=adjust.confidence,
            )
            change = self._taken(found, standing, adjust)
            if change is not None:
                written.append(change)
                standing = self._thresholds.standing(gate.name)
                if change.state == "applied":
                    break
        return written

    def _taken(
        self, found: Proposal | NoProposal, standing: Standing, adjust: Adjust
    ) -> Change | None:
        waiting = standing.open(found.check)
        if isinstance(found, NoProposal):
            if waiting is None:
                return None
            return self._thresholds.withdraw(
                found.gate, found.check, by=AUTO, reason=found.reason, version=waiting.version
            )
        if adjust.auto and found.kind == "tightened":
            return self._thresholds.apply(found, by=AUTO, reason=str(found), standing=standing)
        if waiting is not None and waiting.threshold == found.threshold:
            return None
        return self._thresholds.leave(found, by=AUTO, reason=str(found), standing=standing)

    def _failed(self, gate: Gate, error: Exception) -> None:
        reason = failure_of(f"the adjustment of the gate {gate.name}", error)
        logging.getLogger("agno_portkey").warning("%s; its thresholds stay as they are", reason)
        verdict = Verdict(False, gate.name, (reason,))
        data: Mapping[str, Any] = {"gate": gate.name, "state": "failed"}
        event = Event("adjustment", swarm=self._thresholds.swarm, verdict=verdict, data=data)
        tell(self._thresholds.observers, event)


def movable(check: Check) -> bool:
    """Whether `check` goes by a threshold that somebody has set, and not by yes and no."""
    return type(check).threshold is not Check.threshold and check.threshold > 0


def past(history: History, gate: str, swarm: str | None, limit: int = _LOOKED_AT) -> list[Decided]:
    """The newest decisions of `gate` in `swarm`, and what persons have decided since the first."""
    own = [each for each in history.series(gate=gate, swarm=swarm, limit=limit) if _is(each, swarm)]
    if not own:
        return []
    # A person decides on a plan, whose clearance may be that of several gates.
    since = history.series(swarm=swarm, since=own[0].at, limit=2 * limit)
    return [*own, *(each for each in since if each.by and each.gate != gate and _is(each, swarm))]


def _is(decided: Decided, swarm: str | None) -> bool:
    # A history is asked for all swarms where it is asked for none.
    return decided.swarm == swarm
