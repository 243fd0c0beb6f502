"""The playground on a port of its own, with the embedded provider behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os.auth import create_dev_token
from agno.os.authz import Authorization
from agno.team import Team
from playing import serving

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.playground import app as playground
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import Release, release_team

__all__ = ["SECRET", "Played", "playing", "token"]

SECRET = "a secret of the tests that is long enough for HS256"


@dataclass
class Played:
    """A playground that is served at `url`."""

    url: str
    provider: EmbeddedProvider
    team: Team
    release: Release

    @property
    def chat(self) -> str:
        return f"{self.url}/portkey/chat"


def token(*scopes: str, sub: str = "eve") -> str:
    """A token of `sub` that has these scopes."""
    return str(create_dev_token(sub, secret=SECRET, scopes=[*scopes], audience="os"))


@contextmanager
def playing(
    path: Path,
    *,
    jwt: bool = False,
    gate: Gate | None = None,
    around: Callable[[Any], Any] = lambda made: made,
    **terms: Any,
) -> Iterator[Played]:
    """The story's team and a lone agent, on a database in `path`; `terms` are of `govern`."""
    with EmbeddedProvider() as provider:
        db = SqliteDb(id="main", db_file=str(path / "agno.db"))
        model = PortkeyModel(base_url=provider.url, api_key="the provider's")
        release = Release()
        team = release_team(model, release, db=db, id="release")
        govern(team, runner="Runner", gate=gate or Gate(name="release", min_score=8), **terms)
        agent = Agent(name="Echo", id="echo", model=model, db=db)
        govern(agent, **terms)
        keys = Authorization(verification_keys=[SECRET], algorithm="HS256") if jwt else None
        made = playground([team, agent], db=db, id="os", authorization=keys, telemetry=False)
        with serving(around(made)) as url:
            yield Played(url, provider, team, release)
