"""The playground with the demo's team, served on a free port of 127.0.0.1 by a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from agno.db.base import BaseDb
from agno.db.sqlite import SqliteDb
from agno.team import Team
from fastapi import FastAPI

from agno_portkey import Gate, PortkeyModel, govern, playground
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import Release, release_team, tell

SECONDS = 20.0


@dataclass
class Stage:
    """What plays: `url` is where; the provider's script is the demo's unless it was told another.

    `release.done` is what the Runner's tools really did.
    """

    url: str
    provider: EmbeddedProvider
    team: Team
    db: BaseDb
    app: FastAPI
    release: Release


@contextlib.contextmanager
def playing(
    path: Path,
    *,
    provider: EmbeddedProvider | None = None,
    script: bool = True,
    db: BaseDb | None = None,
    team: dict[str, Any] | None = None,
    governed: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Stage]:
    """The app of the demo's team, on `db` (else a SQLite file in the folder `path`).

    `team` are options of the Team, `governed` of `govern`, and `options` of `playground.app`.
    Without `script` the provider says what it is told by the test alone.
    """
    with contextlib.ExitStack() as stack:
        if provider is None:
            provider = stack.enter_context(EmbeddedProvider())
        if script:
            tell(provider)
        db = db or SqliteDb(id="main", db_file=str(path / "agno.db"))
        release = Release()
        model = PortkeyModel(base_url=provider.url, api_key="x")
        made = release_team(model, release, **{"id": "release", "db": db, **(team or {})})
        gate = {"runner": "Runner", "gate": Gate(name="release", min_score=8)}
        govern(made, **{**gate, **(governed or {})})
        app = playground.app(made, db=db, **options)
        url = stack.enter_context(serving(app))
        yield Stage(url, provider, made, db, app, release)


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Where `app` is served until the end of the block; `options` are of uvicorn."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=3,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="playing", daemon=True)
    thread.start()
    deadline = time.monotonic() + SECONDS
    try:
        while not server.started:
            assert thread.is_alive(), "the app did not start: see what was logged"
            assert time.monotonic() < deadline, "the app did not start in time"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(SECONDS)
