"""Steps that are functions: what they raise, report and hand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.exceptions import OutputCheckError
from agno.run.agent import RunErrorEvent, RunOutput
from agno.run.base import RunStatus
from agno.workflow import Condition, Loop, Router, Step, Steps
from agno.workflow.types import HumanReview, StepInput, StepOutput
from flows import FORMS, Stage, ends_in_error

from agno_portkey.errors import OutputBlocked
from agno_portkey.verdict import Verdict

REFUSED = RunOutput(content="refused", status=RunStatus.error)


class Calls(list[str]):
    """The steps that ran, in order."""

    def step(self, name: str, act: Callable[[], Any] = lambda: "fine", **options: Any) -> Step:
        def run(step_input: StepInput) -> Any:
            self.append(name)
            return act()

        return Step(name=name, executor=run, **options)


def _raise(error: Exception) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.mark.parametrize("form", FORMS)
def test_a_function_that_fails_is_tried_again_as_on_plain_agno_and_then_stops_the_workflow(
    form: str, calls: Calls, tmp_path: Path
) -> None:
    failing = calls.step("one", _raise(OSError("disk is full")), max_retries=2)
    ended = Stage(tmp_path, [failing, calls.step("two")]).play(form)
    assert calls == ["one"] * 3
    assert ended.run.status == RunStatus.error
    assert ended.run.content == "step 'one' stopped the workflow: disk is full"
    assert not ended.events or ends_in_error(ended)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "error",
    [
        OutputCheckError("no"),
        OutputBlocked(Verdict(False, "Judge", ("no",))),
    ],
    ids=["agno", "ours"],
)
def test_a_function_in_which_a_check_refused_is_not_tried_again_nor_skipped(
    error: Exception, form: str, calls: Calls, tmp_path: Path
) -> None:
    refused = calls.step("one", _raise(error), max_retries=2, skip_on_failure=True)
    ended = Stage(tmp_path, [refused, calls.step("two")]).play(form)
    assert calls == ["one"]
    assert ended.run.content == "step 'one' stopped the workflow: no"


@pytest.mark.parametrize("form", FORMS)
def test_a_function_that_may_be_skipped_is(form: str, calls: Calls, tmp_path: Path) -> None:
    failing = calls.step("one", _raise(OSError("no")), max_retries=0, skip_on_failure=True)
    ended = Stage(tmp_path, [failing, calls.step("two")]).play(form)
    assert calls == ["one", "two"]
    assert ended.run.status == RunStatus.completed


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrap", [list, lambda steps: [Steps(name="S", steps=steps)]])
def test_a_function_that_reports_a_failure_stops_the_workflow(
    wrap: Any, form: str, calls: Calls, tmp_path: Path
) -> None:
    report = StepOutput(content="secret", success=False, error="not enough sources")
    steps = [calls.step("one", lambda: report), calls.step("two")]
    ended = Stage(tmp_path, wrap(steps)).play(form)
    assert calls == ["one"]
    assert ended.run.content == "step 'one' stopped the workflow: not enough sources"
    assert "secret" not in ended.shown


def _yields_a_run(step_input: StepInput) -> Iterator[Any]:
    yield REFUSED


def _yields_an_event(step_input: StepInput) -> Iterator[Any]:
    yield RunErrorEvent(content="refused")


def _yields_and_raises(step_input: StepInput) -> Iterator[Any]:
    yield "a word"
    raise OutputCheckError("refused")


async def _returns_a_run(step_input: StepInput) -> RunOutput:
    return REFUSED


async def _raises(step_input: StepInput) -> str:
    raise OutputCheckError("refused")


async def _yields_a_run_async(step_input: StepInput) -> AsyncIterator[Any]:
    yield REFUSED


SYNC = (_yields_a_run, _yields_an_event, _yields_and_raises)
ASYNC = (_returns_a_run, _raises, _yields_a_run_async)


@pytest.mark.parametrize(
    ("function", "form"),
    [(f, form) for f in SYNC for form in FORMS]
    + [(f, form) for f in ASYNC for form in ("arun", "astream")],
)
def test_what_a_function_hands_on_of_a_refused_run_stops_the_workflow(
    function: Any, form: str, calls: Calls, tmp_path: Path
) -> None:
    ended = Stage(tmp_path, [Step(name="one", executor=function), calls.step("two")]).play(form)
    assert calls == []
    assert ended.run.content == "step 'one' stopped the workflow: refused"


@pytest.mark.parametrize("form", FORMS)
def test_a_person_may_still_decide_about_a_function_that_failed(
    form: str, calls: Calls, tmp_path: Path
) -> None:
    review = HumanReview(on_error="pause")
    failing = calls.step("one", _raise(OSError("no")), max_retries=0, human_review=review)
    ended = Stage(tmp_path, [failing, calls.step("two")]).play(form)
    assert calls == ["one"]
    assert ended.run.status == RunStatus.paused


def _refuses(step_input: StepInput) -> Any:
    raise OutputCheckError("refused")


async def _refuses_async(step_input: StepInput) -> Any:
    raise OutputCheckError("refused")


ASKING = {
    "evaluator": lambda ask, step: Condition(name="box", evaluator=ask, steps=[step]),
    "selector": lambda ask, step: Router(name="box", selector=ask, choices=[step]),
    "end_condition": lambda ask, step: Loop(name="box", end_condition=ask, steps=[step]),
}


@pytest.mark.parametrize("asked", ASKING)
@pytest.mark.parametrize(
    ("ask", "form"),
    [(_refuses, form) for form in FORMS] + [(_refuses_async, f) for f in ("arun", "astream")],
)
def test_a_refusal_in_a_function_of_a_container_stops_the_workflow(
    asked: str, ask: Any, form: str, calls: Calls, tmp_path: Path
) -> None:
    stage = Stage(tmp_path, [ASKING[asked](ask, calls.step("one")), calls.step("two")])
    ended = stage.play(form)
    assert "two" not in calls
    assert ended.run.status == RunStatus.error
    assert ended.run.content == f"step 'box.{asked}' stopped the workflow: refused"


def test_the_functions_of_containers_answer_as_before(calls: Calls, tmp_path: Path) -> None:
    def pick(step_input: StepInput, step_choices: list[Any]) -> Any:
        return [step_choices[1], "one"]

    async def done(outputs: list[StepOutput]) -> bool:
        return True

    steps = [
        Router(name="R", selector=pick, choices=[calls.step("one"), calls.step("two")]),
        Loop(name="L", end_condition=done, steps=[calls.step("three")], max_iterations=3),
    ]
    ended = Stage(tmp_path, steps).play("arun")
    assert calls == ["two", "one", "three"]
    assert ended.run.status == RunStatus.completed


@pytest.mark.parametrize("form", FORMS)
def test_an_evaluator_that_just_fails_is_left_to_the_host(
    form: str, calls: Calls, tmp_path: Path
) -> None:
    def broken(step_input: StepInput) -> bool:
        raise OSError("no")

    ended = Stage(tmp_path, [Condition(name="box", evaluator=broken, steps=[])]).play(form)
    assert ended.run.status == RunStatus.completed
