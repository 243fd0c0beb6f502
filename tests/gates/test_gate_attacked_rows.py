"""Attacks on what gates keep and read: rows that are no text, settings of tools, words before time.

Each of these was open once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
from admission_scene import REQUEST, STREAMED, Scene, judgement, to
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.tools import Toolkit
from agno.tools.function import Function
from agno.tools.reasoning import ReasoningTools
from pydantic import BaseModel, Field, SecretStr

from agno_portkey import Gate, PortkeyModel
from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.errors import (
    ClearanceRefused,
    ConfigurationError,
    UngovernedPathError,
)
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.gates.clearance import Asking, Clearances, Grant, new_id
from agno_portkey.gates.gate import check_gates
from agno_portkey.gates.history import Decided, History
from agno_portkey.gates.matching import same_value
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

NOW = datetime.now(UTC)
PLAN = Plan(goal="Ship 2.1", steps=(Step(action="Deploy it", tool="deploy"),))
LIE = "Release 2.1 is live on production."


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


def left(kept: Clearances, user: str, **changed: Any) -> Grant:
    grant = Grant(
        id=new_id(),
        gate="release",
        swarm="Release",
        tenant=None,
        session_id=f"session of {user}",
        user_id=user,
        plan=PLAN,
        plan_digest=digest(PLAN),
        fingerprint="sha256:f1",
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        state="waiting",
    )
    kept.put(replace(grant, **changed))
    return grant


def spoilt(file: str, grant: Grant, column: str) -> None:
    """Put a byte that is no text in UTF-8 into a row."""
    connection = sqlite3.connect(file)
    other = f"CAST(coalesce({column}, '') || x'ff' AS TEXT)"
    changed = f"update agno_portkey_clearances set {column}={other} where id=?"
    assert connection.execute(changed, (grant.id,)).rowcount == 1
    connection.commit()
    connection.close()


def asks(user: str) -> Asking:
    return Asking(
        runner_run_id=f"run of {user}",
        fingerprint="sha256:f1",
        plan_digest=digest(PLAN),
        swarm="Release",
        session_id=f"session of {user}",
        user_id=user,
    )


# Rows that are no text


@pytest.mark.parametrize("column", ["id", "plan", "reason", "row_digest", "taken"])
def test_a_row_that_is_no_text_holds_up_nobody_else(file: str, column: str) -> None:
    kept = Clearances(file)
    ann, eve = left(kept, "ann"), left(kept, "eve")
    for grant in (ann, eve):
        kept.approve(grant.id, by="boss")
    good, bad = left(kept, "bob"), left(kept, "mal")
    for altered in (eve, bad):
        spoilt(file, altered, column)
    found = kept.approved(asks("ann"))
    assert found is not None
    assert found.id == ann.id
    assert [grant.id for grant in kept.waiting()] == [good.id]
    assert len(kept.altered()) == 1
    assert kept.approved(asks("eve")) is None


def test_what_is_no_text_is_no_clearance(file: str) -> None:
    kept = Clearances(file)
    grant = left(kept, "ann")
    spoilt(file, grant, "reason")
    with pytest.raises(ClearanceRefused) as refused:
        kept.approve(grant.id, by="boss")
    assert refused.value.code == "malformed"


def decided(number: int, **changed: Any) -> Decided:
    plain: dict[str, Any] = dict.fromkeys(
        ("swarm", "team_id", "run_id", "session_id", "user_id", "tenant", "plan_digest")
    )
    return Decided(
        **{
            **plain,
            "id": f"decision-{number}",
            "gate": "release",
            "passed": True,
            "outcome": "pass",
            "score": 0.8,
            "reasons": (),
            "checks": (),
            "at": NOW + timedelta(seconds=number),
            "fingerprint": None,
            "versions": {},
            "evidence": {},
            **changed,
        }
    )


@pytest.mark.parametrize("outcome", [None, "pass"])
@pytest.mark.parametrize(
    "held",
    [
        f"CAST('{'[' * 50_000}{']' * 50_000}' AS TEXT)",
        "'no JSON'",
        "CAST(x'ff' AS TEXT)",
        "replace(eval_data, 'decision-1', '\\ud800')",
    ],
    ids=["deep", "no JSON", "no text", "surrogate"],
)
def test_a_decision_that_can_not_be_read_holds_up_no_other(
    file: str, held: str, outcome: str | None
) -> None:
    history = History(file)
    for number in range(3):
        history.put(decided(number))
    connection = sqlite3.connect(file)
    changed = f"update agno_eval_runs set eval_data={held} where run_id='decision-1'"
    assert connection.execute(changed).rowcount == 1
    connection.commit()
    connection.close()
    told = [each.id for each in history.series(outcome=outcome)]
    assert [each for each in told if each.startswith("decision")] == ["decision-0", "decision-2"]


# What no database could keep


@pytest.mark.parametrize("seconds", [3.6e12, 3.6e303])
def test_nobody_approves_past_the_end_of_time(file: str, seconds: float) -> None:
    kept = Clearances(file)
    grant = left(kept, "ann")
    with pytest.raises(ConfigurationError, match="max_age: seconds above 0"):
        kept.approve(grant.id, by="boss", max_age=seconds)
    assert kept.get(grant.id).state == "waiting"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_age": 1e13}, "Gate.max_age: seconds above 0"),
        ({"name": "g" * 256}, "Gate.name: a text of 1 to 255"),
        ({"name": "g\ud800"}, "Gate.name: a text without"),
        ({"name": "g\0"}, "Gate.name: a text without"),
    ],
)
def test_a_gate_is_refused_whose_clearances_no_database_could_keep(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Gate(**given)


def test_so_are_gates_whose_names_come_to_too_much() -> None:
    check_gates([Gate(name="a" * 127), Gate(name="b" * 126)])
    with pytest.raises(ConfigurationError, match="more than 255"):
        check_gates([Gate(name="a" * 127), Gate(name="b" * 127)])


# What a tool was made with


class Deployer(Toolkit):
    def __init__(self, target: str, api_key: str = "") -> None:
        self.target, self.api_key, self.calls = target, api_key, 0
        super().__init__(name="deployer", tools=[self.deploy])

    def deploy(self, version: str) -> str:
        """Deploy."""
        return f"{version} on {self.target}"


class Modelled(BaseModel):
    target: str

    def deploy(self, version: str) -> str:
        """Deploy."""
        return f"{version} on {self.target}"


@dataclass(frozen=True, slots=True)
class Slotted:
    target: str

    def deploy(self, version: str) -> str:
        """Deploy."""
        return f"{version} on {self.target}"


def closed(target: Any) -> Callable[..., str]:
    def deploy(version: str) -> str:
        """Deploy."""
        return f"{version} on {target}"

    return deploy


def default(target: str) -> Callable[..., str]:
    def deploy(version: str, to: str = target) -> str:
        """Deploy."""
        return f"{version} on {to}"

    return deploy


def named(target: str) -> Callable[..., str]:
    def deploy(version: str, *, to: str = target) -> str:
        """Deploy."""
        return f"{version} on {to}"

    return deploy


def decorated(target: str) -> Callable[..., str]:
    inner = closed("somewhere")

    @wraps(inner)
    def on(version: str) -> str:
        return inner(f"{version} of {target}")

    return on


def in_part(target: str) -> Function:
    def deploy(version: str, to: str) -> str:
        return f"{version} on {to}"

    return Function(name="deploy", description="Deploy.", entrypoint=partial(deploy, to=target))


MADE: list[Any] = [
    Deployer,
    lambda target: Modelled(target=target).deploy,
    lambda target: Slotted(target).deploy,
    closed,
    lambda target: closed((target, 1)),
    default,
    named,
    decorated,
    in_part,
]


def digest_with(tool: Any) -> str:
    model = PortkeyModel("gpt-4o-mini", api_key="k", base_url="http://127.0.0.1:1/v1")
    return fingerprint_of(Agent(name="Runner", model=model, tools=[tool])).digest


@pytest.mark.parametrize("make", MADE)
def test_where_a_tool_deploys_to_is_part_of_the_fingerprint(make: Callable[[str], Any]) -> None:
    staging, again, production = map(digest_with, map(make, ("staging", "staging", "production")))
    assert staging == again
    assert staging != production


def test_it_is_the_same_in_each_process() -> None:
    told = (
        "import test_gate_attacked_rows as rows\n"
        "print([rows.digest_with(make('staging')) for make in rows.MADE])"
    )
    here = str(Path(__file__).parent)
    asked = [sys.executable, "-c", told]
    ended = [
        subprocess.run(
            asked, cwd=here, env=None, capture_output=True, text=True, check=True, timeout=120
        ).stdout
        for _ in range(2)
    ]
    assert ended == [f"{[digest_with(make('staging')) for make in MADE]}\n"] * 2


def counting() -> tuple[Callable[..., str], Callable[..., str]]:
    """Two tools that keep what they have done, one in a list and one in a number."""
    done: list[str] = []
    count = 0

    def listed(version: str) -> str:
        """Deploy."""
        done.append(version)
        return version

    def counted(version: str) -> str:
        """Deploy."""
        nonlocal count
        count += 1
        return version

    return listed, counted


@pytest.mark.parametrize("which", [0, 1])
def test_what_a_tool_keeps_of_its_calls_is_no_part_of_it(which: int) -> None:
    tool = counting()[which]
    before = digest_with(tool)
    tool("2.1")
    assert digest_with(tool) == before


def test_nor_are_a_tools_state_and_its_keys() -> None:
    tools = Deployer("staging", api_key="one"), Deployer("staging", api_key="other")
    tools[1].calls = 3
    assert len({digest_with(tool) for tool in tools}) == 1


# What a value leaves out


class Target(BaseModel):
    env: str
    force: bool = Field(False, exclude=True)


class Login(BaseModel):
    token: SecretStr


class Named(BaseModel):
    env: str = Field(alias="environment")


@pytest.mark.parametrize(
    ("planned", "actual", "same"),
    [
        ('{"env": "staging"}', Target(env="staging", force=True), False),
        ('{"env": "staging"}', Target(env="staging"), True),
        ('{"token": "**********"}', Login(token=SecretStr("another")), False),
        ('{"env": "staging"}', Named(environment="staging"), True),
        ('{"env": "staging"}', Named(environment="production"), False),
    ],
)
def test_a_value_is_the_planned_one_with_all_that_is_in_it(
    planned: str, actual: BaseModel, same: bool
) -> None:
    assert same_value(planned, actual) is same


# Words before the gate is settled


@pytest.fixture
def scene() -> Any:
    with EmbeddedProvider() as provider:
        yield Scene(provider)


def calls(scene: Scene, name: str, **given: str) -> None:
    """Have the leader call a tool of its own once it has a plan."""
    scene.judge(judgement(3))
    said = Reply(tool_calls=(ToolCall(name, given),))
    scene.provider.when("Ask the Planner", [*to("planner"), said, "x"])
    scene.script()


def told(team: Any, form: str) -> list[Any]:
    match form:
        case "run":
            return [team.run(REQUEST)]
        case "arun":
            return [asyncio.run(team.arun(REQUEST))]
        case "stream":
            return [*team.run(REQUEST, **STREAMED)]

    async def collected() -> list[Any]:
        return [event async for event in team.arun(REQUEST, **STREAMED)]

    return asyncio.run(collected())


def lies(events: list[Any]) -> list[str]:
    """The kinds of events that tell the lie as the team's words."""
    fields = ("content", "reasoning_content", "reasoning_steps")
    return [
        type(event).__name__
        for event in events
        if any(LIE in str(getattr(event, field, "")) for field in fields)
    ]


