"""What a row of ours is in Agno's table of evaluations, and which rows are asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from agno.db.schemas.evals import EvalRunRecord

from agno_portkey.errors import ConfigurationError

__all__ = ["KEY", "Row", "Wanted", "clean", "second", "told"]

# Where a row that is ours holds what we keep, in its `eval_data`; others' rows have no such key.
KEY = "agno_portkey"
# What Agno takes out of texts for Postgres, and what is no text in UTF-8.
_NOT_KEPT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")


class Row(EvalRunRecord):
    """A run of an evaluation, with what Agno's table has a column for and its record has not.

    `eval_data[KEY]` is what we keep, with its time under `at` as `told` tells it.
    """

    created_at: int
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are asked for: those of `name`, or of all names that begin with `prefix`.

    From `since` on, before `until`; `component` is the evaluated component's name, `fields` are
    texts that the row keeps, and `limit` is how many of the newest. Raises ConfigurationError for
    a time without a zone, and for a limit below 1.
    """

    prefix: str
    name: str | None = None
    component: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            at = getattr(self, name)
            if at is not None and (not isinstance(at, datetime) or at.utcoffset() is None):
                raise ConfigurationError(f"{name}: a time with its zone is needed, not {at}")
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise ConfigurationError(f"limit: a number from 1, or None for all, not {self.limit!r}")

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Whether `row`, as Agno gives it, is a wanted one of ours."""
        data, name = row.get("eval_data"), row.get("name")
        kept = data.get(KEY) if isinstance(data, Mapping) else None
        if not isinstance(kept, Mapping) or not isinstance(name, str):
            return False
        at, component = kept.get("at"), row.get("evaluated_component_name")
        return (
            isinstance(at, str)
            and name.startswith(self.prefix)
            and (self.name is None or name == clean(self.name))
            and (self.component is None or component == clean(self.component))
            and (self.since is None or at >= told(self.since))
            and (self.until is None or at < told(self.until))
            and all(kept.get(each) == text for each, text in self.fields.items())
        )


def told(at: datetime) -> str:
    """`at` as a text; all are in UTC and of one length, so that their order is that of time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def second(at: datetime) -> int:
    """The second that `at` falls into, as Agno's tables keep it."""
    return math.floor(at.timestamp())


def clean(value: Any) -> Any:
    """`value` with U+FFFD for each character that some database does not keep."""
    # A member of an enum would not be one any more.
    if isinstance(value, str) and not isinstance(value, Enum):
        return _NOT_KEPT.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(name): clean(each) for name, each in value.items()}
    return [clean(each) for each in value] if isinstance(value, list) else value
