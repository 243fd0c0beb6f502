"""A job in sync and async form, and what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from pydantic import BaseModel

from agno_portkey import PortkeyModel
from agno_portkey.knowledge import BatchJob, BatchResult, BatchStatus
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider

QUICK = Recovery(attempts=3, wait=0.001, max_wait=0.01)
INPUTS = [f"question {number}" for number in range(7)]
RIGHT = [f"to {text}" for text in INPUTS]

Line = dict[str, Any]


class Point(BaseModel):
    n: int


class Forms:
    """A job whose methods are called in one of two forms."""

    def __init__(self, job: BatchJob, form: str) -> None:
        self.job, self._sync = job, form == "sync"

    def submit(self) -> BatchStatus:
        return self.job.submit() if self._sync else asyncio.run(self.job.asubmit())

    def status(self) -> BatchStatus:
        return self.job.status() if self._sync else asyncio.run(self.job.astatus())

    def cancel(self) -> BatchStatus:
        return self.job.cancel() if self._sync else asyncio.run(self.job.acancel())

    def wait(self, **options: Any) -> BatchStatus:
        return self.job.wait(**options) if self._sync else asyncio.run(self.job.await_(**options))

    def fetch(self, **options: Any) -> BatchResult:
        if self._sync:
            return self.job.fetch(**options)
        return asyncio.run(self.job.afetch(**options))


Jobs = Callable[..., Forms]
Models = Callable[..., PortkeyModel]


def said(found: BatchResult) -> list[Any]:
    return [None if output is None else output.content for output in found]


def agent(model: PortkeyModel, **options: Any) -> Agent:
    return Agent(name="Writer", model=model, telemetry=False, **options)


def bodies(provider: EmbeddedProvider) -> list[Any]:
    """The bodies of all lines of all files that were sent."""
    sent = [batch["input_file_id"] for batch in provider.batches.held.values()]
    files = [provider.batches.files[name][1] for name in sent]
    return [json.loads(line)["body"] for file in files for line in file.splitlines()]


def through(job: Jobs, **options: Any) -> BatchResult:
    """What came of a job of two parts."""
    return through_one(job, max_lines=4, **options)


def through_one(job: Jobs, **options: Any) -> BatchResult:
    one = job(**options)
    one.submit()
    return one.fetch()
