"""A guard round a tool whose result comes later, or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
from gathered import MASK, WORD, Mask, Whole
from test_tool_form import atext, called

from agno_portkey.errors import ToolRefused


class Later:
    """Something to await that is no coroutine."""

    def __await__(self) -> Generator[Any, None, str]:
        yield
        return WORD


def pieces(word: str = "bird") -> Iterator[str]:
    yield "blue"
    yield word


async def apieces(word: str = "bird") -> AsyncIterator[str]:
    for piece in pieces(word):
        yield piece


async def _outer(function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """An async hook round the guard, which the host gives whatever is left to await."""
    result = await function_call(**arguments)
    return await result if asyncio.iscoroutine(result) else result


@pytest.mark.parametrize("tool", [atext, lambda: Later()])
def test_what_comes_later_in_a_run_that_awaits_nothing_is_refused(tool: Any) -> None:
    with pytest.raises(ToolRefused, match="gives its result later"):
        called("execute", tool, Whole())


@pytest.mark.parametrize(
    ("how", "tool", "hooks"),
    [
        ("execute", pieces, ()),
        ("aexecute", pieces, ()),
        ("aexecute", apieces, ()),
        ("aexecute", pieces, (_outer,)),
    ],
)
def test_what_is_yielded_piece_by_piece_is_held_until_it_is_whole(
    how: str, tool: Any, hooks: Any
) -> None:
    assert yielded(called(how, tool, *hooks, Whole(), word="heron")) == ["blue", "heron"]
    assert yielded(called(how, tool, *hooks, Mask())) == [MASK]
    with pytest.raises(ToolRefused, match="gave a result that was refused"):
        yielded(called(how, tool, *hooks, Whole()))


def yielded(result: Any) -> list[Any]:
    """All that a result has to give, which is none before its verdict."""

    async def awaited() -> list[Any]:
        return [item async for item in result]

    return asyncio.run(awaited()) if hasattr(result, "__anext__") else [*result]
