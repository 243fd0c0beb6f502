"""The steps of a script, which is what a response does on the wire.

In order: `Head`, pieces of body as `bytes`, `Pause`, and one ending: `End` (a whole message),
`Hangup` (closed too early), `Reset` (TCP RST) or `Hang` (nothing more until the client leaves).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["End", "Finished", "Hang", "Hangup", "Head", "Pause", "Reset", "Step"]

Finished: TypeAlias = Literal["open", "complete", "cut", "client_gone"]


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers; without a content-length the body is chunked."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """What was written so far is sent, then nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """The message ends as HTTP wants it; `finished` says whether the answer in it was whole."""

    finished: Finished = "complete"


@dataclass(frozen=True, slots=True)
class Hangup:
    """The connection closes although the message has not ended."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing more is sent until the client leaves or the server stops."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is torn down by a TCP RST."""


Step: TypeAlias = Head | bytes | Pause | End | Hangup | Hang | Reset
