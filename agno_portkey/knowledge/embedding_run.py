"""Many texts embedded at once: each once, a few requests at a time, and none lost for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.errors import (
    BadResponse,
    Blocked,
    CircuitOpen,
    ContextOverflow,
    GatewayError,
    GatewayUnauthorized,
)
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.passages import Passage, Scene
from agno_portkey.guardrails.stage import Stage
from agno_portkey.knowledge.batches import batches
from agno_portkey.knowledge.embedding_cache import EmbeddingCache, key_of
from agno_portkey.knowledge.embedding_request import Answered, Throttle, requested
from agno_portkey.routing.recovery.settings import Recovery, Remedy, remedy
from agno_portkey.verdict import Event, heard, tell

__all__ = ["Embedded", "Run", "Settings"]

Progress = Callable[[int, int], None]
# These are the gateway's word on all texts, and not on one of them.
_FOR_ALL = (GatewayUnauthorized, CircuitOpen)


@dataclass(frozen=True, slots=True, repr=False)
class Embedded:
    """What came of some texts, in their order.

    `vectors` has an empty list where there is none, and `failures` says why, by place. `tokens`
    has what each text took: none where it was kept, or stood there twice. `requests` are those
    that were sent, tries of the same included; `kept` the texts whose vectors were on disk.
    """

    vectors: list[list[float]]
    tokens: list[int]
    failures: Mapping[int, Exception] = field(default_factory=dict)
    requests: int = 0
    kept: int = 0

    def __repr__(self) -> str:
        # An event loop writes down what its tasks give.
        told = f"{len(self.vectors)} texts, {len(self.failures)} failed, {self.kept} kept"
        return f"Embedded({told}, {self.requests} requests)"

    def require(self) -> list[list[float]]:
        """The vectors, if all are there; else raises what kept the first one from being."""
        if self.failures:
            raise self.failures[min(self.failures)]
        return self.vectors


@dataclass(frozen=True, slots=True)
class Settings:
    """How texts are embedded; see `PortkeyEmbedder`."""

    model: Any
    params: Mapping[str, Any]
    about: Any
    dimensions: int | None
    batch_size: int
    batch_tokens: int
    recovery: Recovery
    throttle: Throttle
    cache: EmbeddingCache | None
    progress: Progress | None


class Run:
    """One list of texts on its way."""

    def __init__(self, settings: Settings, texts: Sequence[str]) -> None:
        self._of = settings
        self._places: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            self._places.setdefault(text, []).append(place)
        self._texts = [*self._places]
        self._vectors: list[list[float]] = [[] for _ in texts]
        self._tokens = [0] * len(texts)
        self._failures: dict[int, Exception] = {}
        self._requests = self._took = self._kept = self._done = 0
        self._lock = threading.Lock()
        self._began = time.monotonic()
        seat = settings.model.seat
        self._scene = Scene(
            role=seat.role if seat is not None else None,
            swarm=seat.swarm if seat is not None else None,
        )

    def pieces(self) -> list[list[str]]:
        """The texts, each once, in batches."""
        found = batches(self._texts, most=self._of.batch_size, tokens=self._of.batch_tokens)
        return [[self._texts[place] for place in batch] for batch in found]

    async def embed(self, texts: list[str], io: IO) -> None:
        """Embed one batch; what fails of it is noted, and only what concerns all is raised."""
        try:
            sent = await self._guarded(texts, io)
        except Blocked as blocked:
            await self._apart(texts, io, blocked)
            return
        keys = [key_of(text, self._of.about) for text in sent]
        cache = self._of.cache
        known = await io.run(lambda: cache.get(keys)) if cache is not None else {}
        missing = [place for place, key in enumerate(keys) if key not in known]
        for place, key in enumerate(keys):
            if key in known:
                self._have(texts[place], known[key], 0, kept=1)
        if not missing:
            return
        try:
            answered = await self._requested([sent[place] for place in missing], io)
        except GatewayError as error:
            await self._apart([texts[place] for place in missing], io, error)
            return
        vectors = dict(zip((keys[place] for place in missing), answered.vectors, strict=True))
        if cache is not None:
            await io.run(lambda: cache.put(vectors))
        share, rest = divmod(answered.tokens, len(missing))
        for number, place in enumerate(missing):
            self._have(texts[place], vectors[keys[place]], share + (number < rest))

    async def _guarded(self, texts: list[str], io: IO) -> list[str]:
        """The texts as they may leave; raises what blocks one of them."""
        guards: list[Guard] = [g for g in self._of.model.checked_guards if g.looks_at("input")]
        if not guards:
            return texts
        stage = Stage(guards, io, self._scene, "input", tuple(self._of.model.observers))
        passages = [Passage(text, "data", "input", "", "", self._scene) for text in texts]
        return await stage.inspect(passages) or texts

    async def _requested(self, texts: list[str], io: IO) -> Answered:
        of = self._of
        answered = await requested(
            of.model,
            texts,
            of.params,
            io,
            recovery=of.recovery,
            throttle=of.throttle,
            sent=self._sent,
        )
        length = len(answered.vectors[0])
        if of.dimensions is not None and length != of.dimensions:
            raise BadResponse(
                f"the provider's vectors have {length} dimensions in place of {of.dimensions}: say "
                f"dimensions={length} if they are to",
                model_id=of.model.id,
            )
        return answered

    async def _apart(self, texts: list[str], io: IO, error: Exception) -> None:
        """Embed each text by itself where one of them may be at fault, else note the error."""
        if isinstance(error, _FOR_ALL):
            raise error
        if len(texts) > 1 and _is_of_one(error):
            for text in texts:
                await self.embed([text], io)
            return
        for text in texts:
            self._failures.update(dict.fromkeys(self._places[text], error))
            self._tell_progress(text, 0)

    def _have(self, text: str, vector: list[float], tokens: int, *, kept: int = 0) -> None:
        first, *others = self._places[text]
        self._vectors[first], self._tokens[first] = vector, tokens
        for place in others:
            self._vectors[place] = [*vector]
        self._tell_progress(text, kept)

    def _sent(self, tokens: int) -> None:
        with self._lock:
            self._requests += 1
            self._took += tokens

    def _tell_progress(self, text: str, kept: int) -> None:
        with self._lock:
            self._kept += kept
            self._done += len(self._places[text])
            if self._of.progress is not None:
                self._of.progress(self._done, len(self._vectors))

    def ended(self, error: BaseException | None = None) -> Embedded:
        """What came of it, told to the observers."""
        model = self._of.model
        if heard(model.observers):
            tags = model.tags_of(None)
            data: dict[str, Any] = {
                "model": model.id,
                "texts": len(self._vectors),
                "kept": self._kept,
                "failed": len(self._failures),
                "tokens": self._took,
                "requests": self._requests,
                "seconds": time.monotonic() - self._began,
                "tags": tags,
            }
            if error is not None:
                data["error"] = type(error).__name__
            tell(
                model.observers, Event("embedding", tags.get("role"), tags.get("swarm"), data=data)
            )
        return Embedded(self._vectors, self._tokens, self._failures, self._requests, self._kept)


def _is_of_one(error: Exception) -> bool:
    """Whether one text may be to blame, and the others would be embedded without it."""
    if isinstance(error, Blocked | ContextOverflow | BadResponse):
        return True
    return isinstance(error, GatewayError) and remedy(error, asked=True) is Remedy.GIVE_UP
