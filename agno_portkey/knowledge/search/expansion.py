"""More to search for than the query: what its best documents say, or other wordings of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno.knowledge.document import Document
from agno.models.message import Message
from pydantic import BaseModel, Field

from agno_portkey.calls import IO
from agno_portkey.errors import ConfigurationError, Stopped
from agno_portkey.knowledge.search.found import Cost
from agno_portkey.knowledge.search.terms import stems, stop_words, words_of
from agno_portkey.model import PortkeyModel
from agno_portkey.verdict import failure_told
from agno_portkey.workers import Failed, Job

__all__ = ["Expansion", "Feedback", "Rewrites"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """Pseudo-relevance feedback: the query is searched again with what its best documents say.

    No model is asked. By words it is RM3 (Abdul-Jaleel et al., 2004): the `terms` that are most
    likely in the best `documents` have `weight` of the query's weight. By vector it is Rocchio's
    (1971): the mean of theirs is added times `rocchio`. The shares are the usual ones of both;
    how many documents and terms was chosen on the CISI collection.
    """

    documents: int = 5
    terms: int = 20
    weight: float = 0.5
    rocchio: float = 0.75

    def __post_init__(self) -> None:
        for name in ("documents", "terms"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name}: a whole number above 0, not {value!r}")
        if not _is_number(self.weight) or not 0 <= self.weight <= 1:
            raise ConfigurationError(f"weight: between 0 and 1, not {self.weight!r}")
        if not _is_number(self.rocchio) or not 0 <= self.rocchio < math.inf:
            raise ConfigurationError(f"rocchio: a number, at least 0, not {self.rocchio!r}")

    def terms_for(
        self, asked: Mapping[str, float], best: Sequence[tuple[float, Document]]
    ) -> dict[str, float]:
        """The terms of the query and of its best documents, with their weights."""
        if not asked:
            return {}
        spoken, likely = dict[str, Counter[str]](), Counter[str]()
        total = sum(score for score, _ in best)
        for score, document in best:
            words = [word for word in words_of(document.content) if word not in stop_words()]
            share = (score / total if total > 0 else 1 / len(best)) / max(1, len(words))
            for word, stem in zip(words, stems(words), strict=True):
                spoken.setdefault(stem, Counter())[word] += 1
                likely[stem] += share  # type: ignore[assignment]
        known = {term: share for term, share in likely.most_common(self.terms) if share > 0}
        weight = self.weight if known else 0.0
        found: dict[str, float] = {}
        for term, often in asked.items():
            found[term] = (1 - weight) * often / sum(asked.values())
        of_stem = dict(zip(stems([*asked]), asked, strict=True))
        for stem, share in known.items():
            # A word of the query stands for its stem.
            term = of_stem.get(stem) or spoken[stem].most_common(1)[0][0]
            found[term] = found.get(term, 0.0) + weight * share / sum(known.values())
        return {term: score for term, score in found.items() if score > 0}

    def vector_for(
        self, asked: Sequence[float], best: Sequence[tuple[float, Document]]
    ) -> list[float]:
        """The vector of the query, moved towards those of its best documents."""
        near = [d.embedding for _, d in best if d.embedding and len(d.embedding) == len(asked)]
        if not near:
            return [*asked]
        middle = [sum(column) / len(near) for column in zip(*near, strict=True)]
        return [a + self.rocchio * b for a, b in zip(asked, middle, strict=True)]


class _Wordings(BaseModel):
    """Other wordings of a search query."""

    queries: list[str] = Field(description="search queries, each by itself")


@dataclass(frozen=True, slots=True)
class Rewrites:
    """Asks a model for `n` other wordings of the query, which are searched beside it.

    The query counts as much as all of them. If there is no answer within `seconds`, or none that
    can be used, the query is searched alone, and the cost says why.
    """

    model: PortkeyModel
    n: int = 3
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.model, PortkeyModel):
            raise ConfigurationError(f"model: a PortkeyModel, not a {type(self.model).__name__}")
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ConfigurationError(f"n: a whole number above 0, not {self.n!r}")
        if not _is_number(self.seconds) or self.seconds <= 0:
            raise ConfigurationError(f"seconds: a number above 0, not {self.seconds!r}")

    async def of(self, query: str, io: IO, *, sync: bool) -> tuple[list[str], Cost]:
        """Other wordings of `query`, and what they cost."""
        began = time.monotonic()
        messages = self._messages(query)
        asked: dict[str, Any] = {"messages": messages, "response_format": _Wordings}
        job = Job(
            (lambda: self.model.response(**asked)) if sync else None,
            self.seconds,
            None if sync else lambda: self.model.aresponse(**asked),
        )
        [answer] = await io.race([job], lambda place, outcome: False)
        seconds = time.monotonic() - began
        if isinstance(answer, Failed):
            if isinstance(answer.error, Stopped):
                raise answer.error
            failure = failure_told(answer.error)
            return [], Cost("rewrites", seconds, requests=1, failure=failure)
        # The host puts the answer behind what it was asked.
        used = messages[-1].metrics
        tokens, usd = used.input_tokens + used.output_tokens, used.cost
        try:
            found = self._read(query, answer)
        except ValueError:
            failure = "the model's answer is no list of queries"
            return [], Cost("rewrites", seconds, 1, tokens, usd, failure)
        return found, Cost("rewrites", seconds, 1, tokens, usd)

    def _messages(self, query: str) -> list[Message]:
        told = (
            f"Give {self.n} other wordings of the user's search query: other words for the same "
            "thing, what a document that answers it would call it. Add no facts. Do not answer it."
        )
        return [Message(role="system", content=told), Message(role="user", content=query)]

    def _read(self, query: str, answer: Any) -> list[str]:
        said = answer.parsed
        if not isinstance(said, _Wordings):
            said = _Wordings.model_validate_json(answer.content or "")
        seen, found = {query.casefold().strip()}, list[str]()
        for wording in (" ".join(each.split()) for each in said.queries):
            if wording and wording.casefold() not in seen:
                seen.add(wording.casefold())
                found.append(wording)
        return found[: self.n]


Expansion = Feedback | Rewrites


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
