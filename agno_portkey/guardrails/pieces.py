"""Lets a streamed answer go piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from agno.models.response import ModelResponse

from agno_portkey.guardrails.answer import Held
from agno_portkey.guardrails.passages import Source
from agno_portkey.guardrails.segments import AsyncTogether, Release, Segments

__all__ = ["Pieces"]


class Pieces:
    """The words of one answer, let go in pieces; `ask` gives the verdict of each.

    It takes a piece, where it is from and what stands before it, and returns what may be shown.
    `together` tells which ranges of a long piece are not to be cut apart.
    """

    def __init__(
        self,
        ask: Callable[[str, Source, str], Awaitable[str]],
        release: Release = "segment",
        together: AsyncTogether | None = None,
    ) -> None:
        self._ask = ask
        self._together = together
        apart = together is None
        self._thoughts, self._text = Segments(release, apart=apart), Segments(release, apart=apart)
        self._speaks = False

    async def released(self, held: Held) -> AsyncIterator[ModelResponse]:
        """What can be shown of the words that `held` has got."""
        for thought in held.reasoning:
            for piece in await self._fed(self._thoughts, thought):
                yield await self._thought(piece)
        held.reasoning.clear()
        if not self._speaks and any(held.content):
            # Once: whoever takes turns at both would cut what it thinks wherever it likes.
            self._speaks = True
            if last := self._thoughts.flush():
                yield await self._thought(last)
        for text in held.content:
            for piece in await self._fed(self._text, text):
                yield await self._said(piece)
        held.content.clear()

    async def rest(self) -> AsyncIterator[ModelResponse]:
        """What is left of them at the end."""
        if last := self._thoughts.flush():
            yield await self._thought(last)
        if last := self._text.flush():
            yield await self._said(last)

    async def _fed(self, segments: Segments, text: str) -> list[str]:
        if self._together is None:
            return segments.feed(text)
        return await segments.afeed(text, self._together)

    async def _thought(self, piece: str) -> ModelResponse:
        let_go = await self._ask(piece, "reasoning", self._thoughts.before)
        self._thoughts.passed(piece)
        return ModelResponse(reasoning_content=let_go)

    async def _said(self, piece: str) -> ModelResponse:
        let_go = await self._ask(piece, "assistant", self._text.before)
        self._text.passed(piece)
        return ModelResponse(content=let_go)
