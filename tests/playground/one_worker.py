"""One process of several that serve the demo's team: `one_worker.py PORT PROVIDER DB REDIS FILE`.

The Runner's tools write into FILE what they did, so that all processes' deeds are known.
"""

from __future__ import annotations

import sys

import uvicorn
from agno.db.postgres import PostgresDb

from agno_portkey import Gate, PortkeyModel, govern, playground
from agno_portkey.cache import CachePolicy
from agno_portkey.testing.story import Release, release_team


class Noted(Release):
    """The tools of the story, whose deeds are lines of a file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def run_tests(self, suite: str) -> str:
        """Run a test suite.

        Args:
            suite: The name of the suite.
        """
        self._note("run_tests")
        return super().run_tests(suite)

    def deploy(self, version: str, target: str) -> str:
        """Deploy a version to an environment.

        Args:
            version: The version to deploy.
            target: The environment: staging or production.
        """
        self._note("deploy")
        return super().deploy(version, target)

    def _note(self, what: str) -> None:
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(f"{what}\n")


def main(port: str, provider: str, db: str, redis: str, file: str) -> None:
    database = PostgresDb(id="main", db_url=db)
    model = PortkeyModel(base_url=provider, api_key="x")
    team = govern(
        release_team(model, Noted(file), id="release", db=database),
        runner="Runner",
        gate=Gate(name="release", min_score=8, approval=True),
        cache={"Planner": CachePolicy(kind="exact", scope="public", store=redis)},
    )
    app = playground.app(team, redis_url=redis, telemetry=False)
    uvicorn.run(
        app, host="127.0.0.1", port=int(port), log_level="warning", timeout_graceful_shutdown=3
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
