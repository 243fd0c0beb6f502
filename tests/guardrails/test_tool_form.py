"""A guard round a tool: on its arguments and its result, and never round what it can't read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import AgentRunException
from agno.team import Team
from agno.tools.function import Function, FunctionCall, ToolResult
from agno.utils.hooks import get_hook_name
from four_forms import FORMS, play
from gathered import MASK, WORD, Beside, Mask, Whole
from pydantic import BaseModel

from agno_portkey.errors import ToolRefused
from agno_portkey.guardrails import Block, Guard, Passage, guard
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.verdict import Event

HOW = ("execute", "aexecute")


class Awaits(Whole):
    inline = False

    async def inspect(self, passage: Passage) -> Block | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().inspect(passage)


class MaskBeside(Mask):
    inline = False


def called(how: str, tool: Callable[..., Any], *hooks: Any, **arguments: Any) -> Any:
    """What the host makes of one call of `tool`."""
    function = Function.from_callable(tool)
    function.tool_hooks = [*hooks]
    call = FunctionCall(function=function, arguments=arguments)
    done = call.execute() if how == "execute" else asyncio.run(call.aexecute())
    assert done.status == "success", done.error
    return done.result


def text(word: str = WORD) -> str:
    return f"Found the {word}."


async def atext(word: str = WORD) -> str:
    return text(word)


def passes(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """A hook that hands on a copy of what it was given."""
    return function_call(**arguments)


def strips(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """One that means to change it, which changes nothing for the tool."""
    return function_call(**{**arguments, "word": "harmless"})


async def apasses(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return await function_call(**arguments)


OTHERS = {"execute": (passes, strips), "aexecute": (passes, apasses, strips)}

# Both kinds of tool in both kinds of run, but for what the host itself refuses.
RUN = [("execute", text), ("aexecute", text), ("aexecute", atext)]


@pytest.mark.parametrize(("how", "tool"), RUN)
@pytest.mark.parametrize("made", [Whole, Beside, Awaits])
def test_arguments_and_results_are_looked_at(
    made: type[Guard], how: str, tool: Callable[..., Any]
) -> None:
    assert called(how, tool, made(), word="heron") == "Found the heron."
    refused = f"{tool.__name__} was refused: a secret project is named"
    with pytest.raises(ToolRefused, match=refused):
        called(how, tool, made(), word=WORD)
    result = f"{tool.__name__} gave a result that was refused: a secret"
    with pytest.raises(AgentRunException, match=result):
        called(how, tool, made())


@pytest.mark.parametrize(("how", "tool"), RUN)
@pytest.mark.parametrize("made", [Mask, MaskBeside])
def test_arguments_and_results_are_rewritten(
    made: type[Guard], how: str, tool: Callable[..., Any]
) -> None:
    given: list[str] = []

    def notes(word: str = WORD) -> str:
        given.append(word)
        return f"Found the {WORD}."

    async def anotes(word: str = WORD) -> str:
        return notes(word)

    noting = anotes if tool is atext else notes
    assert called(how, noting, made(), word=f"x {WORD}") == f"Found the {MASK}."
    # Whatever other hooks hand on, and wherever among them it stands.
    assert called(how, noting, *OTHERS[how], made(), word=f"x {WORD}") == f"Found the {MASK}."
    assert called(how, noting, made(), *OTHERS[how], word=f"x {WORD}") == f"Found the {MASK}."
    assert given == [f"x {MASK}"] * 3


@pytest.mark.parametrize("how", HOW)
def test_a_tool_that_was_refused_has_not_run(how: str) -> None:
    ran: list[str] = []
    with pytest.raises(ToolRefused):
        called(how, lambda to: ran.append(to), Whole(), to={"deep": [WORD]})
    assert ran == []


class Found(BaseModel):
    name: str


@dataclass
class Held:
    name: str


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "result",
    [
        {"deep": [{"name": WORD}]},
        {WORD: 1},
        (WORD, 1),
        {WORD},
        WORD.encode(),
        Found(name=WORD),
        [Found(name=WORD)],
        Held(WORD),
        ToolResult(content=WORD),
    ],
    ids=lambda result: type(result).__name__,
)
def test_whatever_a_tool_returns_is_looked_into(how: str, result: Any) -> None:
    with pytest.raises(ToolRefused, match="gave a result that was refused"):
        called(how, lambda: result, Whole())


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("result", [None, True, 7, [], {}])
def test_what_says_nothing_comes_through_as_it_is(how: str, result: Any) -> None:
    assert called(how, lambda: result, Whole(), Mask()) is result


def test_arguments_go_on_rewritten_to_whoever_takes_them_and_to_nobody_else() -> None:
    def takes(**arguments: Any) -> Any:
        return arguments

    given: dict[str, Any] = {"word": WORD}
    assert Mask()(function_name="find", function_call=takes, arguments=given) == {"word": MASK}
    with pytest.raises(ToolRefused, match="find can't be given arguments that a guard rewrote"):
        Mask()(function_name="find", function_call=get_hook_name, arguments={"hook": WORD})
    assert Mask()(function_call=get_hook_name, arguments={"hook": "x"}) == "str"
    assert Mask()(function_call=partial(takes, to="x")) == {"to": "x"}


async def _outer(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """An async hook round the guard, which the host gives whatever is left to await."""
    result = await function_call(**arguments)
    return await result if asyncio.iscoroutine(result) else result


@pytest.mark.parametrize("hooks", [(), (_outer,)])
def test_what_a_plain_tool_gives_to_await_is_looked_at_too(hooks: Any) -> None:
    assert called("aexecute", lambda: text("heron"), *hooks, Whole()) == "Found the heron."
    with pytest.raises(ToolRefused, match="gave a result that was refused"):
        called("aexecute", lambda: atext(), *hooks, Whole())

    async def twice() -> Any:
        return atext()

    with pytest.raises(ToolRefused, match="gave a result that was refused"):
        called("aexecute", twice, *hooks, Whole())


@pytest.mark.parametrize("how", HOW)
def test_a_guard_that_fails_or_hangs_refuses_the_tool(how: str) -> None:
    forever = threading.Event()

    @guard(timeout=0.05)
    def hangs(passage: Passage) -> None:
        forever.wait()

    @guard
    def fails(passage: Passage) -> None:
        raise ValueError("its list is gone")

    with pytest.raises(ToolRefused, match=r"no verdict within 0\.05 s"):
        called(how, text, hangs, word="x")
    forever.set()
    with pytest.raises(ToolRefused, match=r"fails failed: ValueError$"):
        called(how, text, fails, word="x")
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ToolRefused, match="Whole can't tell"):
        called(how, lambda to: to, Whole(), to=deep)


@pytest.mark.parametrize("how", HOW)
def test_several_guards_stand_one_round_the_other(how: str) -> None:
    heard: list[Event] = []
    inner = Whole(observers=[heard.append])
    assert called(how, text, Mask(), inner, word=WORD) == f"Found the {MASK}."
    assert [(e.data["stage"], e.data["side"]) for e in heard] == [
        ("tool", "input"),
        ("tool", "output"),
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tool", [text, atext])
def test_an_agents_model_reads_why_and_goes_on(
    tool: Callable[..., Any],
    form: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    if tool is atext and form in ("run", "stream"):
        tool = text  # the host refuses async tools in a sync run
    heard: list[Event] = []
    portkey_model.observers = (heard.append,)
    portkey_provider.reply(Reply(tool_calls=(ToolCall(tool.__name__, {"word": "heron"}),)))
    portkey_provider.reply(Reply(tool_calls=(ToolCall(tool.__name__, {"word": WORD}),)))
    portkey_provider.reply("Sorry.")
    agent = Agent(name="solo", model=portkey_model, tools=[tool], tool_hooks=[Beside()])
    assert play(agent, form).content == "Sorry."
    first, second = portkey_provider.calls[2].tool_results
    assert first == "Found the heron."
    assert second == f"{tool.__name__} was refused: a secret project is named"
    guards = [event for event in heard if event.kind == "guard"]
    assert [event.verdict.passed for event in guards if event.verdict] == [True, True, False]
    assert {(event.role, event.swarm) for event in guards} == {("solo", None)}


@pytest.mark.parametrize("how", ["run", "arun"])
def test_a_teams_delegation_is_looked_at(
    how: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    task = {"member_id": "a", "task": f"Describe the {WORD}."}
    portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
    portkey_provider.reply("Sorry.")
    member = Agent(name="a", model=portkey_model)
    team = Team(name="crew", model=portkey_model, members=[member], tool_hooks=[Whole()])
    out = team.run("Hi") if how == "run" else asyncio.run(_run(team))
    assert out.content == "Sorry."
    [result] = portkey_provider.calls[1].tool_results
    assert result == "delegate_task_to_member was refused: a secret project is named"
    assert len(portkey_provider.calls) == 2


async def _run(team: Team) -> Any:
    return await team.arun("Hi")


def test_a_guard_that_is_called_without_a_call_of_the_hosts_refuses_too() -> None:
    hook = Whole(on="input")
    with pytest.raises(AgentRunException):
        hook(function_name="text", function_call=text, arguments={"word": WORD})
