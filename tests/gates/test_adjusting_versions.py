"""Each change of a threshold is a version that is kept, and that can be taken back."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from adjusting_scene import NOW, a_proposal, code, kept_in
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agno_portkey import Event
from agno_portkey.errors import AdjustmentRefused, ConfigurationError
from agno_portkey.gates.adjusting import Change, Thresholds
from agno_portkey.gates.approving import APPROVE


def test_a_change_holds_and_is_kept_as_it_was_made(database: str) -> None:
    told: list[Event] = []
    kept = kept_in(database, clock=lambda: NOW, observers=[told.append])
    assert kept.current(["release"]) == {}
    assert kept.log("release") == []
    proposal = a_proposal(0.8)
    change = kept.apply(proposal, by="ann", reason="grüße")
    assert change == Change(
        swarm="Release",
        gate="release",
        check="judgement",
        version=1,
        kind="tightened",
        state="applied",
        threshold=0.8,
        before=0.7,
        written=0.7,
        at=NOW,
        by="ann",
        reason="grüße",
        rate=1.0,
        low=proposal.then.gate.low,
        high=proposal.then.gate.high,
        runs=60,
    )
    # Each reads the same, in another object.
    assert kept_in(database).log("release") == [change]
    assert kept_in(database).current(["release", "other"]) == {"release": {"judgement": 0.8}}
    assert kept_in(database, written=None).current(["release"]) == {"release": {"judgement": 0.8}}
    assert [(event.kind, event.swarm, event.data) for event in told] == [
        ("adjustment", "Release", change.as_dict())
    ]


def test_each_swarm_and_each_gate_has_its_own(database: str) -> None:
    kept_in(database).apply(a_proposal(0.8), by="ann")
    for swarm in (None, "Sales"):
        other = kept_in(database, swarm=swarm)
        assert other.current(["release"]) == {}
        other.apply(a_proposal(0.9, swarm=swarm), by="ann")
        assert other.log("release")[0].swarm == swarm
        assert other.current(["release"]) == {"release": {"judgement": 0.9}}
    assert kept_in(database).current(["release"]) == {"release": {"judgement": 0.8}}


def test_a_loosening_takes_the_scope(kept: Thresholds) -> None:
    looser = a_proposal(0.6)
    for scopes in ((), {"gates:read"}, "gates:approver"):
        with pytest.raises(AdjustmentRefused, match="gates:approve") as refused:
            kept.apply(looser, by="ann", scopes=scopes)
        assert code(refused) == "unapproved"
    with pytest.raises(AdjustmentRefused) as refused:
        kept.put("release", "judgement", 0.6, by="ann")
    assert code(refused) == "unapproved"
    assert kept.log("release") == []
    # What it is called changes nothing of what it is.
    with pytest.raises(AdjustmentRefused):
        kept.apply(replace(looser, kind="tightened"), by="ann")
    change = kept.apply(looser, by="ann", scopes=[APPROVE])
    assert (change.kind, change.threshold) == ("loosened", 0.6)
    assert kept.current(["release"]) == {"release": {"judgement": 0.6}}


def test_a_proposal_waits_until_a_person_decides(kept: Thresholds) -> None:
    looser = a_proposal(0.6)
    left = kept.leave(looser, by="auto")
    assert (left.state, left.version) == ("proposed", 1)
    assert kept.current(["release"]) == {}
    with pytest.raises(AdjustmentRefused) as refused:
        kept.approve("release", "judgement", by="ann", scopes=())
    assert code(refused) == "unapproved"
    with pytest.raises(AdjustmentRefused) as refused:
        kept.approve("release", "judgement", by="ann", scopes=[APPROVE], version=2)
    assert code(refused) == "unknown"
    done = kept.approve("release", "judgement", by="ann", scopes=[APPROVE], version=1)
    assert (done.version, done.state, done.kind, done.by) == (2, "applied", "loosened", "ann")
    assert (done.rate, done.runs) == (left.rate, left.runs)
    # The proposal is kept as it was made, and waits no more.
    assert kept.log("release") == [left, done]
    with pytest.raises(AdjustmentRefused, match="no proposal waits"):
        kept.approve("release", "judgement", by="ann", scopes=[APPROVE])


def test_a_proposal_that_tightens_takes_no_scope_but_a_word(kept: Thresholds) -> None:
    kept.leave(a_proposal(0.8), by="auto", reason="the history")
    done = kept.approve("release", "judgement", by="ann", scopes=())
    assert (done.kind, done.reason) == ("tightened", "the history")
    assert kept.current(["release"]) == {"release": {"judgement": 0.8}}


def test_a_proposal_is_withdrawn_and_taken_over(kept: Thresholds) -> None:
    with pytest.raises(AdjustmentRefused, match="no proposal waits"):
        kept.withdraw("release", "judgement", by="ann")
    kept.leave(a_proposal(0.8), by="auto")
    kept.leave(a_proposal(0.9), by="auto")
    assert kept.withdraw("release", "judgement", by="ann", reason="no").threshold == 0.9
    assert [each.state for each in kept.log("release")] == ["proposed", "proposed", "withdrawn"]
    with pytest.raises(AdjustmentRefused):
        kept.approve("release", "judgement", by="ann", scopes=[APPROVE])
    # A change of another check does away with what was proposed before it: the rates are others.
    kept.leave(a_proposal(0.8), by="auto")
    kept.put("release", "accuracy", 0.6, by="ann")
    with pytest.raises(AdjustmentRefused):
        kept.approve("release", "judgement", by="ann", scopes=[APPROVE])


def test_what_was_overtaken_is_refused(kept: Thresholds) -> None:
    before = kept.standing("release")
    kept.apply(a_proposal(0.8), by="ann")
    for act in (kept.apply, kept.leave):
        # The threshold is another by now.
        with pytest.raises(AdjustmentRefused, match="by now, and not") as refused:
            act(a_proposal(0.9), by="ann")
        assert code(refused) == "overtaken"
        # Made on versions that are not the newest any more, also of another check.
        with pytest.raises(AdjustmentRefused, match="somebody else") as refused:
            act(replace(a_proposal(0.9), check="other"), by="ann", standing=before)
        assert code(refused) == "overtaken"
    assert len(kept.log("release")) == 1


def test_rolled_back_it_is_exactly_as_it_was(kept: Thresholds) -> None:
    odd = 0.1 + 0.2 + 0.4  # not 0.7 to the digit
    kept.put("release", "judgement", odd, by="ann", scopes=[APPROVE])
    kept.put("release", "judgement", 0.8, by="ann")
    with pytest.raises(AdjustmentRefused) as refused:
        kept.rollback("release", by="ann")
    assert code(refused) == "unapproved"
    [back] = kept.rollback("release", by="ann", scopes=[APPROVE], reason="too strict")
    assert (back.kind, back.version, back.threshold) == ("rolled back", 3, odd)
    assert back.reason == "to version 1: too strict"
    assert kept.current(["release"]) == {"release": {"judgement": odd}}
    # As the gate is written: nothing is adjusted at all.
    [written] = kept.rollback("release", to=0, by="ann", scopes=[APPROVE])
    assert (written.threshold, written.value) == (None, 0.7)
    assert kept.current(["release"]) == {}
    # And forth, to what held before the last change.
    [forth] = kept.rollback("release", by="ann", scopes=[APPROVE])
    assert forth.threshold == odd
    for nothing, words in (
        ({"to": 5}, "holds already"),
        ({"to": 6}, "no version 6"),
        ({"to": -1}, "no version -1"),
        ({"check": "accuracy"}, "no threshold of it was ever"),
    ):
        with pytest.raises(AdjustmentRefused, match=words) as refused:
            kept.rollback("release", by="ann", scopes=[APPROVE], **nothing)
        assert code(refused) == "unknown"


def test_all_checks_of_a_gate_are_rolled_back_together_or_one(database: str) -> None:
    times = iter(range(1000))
    kept = kept_in(database, clock=lambda: NOW + timedelta(seconds=next(times)))
    kept.put("release", "judgement", 0.8, by="ann")
    kept.put("release", "accuracy", 0.6, by="ann")
    kept.put("release", "judgement", 0.9, by="ann")
    kept.put("release", "accuracy", 0.7, by="ann")
    held = kept.current(["release"])
    [one] = kept.rollback("release", check="judgement", by="ann", scopes=[APPROVE])
    assert (one.check, one.threshold) == ("judgement", 0.8)
    kept.put("release", "judgement", 0.9, by="ann")
    both = kept.rollback("release", to=2, by="ann", scopes=[APPROVE])
    assert {each.check: each.threshold for each in both} == {"judgement": 0.8, "accuracy": 0.6}
    assert [each.version for each in both] == [7, 8]
    # Those two were one change, and are undone as one.
    kept.rollback("release", by="ann")
    assert kept.current(["release"]) == held


def test_a_gate_that_was_rewritten_holds_what_is_written(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept_in(database).apply(a_proposal(0.8), by="ann")
    rewritten = kept_in(database, written={"release": {"judgement": 0.9}})
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        assert rewritten.current(["release"]) == {}
        assert rewritten.current(["release"]) == {}
    assert [r.getMessage() for r in caplog.records] == [
        "gate 'release': version 1 of the threshold of 'judgement' (0.8) holds no more: the gate "
        "was written anew since"
    ]
    # 0.85 would be looser than what is written now.
    with pytest.raises(AdjustmentRefused) as refused:
        rewritten.put("release", "judgement", 0.85, by="ann")
    assert code(refused) == "unapproved"
    assert rewritten.put("release", "judgement", 0.95, by="ann").before == 0.9
    assert rewritten.current(["release"]) == {"release": {"judgement": 0.95}}
    assert kept_in(database).current(["release"]) == {}


def test_what_can_not_be_kept_is_refused_before_it_is_written(kept: Thresholds) -> None:
    for wrong in (-0.1, 1.1, float("nan"), True):
        with pytest.raises(ConfigurationError, match="from 0 to 1"):
            kept.put("release", "judgement", wrong, by="ann", scopes=[APPROVE])
    for nobody in ("", " ", None):
        with pytest.raises(ConfigurationError, match="by: who"):
            kept.apply(a_proposal(0.8), by=nobody)  # type: ignore[arg-type]
    with pytest.raises(AdjustmentRefused, match="nobody knows its threshold"):
        kept.put("release", "unheard", 0.8, by="ann")
    assert kept.log("release") == []
    assert deepcopy(kept) is kept


MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"),
            st.sampled_from(["judgement", "accuracy"]),
            st.integers(0, 20).map(lambda each: each / 20),
        ),
        st.tuples(st.just("leave"), st.sampled_from([0.8, 0.6]), st.none()),
        st.tuples(st.just("back"), st.integers(0, 12), st.none()),
        st.tuples(st.just("approve"), st.booleans(), st.none()),
    ),
    max_size=12,
)


# At once


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
@example(
    moves=[("put", "judgement", 0.0), ("put", "accuracy", 0.0), ("back", 0, None), ("back", 3, 0)]
)
def test_versions_only_grow_and_each_can_be_restored(
    moves: list[tuple[str, Any, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = kept_in(str(tmp_path_factory.mktemp("moves") / "agno.db"))
    held: dict[int, dict[str, dict[str, float]]] = {0: {}}
    for what, first, second in moves:
        before = kept.log("release")
        try:
            match what:
                case "put":
                    kept.put("release", first, second, by="ann", scopes=[APPROVE])
                case "leave":
                    kept.leave(a_proposal(first), by="auto")
                case "back":
                    kept.rollback("release", to=first, by="ann", scopes=[APPROVE])
                case _:
                    scopes = [APPROVE] if first else []
                    kept.approve("release", "judgement", by="ann", scopes=scopes)
        except AdjustmentRefused:
            assert kept.log("release") == before
        after = kept.log("release")
        assert after[: len(before)] == before
        assert [each.version for each in after] == [*range(1, len(after) + 1)]
        now = kept.current(["release"])
        for version in range(len(before) + 1, len(after) + 1):
            held[version] = now
        if what in ("leave", "approve") and not first:
            assert all(each.value >= each.before for each in after[len(before) :])
        if what == "back" and len(after) > len(before):
            # Versions that were written together hold together.
            assert now == held[first]
