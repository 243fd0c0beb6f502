"""Batches that are to be answered no further: all of a job, or those that are one too many."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from agno_portkey.calls import IO
from agno_portkey.errors import GatewayError
from agno_portkey.knowledge.batch.journal import Part
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.knowledge.batch.results import OVER

__all__ = ["end_all", "end_doubles"]

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


async def end_doubles(parts: Sequence[Part], provider: Provider, io: IO) -> None:
    """Cancel batches of `parts` beside the ones that are written down; what fails is logged."""
    written = [part for part in parts if part.batch is not None]
    try:
        failed = await _end(await _unwritten(written, provider, io), provider, io)
    except GatewayError as error:
        failed = [error]
    if failed:
        # The answers are worth more than what a batch too many may cost.
        _log.warning("batches too many could not be cancelled: %s", failed[0])


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
