"""Places where a model can hide: each takes a model and makes an agent that holds it there."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from agno.agent.followup import FollowupConfig
from agno.compaction.compaction import Compaction
from agno.compression.manager import CompressionManager
from agno.context.fs import FilesystemContextProvider
from agno.db.in_memory import InMemoryDb
from agno.eval.accuracy import AccuracyEval
from agno.eval.agent_as_judge import AgentAsJudgeEval
from agno.knowledge.chunking.agentic import AgenticChunking
from agno.knowledge.knowledge import Knowledge
from agno.knowledge.query_transformer.hyde import HyDE
from agno.knowledge.reader.text_reader import TextReader
from agno.learn import LearningMachine
from agno.memory import MemoryManager
from agno.registry import Registry
from agno.run.agent import RunInput
from agno.run.base import RunStatus
from agno.scorer import JudgeScorer
from agno.session import SessionSummaryManager
from agno.team import Team
from agno.tools import Toolkit, tool
from agno.tools.advisor import AdvisorTools
from agno.tools.workflow import WorkflowTools
from agno.workflow import Step, Workflow

Fields = dict[str, Any]


class Kit(Toolkit):
    """A user's toolkit, with an attribute of any kind."""

    def __init__(self, held: Any) -> None:
        self.held = held
        super().__init__(name="kit", tools=[self.look])

    def look(self) -> str:
        """Look."""
        return str(self.held)


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held


class Hook:
    """A user's hook: an object that is called."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, run_input: RunInput) -> None: ...


class Carrier:
    """Holds something, and has a method."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def method(self) -> str:
        """Do."""
        return str(self.held)


def asking(agent: Any) -> Callable[[str], str]:
    def ask(question: str) -> str:
        """Ask a helper."""
        return str(agent.run(question).content)

    return ask


def decorated(agent: Any) -> Any:
    @tool
    def ask(question: str) -> str:
        """Ask a helper."""
        return str(agent.run(question).content)

    return ask


def _helper(model: Any) -> Agent:
    return Agent(name="Helper", model=model)


def _kit(held: Any) -> Fields:
    return {"tools": [Kit(held)]}


# Where a bound copy takes the model's place: the fields of an agent, and the printed path.
BOUND: dict[str, tuple[Callable[[Any], Fields], str]] = {
    "parser": (lambda m: {"parser_model": m}, "parser_model"),
    "output": (lambda m: {"output_model": m}, "output_model"),
    "reasoning": (lambda m: {"reasoning_model": m}, "reasoning_model"),
    "followup": (lambda m: {"followup_model": m}, "followup_model"),
    "followups": (lambda m: {"followups": FollowupConfig(model=m)}, "followups.model"),
    "fallback": (lambda m: {"fallback_models": [m]}, "fallback_config.on_error[0]"),
    "memory": (lambda m: {"memory_manager": MemoryManager(model=m)}, "memory_manager.model"),
    "summary": (
        lambda m: {"session_summary_manager": SessionSummaryManager(model=m)},
        "session_summary_manager.model",
    ),
    "compression": (
        lambda m: {"compression_manager": CompressionManager(model=m)},
        "compression_manager.model",
    ),
    "compaction": (lambda m: {"compaction": Compaction(model=m)}, "compaction.model"),
    "learning": (
        lambda m: {"learning": LearningMachine(model=m, user_memory=True), "db": InMemoryDb()},
        "learning.model",
    ),
    "query transformer": (
        lambda m: {"knowledge": Knowledge(query_transformer=HyDE(model=m))},
        "knowledge.query_transformer.model",
    ),
    "chunking": (
        lambda m: {
            "knowledge": Knowledge(readers={"t": TextReader(chunking_strategy=AgenticChunking(m))})
        },
        "knowledge.readers['t'].chunking_strategy.model",
    ),
    "advisor": (lambda m: {"tools": [AdvisorTools([m])]}, f"tools[0].advisors[{'%s'!r}]"),
    "context provider": (
        lambda m: _kit(FilesystemContextProvider(root="/nowhere", model=m)),
        "tools[0].held.model",
    ),
    "accuracy": (
        lambda m: {"post_hooks": [AccuracyEval(input="a", expected_output="b", model=m)]},
        "post_hooks[0].model",
    ),
    "judge": (
        lambda m: {"post_hooks": [AgentAsJudgeEval(criteria="c", model=m)]},
        "post_hooks[0].model",
    ),
    "scorer": (
        lambda m: {"dependencies": {"score": JudgeScorer(model=m, criteria="c")}},
        "dependencies['score'].model",
    ),
    "registry": (lambda m: _kit(Registry(models=[m])), "tools[0].held.models[0]"),
    "attribute": (_kit, "tools[0].held"),
    "slot": (lambda m: _kit(Slotted(m)), "tools[0].held.held"),
    "list": (lambda m: _kit([m]), "tools[0].held[0]"),
    "deque": (lambda m: _kit(deque([m])), "tools[0].held[0]"),
    "dict": (lambda m: _kit({"m": m}), "tools[0].held['m']"),
    "list in a tuple": (lambda m: _kit(([m],)), "tools[0].held[0][0]"),
    "keyword default": (lambda m: {"tools": [_with_default(m)]}, "tools[0].__kwdefaults__['m']"),
    "partial keyword": (
        lambda m: {"tools": [functools.partial(print, m=m)]},
        "tools[0].keywords['m']",
    ),
    "method of a carrier": (lambda m: {"tools": [Carrier(m).method]}, "tools[0].__self__.held"),
    "hook object": (lambda m: {"pre_hooks": [Hook(m)]}, "pre_hooks[0].held"),
    "tool hook": (lambda m: {"tool_hooks": [Hook(m)]}, "tool_hooks[0].held"),
    "instructions": (lambda m: {"instructions": Hook(m)}, "instructions.held"),
    "retriever": (lambda m: {"knowledge_retriever": Hook(m)}, "knowledge_retriever.held"),
    "dependency": (lambda m: {"dependencies": {"x": Hook(m)}}, "dependencies['x'].held"),
}

