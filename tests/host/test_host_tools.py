"""Tools of the host: what is injected into them, their errors and caches, copies, confirmations."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.approval import approval
from agno.db.in_memory import InMemoryDb
from agno.exceptions import AgentRunException, InputCheckError, StopAgentRun
from agno.models.fallback import FallbackConfig
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function
from host_model import WAYS, Scripted, asking, calling, go, pin, says

TOOLS = "gates/tools.py"


class Bench:
    """Two functions that note how they were called, and a tool of each."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.deploy = Function.from_callable(self._deploy(), name="deploy")

    def _deploy(self) -> Any:
        def deploy(target: str, _agno_run_context: Any = None) -> str:
            """Deploy to a target."""
            self.calls.append({"target": target, "context": _agno_run_context})
            return f"deployed to {target}"

        return deploy


def results(call: dict[str, Any]) -> list[Any]:
    return [content for role, content in call["prompt"] if role == "tool"]


@pytest.mark.parametrize("way", WAYS)
@pin("_agno_run_context is filled with the context of the run that calls the tool", TOOLS)
async def test_context_is_injected(way: str) -> None:
    bench = Bench()
    model = says(calling("deploy", target="staging"))
    outcome = await go(Agent(model=model, tools=[bench.deploy]), way)
    assert bench.calls[0]["context"].run_id == outcome.run.run_id
    assert results(model.calls[1]) == ["deployed to staging"]


@pytest.mark.parametrize("way", WAYS)
@pin("a member's tool gets the context of the member's run, not of the team's", TOOLS)
async def test_context_is_the_members(way: str) -> None:
    bench = Bench()
    model = says(calling("deploy", target="staging"))
    worker = Agent(name="worker", id="worker", model=model, tools=[bench.deploy])
    outcome = await go(Team(model=says(asking("worker")), members=[worker]), way)
    (call,) = bench.calls
    assert call["context"].run_id == model.calls[0]["run_response"].run_id != outcome.run.run_id


@pytest.mark.parametrize("way", WAYS)
@pin("_agno_run_context is not offered to the model, nor taken from it", TOOLS)
async def test_context_is_not_the_models(way: str) -> None:
    bench = Bench()
    forged = calling("deploy", target="staging", _agno_run_context={"run_id": "forged"})
    model = says(forged)
    outcome = await go(Agent(model=model, tools=[bench.deploy]), way)
    (offered,) = model.calls[0]["tools"]
    assert set(offered["function"]["parameters"]["properties"]) == {"target"}
    assert bench.calls[0]["context"].run_id == outcome.run.run_id


@pytest.mark.parametrize("way", WAYS)
@pin("an entrypoint replaced by a wrapper whose signature names the context gets it", TOOLS)
async def test_a_wrapped_entrypoint_gets_the_context(way: str) -> None:
    seen: list[Any] = []

    def deploy(target: str) -> str:
        """Deploy to a target."""
        return f"deployed to {target}"

    function = Function.from_callable(deploy)

    @functools.wraps(deploy)
    def wrapper(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
        seen.append(_agno_run_context.run_id)
        return deploy(*args, **kwargs)

    extra = inspect.Parameter("_agno_run_context", inspect.Parameter.KEYWORD_ONLY, default=None)
    signature = inspect.signature(deploy)
    wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), extra]
    )
    function.entrypoint = wrapper
    model = says(calling("deploy", target="staging"))
    outcome = await go(Agent(model=model, tools=[function]), way)
    assert seen == [outcome.run.run_id]
    assert results(model.calls[1]) == ["deployed to staging"]


@pytest.mark.parametrize("error", [AgentRunException("refused"), InputCheckError("refused")])
@pytest.mark.parametrize("way", WAYS)
@pin("an exception from a tool becomes its result, and the run goes on", TOOLS, "errors.py")
async def test_tool_errors_are_results(way: str, error: Exception) -> None:
    def deploy() -> str:
        """Deploy."""
        raise error

    model = says(calling("deploy"), "I could not")
    outcome = await go(Agent(model=model, tools=[deploy]), way)
    assert outcome.run.status is RunStatus.completed
    assert outcome.run.tools[0].tool_call_error is True
    assert results(model.calls[1]) == ["refused"]


@pytest.mark.parametrize("way", WAYS)
@pin("only an AgentRunException with stop_execution ends the run at the tool", "errors.py")
async def test_stop_agent_run_ends_the_loop(way: str) -> None:
    def deploy() -> str:
        """Deploy."""
        raise StopAgentRun("enough")

    model = says(calling("deploy"))
    await go(Agent(model=model, tools=[deploy]), way)
    assert len(model.calls) == 1


@pytest.mark.parametrize("way", WAYS)
@pin("a cached result is served without calling the entrypoint", TOOLS)
async def test_cached_results_skip_the_entrypoint(way: str, tmp_path: Path) -> None:
    called: list[str] = []

    def deploy(target: str) -> str:
        """Deploy to a target."""
        called.append(target)
        return "deployed"

    function = Function.from_callable(deploy)
    function.cache_results = True
    function.cache_dir = str(tmp_path)
    call = {"target": "staging"}
    for _ in range(2):
        model = says(calling("deploy", **call))
        await go(Agent(model=model, tools=[function]), way)
        assert results(model.calls[1]) == ["deployed"]
    assert called == ["staging"]
    function.cache_results = False
    await go(Agent(model=says(calling("deploy", **call)), tools=[function]), way)
    assert called == ["staging", "staging"]


