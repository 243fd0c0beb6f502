"""A team that is told by its fingerprint, before and after a change; and what it may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.guardrails import BaseGuardrail
from agno.knowledge.knowledge import Knowledge
from agno.team import Team
from agno.tools.function import Function
from pydantic import BaseModel

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.fingerprint import fingerprint_known, fingerprint_of
from agno_portkey.gates.checks import Check
from agno_portkey.run_facts import Fingerprint
from agno_portkey.testing.story import Release, release_team


def model(**given: Any) -> PortkeyModel:
    return PortkeyModel(**{"base_url": "http://127.0.0.1:1/v1", "api_key": "k", **given})


def a_team(**given: Any) -> Team:
    return release_team(model(**given), Release())


class Vectors:
    """What stands for a vector database: it has a table, and is not asked anything."""

    def __init__(self, table: str) -> None:
        self.table_name = table


def knowledge(table: str, kind: Any = Vectors, **given: Any) -> Knowledge:
    made = Knowledge(**{"name": "a", **given})
    made.vector_db = kind(table)
    return made


def runner(team: Team) -> Agent:
    last: Agent = team.members[-1]
    return last


BEFORE = fingerprint_of(a_team(), (Gate(),))


def differs(now: Fingerprint, before: Fingerprint = BEFORE) -> set[str]:
    names = {*now.parts, *before.parts}
    parts = {name for name in names if now.parts.get(name) != before.parts.get(name)}
    assert (now.digest != before.digest) is bool(parts)
    return parts


class Out(BaseModel):
    text: str


def deploy(version: str) -> str:
    """Deploy a version."""
    return f"{version} is out"


def other_deploy(version: str) -> str:
    """Deploy a version."""
    return f"{version} is really out"


other_deploy.__qualname__ = other_deploy.__name__ = "deploy"


class Called:
    """A tool that can be called and not hashed."""

    __hash__ = None  # type: ignore[assignment]
    __name__ = "called"

    def __call__(self, version: str) -> str:
        return version


def setting(**values: Any) -> Callable[[Team], None]:
    def change(team: Team) -> None:
        for name, value in values.items():
            setattr(runner(team), name, value)

    return change


def acting(**how: Any) -> Any:
    """A tool that is run in another way than by itself."""
    return Function(name="a", entrypoint=deploy, **how)


class Watcher:
    """A hook that is a method."""

    def watch(self, run_output: Any) -> None:
        return None


def changed_digest(change: Callable[[Team], object]) -> str:
    team = a_team()
    change(team)
    return fingerprint_of(team).digest


def made_of(source: str, **names: Any) -> Any:
    """A function that has no source to be read."""
    space: dict[str, Any] = {**names}
    exec(source, space)
    return space["tool"]


def fits(out: Out) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Own(Check):
    limit: float = 1.0

    def decide(self, case: Any) -> Any:
        return self.verdict()


def governed(*, at: str = "Runner", contracts: Any = (), policy: Any = None) -> Fingerprint:
    """The fingerprint of a governed team by which its gate knows it."""
    team = a_team()
    team.members.append(Agent(name="Careless", model=model(), tools=[deploy]))
    govern(team, runner=at, gate=Gate(), contracts=contracts, policy=policy)
    return fingerprint_known(team)


class Mine(BaseGuardrail):
    """A guardrail of the user's, with a setting and a state."""

    def __init__(self, words: list[str], limit: int = 3, kind: Any = None, within: Any = None):
        self.words, self._limit, self.kind, self.within = words, limit, kind, within
        self.calls = 0

    def check(self, run_input: Any) -> None:
        self.calls += 1

    async def async_check(self, run_input: Any) -> None:
        self.calls += 1
