"""A clearance and who asks for it, for tests; and grants of every kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st

from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.clearance import Asking, Grant, new_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PLAN = Plan(
    goal="Ship 2.1",
    steps=(
        Step(action="Test it", tool="run_tests"),
        Step(action="Deploy it", tool="deploy", inputs={"version": "2.1"}),  # type: ignore[arg-type]
    ),
)
OTHER = Plan(goal="Ship 2.2", steps=PLAN.steps)


def a_grant(**given: Any) -> Grant:
    plan = given.setdefault("plan", PLAN)
    values: dict[str, Any] = {
        "id": new_id(),
        "gate": "release",
        "swarm": "Release",
        "tenant": "acme",
        "session_id": "s1",
        "user_id": "ann",
        "plan_digest": digest(plan),
        "fingerprint": "sha256:f1",
        "issued_at": NOW,
        "expires_at": NOW + HOUR,
    }
    return Grant(**{**values, **given})


def an_asking(run: str = "r1", **given: Any) -> Asking:
    values: dict[str, Any] = {
        "runner_run_id": run,
        "swarm": "Release",
        "tenant": "acme",
        "session_id": "s1",
        "user_id": "ann",
        "plan_digest": digest(PLAN),
        "fingerprint": "sha256:f1",
    }
    return Asking(**{**values, **given})


def refusal(code: str, call: Callable[[], object]) -> str:
    """What a refusal with `code` says."""
    with pytest.raises(ClearanceRefused) as caught:
        call()
    assert (caught.value.code, str(caught.value)) == (code, str(caught.value))
    return str(caught.value)


def _texts(least: int = 0) -> st.SearchStrategy[str]:
    letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    return st.text(letters, min_size=least, max_size=30)


_WORDS = _texts(1).filter(str.strip)
_MAYBE = st.none() | _texts()
_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
_PLANS = st.builds(
    Plan,
    goal=_WORDS,
    steps=st.lists(
        st.builds(
            Step,
            action=_WORDS,
            tool=st.just("deploy"),
            inputs=st.dictionaries(
                _WORDS.map(str.strip),
                _texts() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
                max_size=2,
            ),
        ),
        min_size=1,
        max_size=3,
    ),
    budget=st.none(),
)


@st.composite
def grants(draw: st.DrawFn, *, whole: bool = False, used: bool = True) -> Grant:
    """Grants of every kind; with times in whole seconds, as tokens have them, or as they come."""
    issued = draw(_TIMES)
    expires = issued + timedelta(seconds=draw(st.integers(1, 10**6)))
    if whole:
        issued, expires = (at.replace(microsecond=0) for at in (issued, expires))
    plan = draw(_PLANS)
    use: dict[str, Any] = {}
    if used and draw(st.booleans()):
        taken = draw(st.frozensets(st.integers(1, len(plan.steps))))
        use = {
            "state": draw(st.sampled_from(["claimed", "spent", "revoked"])),
            "claimed_by": draw(_WORDS),
            "claimed_at": issued,
            "taken": taken,
            "done": frozenset(number for number in taken if draw(st.booleans())),
        }
    return Grant(
        id=draw(st.uuids().map(str)),
        gate=draw(_WORDS),
        swarm=draw(_MAYBE),
        tenant=draw(_MAYBE),
        session_id=draw(_MAYBE),
        user_id=draw(_MAYBE),
        plan=plan,
        plan_digest=digest(plan),
        fingerprint=draw(_WORDS),
        issued_at=issued,
        expires_at=expires,
        passed=draw(st.booleans()),
        team_run_id=draw(st.none() | _WORDS),
        approved_by=draw(_MAYBE),
        reason=draw(_MAYBE),
        **use,
    )
