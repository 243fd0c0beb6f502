"""A grant as a row of texts, whose digest tells a row that was changed by hand.

Whoever can write to the database is trusted as an operator is: the digest has no key.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from agno_portkey.contracts import Plan, digest
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance.record import Grant
from agno_portkey.gates.clearance.refusing import refused

__all__ = ["Row", "altered", "check_digest", "packed", "plan_text", "readable", "unpacked"]

# By the names of columns: those of a Grant's fields, and `row_digest`.
Row = Mapping[str, str | None]

_TIMES = ("issued_at", "expires_at", "claimed_at")
_NUMBERS = ("taken", "done")


def packed(grant: Grant) -> dict[str, str | None]:
    """The row of `grant`; refused as `forged` if its digest is not its plan's."""
    check_digest(grant)
    row = {each.name: getattr(grant, each.name) for each in fields(Grant)}
    row["plan"] = plan_text(grant.plan)
    row["passed"] = "yes" if grant.passed else "no"
    for name in _TIMES:
        row[name] = None if row[name] is None else _written(row[name])
    for name in _NUMBERS:
        row[name] = json.dumps(sorted(row[name]))
    return {**row, "row_digest": _digest_of(row)}


def unpacked(row: Mapping[str, Any]) -> Grant:
    """The grant that `row` is; refused as `forged` or `malformed` where it is none."""
    what = f"the row {row.get('id')} of agno_portkey_clearances"
    if not all(isinstance(value, str | None) for value in row.values()):
        raise refused("malformed", what=what, problem="a column holds what is no text")
    if row.get("row_digest") != _digest_of(row):
        raise refused("forged", what=what, problem="it was changed by hand")
    values: dict[str, Any] = {name: row[name] for name in row if name != "row_digest"}
    try:
        values["plan"] = _plan_of(values["plan"])
        values["passed"] = {"yes": True, "no": False}[values["passed"]]
        for name in _TIMES:
            values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
        for name in _NUMBERS:
            values[name] = frozenset(json.loads(values[name]))
        grant = Grant(**values)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # A ConfigurationError names the field; what others say may hold what the row holds.
        said = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        raise refused("malformed", what=what, problem=said) from None
    check_digest(grant, what)
    return grant


def readable(rows: Iterable[Row]) -> list[Grant]:
    """What `rows` hold; one that is none is logged and passed over."""
    found = []
    for row in rows:
        try:
            found.append(unpacked(row))
        except ClearanceRefused as error:
            logging.getLogger("agno_portkey").warning("passed over: %s", error)
    return found


def altered(rows: Iterable[Row]) -> list[str]:
    """What is wrong with those of `rows` that are none."""
    wrong = []
    for row in rows:
        try:
            unpacked(row)
        except ClearanceRefused as error:
            wrong.append(str(error))
    return wrong


def plan_text(plan: Plan) -> str:
    """The plan as JSON in ASCII, which every database and token can hold."""
    return json.dumps(plan.model_dump(mode="json"), sort_keys=True, allow_nan=False)


def check_digest(grant: Grant, what: str = "the clearance") -> None:
    """Refuse a grant that bears the digest of another plan."""
    if _digest_of_plan(plan_text(grant.plan)) != grant.plan_digest:
        raise refused("forged", what=what, problem="its plan is not the one that was judged")


@lru_cache(maxsize=256)
def _plan_of(text: str) -> Plan:
    return Plan.model_validate(json.loads(text))


@lru_cache(maxsize=256)
def _digest_of_plan(text: str) -> str:
    return digest(_plan_of(text))


def _digest_of(row: Mapping[str, Any]) -> str:
    said = json.dumps({name: row[name] for name in row if name != "row_digest"}, sort_keys=True)
    return "sha256:" + hashlib.sha256(said.encode()).hexdigest()


def _written(at: datetime) -> str:
    """In ISO 8601, in UTC and always as long, so that texts are in the order of times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
