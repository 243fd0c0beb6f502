"""Shapes of runs: agents, teams, workflows, what fails and what is gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.team import Team, TeamMode
from agno.tools import tool
from agno.workflow import Parallel, Step, Workflow

from agno_portkey import Gate, Judgement, PortkeyModel, govern
from agno_portkey.cache import CachePolicy
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.testing.replies import Usage
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

FORMS = ("run", "arun", "stream", "astream")
USED = Usage(prompt_tokens=7, completion_tokens=3)


@dataclass
class Stage:
    provider: EmbeddedProvider
    folder: Path

    def model(self, **options: Any) -> PortkeyModel:
        quick = Recovery(attempts=3, wait=0.001, max_wait=0.01)
        given = {"base_url": self.provider.url, "api_key": "k", "recovery": quick, **options}
        return PortkeyModel(**given, tags={"cost_center": "cc-7"})

    def agent(self, name: str = "Helper", **options: Any) -> Agent:
        model = options.pop("model", None) or self.model()
        return Agent(name=name, model=model, instructions=f"You are {name}.", **options)

    def says(self, *texts: str) -> None:
        for text in texts:
            self.provider.reply(Reply(text, usage=USED))

    def calls(self, *tools: ToolCall) -> None:
        self.provider.reply(Reply(tool_calls=tools, usage=USED))


def play(owner: Any, form: str, said: str = "Hi", **options: Any) -> None:
    """Run an agent, team or workflow in one of the four forms, to the end."""
    if form == "run":
        owner.run(said, **options)
    elif form == "stream":
        list(owner.run(said, stream=True, **options))
    else:
        asyncio.run(_played(owner, form, said, options))


async def _played(owner: Any, form: str, said: str, options: dict[str, Any]) -> None:
    if form == "arun":
        await owner.arun(said, **options)
        return
    async for _ in owner.arun(said, stream=True, **options):
        pass


def look_up(name: str) -> str:
    """Look a name up."""
    return f"{name} is there"


def fails(name: str) -> str:
    """Look a name up."""
    raise ValueError(f"{name} is not there")


@guard
def no_bluebird(passage: Passage) -> Block | None:
    return Block("bluebird") if "bluebird" in passage.text else None


Scene = Callable[[Stage, str], None]


def plain(stage: Stage, form: str) -> None:
    stage.says("Hello")
    play(stage.agent(), form)


def with_a_tool(stage: Stage, form: str) -> None:
    stage.calls(ToolCall("look_up", {"name": "Ann"}))
    stage.says("There")
    play(stage.agent(tools=[look_up]), form)


def with_a_tool_that_fails(stage: Stage, form: str) -> None:
    stage.calls(ToolCall("fails", {"name": "Ann"}))
    stage.says("Not there")
    play(stage.agent(tools=[fails]), form)


def asked_twice(stage: Stage, form: str) -> None:
    stage.provider.fault(Fault.status(500))
    stage.says("Hello")
    play(stage.agent(), form)


def given_up(stage: Stage, form: str) -> None:
    stage.provider.fault(Fault.status(400))
    play(stage.agent(), form)


def reasked(stage: Stage, form: str) -> None:
    stage.says("no JSON at all", '{"decision": "approve", "score": 9, "reasons": []}')
    play(stage.agent(output_schema=Judgement), form)


def refused(stage: Stage, form: str) -> None:
    stage.says("no JSON at all", "none again", "nor now", "nor ever")
    play(stage.agent(output_schema=Judgement), form)


def blocked(stage: Stage, form: str) -> None:
    play(stage.agent(model=stage.model(guards=[no_bluebird])), form, "bluebird")


def from_the_cache(stage: Stage, form: str) -> None:
    policy = CachePolicy(store=f"sqlite:///{stage.folder / 'cache.db'}")
    agent = stage.agent(model=stage.model(cache=policy))
    stage.says("Hello")
    play(agent, form, user_id="ann")
    play(agent, form, user_id="ann")


def _delegating(stage: Stage, *members: str) -> None:
    for member in members:
        stage.calls(ToolCall("delegate_task_to_member", {"member_id": member, "task": "Do"}))
        stage.says(f"{member} is done")


def coordinated(stage: Stage, form: str) -> None:
    _delegating(stage, "one", "two")
    stage.says("All is done")
    members = [stage.agent("One"), stage.agent("Two")]
    play(Team(name="Crew", model=stage.model(), members=members), form)


def routed(stage: Stage, form: str) -> None:
    _delegating(stage, "one")
    team = Team(name="Crew", model=stage.model(), members=[stage.agent("One")], mode=TeamMode.route)
    play(team, form)


def broadcast(stage: Stage, form: str) -> None:
    stage.calls(ToolCall("delegate_task_to_members", {"task": "Do"}))
    stage.says("Done", "Done too", "All is done")
    members = [stage.agent("One"), stage.agent("Two")]
    team = Team(name="Crew", model=stage.model(), members=members, mode=TeamMode.broadcast)
    play(team, form)


def nested(stage: Stage, form: str) -> None:
    stage.calls(ToolCall("delegate_task_to_member", {"member_id": "inner", "task": "Do"}))
    _delegating(stage, "one")
    stage.says("Inner is done", "All is done")
    inner = Team(name="Inner", model=stage.model(), members=[stage.agent("One")])
    play(Team(name="Outer", model=stage.model(), members=[inner]), form)


def in_steps(stage: Stage, form: str) -> None:
    stage.says("One", "Two")
    steps: list[Any] = [
        Step(name="one", agent=stage.agent("One")),
        Step(name="two", agent=stage.agent("Two")),
    ]
    play(Workflow(name="Flow", steps=steps), form)


def in_parallel(stage: Stage, form: str) -> None:
    stage.says("One", "Two", "Three")
    steps: list[Any] = [
        Parallel(
            Step(name="one", agent=stage.agent("One")),
            Step(name="two", agent=stage.agent("Two")),
            name="both",
        ),
        Step(name="three", agent=stage.agent("Three")),
    ]
    play(Workflow(name="Flow", steps=steps), form)


def a_team_in_a_flow(stage: Stage, form: str) -> None:
    _delegating(stage, "one")
    stage.says("All is done")
    team = Team(name="Crew", model=stage.model(), members=[stage.agent("One")])
    play(Workflow(name="Flow", steps=[Step(name="team", team=team)]), form)


def gone_on_with(stage: Stage, form: str) -> None:
    """A tool that a person confirms: two runs of the host, each a trace."""

    @tool(requires_confirmation=True)
    def deploy(version: str) -> str:
        """Deploy it."""
        return f"{version} is live"

    stage.calls(ToolCall("deploy", {"version": "2"}))
    stage.says("It is live")
    agent = stage.agent(tools=[deploy], db=SqliteDb(db_file=str(stage.folder / "agno.db")))
    output = agent.run("Deploy")
    for requirement in output.active_requirements or ():
        requirement.confirm()
    how: dict[str, Any] = {"run_id": output.run_id, "session_id": output.session_id}
    how["requirements"] = output.requirements
    if form == "run":
        agent.continue_run(**how)
    elif form == "stream":
        list(agent.continue_run(**how, stream=True))
    else:
        asyncio.run(_continued(agent, form, how))


async def _continued(agent: Agent, form: str, how: dict[str, Any]) -> None:
    if form == "arun":
        await agent.acontinue_run(**how)
        return
    async for _ in agent.acontinue_run(**how, stream=True):
        pass


def governed(stage: Stage, form: str) -> None:
    tell(stage.provider)
    team = govern(
        release_team(stage.model(), Release(), db=SqliteDb(db_file=str(stage.folder / "agno.db"))),
        runner="Runner",
        gate=Gate(min_score=8),
        pii="mask",
    )
    play(team, form, REQUEST)


def two_at_once(stage: Stage, form: str) -> None:
    """Two runs on one event loop: a trace each."""
    stage.says("Hello", "Hello")

    async def both() -> None:
        runs = (_played(stage.agent(name), "astream", "Hi", {}) for name in ("One", "Two"))
        await asyncio.gather(*runs)

    asyncio.run(both())


def by_the_model(stage: Stage, form: str) -> None:
    """A model that is asked beside any run."""
    stage.says("Hello")
    stage.model().response([Message(role="user", content="Hi")])


@dataclass(frozen=True)
class Shape:
    """A scene, and what its spans have to be; `edges` are those that must be there."""

    play: Scene
    calls: int
    traces: int = 1
    attempts: int | None = None
    answered: int | None = None
    edges: tuple[tuple[str, str], ...] = ()
    failed: tuple[str, ...] = ()


RUN = (("invoke_agent", "chat"), ("chat", "attempt"))
IN_TEAM = (("execute_tool", "invoke_agent"), ("invoke_agent", "execute_tool"), *RUN)
IN_FLOW = (("invoke_workflow", "invoke_agent"), *RUN)
CALL = ("chat gpt-4o-mini",)
SHAPES = {
    "plain": Shape(plain, 1, edges=RUN),
    "tool": Shape(with_a_tool, 2, edges=(("invoke_agent", "execute_tool"), *RUN)),
    "tool that fails": Shape(with_a_tool_that_fails, 2, edges=RUN, failed=("execute_tool fails",)),
    "asked twice": Shape(asked_twice, 1, attempts=2, edges=RUN, failed=("attempt 1",)),
    "given up": Shape(
        given_up, 1, answered=0, edges=RUN, failed=("invoke_agent Helper", *CALL, "attempt 1")
    ),
    "reasked": Shape(reasked, 1, attempts=2, edges=(("chat", "contract"), *RUN)),
    "blocked": Shape(
        blocked,
        1,
        attempts=0,
        edges=(("invoke_agent", "chat"), ("chat", "guard")),
        failed=("invoke_agent Helper", *CALL, "guard no_bluebird"),
    ),
    "cached": Shape(from_the_cache, 2, traces=2, attempts=1, edges=(("chat", "cache"), *RUN)),
    "coordinate": Shape(coordinated, 5, edges=IN_TEAM),
    "route": Shape(routed, 2, edges=IN_TEAM),
    "broadcast": Shape(broadcast, 4, edges=IN_TEAM),
    "nested": Shape(nested, 5, edges=IN_TEAM),
    "steps": Shape(in_steps, 2, edges=IN_FLOW),
    "parallel": Shape(in_parallel, 3, edges=IN_FLOW),
    "team in a flow": Shape(a_team_in_a_flow, 3, edges=(*IN_FLOW, *IN_TEAM)),
    "gone on with": Shape(gone_on_with, 2, traces=2, edges=RUN),
    "at once": Shape(two_at_once, 2, traces=2, edges=RUN),
    "by the model": Shape(by_the_model, 1, edges=(("chat", "attempt"),)),
}
