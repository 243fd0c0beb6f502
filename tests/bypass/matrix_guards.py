"""The guard of the matrix, ours and a careful Agno user's, with its faults, and its places."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

from agno.agent import Agent
from agno.exceptions import CheckTrigger, InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail
from agno.hooks import hook
from agno.team import Team

from agno_portkey.guardrails import Block, Guard, Passage

__all__ = ["FORBIDDEN", "NAME", "everyone", "guard_for", "install", "plain_guard_for"]

FORBIDDEN = "bluebird"
NAME = "NoBirds"
REASON = f"{NAME} found a bird"
SIDES = {"pre": "input", "model in": "input", "post": "output", "model out": "output"}

# Set when a cell is over: what hangs is let go then.
Over = threading.Event


def everyone(owner: Agent | Team) -> Iterator[Agent | Team]:
    """`owner` and all its members."""
    yield owner
    for each in getattr(owner, "members", None) or ():
        yield from everyone(each)


# Ours


class NoBirds(Guard):
    """Says no to one word, and does so in a way of its own once it has found it."""

    name = NAME

    def __init__(self, find: Callable[[Passage], Any], **settings: Any) -> None:
        self.find = find
        self.asked = 0
        super().__init__(**settings)

    def inspect(self, passage: Passage) -> Any:
        if FORBIDDEN not in passage.text.lower():
            return None
        self.asked += 1
        return self.find(passage)


class NoBirdsAsync(NoBirds):
    async def inspect(self, passage: Passage) -> Any:
        await asyncio.sleep(0)
        return super().inspect(passage)


def _says_no(passage: Passage) -> Block:
    return Block(REASON)


def _raises(passage: Passage) -> Block:
    raise ValueError(f"can't read {passage.text}")


def _junk(passage: Passage) -> Any:
    return f"no: {passage.text}"


def guard_for(stage: str, fault: str, over: Over) -> NoBirds:
    """Our guard for a stage, with its fault."""
    settings: dict[str, Any] = {"on": SIDES.get(stage, "both"), "stream": "segment"}

    def hangs(passage: Passage) -> Block:
        over.wait(30)
        return Block(REASON)

    match fault:
        case "raises":
            return NoBirds(_raises, **settings)
        case "times out":
            return NoBirds(hangs, timeout=0.03, **settings)
        case "junk":
            return NoBirds(_junk, **settings)
        case "async only":
            return NoBirdsAsync(_says_no, **settings)
    return NoBirds(_says_no, **settings)


# A careful user's


class PlainBirds(BaseGuardrail):
    """One class for input and output, as Agno's hooks pass either by its name."""

    def __init__(self, find: Callable[[str], None]) -> None:
        self.find = find

    def check(self, run_input: Any = None, run_output: Any = None) -> None:
        content = run_input.input_content if run_output is None else run_output.content
        if FORBIDDEN not in str(content).lower():
            return
        try:
            self.find(str(content))
        except OutputCheckError:
            run_output.content = None
            raise

    async def async_check(self, run_input: Any = None, run_output: Any = None) -> None:
        await asyncio.to_thread(self.check, run_input, run_output)


class PlainBirdsAsync(PlainBirds):
    """Written for `arun`: its body awaits."""

    async def check(self, run_input: Any = None, run_output: Any = None) -> None:  # type: ignore[override]
        await self.async_check(run_input, run_output)

    async def async_check(self, run_input: Any = None, run_output: Any = None) -> None:
        await asyncio.sleep(0)
        PlainBirds.check(self, run_input, run_output)


def plain_guard_for(stage: str, fault: str, over: Over) -> PlainBirds:
    """The same for plain Agno; its backend has a time limit, and raises when that is over."""
    kind = InputCheckError if SIDES.get(stage) == "input" else OutputCheckError

    def says_no(text: str) -> None:
        raise kind(REASON, check_trigger=CheckTrigger.INPUT_NOT_ALLOWED)

    def raises(text: str) -> None:
        raise ValueError(f"{NAME} can't read it")

    def hangs(text: str) -> None:
        raise TimeoutError(f"{NAME} got no verdict from its backend")

    def junk(text: str) -> None:
        return None

    find = {"raises": raises, "times out": hangs, "junk": junk}.get(fault, says_no)
    return PlainBirdsAsync(find) if fault == "async only" else PlainBirds(find)


def _plain_tool_hook(guard: PlainBirds) -> Callable[..., Any]:
    """A tool hook of a careful user: Agno's guardrails know nothing of tools."""

    def check(value: Any) -> None:
        if FORBIDDEN in str(value).lower():
            guard.find(str(value))

    def around(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
        check(arguments)
        result = function_call(**arguments)
        check(result)
        return result

    async def around_async(function_name: str, function_call: Any, arguments: Any) -> Any:
        check(arguments)
        result = await function_call(**arguments)
        check(result)
        return result

    return around_async if isinstance(guard, PlainBirdsAsync) else around


# Where it is put


def install(owner: Agent | Team, guard: Any, stage: str, *, background: bool = False) -> None:
    """Put the guard into the lists of `stage`, of `owner` and its members."""
    ours = isinstance(guard, Guard)
    for each in everyone(owner):
        match stage:
            case "pre" | "model in":
                each.pre_hooks = [_hooked(guard, background)]
            case "post" | "model out":
                each.post_hooks = [_hooked(guard, background)]
            case "tool in" | "tool out" if isinstance(each, Agent):
                each.tool_hooks = [guard if ours else _plain_tool_hook(guard)]


def _hooked(guard: Any, background: bool) -> Any:
    """The guard, or what a user makes of it who wants it out of the way of the request."""
    return hook(run_in_background=True)(guard.check) if background else guard
