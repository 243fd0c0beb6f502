"""An AgentOS that serves a gated team and the routes of its gates, and who asks it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.auth import create_dev_token
from agno.os.authz import Authorization
from agno.os.settings import AgnoAPISettings
from agno.run.team import TeamRunOutput
from agno.team import Team
from fastapi import FastAPI

from agno_portkey import Event, Gate, PortkeyModel, govern
from agno_portkey.gates import Charter
from agno_portkey.gates.clearance import Grant, new_id
from agno_portkey.serving import gate_router
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team

SECRET = "a secret of the tests that is long enough for HS256"
KEY = "the key of the OS"


class Desk:
    """A gated team on a database of its own, whose gates an AgentOS serves.

    `jwt` has AgentOS verify tokens, and ask for scopes; `key` has it ask for a key instead.
    """

    def __init__(
        self,
        path: Path,
        provider: EmbeddedProvider,
        *,
        gate: Gate | None = None,
        jwt: bool = True,
        key: bool = False,
        by_database: bool = False,
        isolated: bool = False,
        **router: Any,
    ) -> None:
        self.provider = provider
        self.heard: list[Event] = []
        self.release = Release()
        self.db = SqliteDb(id="main", db_file=str(path / "agno.db"))
        self.team = self.another_team(gate)
        source = self.db if by_database else self.team
        app = FastAPI()
        app.include_router(gate_router(source, **router))
        keys = Authorization(verification_keys=[SECRET], algorithm="HS256")
        os = AgentOS(
            id="os",
            teams=[self.team],
            base_app=app,
            authorization=keys if jwt else False,
            user_isolation=isolated,
            settings=AgnoAPISettings(os_security_key=KEY if key else None),
            telemetry=False,
        )
        self.app = os.get_app()

    def another_team(self, gate: Gate | None = None) -> Team:
        """A team as after a restart."""
        model = PortkeyModel(base_url=self.provider.url, api_key="the provider's")
        team = release_team(model, self.release, db=self.db, id="release")
        gate = gate or Gate(min_score=8, approval=True)
        return govern(team, runner="Runner", gate=gate, observers=[self.heard.append])

    @property
    def charter(self) -> Charter:
        charter: Charter = self.team.model.seat.charter  # type: ignore[union-attr]
        return charter

    def run(self, team: Team | None = None, **options: Any) -> TeamRunOutput:
        given = {"session_id": "s", "user_id": "ann", **options}
        output = (team or self.team).run(REQUEST, **given)
        assert isinstance(output, TeamRunOutput)
        return output

    def waiting(self, **changed: Any) -> Grant:
        """A plan that waits, like one that the team has left but for what is `changed`."""
        clearances = self.charter.books.clearances
        [left] = [each for each in clearances.waiting() if each.state == "waiting"][:1]
        other = replace(left, id=new_id(), **changed)
        clearances.put(other)
        return other

    def ask(
        self,
        method: str,
        path: str,
        *scopes: str,
        sub: str | None = "eve",
        key: str | None = None,
        claims: dict[str, Any] | None = None,
        token: bool = True,
        **options: Any,
    ) -> Any:
        """Ask a route, with a token of these scopes, with the OS's key, or without either."""
        headers = {}
        if key is not None:
            headers = {"Authorization": f"Bearer {key}"}
        elif token:
            signed = create_dev_token(
                sub or "", secret=SECRET, scopes=[*scopes], audience="os", extra_claims=claims
            )
            headers = {"Authorization": f"Bearer {signed}"}
        return asyncio.run(self._asked(method, path, headers=headers, **options))

    async def _asked(self, *args: Any, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            return await client.request(*args, **options)


HOUR = timedelta(hours=1)
