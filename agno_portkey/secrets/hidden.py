"""Texts that no `repr` shows: what logs, tracebacks and debuggers print of a variable."""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

__all__ = ["Hidden"]


class Hidden(str):
    """A text whose `repr` does not show it; a part of it is hidden too, and no pickle takes it.

    Whatever builds a new text of it (`str`, `format`, `+`) has the plain one.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"

    def __getitem__(self, key: SupportsIndex | slice) -> Hidden:
        # Long variables are shown by their beginnings.
        return Hidden(super().__getitem__(key))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise TypeError("a hidden text is not pickled: have it read where it is needed")
