"""`check` and `async_check` are done once, however they are asked for, called and awaited."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.hooks import hook
from agno.run.agent import RunInput
from agno.run.base import RunStatus
from agno.utils.hooks import is_guardrail_hook
from four_forms import play
from starlette.background import BackgroundTask

from agno_portkey.errors import ConfigurationError, InputBlocked
from agno_portkey.guardrails import Block, Guard, Passage, guard
from agno_portkey.model import PortkeyModel

FORMS = ("check", "async_check")
BODIES = ("plain", "async", "inline")


def made(body: str, said: Block | None, asked: list[str]) -> Guard:
    def look(passage: Passage) -> Block | None:
        asked.append(passage.text)
        return said

    async def alook(passage: Passage) -> Block | None:
        await asyncio.sleep(0)
        return look(passage)

    return guard(name="g", inline=body == "inline")(alook if body == "async" else look)


def asks(form: Any) -> bool:
    """As a helper of the host would."""
    return inspect.iscoroutinefunction(form)


# Ways to call a form, of the host and of others. Each is given the form and what to ask about.


def plainly(form: Any, about: RunInput) -> None:
    form(run_input=about)


def after_asking(form: Any, about: RunInput) -> None:
    assert not inspect.iscoroutinefunction(form)
    assert not asyncio.iscoroutinefunction(form)
    form(run_input=about)


def in_a_wrapper(form: Any, about: RunInput) -> None:
    hook(run_in_background=True)(form)(run_input=about)


def in_a_generator(form: Any, about: RunInput) -> None:
    def host() -> Any:
        if inspect.iscoroutinefunction(form):
            return
        form(run_input=about)
        yield

    next(host())


async def awaited(form: Any, about: RunInput) -> None:
    await form(run_input=about)


async def awaited_after_asking(form: Any, about: RunInput) -> None:
    assert inspect.iscoroutinefunction(form)
    assert asyncio.iscoroutinefunction(form)
    await form(run_input=about)


async def in_an_async_generator(form: Any, about: RunInput) -> None:
    async def host() -> AsyncIterator[int]:
        if inspect.iscoroutinefunction(form):
            await form(run_input=about)
        else:
            form(run_input=about)
        yield 1

    assert [each async for each in host()] == [1]


async def a_helper_asks(form: Any, about: RunInput) -> None:
    if asks(form):
        await form(run_input=about)
    else:
        form(run_input=about)


async def a_helper_asks_and_all_is_awaited(form: Any, about: RunInput) -> None:
    asks(form)
    await form(run_input=about)


async def a_comprehension_asks(form: Any, about: RunInput) -> None:
    for is_async, each in [(inspect.iscoroutinefunction(one), one) for one in (form,)]:
        if is_async:
            await each(run_input=about)
        else:
            each(run_input=about)


async def awaited_if_it_can_be(form: Any, about: RunInput) -> None:
    asks(form)
    result = form(run_input=about)
    if inspect.isawaitable(result):
        await result


async def in_a_partial(form: Any, about: RunInput) -> None:
    part = functools.partial(form, run_input=about)
    if inspect.iscoroutinefunction(part):
        await part()
    else:
        part()


async def in_a_decorated_hook(form: Any, about: RunInput) -> None:
    hook()(form)(run_input=about)


async def on_a_thread(form: Any, about: RunInput) -> None:
    await asyncio.to_thread(form, about)


async def as_a_task_of_a_server(form: Any, about: RunInput) -> None:
    await BackgroundTask(form, run_input=about)()


PLAIN = (plainly, after_asking, in_a_wrapper, in_a_generator)
ASYNC = (
    awaited,
    awaited_after_asking,
    in_an_async_generator,
    a_helper_asks,
    a_helper_asks_and_all_is_awaited,
    a_comprehension_asks,
    awaited_if_it_can_be,
    in_a_partial,
    in_a_decorated_hook,
    on_a_thread,
    as_a_task_of_a_server,
)


def run_all(way: Callable[..., Any], form: Any, about: RunInput) -> None:
    outcome = way(form, about)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", [*PLAIN, *ASYNC])
def test_it_is_done_once_in_every_way(way: Callable[..., Any], form: str, body: str) -> None:
    asked: list[str] = []
    run_all(way, getattr(made(body, None, asked), form), RunInput(input_content="x"))
    assert asked == ["x"]
    with pytest.raises(InputBlocked):
        run_all(way, getattr(made(body, Block("no"), asked), form), RunInput(input_content="y"))
    assert asked == ["x", "y"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", [*PLAIN, *ASYNC])
@pytest.mark.parametrize("before", [plainly, after_asking, awaited_after_asking, a_helper_asks])
def test_whoever_had_it_before(before: Any, way: Callable[..., Any], form: str) -> None:
    """The host keeps one form for all runs, whatever theirs is."""
    asked: list[str] = []
    words = {"first": None, "second": Block("no")}
    own = guard(lambda passage: asked.append(passage.text) or words[passage.text])
    kept = getattr(own, form)
    run_all(before, kept, RunInput(input_content="first"))
    with pytest.raises(InputBlocked):
        run_all(way, kept, RunInput(input_content="second"))
    assert asked == ["first", "second"]


async def test_what_is_never_asked_may_be_awaited_later() -> None:
    asked: list[str] = []
    own = made("async", None, asked)
    about = RunInput(input_content="x")
    await asyncio.gather(own.async_check(about), own.async_check(about))
    await asyncio.wait_for(own.async_check(about), 30)
    await asyncio.create_task(own.async_check(about))
    assert asked == ["x"] * 4
    with pytest.raises(InputBlocked):
        # As plain a function as any: nobody has to await it.
        made("plain", Block("no"), asked).check(about)


@pytest.mark.parametrize("first", ["run", "arun"])
def test_a_check_never_holds_up_an_event_loop(first: str, portkey_model: PortkeyModel) -> None:
    """Whichever form its first run left with the agent."""
    met = threading.Event()
    met.set()

    @guard(timeout=30)
    def waits(passage: Passage) -> Block | None:
        return None if met.wait(30) else Block("nobody let it go")

    agent = Agent(model=portkey_model, pre_hooks=[waits])
    play(agent, first)
    met.clear()

    async def lets_go() -> None:
        met.set()

    async def both() -> Any:
        output, _ = await asyncio.gather(agent.arun("Hi"), lets_go())
        return output

    assert asyncio.run(both()).status is RunStatus.completed


@pytest.mark.parametrize("form", FORMS)
def test_what_the_host_makes_of_it(form: str) -> None:
    own = made("plain", None, [])
    bound = getattr(own, form)
    assert is_guardrail_hook(bound)
    assert list(inspect.signature(bound).parameters)[:3] == [
        "run_input",
        "run_output",
        "run_context",
    ]
    assert bound.__name__ == "g"
    assert copy.deepcopy([bound])[0] is bound
    assert copy.copy(bound) is bound
    assert bound == getattr(own, form)
    assert {bound: 1}[getattr(own, form)] == 1
    assert repr(bound) == "<HookForms.check of FunctionGuard('g', on='both', mode='enforce')>"


@pytest.mark.parametrize("form", FORMS)
def test_a_guard_has_no_forms_of_its_own(form: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Own\.{form}: write inspect"):
        type("Own", (Guard,), {form: lambda self, run_input: None})
