"""The command line stops a swarm in another process, and lets it go on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

# One swarm that never stops by itself: a line for each thing it tries.
SWARM = """
import asyncio, sys
from agno.agent import Agent
from agno.models.message import Message
from braked import braked
from agno_portkey.errors import Stopped
from agno_portkey.model import PortkeyModel
from agno_portkey.stopping import Brake, StopSwitch

database, gateway, provider, form = sys.argv[1:]
model = braked(
    PortkeyModel(base_url=gateway, portkey_provider="openai", api_key="k", custom_host=provider),
    Brake(StopSwitch(database, max_age=0.1, timeout=30), ("Release",)),
)

async def swarm():
    while sys.stdin.readline():
        messages = [Message(role="user", content="Hi")]
        try:
            if form == "run":
                model.response(messages=messages)
            else:
                await model.aresponse(messages=messages)
            print("answered", flush=True)
        except Stopped as stopped:
            print("refused:", stopped, flush=True)

asyncio.run(swarm())
"""


class Swarm:
    """The other process; it tries once each time that it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def try_once(self) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def try_until(self, begin: str) -> str:
        while not (said := self.try_once()).startswith(begin):
            assert said, "the other process ended"
        return said


@contextmanager
def swarm(*arguments: str) -> Iterator[Swarm]:
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", SWARM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": here},
    )
    try:
        yield Swarm(process)
    finally:
        process.kill()
        process.communicate()


def command_line(*arguments: str) -> str:
    program = "from agno_portkey.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("form", "which"), [("run", ("--swarm", "release")), ("arun", ("--all",))])
def test_a_swarm_in_another_process_is_stopped(
    form: str,
    which: tuple[str, ...],
    database: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    with swarm(database, portkey_gateway.url, portkey_provider.url, form) as other:
        assert other.try_once() == "answered"
        # Its name is noted beside its calls, and a stop of it is then known to be meant.
        while "Release" not in command_line("stops", "--db", database):
            other.try_once()
        said = command_line("stop", *which, "--db", database, "--reason", "it deletes things")
        assert "is stopped" in said
        refused = other.try_until("refused: ")
        assert "it deletes things" in refused
        sent = len(portkey_provider.requests)
        for _ in range(20):
            assert other.try_once() == refused
        assert len(portkey_provider.requests) == sent
        assert "may go on; it had been stopped since" in command_line(
            "resume", *which, "--db", database
        )
        other.try_until("answered")
        assert len(portkey_provider.requests) == sent + 1
