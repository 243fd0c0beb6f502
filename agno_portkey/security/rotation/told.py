"""What is told of a rotation: its steps, its end, and how a key is. No value of a key is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from agno_portkey.security.rotation.due import Due
from agno_portkey.security.rotation.state import Credential, Leaving, Stage, State

__all__ = ["KeyStatus", "OnStep", "Rotated", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rotation that is about to be done; `left` is how many seconds it waits yet."""

    key: str
    stage: Stage
    said: str
    left: float | None = None


OnStep = Callable[[Step], object]


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotation that is over: what is in use, and what is still to be deleted.

    `resumed`: it had been begun before, and was interrupted.
    """

    key: str
    current: Credential | None
    pending: tuple[Leaving, ...] = ()
    resumed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """All of it but digests, as plain data."""
        return {
            "key": self.key,
            "current": _shown(self.current),
            "pending": [_shown(each) for each in self.pending],
            "resumed": self.resumed,
        }


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """How a key is: the credential in use, why it is due, and what is still to be deleted.

    `stage` is `idle`, or where a rotation stands: under way, or interrupted.
    """

    key: str
    stage: Stage
    current: Credential | None
    due: tuple[Due, ...]
    pending: tuple[Leaving, ...]
    rotations: int
    rotated: float | None

    @classmethod
    def of(cls, key: str, state: State | None, due: Sequence[Due], now: float) -> Self:
        state = state or State(key, "")
        return cls(
            key,
            state.stage(now),
            state.current,
            tuple(due),
            state.leaving,
            state.rotations,
            state.rotated,
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it but digests, as plain data; times are seconds since 1970."""
        return {
            "key": self.key,
            "stage": self.stage,
            "current": _shown(self.current),
            "due": [asdict(each) for each in self.due],
            "pending": [_shown(each) for each in self.pending],
            "rotations": self.rotations,
            "rotated": self.rotated,
        }


def _shown(held: Credential | Leaving | None) -> dict[str, Any] | None:
    if held is None:
        return None
    return {name: value for name, value in asdict(held).items() if name != "digest"}
