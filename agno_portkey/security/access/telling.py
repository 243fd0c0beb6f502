"""What observers hear of access: who was refused what, and what a person has done."""

from __future__ import annotations

from collections.abc import Sequence

from agno_portkey.verdict import Event, Verdict

__all__ = ["done_by", "refusal_of"]

_WHY = {401: "no token was shown, or none that is good", 403: "the token does not do for it"}


def refusal_of(
    status: int, target: str, scopes: Sequence[str], *, by: str | None, left_out: int = 0
) -> Event:
    """The event of a refused request or command, `target`; `by` is who it was, where known."""
    verdict = Verdict(False, "access", (_WHY[status],))
    data = {"by": by, "target": target, "scope": " ".join(scopes), "status": status}
    return Event(
        "access", verdict=verdict, data=data | ({"left_out": left_out} if left_out else {})
    )


def done_by(
    by: str, decision: str, target: str, reason: str | None, *, swarm: str | None = None
) -> Event:
    """The event of what a person has done to something that is shared: `stop` of a swarm, say."""
    said = f"{decision} of {target} by {by}"
    verdict = Verdict(True, "operation", (said, *([reason] if reason else [])))
    data = {"by": by, "decision": decision, "target": target}
    return Event("operation", swarm=swarm, verdict=verdict, data=data)
