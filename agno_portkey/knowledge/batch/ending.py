"""Batches that are to be answered no further: all of a job, or those that are one too many."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from agno_portkey.calls import IO
from agno_portkey.errors import GatewayError
from agno_portkey.knowledge.batch.journal import Part
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.knowledge.batch.results import OVER, Found, found_in

__all__ = ["Doubles", "end_all"]

Named = tuple[str, str | None]

_log = logging.getLogger("agno_portkey")


async def end_all(parts: Sequence[Part], provider: Provider, io: IO) -> list[Exception]:
    """Cancel every batch of `parts`, written down or not; gives what kept some from it."""
    known = [(part.batch, part.file) for part in parts if part.batch is not None]
    failed = await _end(known, provider, io)
    try:
        failed += await _end(await _unwritten(parts, provider, io), provider, io)
    except GatewayError as error:
        failed.append(error)
    return failed


class Doubles:
    """Batches of a job beside the ones that are written down.

    They cost as much as those do: `end` has them answered no further, and `complete` takes what
    they have answered, which is paid for, where the one that is written down says nothing. What
    fails is logged: the other answers are worth more than what a batch too many may cost.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._of: dict[str | None, list[str]] = {}
        # Whether nobody knows if there are some.
        self._lost = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for names in self._of.values() for name in names)

    async def look(self, parts: Sequence[Part], io: IO) -> None:
        """Look for them, where there can be any."""
        written = [part for part in parts if part.batch is not None]
        try:
            for name, file in await _unwritten(written, self._provider, io):
                self._of.setdefault(file, []).append(name)
        except GatewayError as error:
            self._lost = True
            _log.warning("batches too many could not be looked for: %s", error)

    async def end(self, part: Part, io: IO) -> None:
        """Cancel those of `part`."""
        others = [(name, part.file) for name in self._of.get(part.file, ())]
        if failed := await _end(others, self._provider, io):
            _log.warning("batches too many could not be cancelled: %s", failed[0])

    async def complete(
        self, part: Part, ids: Collection[str], found: Found, io: IO, *, model_id: str
    ) -> Literal["pending", "unread"] | None:
        """Take the answers that `found`, of the batch of `part`, lacks.

        Says of those that it lacks afterwards whether one that is not over may bring them yet, or
        one that can't be read now holds them.
        """
        left: Literal["pending", "unread"] | None = None
        if part.doubtful and self._lost:
            left = "unread"
        for name in self._of.get(part.file, ()):
            try:
                batch = await self._provider.batch(name, part.file, io)
                if batch.status not in OVER:
                    left = left or "pending"
                    continue
                other = await found_in(batch, ids, self._provider, io, model_id=model_id)
            except GatewayError as error:
                left = "unread"
                _log.warning("%s, a batch too many, could not be read: %s", name, error)
                continue
            found.foreign += other.foreign
            for each in found.errors.keys() & other.answers.keys():
                found.answers[each] = other.answers[each]
                del found.errors[each]
        return left


async def _unwritten(parts: Sequence[Part], provider: Provider, io: IO) -> list[Named]:
    """Batches that may have been made although nobody wrote them down, and their files."""
    unsure = [part for part in parts if part.doubtful or (part.creating and part.batch is None)]
    files = {part.file: part.batch for part in unsure if part.file is not None}
    found = await provider.all_of(files, io)
    return [(name, file) for file, names in found.items() for name in names if name != files[file]]


async def _end(batches: Iterable[Named], provider: Provider, io: IO) -> list[Exception]:
    """Cancel what is not over, and give back what kept some from it."""
    failed: list[Exception] = []
    for name, file in batches:
        try:
            batch = await provider.batch(name, file, io)
            if batch.status not in (*OVER, "cancelling"):
                await provider.cancel(name, io)
        except GatewayError as error:
            # The others cost as much.
            failed.append(error)
    return failed