@pin("the copy of an agent calls the same entrypoints", TOOLS, "gates/holdings.py")
def test_deep_copy_shares_entrypoints() -> None:
    bench = Bench()
    kit = Toolkit(name="kit", tools=[bench._deploy()])
    twin = Agent(model=says(), tools=[bench.deploy, kit]).deep_copy()
    assert twin.tools[0] is not bench.deploy
    assert twin.tools[0].entrypoint is bench.deploy.entrypoint
    assert twin.tools[1].functions["deploy"].entrypoint is kit.functions["deploy"].entrypoint


@pytest.mark.parametrize("kind", ["agent", "team"])
@pin(
    "the copy of an agent or team shares its model, and asks each hook how to copy it, "
    "normalised or not",
    "hooks/base.py",
    "model.py",
    "runs.py",
)
def test_deep_copy_of_models_and_hooks(kind: str) -> None:
    copied: list[str] = []

    class Guard:
        def check(self) -> None: ...

        def __call__(self) -> None: ...

        def __deepcopy__(self, memo: dict[int, Any]) -> Guard:
            copied.append("guard")
            return self

    guard, model = Guard(), says()
    hooks: list[Any] = [guard, guard.check]
    owner: Any
    if kind == "agent":
        owner = Agent(model=model, pre_hooks=hooks)
    else:
        owner = Team(model=model, members=[], pre_hooks=hooks)
    twin = owner.deep_copy()
    assert twin.model is model
    assert twin.pre_hooks[0] is guard
    assert twin.pre_hooks[1].__self__ is guard
    assert copied
    assert twin._hooks_normalised is False


@pin("fallback models are deep-copied when an agent is made: each is asked how", "model.py")
def test_fallback_models_are_deep_copied() -> None:
    copied: list[Any] = []

    class Careful(Scripted):
        def __deepcopy__(self, memo: dict[int, Any]) -> Careful:
            copied.append(self)
            return self

    spare = Careful()
    config = FallbackConfig(on_error=[spare])
    agent = Agent(model=says(), fallback_config=config)
    assert copied == [spare]
    assert agent.fallback_config is config, "one config given to two agents is shared by them"


def confirming(bench: Bench, *answers: Any, **fields: Any) -> Agent:
    bench.deploy.requires_confirmation = True
    model = says(calling("deploy", target="staging"), *answers)
    return Agent(name="worker", id="worker", model=model, tools=[bench.deploy], **fields)


@pytest.mark.parametrize("way", ["run", "arun"])
@pin("a confirmed tool runs before any model call, under the id of the paused run", TOOLS)
async def test_confirmed_tools_run_first(way: str) -> None:
    bench, calls_then = Bench(), []
    agent = confirming(bench, db=InMemoryDb())
    model = agent.model
    paused = await go(agent, way)
    assert paused.run.is_paused
    assert (bench.calls, len(model.calls)) == ([], 1)
    model.answers[:] = [lambda call: calls_then.append(len(bench.calls)) or "finished"]
    for requirement in paused.run.requirements:
        requirement.confirm()
    again: dict[str, Any] = {
        "run_id": paused.run.run_id,
        "session_id": paused.run.session_id,
        "requirements": paused.run.requirements,
    }
    run = agent.continue_run(**again) if way == "run" else await agent.acontinue_run(**again)
    assert calls_then == [1]
    assert bench.calls[0]["context"].run_id == paused.run.run_id == run.run_id
    assert model.calls[-1]["run_response"].run_id == paused.run.run_id


@pytest.mark.parametrize("way", ["run", "arun"])
@pin("a confirmed tool of a member runs under the member's run id", TOOLS, "runs.py")
async def test_confirmed_tools_of_a_member(way: str) -> None:
    bench = Bench()
    member = confirming(bench)
    team = Team(model=says(asking("worker")), members=[member], db=InMemoryDb())
    paused = (await go(team, way)).run
    assert paused.is_paused
    assert bench.calls == []
    member_run = member.model.calls[0]["run_response"].run_id
    for requirement in paused.requirements:
        requirement.confirm()
    again: dict[str, Any] = {
        "run_id": paused.run_id,
        "session_id": paused.session_id,
        "requirements": paused.requirements,
    }
    run = team.continue_run(**again) if way == "run" else await team.acontinue_run(**again)
    assert run.run_id == paused.run_id
    assert [call["context"].run_id for call in bench.calls] == [member_run]
    assert {call["run_response"].run_id for call in member.model.calls} == {member_run}


@pytest.mark.parametrize("way", ["run", "arun"])
@pytest.mark.parametrize("how", [{"regenerate": True}, {"input": "something else"}])
@pin("pre-hooks do not run on continue_run: what it sends was seen by no hook", TOOLS)
async def test_continue_run_skips_pre_hooks(way: str, how: dict[str, Any]) -> None:
    ran: list[str] = []
    agent = Agent(model=says(), db=InMemoryDb(), pre_hooks=[lambda: ran.append("pre")])
    first = (await go(agent, way)).run
    assert ran == ["pre"]
    again = {"run_id": first.run_id, "session_id": first.session_id, **how}
    if way == "run":
        agent.continue_run(**again)
    else:
        await agent.acontinue_run(**again)
    assert ran == ["pre"]
    assert len(agent.model.calls) == 2


@pin("@approval marks a bare function, which then needs confirming", "gates/holdings.py")
def test_approval_marks() -> None:
    @approval
    def deploy() -> None:
        """Deploy."""

    assert deploy._agno_approval_type == "required"
    paused = Agent(model=says(calling("deploy")), tools=[deploy]).run("x")
    assert paused.is_paused
    assert paused.tools[0].approval_type == "required"
