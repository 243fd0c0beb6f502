"""What a callable makes, seen before anybody gets it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["seeing"]


def seeing(inner: Callable[..., Any], seen: Callable[[Any], None]) -> Callable[..., Any]:
    """`inner`, whose products are shown to `seen` first, which may change or refuse them.

    An async `inner` stays one; so does a plain one that gives something to await.
    """

    def shown(result: Any) -> Any:
        seen(result)
        return result

    async def afterwards(result: Awaitable[Any]) -> Any:
        return shown(await result)

    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def produce(*args: Any, **kwargs: Any) -> Any:  # pyright: ignore
            return shown(await inner(*args, **kwargs))

    else:

        @functools.wraps(inner)
        def produce(*args: Any, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            return afterwards(result) if inspect.isawaitable(result) else shown(result)

    return produce
