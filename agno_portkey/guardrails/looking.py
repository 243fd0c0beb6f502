"""What the guards of a stage make of a value: texts are collected, asked about, and put back."""

from __future__ import annotations

from typing import Any

from agno_portkey.guardrails.messages import in_value
from agno_portkey.guardrails.passages import Passage, Source, Take, in_leaves
from agno_portkey.guardrails.stage import Stage

__all__ = ["looked_at", "putting"]


async def looked_at(
    stage: Stage, value: Any, source: Source, *, leaves: bool = False, read: Any = in_value
) -> Any:
    """`value` as the guards of `stage` let it go on; the very value if they change nothing."""
    passages: list[Passage] = []
    read = in_leaves if leaves else read

    def collect(text: str, source: Source, path: str) -> str:
        passages.append(Passage(text, source, stage.side, path, "", stage.scene))
        return text

    read(value, collect, source)
    texts = await stage.inspect(passages) if passages else None
    return value if texts is None else read(value, putting(texts), source)


def putting(texts: list[str]) -> Take:
    """A `Take` that puts `texts` in the places from which they were collected, in order."""
    back = iter(texts)
    return lambda text, source, path: next(back)
