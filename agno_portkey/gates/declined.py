"""The result of a team that was not cleared, or did not run: typed, with its reasons."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from agno_portkey.errors import RunDeclined

__all__ = ["Declined", "put_declined"]


class Declined(BaseModel):
    """`run.content` of a declined team; its status is ERROR.

    `plan_digest` names the last plan, if there was one; `judgements` counts how often the Judge
    spoke.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: str
    reasons: tuple[str, ...]
    plan_digest: str | None = None
    judgements: int = 0

    def __str__(self) -> str:
        return f"Declined by {self.gate}: " + "; ".join(self.reasons)


def put_declined(run_output: Any, error: RunDeclined) -> None:
    """Make a `Declined` the content of `run_output`, in place of whatever was there."""
    verdict = error.verdict
    run_output.content = Declined(
        gate=verdict.source,
        reasons=verdict.reasons,
        plan_digest=verdict.evidence.get("plan_digest"),
        judgements=verdict.evidence.get("judgements", 0),
    )
    run_output.content_type = Declined.__name__
