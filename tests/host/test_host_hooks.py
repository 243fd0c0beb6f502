"""Hooks of the host: what stops a run, which form is called, with what, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import (
    AgentRunException,
    InputCheckError,
    ModelProviderError,
    OutputCheckError,
    StopAgentRun,
)
from agno.guardrails import BaseGuardrail
from agno.run.base import RunStatus
from agno.team import Team
from host_model import WAYS, Scripted, go, pin, says

STOPPING = (InputCheckError("refused"), OutputCheckError("refused"))
SWALLOWED = (
    ValueError("x"),
    StopAgentRun("x"),
    AgentRunException("x"),
    ModelProviderError("x"),
)
KINDS = ("agent", "team")
BASE = "hooks/base.py"


def owner_of(kind: str, model: Scripted, **fields: Any) -> Any:
    if kind == "agent":
        return Agent(name="solo", model=model, **fields)
    return Team(name="crew", model=model, members=[Agent(name="a", model=says())], **fields)


@pytest.mark.parametrize("error", STOPPING, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("a check error in a pre-hook ends the run before the model is called", BASE)
async def test_check_error_in_pre_hook_stops(way: str, kind: str, error: Exception) -> None:
    def refuse() -> None:
        raise error

    model = says("answer")
    outcome = await go(owner_of(kind, model, pre_hooks=[refuse]), way)
    assert model.calls == []
    if outcome.events:
        assert "Error" in outcome.events[-1].event
        assert outcome.run is None
    else:
        assert (outcome.run.status, outcome.run.content) == (RunStatus.error, "refused")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("a check error in a post-hook ends the run as ERROR", BASE, "errors.py")
async def test_check_error_in_post_hook_stops(way: str, kind: str) -> None:
    def refuse() -> None:
        raise OutputCheckError("refused")

    outcome = await go(owner_of(kind, says("answer"), post_hooks=[refuse]), way)
    if outcome.events:
        assert "Error" in outcome.events[-1].event
    else:
        assert outcome.run.status is RunStatus.error


@pytest.mark.parametrize("error", SWALLOWED, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("point", ["pre_hooks", "post_hooks"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("any other exception in a hook is swallowed and the run completes", BASE)
async def test_other_errors_in_hooks_fail_open(
    way: str, kind: str, point: str, error: Exception
) -> None:
    def fail() -> None:
        raise error

    outcome = await go(owner_of(kind, says("answer"), **{point: [fail]}), way)
    assert (outcome.run.status, outcome.run.content) == (RunStatus.completed, "answer")


class Forms(BaseGuardrail):
    """A guardrail whose forms are both plain functions."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def check(self, run_input: Any = None) -> None:  # type: ignore[override]
        self.ran.append("check")

    def async_check(self, run_input: Any = None) -> None:  # type: ignore[override]
        self.ran.append("async_check")


class Coroutine(Forms):
    async def async_check(self, run_input: Any = None) -> None:  # type: ignore[override]
        raise InputCheckError("refused")


class Unawaited:
    """What a plain `async_check` returns; awaiting it fails the run that does."""

    def __await__(self) -> Any:
        raise InputCheckError("awaited")


class Plain(Forms):
    def async_check(self, run_input: Any = None) -> Unawaited:  # type: ignore[override]
        super().async_check(run_input)
        return Unawaited()


@pytest.mark.parametrize("kind", KINDS)
@pin("hooks take the form of the first call for good", BASE, "govern.py")
async def test_hooks_are_normalised_once(kind: str) -> None:
    guard = Forms()
    owner = owner_of(kind, says(), pre_hooks=[guard])
    assert owner._hooks_normalised is False
    await owner.arun("x")
    assert owner._hooks_normalised is True
    owner.run("x")
    assert guard.ran == ["async_check", "async_check"]


@pin("after arun(), run() skips an agent's guardrail whose async form is a coroutine", BASE)
async def test_run_after_arun_skips_async_guards() -> None:
    agent = Agent(model=says(), pre_hooks=[Coroutine()])
    assert (await agent.arun("x")).status is RunStatus.error
    assert agent.run("x").status is RunStatus.completed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("a plain async_check runs in every form, and what it returns is never awaited", BASE)
