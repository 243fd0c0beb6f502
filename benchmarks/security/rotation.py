"""Keys rotated under load: how many calls are refused, and how many of those reach a caller.

    python benchmarks/security/rotation.py [--calls 10000] [--rotations 20] [--direct]

Threads and event loops call a provider that takes live keys only, through the real local gateway
(`--direct`: without it), while the key is rotated again and again. Two ways: ours, with two live
keys at a time; and in place, as Portkey documents it, where the one key is updated and the source
told after that. In place once with a `Secret`, which asks its source again when it is refused, and
once with the key as a plain text that each caller is given by its operator, who reads the source
every few calls.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"
sys.path.insert(0, str(Path(__file__).parents[2]))

from agno.models.message import Message
from rich.console import Console
from rich.table import Table

from agno_portkey import PortkeyModel
from agno_portkey.errors import GatewayUnauthorized
from agno_portkey.routing.local import LocalGateway
from agno_portkey.secrets import FileSecrets, Secret
from agno_portkey.security.rotation import ApiKeyMaker, Rotation, admin_client
from agno_portkey.testing import EmbeddedProvider

NAME = "openai-prod-bench"
THREADS, LOOPS, IN_LOOP = 6, 2, 3
# Seconds that a reader keeps a value, and that the longest call may last; short, to rotate often.
TTL, LONGEST = 0.05, 0.45


@dataclass(frozen=True)
class Figures:
    """What came of one way of rotating, under load."""

    way: str
    calls: int
    rotations: int
    refused: int
    reached: int
    other: int
    seconds: float


class Load:
    """Callers in threads and on event loops, until all calls are made and rotations over."""

    def __init__(self, calls: int, model: Callable[[], Any]) -> None:
        self._left = calls
        self._model = model
        self._lock = threading.Lock()
        self.results: Counter[str] = Counter()
        # Calls go on while keys are rotated, also beyond their number.
        self.over = threading.Event()

    @property
    def begun(self) -> int:
        return sum(self.results.values())

    def _next(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0 or not self.over.is_set()

    def _note(self, error: Exception | None) -> None:
        kind = "good"
        if error is not None:
            refused = isinstance(error, GatewayUnauthorized)
            kind = "refused" if refused else type(error).__name__
        with self._lock:
            self.results[kind] += 1

    def thread(self) -> None:
        while self._next():
            try:
                self._model().response([Message(role="user", content="Hi")])
            except Exception as error:
                self._note(error)
            else:
                self._note(None)

    def loop(self) -> None:
        async def caller() -> None:
            while self._next():
                try:
                    await self._model().aresponse([Message(role="user", content="Hi")])
                except Exception as error:
                    self._note(error)
                else:
                    self._note(None)

        async def callers() -> None:
            await asyncio.gather(*(caller() for _ in range(IN_LOOP)))

        asyncio.run(callers())


class Stage:
    """The provider, its keys, and how callers reach it."""

    def __init__(
        self, stack: ExitStack, provider: EmbeddedProvider, folder: Path, gateway: str | None
    ) -> None:
        self.provider, self.source = provider, FileSecrets(folder / "secrets")
        self.folder, self.gateway = folder, gateway
        self.client = stack.enter_context(admin_client("manager", base_url=provider.url))
        provider.admin.reset()
        provider.admin.enforced = True
        self.row = provider.admin.make("api-keys", "first")
        self.source.write(NAME, self.row["key"])

    def model(self, key: Any) -> PortkeyModel:
        if self.gateway is None:
            return PortkeyModel(base_url=self.provider.url, portkey_api_key=key)
        at, host = self.gateway, self.provider.url
        return PortkeyModel(base_url=at, portkey_provider="openai", api_key=key, custom_host=host)

    def secret(self) -> Secret:
        return Secret(NAME, self.source, ttl=TTL)

    def rotation(self) -> Rotation:
        return Rotation(
            NAME,
            maker=ApiKeyMaker(self.client),
            source=self.source,
            journal=self.folder / "journal",
            current=self.row["id"],
            drain=TTL + LONGEST,
            settle=0,
        )

    def in_place(self) -> None:
        """The one key is updated, and whoever reads it told after that."""
        key = f"pk-{secrets.token_urlsafe(24)}"
        self.client.api_keys.update(id=self.row["id"], key=key)
        self.source.write(NAME, key)


def play(
    way: str, stage: Stage, model: Callable[[], Any], rotate: Callable[[], Any], n: int, calls: int
) -> Figures:
    """Rotate `n` times, evenly among at least `calls` calls."""
    load = Load(calls, model)
    kinds = [load.thread] * THREADS + [load.loop] * LOOPS
    callers = [threading.Thread(target=kind) for kind in kinds]
    began = time.perf_counter()
    for caller in callers:
        caller.start()
    for number in range(n):
        while load.begun < calls * number / n:
            time.sleep(0.002)
        rotate()
    load.over.set()
    for caller in callers:
        caller.join()
    refused = load.results["refused"]
    other = sum(load.results.values()) - refused - load.results["good"]
    seconds = time.perf_counter() - began
    return Figures(way, load.begun, n, stage.provider.admin.refused, refused, other, seconds)


def figures(calls: int, rotations: int, *, gateway: bool) -> list[Figures]:
    """What each way of rotating gives."""
    found = []
    with ExitStack() as stack:
        provider = stack.enter_context(EmbeddedProvider())
        at = stack.enter_context(LocalGateway()).url if gateway else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        stage = Stage(stack, provider, folder / "ours", at)
        held = stage.model(stage.secret())
        ours = stage.rotation()
        found.append(play("two live keys", stage, lambda: held, ours.rotate, rotations, calls))

        stage = Stage(stack, provider, folder / "in-place", at)
        held = stage.model(stage.secret())
        way = "in place, with a Secret"
        found.append(play(way, stage, lambda: held, stage.in_place, rotations, calls))

        stage = Stage(stack, provider, folder / "plain", at)
        way = "in place, keys as texts"
        found.append(play(way, stage, _reading(stage), stage.in_place, rotations, calls))
    return found


def _reading(stage: Stage) -> Callable[[], Any]:
    """A model whose key is read from the source every `TTL` seconds, and given as a text."""
    # All of them stay: their connections are closed with the loops that use them.
    held: list[Any] = [0.0, stage.model(stage.source.read(NAME))]

    def model() -> Any:
        if time.monotonic() >= held[0]:
            held[0], value = time.monotonic() + TTL, stage.source.read(NAME)
            if value not in (held[-1].portkey_api_key, held[-1].api_key):
                held.append(stage.model(value))
        return held[-1]

    return model


def main(arguments: list[str] | None = None) -> list[Figures]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rotations", type=int, default=20)
    parser.add_argument("--direct", action="store_true", help="without the gateway")
    given = parser.parse_args(arguments)
    # Each 401 would be a line.
    logging.getLogger("agno").setLevel(logging.CRITICAL)
    found = figures(given.calls, given.rotations, gateway=not given.direct)
    through = "straight to the provider" if given.direct else "through the local gateway"
    table = Table(title=f"Keys rotated under load, {through}", title_justify="left")
    for column in ("way", "calls", "rotations", "401s at the provider", "401s at callers"):
        table.add_column(column, justify="left" if column == "way" else "right")
    table.add_column("other errors", justify="right")
    table.add_column("seconds", justify="right")
    for each in found:
        counts = (each.calls, each.rotations, each.refused, each.reached, each.other)
        table.add_row(each.way, *(f"{count:,}" for count in counts), f"{each.seconds:.1f}")
    Console().print(table)
    return found


if __name__ == "__main__":
    ours = main()[0]
    sys.exit(1 if ours.reached or ours.other else 0)
