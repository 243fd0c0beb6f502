"""A process of its own: continues a paused run of the story's team, as after a restart.

`python continuing.py DATABASE PROVIDER RUN_ID [NAME=VALUE ...]` prints as JSON how it ended, and
what its tools did. It waits for a line before it continues, so that two can begin at once.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.team import Team
from agno.tools.function import Function

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.testing.story import Release, release_team


def member(team: Team, name: str) -> Agent:
    return next(each for each in team.members if each.name == name)


def asking_first(release: Release) -> list[Any]:
    """The Runner's tools, of which one waits for a person's yes."""
    deploy = Function.from_callable(release.deploy)
    deploy.requires_confirmation = True
    return [release.run_tests, deploy]


def a_team(url: str, file: str, release: Release, **changed: str) -> Team:
    """The same team in each process, but for what is `changed`."""
    team = release_team(PortkeyModel(base_url=url, api_key="k"), release, db=SqliteDb(db_file=file))
    runner = member(team, "Runner")
    runner.tools = asking_first(release)
    for name, value in changed.items():
        setattr(runner, name, value)
    return govern(team, runner="Runner", gate=Gate())


def continued(team: Team, run_id: str, how: dict[str, Any]) -> Any:
    if how:
        return team.continue_run(run_id=run_id, session_id="s", **how)
    paused = team.get_session(session_id="s").get_run(run_id)
    for need in paused.active_requirements:
        need.confirm()
    return team.continue_run(run_response=paused, session_id="s")


def ended(team: Team, output: Any, release: Release) -> dict[str, Any]:
    """How it ended, what the tools did, and for whom the run is known to be."""
    charter: Any = team.model.seat.charter  # type: ignore[union-attr]
    station = charter.runs.find(output.run_id)
    who = station.run.who if station is not None else None
    return {
        "status": output.status.value,
        "content": str(output.content),
        "done": [list(each) for each in release.done],
        "who": [who.session_id, who.user_id, who.tenant] if who else None,
        "tools": [tool.result for each in output.member_responses for tool in each.tools or ()],
    }


def main() -> None:
    file, url, run_id, *told = sys.argv[1:]
    given = dict(each.split("=", 1) for each in told)
    release = Release()
    team = a_team(url, file, release, **given)
    print("ready", flush=True)
    sys.stdin.readline()
    output = continued(team, run_id, {})
    print(json.dumps(ended(team, output, release)), flush=True)
    team.db.close()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
