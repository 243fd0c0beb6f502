"""Where the keys of a policy stand in its file, for errors that are to be found there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from agno_portkey.documents import compose, read_text
from agno_portkey.routing.config.files import is_path
from agno_portkey.routing.config.parts import Problem, join_path

__all__ = ["ROOT", "Keys", "Places"]

# What the paths in errors begin with.
ROOT = "policy"

Keys = tuple[str | int, ...]

# Parts that nobody has to write: tags may stand for `values`, and one gate's settings for `gates`.
_IMPLIED = (("tags", "values"), ("gate", "gates"), ("gate", "gates", 0))


@dataclass(frozen=True)
class Places:
    """The keys of a policy as they are written; of one that was made in Python nothing is known."""

    file: str | None = None
    data: Any = None
    lines: Mapping[Keys, int] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str | Path, data: Any) -> Self:
        """Those of a YAML text or file that holds `data`."""
        named = is_path(source)
        node = compose(read_text(source) if named else str(source))
        return cls(str(source) if named else None, data, dict(_lines(node, ())))

    def written(self, path: Sequence[str | int]) -> Keys:
        """The path as it is written in the file, without what is only implied there."""
        held: Any = self.data
        kept: list[str | int] = []
        for at, part in enumerate(path):
            known = _holds(held, part)
            if known:
                held = held[part]
            elif tuple(path[: at + 1]) in _IMPLIED:
                continue
            elif at and isinstance(held, str | bool):
                break  # a text or mode that stands for the whole part
            else:
                held = None
            kept.append(part)
        return tuple(kept)

    def line(self, keys: Keys) -> int | None:
        """The line of the written path, or of the last of its keys that is there."""
        known = (self.lines.get(keys[:length]) for length in range(len(keys), 0, -1))
        return next((line for line in known if line is not None), None)

    def at(self, *path: str | int) -> str:
        """The path with its file and line, as `policy.yaml:3: policy.tags.team`."""
        keys = self.written(path)
        where, line = join_path(ROOT, keys), self.line(keys)
        if self.file is None:
            return where
        return f"{self.file}: {where}" if line is None else f"{self.file}:{line}: {where}"

    def said(self, problems: Sequence[Problem]) -> str:
        """All `problems` in one text."""
        return "; ".join(f"{self.at(*path)}: {why}" for path, why in problems)


def _holds(held: Any, part: str | int) -> bool:
    if isinstance(held, list):
        return isinstance(part, int) and part < len(held)
    return isinstance(held, Mapping) and part in held


def _lines(node: Any, path: Keys) -> Iterator[tuple[Keys, int]]:
    """The line of each key and item; those that are no text were refused before."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            yield (*path, at), item.start_mark.line + 1
            yield from _lines(item, (*path, at))
