"""What a guard's forms rely on: who asks how a hook is called, who awaits it, what is in reach."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import InputCheckError
from agno.guardrails import BaseGuardrail
from agno.hooks import hook
from agno.run.base import RunStatus
from agno.team import Team
from agno.team.mode import TeamMode
from agno.team.task import TaskList, load_task_list
from agno.tools.function import Function, FunctionCall
from agno.utils.hooks import (
    filter_hook_args,
    is_guardrail_hook,
    normalize_post_hooks,
    normalize_pre_hooks,
    should_run_hook_in_background,
)
from fastapi import BackgroundTasks
from host_model import WAYS, Log, Scripted, calling, go, pin, says

from agno_portkey.guardrails import Guard, Passage
from agno_portkey.guardrails.either import _ASKING, _awaits_on_the_spot
from agno_portkey.guardrails.tool_form import free_variable

EITHER, FORMS = "guardrails/either.py", "guardrails/forms.py"
TOOL_FORM, DELEGATIONS = "guardrails/tool_form.py", "guardrails/delegations.py"
KINDS = ("agent", "team")
POINTS = ("pre_hooks", "post_hooks")
NORMALIZERS = (normalize_pre_hooks, normalize_post_hooks)


def owner_of(kind: str, model: Scripted, **fields: Any) -> Any:
    if kind == "agent":
        return Agent(name="solo", model=model, **fields)
    return Team(name="crew", model=model, members=[Agent(name="a", model=says())], **fields)


def caller(frame: FrameType | None) -> FrameType:
    """The first frame that does not look at functions for others."""
    while frame is not None and frame.f_globals.get("__name__") in _ASKING:
        frame = frame.f_back
    assert frame is not None
    return frame


async def _async_form() -> None:
    """What the spy looks like where it is asked to be awaited."""


def _plain_form() -> None:
    """What it looks like elsewhere."""


class Spy:
    """A form of a guardrail that notes the frames that ask about it, and those that call it."""

    __name__ = "spy"
    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, owner: BaseGuardrail, *, is_async: bool) -> None:
        self.__self__ = owner
        # Without one, whoever wants a signature asks as well.
        self.__signature__ = inspect.signature(self.__call__)
        self.form = _async_form if is_async else _plain_form
        self.asked: list[FrameType] = []
        self.called: list[tuple[FrameType, bool]] = []

    @property
    def __code__(self) -> CodeType:
        self.asked.append(caller(sys._getframe(1)))
        return self.form.__code__

    def __call__(self, run_input: Any = None, run_output: Any = None) -> Any:
        frame = sys._getframe(1)
        self.called.append((frame, _awaits_on_the_spot(frame)))
        return self.form()


class Spied(BaseGuardrail):
    def __init__(self) -> None:
        self.check = Spy(self, is_async=False)  # type: ignore[assignment]
        self.async_check = Spy(self, is_async=True)  # type: ignore[assignment]

    def check(self, run_input: Any) -> None: ...

    async def async_check(self, run_input: Any) -> None: ...


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("the frame that asks whether a hook is async calls it, and awaits it on the spot", EITHER)
async def test_who_asks_also_calls(way: str, kind: str, point: str, background: bool) -> None:
    guard = Spied()
    owner = owner_of(kind, says("answer"), **{point: [guard]})
    options = {}
    if background:
        owner._run_hooks_in_background = True
        options["background_tasks"] = BackgroundTasks()
    await go(owner, way, **options)
    is_async = way in ("arun", "astream")
    used, unused = guard.check, guard.async_check
    if is_async:
        used, unused = unused, used
    assert isinstance(used, Spy)
    assert isinstance(unused, Spy)
    assert (unused.asked, unused.called) == ([], [])
    [(frame, on_the_spot)] = used.called
    assert all(asking is frame for asking in used.asked)
    # Of sync runs an agent's alone asks, and not if its hooks are in the background.
    assert bool(used.asked) is (is_async or (kind == "agent" and not background))
    assert frame.f_globals["__name__"] == f"agno.{kind}._hooks"
    flags = inspect.CO_ASYNC_GENERATOR if is_async else inspect.CO_GENERATOR
    assert frame.f_code.co_flags & flags
    assert on_the_spot is is_async


@pytest.mark.parametrize("normalize", NORMALIZERS)
@pin("a guardrail's form is taken once as it is, and asked about where it is plain", EITHER)
def test_a_form_is_kept_as_it_is(normalize: Callable[..., Any]) -> None:
    guard = Spied()
    assert normalize([guard]) == [guard.check]
    assert normalize([guard], async_mode=True) == [guard.async_check]
    spy = guard.check
    assert isinstance(spy, Spy)
    # A form that is there already, as after a first run, is taken for a plain hook.
    assert normalize([spy]) == normalize([spy], async_mode=True) == [spy]
    assert {frame.f_code.co_name for frame in spy.asked} == {normalize.__name__}
    with pytest.raises(ValueError, match="an async hook"):
        normalize([guard.async_check])


@pin("a hook is a guardrail's if its __self__ is one; its arguments are those it names", EITHER)
def test_what_makes_a_hook_a_guardrails() -> None:
    form = Spied().check
    assert is_guardrail_hook(form)
    assert not is_guardrail_hook(Spied().__init__.__func__)  # type: ignore[misc]
    assert not should_run_hook_in_background(form)
    assert filter_hook_args(form, {"run_input": 1, "agent": 2}) == {"run_input": 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("where pre-hooks are executed, run_response is the output of the run that starts", FORMS)
async def test_the_output_is_in_reach_of_a_pre_hook(way: str, kind: str) -> None:
    found: list[Any] = []

    def look(run_context: Any) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not frame.f_code.co_name.endswith("execute_pre_hooks"):
            frame = frame.f_back
        assert frame is not None
        found.append((frame.f_locals["run_response"], run_context.run_id))

    outcome = await go(owner_of(kind, says("answer"), pre_hooks=[look]), way)
    [(output, run_id)] = found
    assert output.run_id == run_id
    assert outcome.run is output


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["stream", "astream"])
@pin("the event that a pre-hook starts holds a copy of the input, and is stored with it", FORMS)
async def test_the_event_of_a_pre_hook_has_the_input_as_it_was(way: str, kind: str) -> None:
    def rewrite(run_input: Any) -> None:
        run_input.input_content = "rewritten"

    owner = owner_of(kind, says(), pre_hooks=[rewrite], store_events=True)
    outcome = await go(owner, way, "original")
    held = [e.run_input.input_content for e in outcome.run.events if "PreHook" in e.event]
    assert held == ["original", "rewritten"]


class Refuses(Guard):
    def inspect(self, passage: Passage) -> None:
        raise InputCheckError("refused")


@pytest.mark.parametrize("kind", KINDS)
@pin("a guard that is wrapped to run in the background of a server blocks no run", FORMS)
async def test_a_guard_in_the_background_blocks_nothing(kind: str) -> None:
    tasks = BackgroundTasks()
    wrapped = hook(run_in_background=True)(Refuses())
    assert should_run_hook_in_background(wrapped)
    owner = owner_of(kind, says("answer"), pre_hooks=[wrapped])
    out = await owner.arun("x", background_tasks=tasks)
    assert out.status is RunStatus.completed
    assert len(tasks.tasks) == 1
    # Outside of a server it does.
    assert (await owner.arun("x")).status is RunStatus.error


# Tools


def tool(word: str) -> str:
    return f"found {word}"


async def atool(word: str) -> str:
    return f"found {word}"


def called(how: str, entrypoint: Callable[..., Any], *hooks: Any) -> tuple[FunctionCall, Any]:
    function = Function.from_callable(entrypoint)
    function.tool_hooks = [*hooks]
    call = FunctionCall(function=function, arguments={"word": "raw"})
    done = call.execute() if how == "execute" else asyncio.run(call.aexecute())
    return call, done.result


HOW = [("execute", tool), ("aexecute", tool), ("aexecute", atool)]


@pytest.mark.parametrize(("how", "entrypoint"), HOW)
@pin("a tool gets what the record of its call holds, not what its hooks hand on", TOOL_FORM)
def test_the_record_is_what_a_tool_is_called_with(how: str, entrypoint: Any) -> None:
    def hands_on(function_call: Any, arguments: dict[str, Any]) -> Any:
        return function_call(word="handed on")

    def in_place(function_call: Any, arguments: dict[str, Any]) -> Any:
        arguments["word"] = "in place"
        return function_call(**arguments)

    assert called(how, entrypoint, hands_on)[1] == "found raw"
    assert called(how, entrypoint, in_place)[1] == "found in place"
    # Which only the outermost hook can reach.
    assert called(how, entrypoint, hands_on, in_place)[1] == "found raw"


@pytest.mark.parametrize(("how", "entrypoint"), HOW)
@pin("what a tool hook calls has the record of the call in reach", TOOL_FORM)
def test_the_record_is_in_reach_of_every_hook(how: str, entrypoint: Any) -> None:
    found: list[Any] = []

    def look(function_call: Any, arguments: dict[str, Any]) -> Any:
        inner = inspect.getclosurevars(function_call).nonlocals["inner_func"]
        found.append(inspect.getclosurevars(inner).nonlocals["self"])
        return function_call(**arguments)

    call, _ = called(how, entrypoint, look, look)
    assert [each is call for each in found] == [True, True]


@pytest.mark.parametrize(("how", "entrypoint"), HOW)
@pin(
    "an object as tool hook is called plainly; what it gives to await is awaited", FORMS, TOOL_FORM
)
def test_what_a_plain_tool_hook_gives_to_await_is_awaited(how: str, entrypoint: Any) -> None:
    seen: list[bool] = []

    class Hook:
        def __call__(self, function_call: Any, arguments: dict[str, Any]) -> Any:
            seen.append(inspect.iscoroutinefunction(function_call))
            result = function_call(**arguments)
            return self.later(result) if seen[-1] else result

        async def later(self, result: Any) -> str:
            return f"awaited: {await result}"

    _, result = called(how, entrypoint, Hook())
    assert seen == [how == "aexecute"]
    assert result == ("awaited: found raw" if how == "aexecute" else "found raw")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("a tool hook is given the messages of the run that the model is asked with", TOOL_FORM)
async def test_the_messages_are_in_reach_of_a_tool_hook(way: str, kind: str) -> None:
    found: list[Any] = []

    def look(run_context: Any, function_call: Any, arguments: dict[str, Any]) -> Any:
        asking = [message for message in run_context.messages if message.tool_calls]
        found.extend(asking)
        for message in asking:
            message.content = "changed"
        return function_call(**arguments)

    held: Any = [tool]
    model = says(calling("tool", word="raw"), "answer")
    owner = owner_of(kind, model, tools=held, tool_hooks=[look])
    outcome = await go(owner, way)
    [asking] = found
    assert any(message is asking for message in outcome.run.messages)
    assert ("assistant", "changed") in model.calls[-1]["prompt"]


@pytest.mark.parametrize("way", WAYS)
@pin("a task's tool holds as task_list what the host goes on with and stores", DELEGATIONS)
async def test_the_list_of_tasks_is_in_reach_of_its_tools(way: str) -> None:
    """Where its result is noted as that of a task that failed, and the state is written anew."""
    found: list[Any] = []

    def run_it(kwargs: dict[str, Any]) -> Any:
        [made] = load_task_list(team_state()).tasks
        return calling("execute_task", task_id=made.id, member_id="a")

    def team_state() -> Any:
        return found[0].function._run_context.session_state

    def look(function_call: Any, arguments: dict[str, Any]) -> Any:
        call = free_variable(free_variable(function_call, "inner_func"), "self")
        found.append(call)
        return function_call(**arguments)

    task = calling("create_task", title="one", description="do it", assignee="a")
    model = Scripted(answers=Log([task, run_it, calling("mark_all_complete", summary="done")]))
    member = Agent(name="a", model=says("answer"))
    team = Team(name="crew", model=model, members=[member], mode=TeamMode.tasks, tool_hooks=[look])
    await go(team, way)
    executing = next(call for call in found if call.function.name == "execute_task")
    tasks = free_variable(inspect.unwrap(executing.function.entrypoint), "task_list")
    assert isinstance(tasks, TaskList)
    [made] = tasks.tasks
    assert made.result == "answer"
    assert load_task_list(team_state()).tasks == [made]