# Where an agent that holds the model is governed like a member.
AGENTS: dict[str, tuple[Callable[[Any], Fields], str]] = {
    "reasoning agent": (lambda m: {"reasoning_agent": _helper(m)}, "reasoning_agent"),
    "closure": (lambda m: {"tools": [asking(_helper(m))]}, "tools[0].agent"),
    "decorated closure": (lambda m: {"tools": [decorated(_helper(m))]}, "tools[0].agent"),
    "toolkit": (lambda m: _kit(_helper(m)), "tools[0].held"),
    "method": (lambda m: {"tools": [_helper(m).run]}, "tools[0].__self__"),
    "partial": (
        lambda m: {"tools": [functools.partial(asking(_helper(m)), "q")]},
        "tools[0].func.agent",
    ),
    "tuple": (lambda m: _kit((_helper(m),)), "tools[0].held[0]"),
    "evaluator": (
        lambda m: {
            "post_hooks": [
                AgentAsJudgeEval(criteria="c", evaluator_agent=_helper(m)),
            ]
        },
        "post_hooks[0].evaluator_agent",
    ),
    "workflow": (
        lambda m: {
            "tools": [
                WorkflowTools(workflow=Workflow(name="w", steps=[Step(name="s", agent=_helper(m))]))
            ]
        },
        "tools[0].workflow.steps[0].agent",
    ),
    "team": (
        lambda m: _kit(Team(name="T", members=[_helper(m)], model=m)),
        "tools[0].held.members[0]",
    ),
}


def _with_default(model: Any) -> Callable[..., str]:
    def ask(question: str, *, m: Any = model) -> str:
        """Ask."""
        return str(m)

    return ask


def ended(owner: Any, form: str) -> tuple[RunStatus, str]:
    """How a run of an agent or team in one of the four forms ended, and with what."""
    if form == "run":
        run = owner.run("go")
    elif form == "arun":
        run = asyncio.run(_awaited(owner))
    else:
        events = (
            list(owner.run("go", stream=True)) if form == "stream" else asyncio.run(_all(owner))
        )
        last = events[-1]
        failed = "Error" in type(last).__name__
        return RunStatus.error if failed else RunStatus.completed, str(last.content)
    return run.status, str(run.content)


async def _awaited(owner: Any) -> Any:
    return await owner.arun("go")


async def _all(owner: Any) -> list[Any]:
    return [event async for event in owner.arun("go", stream=True)]
