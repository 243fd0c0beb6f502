"""What the observers of a model hear of one call: each attempt, changed circuits, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from agno_portkey.calls import Call
from agno_portkey.errors import GatewayError
from agno_portkey.routing.breaker.circuits import CircuitChange
from agno_portkey.routing.recovery.attempt import Attempt
from agno_portkey.routing.recovery.request import Sending
from agno_portkey.verdict import Event, tell

__all__ = ["Telling"]


class Telling:
    """Gathers what is known of one call, and tells it."""

    def __init__(self, model: Any, call: Call) -> None:
        self._model = model
        self._call = call
        self._began = time.perf_counter()
        self._asked: dict[str, Any] = {"model": model.id, "stream": call.stream}
        self._known: dict[str, Any] = {}
        # The tags of the call's arm, where it takes part in an experiment.
        self.arm: Mapping[str, str] = {}

    def learnt(self, attempt: Attempt, sending: Sending) -> None:
        """Keep what an attempt brought to light; the last one's counts."""
        self._known = {**sending.answered, **_tokens(sending), "attempts": attempt.number}

    def attempt(self, attempt: Attempt, sending: Sending, error: GatewayError | None) -> None:
        """An attempt has ended, with `error` or well."""
        if not self._model.observers:
            return
        leaf = attempt.leaf(sending.answered.get("option_index"))
        data = {
            **sending.answered,
            **_tokens(sending),
            "target": leaf.name if leaf is not None else None,
            "number": attempt.number,
            "seconds": time.monotonic() - attempt.began,
        }
        if error is not None:
            data |= {"error": type(error).__name__, "status": error.status_code}
        self._tell("attempt", data)

    def circuits(self, changes: Iterable[CircuitChange]) -> None:
        """Circuits have opened or closed; operators read it in the log as well."""
        for change in changes:
            logging.getLogger("agno_portkey").warning("circuit %s", change)
            data = {
                "target": change.key,
                "before": change.before.state,
                "state": change.after.state,
                "reason": change.after.reason,
            }
            self._tell("circuit", data)

    def ended(self, **how: Any) -> None:
        """The call is over; `how` says what of it was not well."""
        self._tell(
            "call",
            {**self._asked, **self._known, **how, "seconds": time.perf_counter() - self._began},
        )

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if not self._model.observers:
            return
        tags = {**self._model.tags_of(self._call.run_response), **self.arm}
        event = Event(
            kind,
            role=tags.get("role"),
            swarm=tags.get("swarm"),
            run_id=self._call.run_id,
            data={**data, "tags": tags},
        )
        tell(self._model.observers, event)


def _tokens(sending: Sending) -> dict[str, Any]:
    usage = sending.usage
    if usage is None:
        return {}
    told = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    # Where the provider says it.
    return told if usage.cost is None else {**told, "cost": usage.cost}
