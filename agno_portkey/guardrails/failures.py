"""What is said of a call that failed: providers quote what they were sent, and what they made."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TypeAlias

from agno.exceptions import InputCheckError, OutputCheckError

from agno_portkey.errors import (
    GatewayDeniedInput,
    GatewayDeniedOutput,
    GatewayError,
    TruncatedStream,
)
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.passages import Source, Take, in_leaves
from agno_portkey.guardrails.stage import Stage, placeholder
from agno_portkey.verdict import Verdict

__all__ = ["FAILURES", "Failure", "as_may_be_told"]

Refusal: TypeAlias = TruncatedStream | GatewayDeniedInput | GatewayDeniedOutput
Failure: TypeAlias = GatewayError | Refusal
# What a call can fail with whose words are a provider's.
FAILURES = (GatewayError, TruncatedStream, GatewayDeniedInput, GatewayDeniedOutput)

# What was shown of a broken answer: it had its verdict.
_PARTIAL = "partial"


async def as_may_be_told(error: Failure, stage: Stage) -> Failure:
    """`error` with its words as the guards of `stage` leave them; the very one if all may stay.

    It stays of its kind, and keeps its figures: retries, fallbacks and breakers go by them.
    """
    try:
        return await looked_at(stage, error, "error", read=_in_failure)  # type: ignore[no-any-return]
    except (InputCheckError, OutputCheckError) as refusal:
        verdict = getattr(refusal, "verdict", None)
        names = verdict.source if verdict else ", ".join(guard.name for guard in stage.guards)
        return _without_words(error, f"{placeholder(names)} ({refusal})")


def _in_failure(error: Failure, take: Take, source: Source) -> Failure:
    message = take(error.message, source, "message")
    if isinstance(error, GatewayError):
        return error if message == error.message else _reworded(error, message)
    verdict = error.verdict
    reasons = in_leaves(verdict.reasons, take, source, "reasons")
    told = {name: held for name, held in verdict.evidence.items() if name != _PARTIAL}
    evidence = in_leaves(told, take, source, "evidence")
    if message == error.message and reasons is verdict.reasons and evidence is told:
        return error
    return _refused(error, tuple(reasons), {**verdict.evidence, **evidence}, message)


def _without_words(error: Failure, instead: str) -> Failure:
    if isinstance(error, GatewayError):
        return _reworded(error, f"the call failed with status {error.status_code}: {instead}")
    shown = error.verdict.evidence.get(_PARTIAL)
    evidence = {} if shown is None else {_PARTIAL: shown}
    return _refused(error, (f"the call failed: {instead}",), evidence)


def _reworded(error: GatewayError, message: str) -> GatewayError:
    # A copy has no cause: that of the first one quotes what this one does not.
    told = copy(error)
    told.message, told.args = message, (message,)
    return told


def _refused(
    error: Refusal, reasons: tuple[str, ...], evidence: object, message: str | None = None
) -> Refusal:
    verdict: Verdict = replace(error.verdict, reasons=reasons, evidence=evidence)  # type: ignore[arg-type]
    return type(error)(verdict, message)
