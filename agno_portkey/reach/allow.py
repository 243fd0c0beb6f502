"""The deliberate exceptions: `allow=[...]`, by printed path or by the object itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from agno_portkey.errors import ConfigurationError

__all__ = ["Allow"]


class Allow:
    """What may go round the gateway on purpose.

    An entry is a path as it is printed, in which `*` and `?` stand for anything (brackets
    stand for themselves), or the object itself; it excuses what is found there and beneath. That
    one excuses nothing is a mistake, but not where it is `idle` for some products of a factory.
    """

    def __init__(self, entries: Iterable[object] = (), *, idle: bool = False) -> None:
        if isinstance(entries, str) or not isinstance(entries, Iterable):
            raise ConfigurationError(f"allow: a list of paths and objects, not {entries!r}")
        self.entries = tuple(entries)
        self._idle = idle
        self._patterns = [
            (entry, entry.replace("[", "[[]")) for entry in self.entries if isinstance(entry, str)
        ]
        self._objects = {id(entry): entry for entry in self.entries if not isinstance(entry, str)}
        # Where objects were found: the host copies tools for a request, and what they hold.
        self._paths: dict[str, object] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Allow):
            return NotImplemented
        mine, theirs = self.entries, other.entries
        return len(mine) == len(theirs) and all(
            one is two or (isinstance(one, str) and one == two)
            for one, two in zip(mine, theirs, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def of(self, path: str, held: object) -> object | None:
        """The entry that excuses what is at `path`, if one does."""
        if not self.entries:
            return None
        if (found := self._objects.get(id(held))) is not None:
            self._paths[path] = found
            return found
        if (found := self._paths.get(path)) is not None:
            return found
        return next((e for e, pattern in self._patterns if fnmatchcase(path, pattern)), None)

    def check(self, used: Iterable[object], factories: Sequence[str]) -> None:
        """Refuse an entry that excused nothing; what factories make is not known yet."""
        if self._idle:
            return
        spent = {id(entry) for entry in used}
        idle = [entry for entry in self.entries if id(entry) not in spent]
        for entry in idle:
            if isinstance(entry, str) and not any(_under(entry, path) for path in factories):
                raise ConfigurationError(
                    f"allow: {entry!r} excuses nothing: nothing ungoverned is found there"
                )
            if not isinstance(entry, str) and not factories:
                raise ConfigurationError(
                    f"allow: the {type(entry).__name__} excuses nothing: nothing ungoverned is "
                    "reached by it"
                )


def _under(pattern: str, factory: str) -> bool:
    """Whether `pattern` could be of something that the factory at this path makes."""
    fixed = pattern.split("*")[0].split("?")[0]
    return fixed.startswith(factory) or factory.startswith(fixed)
