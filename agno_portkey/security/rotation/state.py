"""What is known of the credentials of a key: all but their values."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self

from pydantic import TypeAdapter

from agno_portkey.routing.keys.names import Quarter, reading

__all__ = ["Credential", "Leaving", "Making", "Stage", "State"]

# Bytes that a digest takes at most.
_SALT = 64

Stage = Literal["idle", "create", "probe", "shift", "drain", "revoke"]


@dataclass(frozen=True, slots=True)
class Credential:
    """One that was made: under which name, its id, and a digest of its value.

    `made` is when, in seconds since 1970, or None where nobody knows.
    """

    name: str
    id: str
    digest: str
    made: float | None = None

    @property
    def quarter(self) -> Quarter | None:
        """The quarter that stands in its name."""
        found = reading(self.name)
        return None if isinstance(found, str) else found.quarter


@dataclass(frozen=True, slots=True)
class Making:
    """One that is being made: its name is written down before anything is asked for."""

    stage: Literal["create", "probe", "shift"]
    name: str
    began: float
    id: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Leaving:
    """One that is to be deleted, from `after` on, in seconds since 1970.

    Without an `id` nobody knows whether it is there; what may still come is looked for until
    `until`. `why` says what kept it from being deleted.
    """

    name: str
    id: str | None = None
    digest: str | None = None
    after: float = 0.0
    until: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The credentials of one key, as its journal has them.

    `current` is what the source names, `making` what is to take its place, `leaving` what is to be
    deleted. `over` says whether the last rotation is, `salt` what digests are made with.
    """

    key: str
    salt: str
    current: Credential | None = None
    making: Making | None = None
    leaving: tuple[Leaving, ...] = ()
    over: bool = True
    rotations: int = 0
    rotated: float | None = None

    def stage(self, now: float) -> Stage:
        """Where a rotation stands that is not over."""
        if self.making is not None:
            return self.making.stage
        if not self.leaving:
            return "idle"
        return "drain" if any(each.after > now for each in self.leaving) else "revoke"

    def digest(self, value: str) -> str:
        """What a value is recognised by."""
        salt = bytes.fromhex(self.salt)
        return hashlib.blake2b(value.encode(), key=salt, digest_size=16).hexdigest()

    def without(self, gone: Leaving) -> Self:
        """The state once one that was to be deleted is."""
        return replace(self, leaving=tuple(each for each in self.leaving if each != gone))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The state of `to_dict`; raises ValueError, LookupError or TypeError where it is none."""
        # What is left out is no state of ours: each line has all of it.
        plain = {each.name: data[each.name] for each in fields(cls)}
        state: Self = TypeAdapter(cls).validate_python(plain)
        if not 0 < len(bytes.fromhex(state.salt)) <= _SALT:
            raise ValueError("no salt")
        return state
