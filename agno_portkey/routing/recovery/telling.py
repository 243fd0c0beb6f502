"""What the observers of a model hear of one call: each attempt, changed circuits, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from agno_portkey.calls import Call
from agno_portkey.errors import ConfigurationError, GatewayDeniedInput, InputBlocked
from agno_portkey.routing.breaker.circuits import CircuitChange
from agno_portkey.routing.recovery.attempt import Attempt
from agno_portkey.routing.recovery.inside import requests_inside
from agno_portkey.routing.recovery.request import Sending
from agno_portkey.verdict import Event, heard, tell

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
        self._known = {
            **self._asked_of(attempt, sending),
            **sending.answered,
            **_tokens(sending),
            "attempts": attempt.number,
        }

    def _asked_of(self, attempt: Attempt, sending: Sending) -> dict[str, Any]:
        """The provider that was asked, where nobody answered to say who it is."""
        leaf = attempt.leaf(sending.answered.get("option_index"))
        provider = (leaf and leaf.provider) or self._model.portkey_provider
        return {"provider": provider} if isinstance(provider, str) else {}

    def begins(self, attempt: Attempt) -> None:
        """An attempt is about to be made."""
        self.arm = attempt.tags
        if self._call.span is not None:
            self._call.span.attempting(attempt.number)

    def attempt(
        self,
        attempt: Attempt,
        sending: Sending,
        error: BaseException | None,
        *,
        cancelled: bool = False,
        sent: bool = True,
    ) -> None:
        """An attempt has ended: with `error`, because nobody waits for it any more, or well.

        Observers do not hear of one that was not `sent`.
        """
        if self._call.span is None and not heard(self._model.observers, "attempt"):
            return
        leaf = attempt.leaf(sending.answered.get("option_index"))
        data = {
            **self._asked_of(attempt, sending),
            **sending.answered,
            **_tokens(sending),
            "target": leaf.name if leaf is not None else None,
            "asked": (leaf and leaf.model) or self._model.id,
            "number": attempt.number,
            "seconds": time.monotonic() - attempt.began,
            "run": self._model.root_run(self._call.run_response),
        }
        if inside := requests_inside(attempt.emitted.header, sending.answered):
            data["gateway_requests"] = inside
        if error is not None:
            data |= {"error": type(error).__name__, "status": getattr(error, "status_code", None)}
        if cancelled:
            data["cancelled"] = True
        if self._call.span is not None:
            self._call.span.attempted(data)
        if sent:
            self._tell("attempt", data)

    def unsettled(self, attempt: Attempt, sending: Sending, ended: BaseException | None) -> None:
        """An attempt has ended in what says nothing of its target: `ended`."""
        denied = isinstance(ended, GatewayDeniedInput)
        kept = isinstance(ended, InputBlocked | ConfigurationError) and not denied
        failed = ended if isinstance(ended, Exception) else None
        self.attempt(attempt, sending, failed, cancelled=failed is None, sent=not kept)

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
        seconds = time.perf_counter() - self._began
        data = {**self._asked, **self._known, **how, "seconds": seconds}
        if self._call.span is not None:
            self._call.span.known(data)
        self._tell("call", data)

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if not heard(self._model.observers, kind):
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
    prompt, completion, total = usage.input_tokens, usage.output_tokens, usage.total_tokens
    told: dict[str, Any] = {}
    # What the provider left out is a 0 here. No prompt is empty, and of an answer the total tells.
    if prompt:
        told["input_tokens"] = prompt
    if completion or (prompt and total == prompt):
        told["output_tokens"] = completion
    if total > prompt + completion:
        told["total_tokens"] = total
    # Parts of the two.
    parts = {"cached_tokens": usage.cache_read_tokens, "reasoning_tokens": usage.reasoning_tokens}
    told |= {name: count for name, count in parts.items() if count}
    # Where the provider says it.
    return told if usage.cost is None else {**told, "cost": usage.cost}