def speaks(said: str) -> str:
    return said


def with_tools(tools: list[Any]) -> Callable[[Any], None]:
    return lambda team: setattr(team, "tools", tools)


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        (ReasoningTools(), "think"),
        (ReasoningTools(enable_think=False), "analyze"),
        (Function(name="Think", entrypoint=speaks), "Think"),
    ],
)
def test_a_leader_with_tools_to_think_aloud_is_refused(scene: Scene, tool: Any, named: str) -> None:
    with pytest.raises(UngovernedPathError, match=rf"Release\.tools has {named}, which thinks"):
        scene.team(Gate(), with_tools([tool]))


def test_so_is_whom_it_routes_to_and_no_other(scene: Scene) -> None:
    def planner_thinks(team: Any) -> None:
        team.members[0].tools = [ReasoningTools()]

    scene.team(Gate(), planner_thinks)
    with pytest.raises(UngovernedPathError, match=r"Planner\.tools has think"):
        scene.team(Gate(), planner_thinks, mode="route")


@pytest.mark.parametrize("form", ["run", "arun", "stream", "astream"])
def test_what_it_thinks_with_tools_that_came_late_is_told_nobody(scene: Scene, form: str) -> None:
    calls(scene, "think", title=LIE, thought=LIE, action=LIE)
    team = scene.team(Gate())
    team.tools = [ReasoningTools()]
    events = told(team, form)
    assert lies(events) == []
    assert scene.release.done == []
    assert "thinks aloud" in str(events[-1].content)
    if form in ("run", "arun"):
        assert events[-1].status == RunStatus.error


@pytest.mark.parametrize(
    "name", ["report", "delegate_task_to_member_report", "delegate_task_to_members_report"]
)
@pytest.mark.parametrize("form", ["stream", "astream"])
def test_a_tools_result_is_not_shown_as_its_words(scene: Scene, name: str, form: str) -> None:
    calls(scene, name)
    tool = Function(name=name, entrypoint=lambda: LIE, show_result=True, stop_after_tool_call=True)
    events = told(scene.team(Gate(), with_tools([tool])), form)
    assert lies(events) == []
