"""What a survey finds, each with the path that it was reached by."""

from __future__ import annotations

from typing import NamedTuple

from agno_portkey.model import PortkeyModel
from agno_portkey.reach.children import Edge
from agno_portkey.walk import Owner

__all__ = ["Factory", "Hidden", "Place"]


class Place(NamedTuple):
    """Where a `PortkeyModel` is held; `edge` takes its bound copy.

    `aide` says that the Runner reaches it, `bare` that it is a guard's own, and gets no guards;
    `holder` is the owner that it was reached from.
    """

    path: str
    edge: Edge
    aide: bool
    bare: bool
    holder: Owner | None

    @property
    def model(self) -> PortkeyModel:
        held: PortkeyModel = self.edge.held
        return held


class Hidden(NamedTuple):
    """An agent or team that is no member: one that a tool, a hook or a closure holds."""

    path: str
    owner: Owner
    aide: bool
    bare: bool
    holder: Owner | None


class Factory(NamedTuple):
    """A callable that makes an owner's tools, members or knowledge at run time."""

    path: str
    owner: Owner
    slot: str
