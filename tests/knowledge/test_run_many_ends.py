"""Many runs that end amid: by Ctrl-C, or by a disk that is full."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.agent import RunOutput
from agno.run.base import CancellationStage, RunStatus
from agno.team import Team

from agno_portkey import PortkeyModel
from agno_portkey.knowledge import Many, RunFailed, arun_many, run_many
from agno_portkey.testing import EmbeddedProvider

INPUTS = [f"question {number}" for number in range(4)]


@pytest.fixture(params=["sync", "async"])
def many(request: pytest.FixtureRequest) -> Callable[..., Many]:
    if request.param == "sync":
        return run_many
    return lambda *given, **options: asyncio.run(arun_many(*given, **options))


@pytest.fixture
def model(portkey_provider: EmbeddedProvider) -> PortkeyModel:
    portkey_provider.when(lambda request: True, lambda request: f"to {request.last_user}")
    return PortkeyModel(base_url=portkey_provider.url, api_key="k")


@pytest.mark.parametrize("kind", [Agent, Team])
def test_an_interrupt_ends_all_of_them(
    kind: Any, model: PortkeyModel, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    """The host makes a cancelled run of Ctrl-C, behind which the next one would begin."""
    made: list[int] = []

    def instructions() -> str:
        made.append(1)
        if len(made) == 2:
            raise KeyboardInterrupt
        return "Be brief."

    more = {"members": []} if kind is Team else {}
    who = kind(name="Desk", model=model, instructions=instructions, telemetry=False, **more)
    journal = tmp_path / "runs.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_many(who, INPUTS, concurrency=1, journal=journal)
    assert len(portkey_provider.calls) == 1
    again = run_many(who, INPUTS, concurrency=1, journal=journal)
    assert (again.resumed, again.errors) == (1, {})


class Cancelled:
    """Who is told to end one of its runs."""

    name = "Desk"

    def run(self, text: str, **options: Any) -> RunOutput:
        if text != "question 1":
            return RunOutput(content="well", status=RunStatus.completed)
        stage = CancellationStage.executing
        return RunOutput(content="", status=RunStatus.cancelled, cancellation_stage=stage)

    async def arun(self, text: str, **options: Any) -> RunOutput:
        return self.run(text)


def test_one_that_was_cancelled_by_itself_is_no_obstacle(many: Callable[..., Many]) -> None:
    found = many(Cancelled(), INPUTS, concurrency=1)
    assert [*found.errors] == [1]
    assert isinstance(found.errors[1], RunFailed)


@pytest.mark.parametrize("how", ["raised", "short"])
def test_half_a_line_on_a_full_disk_takes_no_other_along(
    how: str, model: PortkeyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = tmp_path / "runs.jsonl", os.write
    torn: list[bytes] = []
    together = threading.Barrier(4)

    def full(file: int, text: bytes) -> int:
        if text.startswith(b'{"key"') and not torn:
            torn.append(text)
            done = write(file, text[: len(text) // 2])
            if how == "raised":
                raise OSError(28, "No space left on device")
            return done
        return write(file, text)

    class Waits(Agent):
        def run(self, *given: Any, **options: Any) -> Any:
            output = super().run(*given, **options)
            # All have ended before the first one is written down.
            together.wait(30)
            return output

    who = Waits(name="Desk", model=model, telemetry=False)
    monkeypatch.setattr(os, "write", full)
    if how == "raised":
        with pytest.raises(OSError, match="space"):
            run_many(who, INPUTS, journal=journal)
    else:
        run_many(who, INPUTS, journal=journal)
    monkeypatch.undo()
    assert len(torn) == 1
    plain = Waits(name="Desk", model=model, telemetry=False)
    together = threading.Barrier(1)
    assert run_many(plain, INPUTS, journal=journal).resumed == (3 if how == "raised" else 4)
