"""Broken replies with the objects that were meant, made from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from benchmarks.contracts.breaking import BREAKS, Break
from benchmarks.contracts.schemas import objects, schemas

__all__ = ["Case", "cases", "sample"]


@dataclass(frozen=True)
class Case:
    """A broken reply, and the object that was meant."""

    way: Break
    schema: type[BaseModel]
    text: str
    meant: BaseModel

    @property
    def whole(self) -> str:
        """The object that was meant, as a model writes it that breaks nothing."""
        return self.meant.model_dump_json(exclude_unset=True)

    def fits(self, found: BaseModel) -> bool:
        """Whether `found` is the object that was meant."""
        return found.model_dump() == self.meant.model_dump()


def cases(seed: int, rounds: int) -> Iterator[Case]:
    """Every way to break a reply, for 103 schemas a round."""
    rng = random.Random(seed)
    for turn in range(rounds):
        for schema, make in schemas(seed + turn):
            for way in BREAKS:
                found = objects(schema, make, rng)
                text = way.apply(found, schema, rng)
                if text is not None:
                    yield Case(way, schema, text, schema.model_validate(found))


def sample(found: Sequence[Case], size: int) -> list[Case]:
    """`size` of the cases; each way to break a reply keeps its share."""
    if size >= len(found):
        return [*found]
    by_way = sorted(found, key=lambda case: BREAKS.index(case.way))
    return [by_way[place * len(found) // size] for place in range(size)]
