"""Histories of one gate for tests of how its thresholds follow them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.adjusting import Proposal, Thresholds, propose
from agno_portkey.gates.history import Decided, Scored

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(days=1)
MINI, LARGE = {"Judge.model": "gpt-4o-mini"}, {"Judge.model": "gpt-4.1"}
WRITTEN = {"release": {"judgement": 0.7, "accuracy": 0.5}}
_NUMBERS = count()


def scored(score: float | None, threshold: float = 0.7, **fields: Any) -> Scored:
    """What the Judge's check came to, which goes by its score but for `fields`."""
    passed = score is not None and score >= threshold
    plain: dict[str, Any] = {
        "check": "judgement",
        "outcome": "pass" if passed else "fail",
        "score": score,
        "threshold": threshold,
        "reasons": () if passed else (f"its score is {score}",),
    }
    return Scored(**{**plain, **fields})


def a_decision(*checks: Scored, **fields: Any) -> Decided:
    """A decision of the gate `release` that its checks make, but for `fields`."""
    number = next(_NUMBERS)
    passed = all(each.outcome == "pass" for each in checks)
    plain: dict[str, Any] = {
        "id": f"decision-{number}",
        "gate": "release",
        "passed": passed,
        "outcome": "pass" if passed else "fail",
        "score": min((each.score for each in checks if each.score is not None), default=None),
        "reasons": tuple(reason for each in checks for reason in each.reasons),
        "checks": checks,
        "at": NOON + timedelta(seconds=number),
        "swarm": "Release",
        "team_id": "team-1",
        "run_id": f"run-{number}",
        "session_id": "session-1",
        "user_id": "kim",
        "tenant": "acme",
        "plan_digest": f"sha256:{number}",
        "fingerprint": "sha256:f",
        "versions": MINI,
        "evidence": {"judgement": f"sha256:j{number}"},
    }
    return Decided(**{**plain, **fields})


def a_history(scores: Iterable[float], threshold: float = 0.7, **fields: Any) -> list[Decided]:
    return [a_decision(scored(score, threshold), **fields) for score in scores]


def an_approval(of: Decided, passed: bool = True) -> Decided:
    """What a person decided on the plan of a decision."""
    return a_decision(
        passed=passed,
        outcome="pass" if passed else "fail",
        plan_digest=of.plan_digest,
        run_id=of.run_id,
        by="kim",
        versions={},
        evidence={"clearance": "c1"},
    )


def a_proposal(
    threshold: float = 0.8, before: float = 0.7, swarm: str | None = "Release"
) -> Proposal:
    """One that tightens or loosens to `threshold`, as the rule makes it."""
    decided = a_history([threshold] * 60, before)
    if threshold < before:
        decided += [an_approval(each) for each in decided[:10]]
    decided = [replace(each, swarm=swarm) for each in decided]
    found = propose(decided, gate="release", check="judgement", threshold=before)
    assert isinstance(found, Proposal), found
    assert found.threshold == threshold
    return found


def kept_in(database: Any, **options: Any) -> Thresholds:
    """The thresholds of a gate with two checks, as they are kept in `database`."""
    return Thresholds(database, **{"swarm": "Release", "written": WRITTEN, **options})


def code(refused: pytest.ExceptionInfo[AdjustmentRefused]) -> str:
    return refused.value.code
