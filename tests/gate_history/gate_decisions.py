"""Decisions for tests of the history, and Hypothesis strategies of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import strategies as st

from agno_portkey.gates.history import Decided, Scored

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
_NUMBERS = count()
DIGEST = "sha256:" + "a" * 64


def decided(**fields: Any) -> Decided:
    """A decision of the gate `release` that passed at noon, but for `fields`."""
    plain: dict[str, Any] = {
        "id": f"decision-{next(_NUMBERS)}",
        "gate": "release",
        "passed": True,
        "outcome": "pass",
        "score": 0.8,
        "reasons": (),
        "checks": (
            Scored(check="judgement", outcome="pass", score=0.8, threshold=0.7, samples=2),
            Scored(check="critique", outcome="pass", score=1.0, threshold=1.0),
        ),
        "at": NOON,
        "swarm": "Release",
        "team_id": "team-1",
        "run_id": "run-1",
        "session_id": "session-1",
        "user_id": "kim",
        "tenant": "acme",
        "plan_digest": DIGEST,
        "fingerprint": DIGEST,
        "versions": {"Judge.model": "gpt-4o-mini"},
        "evidence": {"judgement": DIGEST},
    }
    return Decided(**{**plain, **fields})


def scored_at(minutes: float, score: float, **fields: Any) -> Decided:
    """A decision so many minutes after noon, which passes from 0.7 on."""
    passed = score >= 0.7
    outcome = "pass" if passed else "fail"
    check = Scored(check="judgement", outcome=outcome, score=score, threshold=0.7)
    at = NOON + timedelta(minutes=minutes)
    own = {"score": score, "passed": passed, "outcome": outcome, "checks": (check,), "at": at}
    return decided(**{**own, **fields})


_TEXTS = st.text(max_size=30)
_NAMES = st.text(min_size=1, max_size=20)
_SHARES = st.none() | st.floats(0, 1)
_REASONS = st.lists(_TEXTS, max_size=3).map(tuple)
_TABLES = st.dictionaries(_TEXTS, _TEXTS, max_size=3)
_AMOUNTS = st.floats(0, 1e12)

DECISIONS = st.builds(
    Decided,
    id=st.uuids().map(str),
    gate=_NAMES,
    passed=st.booleans(),
    outcome=st.sampled_from(["pass", "fail", "underpowered"]),
    score=_SHARES,
    reasons=_REASONS,
    checks=st.lists(
        st.builds(
            Scored,
            check=_NAMES,
            outcome=_NAMES,
            score=_SHARES,
            threshold=_SHARES,
            reasons=_REASONS,
            samples=st.none() | st.integers(0, 100),
        ),
        max_size=3,
    ).map(tuple),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()),
    swarm=st.none() | _TEXTS,
    team_id=st.none() | _TEXTS,
    run_id=st.none() | _TEXTS,
    session_id=st.none() | _TEXTS,
    user_id=st.none() | _TEXTS,
    tenant=st.none() | _TEXTS,
    plan_digest=st.none() | _TEXTS,
    fingerprint=st.none() | _TEXTS,
    versions=_TABLES,
    evidence=_TABLES,
    mode=st.sampled_from(["enforce", "observe"]),
    cost=st.none() | _AMOUNTS,
    tokens=st.integers(0, 2**53),
    seconds=_AMOUNTS,
    by=st.none() | _TEXTS,
)
