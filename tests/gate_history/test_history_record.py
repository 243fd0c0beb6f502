"""A decision survives being written as JSON; what is none is refused, and no word of it is told."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from gate_decisions import DECISIONS, NOON, decided
from hypothesis import given

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history import Decided, Scored
from agno_portkey.gates.history.record import parsed


@given(DECISIONS)
def test_a_decision_is_read_back_from_json(given_one: Decided) -> None:
    assert parsed(json.loads(json.dumps(given_one.as_dict()))) == given_one


@given(DECISIONS)
def test_times_as_texts_have_the_order_of_time(given_one: Decided) -> None:
    later = given_one.at + timedelta(microseconds=1)
    assert given_one.as_dict()["at"] < decided(at=later).as_dict()["at"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", 7),
        ("gate", None),
        ("passed", 1),
        ("score", 8),
        ("score", math.nan),
        ("score", -0.1),
        ("score", True),
        ("score", "0.8"),
        ("reasons", "one text"),
        ("reasons", (1,)),
        ("reasons", None),
        ("checks", ({"check": "judgement"},)),
        ("at", datetime(2026, 5, 1)),
        ("at", "2026-05-01"),
        ("swarm", 1),
        ("versions", {"Judge.model": None}),
        ("versions", {1: "a"}),
        ("evidence", [DECISIONS]),
        ("cost", math.inf),
        ("cost", -1.0),
        ("tokens", 1.5),
        ("tokens", True),
        ("seconds", math.nan),
        ("mode", ""),
    ],
)
def test_what_is_no_decision_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^Decided\.{field}: "):
        decided(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("check", ""), ("score", 7), ("threshold", 7.0), ("reasons", "no"), ("samples", 0.5)],
)
def test_what_is_no_score_is_refused(field: str, value: Any) -> None:
    plain: dict[str, Any] = {"check": "a", "outcome": "pass", "score": 1.0, "threshold": None}
    with pytest.raises(ConfigurationError, match=rf"^Scored\.{field}: "):
        Scored(**{**plain, field: value})


def test_a_refusal_does_not_tell_what_was_given() -> None:
    with pytest.raises(ConfigurationError) as refused:
        decided(reasons="the secret word")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        "text",
        {},
        {"at": "2026-05-01"},
        {**decided().as_dict(), "checks": [None]},
        {**decided().as_dict(), "checks": 3},
        {**decided().as_dict(), "at": "today"},
        {**decided().as_dict(), "at": "2026-05-01"},
        {**decided().as_dict(), "score": 9},
        {key: value for key, value in decided().as_dict().items() if key != "outcome"},
    ],
)
def test_what_was_kept_otherwise_is_no_decision(kept: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(kept)


def test_fields_of_a_later_release_are_passed_over() -> None:
    one = decided()
    assert parsed({**one.as_dict(), "new": 1}) == one


def test_times_are_in_utc() -> None:
    there = timezone(timedelta(hours=5))
    one = decided(at=NOON.astimezone(there))
    assert one.at == NOON
    assert one.at.tzinfo is UTC


def test_a_decision_can_be_copied_and_keeps_its_own_tables() -> None:
    versions = {"Judge.model": "gpt-4o-mini"}
    one = decided(versions=versions)
    versions["Judge.model"] = "another"
    assert deepcopy(one).versions == {"Judge.model": "gpt-4o-mini"}