async def test_plain_async_check_runs_everywhere(way: str, kind: str) -> None:
    guard = Plain()
    owner = owner_of(kind, says("answer"), pre_hooks=[guard])
    await owner.arun("x")
    outcome = await go(owner, way)
    assert outcome.run.status is RunStatus.completed
    assert guard.ran == ["async_check", "async_check"]


@pytest.mark.parametrize("kind", KINDS)
@pin("with _hooks_normalised set back to False, new hooks are set up again", "govern.py")
async def test_hooks_can_be_normalised_again(kind: str) -> None:
    late = Forms()
    owner = owner_of(kind, says(), pre_hooks=[Forms()])
    owner.run("x")
    owner.pre_hooks = [*owner.pre_hooks, late]
    owner._hooks_normalised = False
    owner.run("x")
    assert late.ran == ["check"]


@pytest.mark.parametrize("kind", KINDS)
@pin("a guardrail added after normalisation is called as an object", BASE)
async def test_a_late_guardrail_is_called_itself(kind: str) -> None:
    class Callable_(Forms):
        def __call__(self) -> None:
            self.ran.append("call")

    late = Callable_()
    owner = owner_of(kind, says(), pre_hooks=[Forms()])
    owner.run("x")
    owner.pre_hooks = [*owner.pre_hooks, late]
    owner.run("x")
    assert late.ran == ["call"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("hooks get run_input or run_output, run_context, agent or team, session", BASE)
async def test_hook_arguments_by_name(way: str, kind: str) -> None:
    seen: list[dict[str, Any]] = []

    def hook(
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
    ) -> None:
        seen.append(dict(locals()))

    owner = owner_of(kind, says("answer"), pre_hooks=[hook], post_hooks=[hook])
    await go(owner, way, "question")
    before, after = ({k: v for k, v in got.items() if k != "seen"} for got in seen)
    other = "team" if kind == "agent" else "agent"
    for got in (before, after):
        assert got[kind] is owner
        assert got[other] is None
        assert got["session"] is not None
    assert before["run_input"].input_content == "question"
    assert before["run_output"] is None
    assert after["run_output"].content == "answer"
    assert after["run_input"] is None
    assert before["run_context"].run_id == after["run_context"].run_id == after["run_output"].run_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("what a pre-hook makes of run_input.input_content reaches the model", "hooks/gate.py")
async def test_changed_input_reaches_the_model(way: str, kind: str) -> None:
    def rewrite(run_input: Any) -> None:
        run_input.input_content = "rewritten"

    model = says()
    await go(owner_of(kind, model, pre_hooks=[rewrite]), way, "original")
    prompt = model.calls[0]["prompt"]
    assert prompt[-1] == ("user", "rewritten")
    assert "original" not in str(prompt)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["run", "arun"])
@pin("a refused output stays the run's content unless the hook takes it away", BASE)
async def test_rejected_content_is_kept_unless_nulled(way: str, kind: str) -> None:
    def refuse(run_output: Any) -> None:
        raise OutputCheckError("refused")

    def clear_and_refuse(run_output: Any) -> None:
        run_output.content = None
        raise OutputCheckError("refused")

    kept = await go(owner_of(kind, says("secret"), post_hooks=[refuse]), way)
    nulled = await go(owner_of(kind, says("secret"), post_hooks=[clear_and_refuse]), way)
    assert kept.run.content == "secret"
    assert nulled.run.content == "refused"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["run", "arun"])
@pin("an object put into run_output.content before a check error is the result", "hooks/gate.py")
async def test_content_put_before_refusing_is_the_result(way: str, kind: str) -> None:
    verdict = {"declined": True}

    def decline(run_output: Any) -> None:
        run_output.content = verdict
        raise OutputCheckError("refused")

    outcome = await go(owner_of(kind, says("secret"), post_hooks=[decline]), way)
    assert outcome.run.content is verdict


@pytest.mark.parametrize("way", ["run", "arun"])
@pin("a check error's text and details survive in a streamed error event", "errors.py")
async def test_error_event_carries_the_details(way: str) -> None:
    def refuse() -> None:
        raise InputCheckError("refused", additional_data={"verdict": 1})

    stream = "stream" if way == "run" else "astream"
    outcome = await go(owner_of("team", says(), pre_hooks=[refuse]), stream)
    last = outcome.events[-1]
    assert (last.content, last.additional_data) == ("refused", {"verdict": 1})
