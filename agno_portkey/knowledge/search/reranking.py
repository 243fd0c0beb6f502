"""A reranker with a time to do it in: the fused order stands where it fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agno.knowledge.document import Document
from agno.knowledge.reranker.base import Reranker

from agno_portkey.calls import IO
from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.search.found import Cost
from agno_portkey.verdict import failure_told
from agno_portkey.workers import Failed, Job

__all__ = ["Reranking"]


@dataclass(frozen=True, slots=True)
class Reranking:
    """One of Agno's rerankers over the best `candidates`, within `seconds`.

    If it is late, raises, or gives what it was not given, the fused order stands, and the cost
    says why. What it leaves out follows in the fused order.
    """

    reranker: Reranker
    seconds: float = 0.5
    candidates: int = 50

    def __post_init__(self) -> None:
        if not callable(getattr(self.reranker, "rerank", None)):
            raise ConfigurationError("reranker: one of agno.knowledge.reranker")
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float):
            raise ConfigurationError(f"seconds: a number above 0, not {self.seconds!r}")
        if not self.seconds > 0:
            raise ConfigurationError(f"seconds: a number above 0, not {self.seconds!r}")
        if isinstance(self.candidates, bool) or not isinstance(self.candidates, int):
            raise ConfigurationError(f"candidates: a whole number, not {self.candidates!r}")
        if self.candidates < 1:
            raise ConfigurationError(f"candidates: a whole number above 0, not {self.candidates}")

    async def order(
        self, query: str, documents: Sequence[Document], limit: int, io: IO, *, sync: bool
    ) -> tuple[list[int] | None, Cost]:
        """The places of `documents` in their new order, None if there is none; and its cost."""
        began = time.monotonic()
        # It may write into them, also when nobody waits for it any more.
        given = [replace(each, meta_data=dict(each.meta_data)) for each in documents]
        limits: dict[str, Any] = {"limit": limit} if self.reranker.accepts_limit() else {}

        def rerank() -> Any:
            return self.reranker.rerank(query=query, documents=[*given], **limits)

        async def arerank() -> Any:
            return await self.reranker.arerank(query=query, documents=[*given], **limits)

        job = Job(rerank if sync else None, self.seconds, None if sync else arerank)
        [answer] = await io.race([job], lambda place, outcome: False)
        seconds = time.monotonic() - began
        if isinstance(answer, Failed):
            return None, Cost("rerank", seconds, failure=failure_told(answer.error))
        places = _places(answer, given)
        if places is None:
            failure = "the reranker did not give the documents it was given"
            return None, Cost("rerank", seconds, failure=failure)
        left = [place for place in range(len(given)) if place not in set(places)]
        return [*places, *left], Cost("rerank", seconds)


def _places(answer: Any, given: Sequence[Document]) -> list[int] | None:
    """Where the documents in `answer` stood; None if one was not there, or stands there twice."""
    if not isinstance(answer, list | tuple) or (given and not answer):
        return None
    same = {id(document): place for place, document in enumerate(given)}
    alike = {(document.id, document.content): place for place, document in enumerate(given)}
    found: list[int] = []
    for document in answer:
        if not isinstance(document, Document):
            return None
        place = same.get(id(document), alike.get((document.id, document.content)))
        if place is None or place in found:
            return None
        found.append(place)
    return found
