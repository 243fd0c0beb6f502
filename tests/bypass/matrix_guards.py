"""The guard of the matrix, ours and a careful Agno user's, with its faults, and its places."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import Any

from agno.agent import Agent
from agno.exceptions import CheckTrigger, InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail
from agno.hooks import hook
from agno.team import Team

from agno_portkey.guardrails import Block, Guard, Passage

__all__ = ["FORBIDDEN", "NAME", "NoBirds", "everyone", "guard_for", "install", "plain_guard_for"]

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
        # Where it found the word, in order: "pre", "post", "tool" or "model".
        self.places: list[str] = []
        super().__init__(**settings)

    def inspect(self, passage: Passage) -> Any:
        if FORBIDDEN not in passage.text.lower():
            return None
        self.places.append(passage.scene.stage)
        return self.find(passage)


class NoBirdsAsync(NoBirds):
    name = NAME

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
            # Long enough for a busy machine to hear what is not forbidden in time.
            return NoBirds(hangs, timeout=0.15, **settings)
        case "junk":
            return NoBirds(_junk, **settings)
        case "async only":
            return NoBirdsAsync(_says_no, **settings)
    return NoBirds(_says_no, **settings)


# A careful user's


class PlainBirds(BaseGuardrail):
    """One class for input and output, as Agno's hooks pass either by its name."""

    def __init__(self, find: Callable[[str], None]) -> None:
        self._find = find
        self.found = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> PlainBirds:
        return self  # a server's copy counts here, too

    def find(self, text: str) -> None:
        self.found += 1
        self._find(text)

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

    trigger = (
        CheckTrigger.INPUT_NOT_ALLOWED
        if kind is InputCheckError
        else CheckTrigger.OUTPUT_NOT_ALLOWED
    )

    def says_no(text: str) -> None:
        raise kind(REASON, check_trigger=trigger)

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

    async def checked(awaited: Any) -> Any:
        result = await awaited
        check(result)
        return result

    def around(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
        check(arguments)
        result = function_call(**arguments)
        if isawaitable(result):
            return checked(result)
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
    """Put the guard into the lists of `stage`, of `owner` and its members.

    Where it belongs into the model it gets all the lists that see some of what the model does.
    """
    ours = isinstance(guard, Guard)
    for each in everyone(owner):
        if stage in ("pre", "model in"):
            each.pre_hooks = [_behind(guard.check) if background else guard]
        if stage in ("post", "model out"):
            each.post_hooks = [_behind(guard.check) if background else guard]
        if stage == "model in" or (stage.startswith("tool") and isinstance(each, Agent)):
            around = guard if ours else _plain_tool_hook(guard)
            each.tool_hooks = [_behind(around) if background else around]


def _behind(check: Any) -> Any:
    """What a user makes of a hook who wants it out of the way of the request."""
    return hook(run_in_background=True)(check)
