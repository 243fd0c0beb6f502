"""Runs that are made in odd ways: in one trace still, marked as they ended, and never broken."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.memory import MemoryManager
from agno.run import RunContext
from agno.team import Team
from agno.workflow import Step, Workflow
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from seen_spans import Seen, Spans, attribute
from shapes import FORMS, USED, Stage, look_up, play

from agno_portkey import telemetry
from agno_portkey.telemetry import names, setting_up
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Stage:
    return Stage(portkey_provider, tmp_path)


def _parents(spans: Spans, start: str) -> list[str | None]:
    parents = [spans.parent(span) for span in spans.named(start)]
    return [parent.name if parent is not None else None for parent in parents]


@pytest.mark.parametrize("form", FORMS)
def test_tools_that_are_made_for_each_run(form: str, seen: Seen, stage: Stage) -> None:
    def tools_for(agent: Agent) -> list[Any]:
        return [look_up]

    stage.calls(ToolCall("look_up", {"name": "Ann"}))
    stage.says("There")
    play(stage.agent(tools=tools_for), form)
    spans = seen.spans()
    assert spans.traces == 1
    assert _parents(spans, "execute_tool") == ["invoke_agent Helper"]


def test_what_a_tool_is_asked_for_is_not_asked_twice(seen: Seen, stage: Stage) -> None:
    """Nobody gets the definitions of tools: to ask a toolkit for them might do anything."""

    class Tool:
        name, parameters = "odd", None

        @property
        def description(self) -> str:
            raise ValueError("not now")

    agent = stage.agent()
    stage.says("Hello")
    agent.tools = [Tool()]  # type: ignore[list-item]
    assert agent.run("Hi").content == "Hello"
    assert seen.spans().traces == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["agent", "team"])
def test_what_is_learnt_of_a_run_is_in_its_trace(
    kind: str, form: str, seen: Seen, stage: Stage
) -> None:
    stage.provider.when(lambda request: True, Reply("Noted", usage=USED))
    db = SqliteDb(db_file=str(stage.folder / "agno.db"))
    model = stage.model()
    manager = MemoryManager(model=stage.model(), db=db)
    how: dict[str, Any] = {"db": db, "memory_manager": manager, "update_memory_on_run": True}
    owner: Any = Agent(name="Helper", model=model, **how)
    if kind == "team":
        owner = Team(name="Helper", model=model, members=[stage.agent("One")], **how)
    play(owner, form, "I am Ann", user_id="ann")
    spans = seen.spans()
    assert spans.traces == 1
    assert _parents(spans, "chat ") == ["invoke_agent Helper"] * 2
    assert {attribute(span, f"{names.OURS}role") for span in spans} == {"Helper"}


def test_after_the_end_its_threads_are_as_they_were(stage: Stage) -> None:
    before = {kind: kind.background_executor for kind in (Agent, Team)}
    telemetry.setup().shutdown()
    assert {kind: kind.background_executor for kind in (Agent, Team)} == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["agent", "team"])
def test_a_cancelled_run_is_no_failure(kind: str, form: str, seen: Seen, stage: Stage) -> None:
    def stop(run_context: RunContext) -> str:
        """Stop it."""
        Agent.cancel_run(run_context.run_id)
        return "stopped"

    stage.calls(ToolCall("stop"))
    stage.says("Done")
    owner: Any = stage.agent(tools=[stop])
    if kind == "team":
        owner = Team(name="Helper", model=stage.model(), members=[stage.agent("M")], tools=[stop])
    play(owner, form)
    spans = seen.spans()
    [run] = spans.named("invoke_agent")
    assert attribute(run, names.CANCELLED) is True
    assert not spans.failed()


def test_a_cancelled_task_is_no_failure(seen: Seen, stage: Stage) -> None:
    asked = threading.Event()

    async def waits() -> str:
        """Wait."""
        asked.set()
        await asyncio.Event().wait()
        return "never"

    async def cancelled() -> None:
        stage.calls(ToolCall("waits"))
        flow = Workflow(name="Flow", steps=[Step(name="one", agent=stage.agent(tools=[waits]))])
        task = asyncio.create_task(flow.arun("Hi"))
        await asyncio.to_thread(asked.wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    spans = seen.spans()
    assert not spans.failed()
    for name in ("invoke_agent", "execute_tool"):
        [span] = spans.named(name)
        assert attribute(span, names.CANCELLED) is True


def _answers(usage: dict[str, Any]) -> Any:
    """Usage as a provider may say it, right or not."""

    class Said:
        def as_dict(self) -> dict[str, Any]:
            return {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, **usage}

    return Said()


@pytest.mark.parametrize("form", ["run", "stream"])
@pytest.mark.parametrize(
    "usage",
    [
        {"cost": float("nan")},
        {"cost": -3},
        {"cost": 1e300},
        {"prompt_tokens": 10**40},
        {"prompt_tokens": 10**400},
        {"prompt_tokens": -5},
        {"prompt_tokens": 1.5},
    ],
    ids=lambda usage: str(usage)[:24],
)
def test_a_provider_that_lies_of_what_was_used_breaks_no_run(
    usage: dict[str, Any], form: str, seen: Seen, stage: Stage
) -> None:
    stage.provider.reply(Reply("Hello", usage=_answers(usage)))
    agent = stage.agent()
    output = agent.run("Hi")
    if form == "stream":
        stage.provider.reply(Reply("Hello", usage=_answers(usage)))
        *_, output = agent.run("Hi", stream=True, yield_run_output=True)  # type: ignore[assignment]
    assert output.content == "Hello"
    for call in (spans := seen.spans()).named("chat "):
        assert attribute(call, names.COST) is None
        assert attribute(call, names.INPUT_TOKENS) == (5 if "cost" in usage else 0)
        assert attribute(call, names.OUTPUT_TOKENS) == 2
    for span in spans:
        figures = [v for v in (span.attributes or {}).values() if isinstance(v, int | float)]
        assert all(abs(figure) < 2**63 for figure in figures)


def test_beside_somebody_elses_wrapper(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def heard_of(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            heard.append(method.__name__)
            return method(*args, **kwargs)

        return wrapper

    wrapped = {name: heard_of(getattr(Agent, name)) for name in ("run", "arun")}
    for name, wrapper in wrapped.items():
        monkeypatch.setattr(Agent, name, wrapper)
    exporter = InMemorySpanExporter()
    with telemetry.setup(exporters=[exporter]) as held:
        for form in FORMS:
            stage.says("Hello")
            play(stage.agent(), form, session_id="s-1")
        assert held.flush()
        runs = Spans(exporter.get_finished_spans()).named("invoke_agent Helper")
    assert heard == ["run", "arun", "run", "arun"]
    assert [attribute(span, names.SESSION_ID) for span in runs] == ["s-1"] * 4
    # And at the end it is there as it was.
    assert {name: vars(Agent)[name] for name in wrapped} == wrapped


def test_nobody_sets_up_while_another_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the one takes away would be what the other has put there."""
    held = telemetry.setup()
    stop, alone = held._runs.stop, []

    def watched() -> None:
        alone.append(setting_up._lock.locked())
        stop()

    monkeypatch.setattr(held._runs, "stop", watched)
    assert held.shutdown()
    assert alone == [True]
