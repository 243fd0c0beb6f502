"""What is told of a batch job: how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BatchResult", "BatchStatus", "PartStatus"]


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One batch of a job; `status` is the provider's word, None before it is known.

    `lines` are those that were sent, of which the provider has `completed` and `failed` some.
    `doubtful` says that the provider may have another one of the same lines: the answer to its
    making was lost, and it was not to be found when this one was made. Fetch, or cancel, ends it.
    """

    batch: str | None
    status: str | None
    lines: int
    completed: int = 0
    failed: int = 0
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a job is. `refused` inputs were not sent: a guard or contract said no.

    `undecided` ones were not either: a guard, or their run, failed; submitted again, they are asked
    about again. `submitted` says that all others were.
    """

    job: str
    inputs: int
    parts: tuple[PartStatus, ...]
    refused: int = 0
    undecided: int = 0
    submitted: bool = True
    over: bool = False

    @property
    def state(self) -> str:
        """The word for all parts: `submitting`, or that of the one that is least far.

        `submitted` where the provider was not asked.
        """
        if not self.submitted or (self.undecided and not self.parts):
            return "submitting"
        found = {part.status or "submitted" for part in self.parts}
        return next((each for each in _ORDER if each in found), min(found, default="completed"))


# From the beginning of a batch's life to its ends, the worst of them first.
_ORDER = (
    "submitted",
    "validating",
    "in_progress",
    "finalizing",
    "cancelling",
    "failed",
    "expired",
    "cancelled",
    "completed",
)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of a job, in the order of its inputs.

    `outputs` has None where there is none: `errors` says why, by place, or the place is among
    `pending`, whose batch is not over. `retried` places were asked again now.
    `foreign` counts lines in result files that belong to none of the inputs; `models` are the
    names under which the answers were given; `tokens` what the batches took, retries left out.
    `doubles` are batches of the same lines beside the job's own (see PartStatus): they are ended,
    and what they have answered counts for lines that the job's own has not.
    """

    outputs: list[Any]
    errors: Mapping[int, Exception] = field(default_factory=dict)
    pending: tuple[int, ...] = ()
    retried: tuple[int, ...] = ()
    foreign: int = 0
    models: tuple[str, ...] = ()
    tokens: int = 0
    doubles: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.outputs)

    def require(self) -> list[Any]:
        """The outputs, if all are there; else raises what kept the first one from being."""
        if self.errors:
            raise self.errors[min(self.errors)]
        if self.pending:
            raise TimeoutError(f"{len(self.pending)} inputs are not answered yet: wait, and fetch")
        return self.outputs
