"""`Decided`: one decision of one gate, as it is kept; and its form as plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history.rows import told

__all__ = ["Decided", "Scored", "parsed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one check came to; `score` and `threshold` are in 0-1, `samples` of its judge.

    Raises ConfigurationError for a score that is no number in 0-1.
    """

    check: str
    outcome: str
    score: float | None
    threshold: float | None
    reasons: tuple[str, ...] = ()
    samples: int | None = None

    def __post_init__(self) -> None:
        _texts(self, "check", "outcome")
        _share(self, "score")
        _share(self, "threshold")
        _reasons(self)
        if self.samples is not None:
            _amount(self, "samples", whole=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision of one gate, as it is kept.

    `id` is its own; `score` is in 0-1, `cost` in US dollars, `seconds` what it took. `versions` are
    the parts of the fingerprint, such as `{"Judge.model": "gpt-4o-mini"}`; `evidence` holds digests
    alone. `by` is who overrode it, where a person did. Raises ConfigurationError for a score that
    is no number in 0-1, and for a time without a zone.
    """

    id: str
    gate: str
    passed: bool
    outcome: str
    score: float | None
    reasons: tuple[str, ...]
    checks: tuple[Scored, ...]
    at: datetime
    swarm: str | None
    team_id: str | None
    run_id: str | None
    session_id: str | None
    user_id: str | None
    tenant: str | None
    plan_digest: str | None
    fingerprint: str | None
    versions: Mapping[str, str]
    evidence: Mapping[str, str]
    mode: str = "enforce"
    cost: float | None = None
    tokens: int = 0
    seconds: float = 0.0
    by: str | None = None

    def __post_init__(self) -> None:
        _texts(self, "id", "gate", "outcome", "mode")
        _texts(self, *_NAMES, optional=True)
        if not isinstance(self.passed, bool):
            raise _wrong(self, "passed", "True or False")
        if not isinstance(self.at, datetime) or self.at.utcoffset() is None:
            raise _wrong(self, "at", "a time with its zone")
        object.__setattr__(self, "at", self.at.astimezone(UTC))
        if any(not isinstance(each, Scored) for each in self.checks):
            raise _wrong(self, "checks", "a tuple of Scored")
        object.__setattr__(self, "checks", tuple(self.checks))
        _share(self, "score")
        _reasons(self)
        _table(self, "versions")
        _table(self, "evidence")
        if self.cost is not None:
            _amount(self, "cost")
        _amount(self, "tokens", whole=True)
        _amount(self, "seconds")

    def as_dict(self) -> dict[str, Any]:
        """The decision as plain JSON types; `parsed` reads it back."""
        kept = {each: getattr(self, each) for each in _FIELDS}
        kept["reasons"] = list(self.reasons)
        kept["checks"] = [
            {**{each: getattr(check, each) for each in _SCORED}, "reasons": list(check.reasons)}
            for check in self.checks
        ]
        kept["at"] = told(self.at)
        return {**kept, "versions": dict(self.versions), "evidence": dict(self.evidence)}


_FIELDS = tuple(each.name for each in fields(Decided))
_SCORED = tuple(each.name for each in fields(Scored))
_NAMES = (
    *("swarm", "team_id", "run_id", "session_id", "user_id"),
    *("tenant", "plan_digest", "fingerprint", "by"),
)


def parsed(kept: Any) -> Decided:
    """The decision that `as_dict` gave; raises ValueError for anything else.

    Fields that it does not know are passed over: a later release may have written them.
    """
    try:
        given = {name: kept[name] for name in _FIELDS if name in kept}
        checks = tuple(
            Scored(**{name: each[name] for name in _SCORED if name in each})
            for each in given["checks"]
        )
        at = datetime.fromisoformat(given["at"])
        return Decided(**{**given, "checks": checks, "at": at})
    except (TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no decision of a gate ({type(error).__name__}: {error})") from None


def _wrong(owner: Any, field: str, wanted: str) -> ConfigurationError:
    # By its kind alone: the value may be a model's words.
    kind = type(getattr(owner, field)).__name__
    return ConfigurationError(f"{type(owner).__name__}.{field}: {wanted} is needed, not {kind}")


def _texts(owner: Any, *names: str, optional: bool = False) -> None:
    for name in names:
        value = getattr(owner, name)
        if optional and value is None:
            continue
        if not isinstance(value, str) or not (value or optional):
            raise _wrong(owner, name, "a text")


def _share(owner: Any, field: str) -> None:
    value = getattr(owner, field)
    # NaN is in no range.
    if value is not None and not (_is_number(value) and 0 <= value <= 1):
        raise _wrong(owner, field, "a number from 0 to 1")


def _amount(owner: Any, field: str, *, whole: bool = False) -> None:
    value = getattr(owner, field)
    if not (_is_number(value) and 0 <= value < math.inf) or (whole and type(value) is not int):
        raise _wrong(owner, field, f"a {'whole ' if whole else ''}number from 0")


def _is_number(value: object) -> bool:
    return type(value) is float or type(value) is int


def _reasons(owner: Any) -> None:
    given: object = owner.reasons
    # A text is a sequence of texts, too.
    if not isinstance(given, tuple | list) or not all(isinstance(each, str) for each in given):
        raise _wrong(owner, "reasons", "a tuple of texts")
    if type(given) is not tuple:
        object.__setattr__(owner, "reasons", tuple(given))


def _table(owner: Any, field: str) -> None:
    given: object = getattr(owner, field)
    if not isinstance(given, Mapping):
        raise _wrong(owner, field, "a mapping of texts")
    own = dict(given)
    if not all(isinstance(text, str) for text in (*own, *own.values())):
        raise _wrong(owner, field, "a mapping of texts")
    object.__setattr__(owner, field, own)
