"""A report names the change at which a score moved, and no other."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from gate_decisions import NOON, decided, scored_at
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history import Decided, report, reports, shifts, spans
from agno_portkey.gates.history.series import scores_of

MINI = {"Judge.model": "gpt-4o-mini", "Planner.prompt": "sha256:ab12"}
LARGE = {**MINI, "Judge.model": "gpt-4.1"}
PROMPT = {**LARGE, "Planner.prompt": "sha256:cd34"}


def played(*parts: tuple[dict[str, str], float, int], seed: int = 1) -> list[Decided]:
    """So many decisions of each set of versions, with scores about a mean, one a minute."""
    chance, made = Random(seed), []
    for versions, mean, count in parts:
        for _ in range(count):
            score = min(1.0, max(0.0, chance.gauss(mean, 0.05)))
            made.append(scored_at(len(made), score, versions=versions))
    return made


def test_the_change_that_moved_a_score_is_named() -> None:
    told = report(played((MINI, 0.8, 30), (LARGE, 0.6, 30), (PROMPT, 0.6, 30)))
    assert told.by == "time"
    assert [each.decisions for each in told.segments] == [30, 30, 30]
    [moved] = told.moved
    assert moved is told.changes[0]
    assert moved.at == NOON + timedelta(minutes=30)
    assert [str(part) for part in moved.parts] == ["Judge.model: gpt-4o-mini -> gpt-4.1"]
    assert {each.name for each in moved.moved} == {"score", "score of judgement", "pass rate"}
    assert str(moved).startswith(
        "2026-05-01 12:30 UTC, Judge.model: gpt-4o-mini -> gpt-4.1: the score moved from 0.8"
    )
    score = moved.moves[0]
    assert score.before.mean == pytest.approx(0.8, abs=0.03)
    assert score.after.mean == pytest.approx(0.6, abs=0.03)
    assert "Planner.prompt: sha256:ab12 -> sha256:cd34: no score moved" in str(told.changes[1])
    assert told.shifts == ()


def test_decisions_in_any_order_are_told_the_same() -> None:
    several = played((MINI, 0.8, 20), (LARGE, 0.6, 20))
    mixed = several.copy()
    Random(3).shuffle(mixed)
    assert report(mixed) == report(several)


def test_of_two_parts_that_changed_at_once_none_is_named_alone() -> None:
    told = report(played((MINI, 0.8, 30), (PROMPT, 0.6, 30)))
    [moved] = told.moved
    assert [part.name for part in moved.parts] == ["Judge.model", "Planner.prompt"]
    assert str(moved).endswith("they changed at once, and which of them it was can't be told")


def test_too_few_decisions_move_nothing() -> None:
    told = report(played((MINI, 0.9, 30), (LARGE, 0.1, 4)))
    [change] = told.changes
    assert change.moved == ()
    assert "too few decisions to say" in str(change)
    assert all(move.chance is None for move in change.moves)
    assert "too few to say" in str(change.moves[0])


def test_scores_that_never_vary_move_too() -> None:
    several = [
        scored_at(number, 0.8 if number < 10 else 0.75, versions=MINI if number < 10 else LARGE)
        for number in range(20)
    ]
    [moved] = report(several).moved
    assert {each.name for each in moved.moved} == {"score", "score of judgement"}


def test_versions_side_by_side_are_compared_as_such() -> None:
    chance, several = Random(5), []
    for number in range(120):
        versions = chance.choice((MINI, LARGE))
        mean = 0.8 if versions is MINI else 0.65
        several.append(scored_at(number, chance.gauss(mean, 0.05), versions=versions))
    told = report(several)
    assert told.by == "version"
    assert len(told.segments) == 2
    [moved] = told.moved
    assert moved.parts[0].name == "Judge.model"
    assert report(several, by="time").by == "time"


def test_one_part_at_a_time_tells_two_apart() -> None:
    """Each set is compared with the nearest that was seen before it."""
    both = {**PROMPT, "policy": "sha256:9"}
    other = {**MINI, "Planner.prompt": "sha256:cd34"}
    told = report(
        played((MINI, 0.8, 5), (LARGE, 0.8, 5), (other, 0.8, 5), (both, 0.8, 5)), by="version"
    )
    assert [[part.name for part in each.parts] for each in told.changes] == [
        ["Judge.model"],
        ["Planner.prompt"],
        ["Judge.model", "policy"],
    ]


def test_a_rollback_is_two_changes() -> None:
    told = report(played((MINI, 0.8, 20), (LARGE, 0.6, 20), (MINI, 0.8, 20)))
    assert told.by == "time"
    assert [str(each.parts[0]) for each in told.moved] == [
        "Judge.model: gpt-4o-mini -> gpt-4.1",
        "Judge.model: gpt-4.1 -> gpt-4o-mini",
    ]


def test_a_part_that_is_new_or_gone_is_a_change() -> None:
    told = report(played(({}, 0.8, 5), ({"policy": "sha256:1"}, 0.8, 5), ({}, 0.8, 5)))
    assert [str(each.parts[0]) for each in told.changes] == [
        "policy: (none) -> sha256:1",
        "policy: sha256:1 -> (none)",
    ]


def test_a_score_that_moves_by_itself_is_told() -> None:
    told = report(played((MINI, 0.8, 30), (MINI, 0.6, 30)))
    assert told.changes == ()
    [at] = told.shifts
    assert abs(at - (NOON + timedelta(minutes=30))) <= timedelta(minutes=2)


def test_changes_that_move_nothing_are_seldom_named() -> None:
    """Over 40 changes in each of 25 histories, in which nothing moves."""
    named = 0
    for seed in range(25):
        parts = [({"Planner.prompt": str(number)}, 0.7, 8) for number in range(41)]
        named += bool(report(played(*parts, seed=seed)).moved)
    # 5% of 25 are 1.25; four standard deviations above that are 5.6.
    assert named <= 5


def test_a_gate_without_a_score_has_its_pass_rate() -> None:
    several = [
        decided(
            at=NOON + timedelta(minutes=number),
            score=None,
            checks=(),
            passed=number < 10,
            outcome="pass" if number < 10 else "fail",
            versions=MINI if number < 10 else LARGE,
        )
        for number in range(20)
    ]
    told = report(several)
    [moved] = told.moved
    assert [each.name for each in moved.moved] == ["pass rate"]
    assert told.segments[0].score is None
    assert (told.segments[0].pass_rate.mean, told.segments[1].pass_rate.mean) == (1.0, 0.0)


def test_each_gate_of_each_swarm_has_its_report() -> None:
    several = [
        decided(gate=gate, swarm=swarm) for gate in ("b", "a") for swarm in ("Sales", None, "Desk")
    ]
    told = reports(several)
    assert [(each.swarm, each.gate) for each in told] == [
        (swarm, gate) for swarm in (None, "Desk", "Sales") for gate in ("a", "b")
    ]
    assert reports([]) == []


def test_a_report_is_plain_json() -> None:
    told = report(played((MINI, 0.8, 30), (LARGE, 0.6, 30))).as_dict()
    again = json.loads(json.dumps(told))
    assert again == told
    [change] = again["changes"]
    assert change["parts"] == [{"name": "Judge.model", "before": "gpt-4o-mini", "after": "gpt-4.1"}]
    assert change["moves"][0]["moved"] is True
    assert again["segments"][0]["versions"] == MINI


@pytest.mark.parametrize("wrong", [[], [decided(), decided(gate="other")]])
def test_a_report_is_of_one_gate(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="of one gate of one swarm"):
        report(wrong)


def test_how_it_is_compared_is_one_of_three() -> None:
    with pytest.raises(ConfigurationError, match="by: auto, time or version"):
        report([decided()], by="colour")  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_every_decision_is_in_one_span(minutes: list[int]) -> None:
    several = [scored_at(each, 0.8 if each % 2 else 0.5, cost=0.5) for each in minutes]
    found = spans(several)
    assert sum(span.decisions for span in found) == len(minutes)
    assert sum(span.passed for span in found) == sum(each % 2 for each in minutes)
    assert sum(span.cost or 0 for span in found) == len(minutes) / 2
    assert len(found) <= 32
    for span, after in pairwise(found):
        assert span.end == after.start
    for each in several:
        [span] = [one for one in found if one.start <= each.at < one.end]
        assert span.decisions


def test_spans_of_a_width() -> None:
    several = [scored_at(0, 0.8), scored_at(125, 0.5, outcome="underpowered")]
    first, empty, last = spans(several, timedelta(hours=1))
    assert (first.start, first.decisions, first.passed) == (NOON, 1, 1)
    assert (empty.decisions, empty.pass_rate, empty.score, empty.cost) == (0, None, None, None)
    assert (last.underpowered, last.passed) == (1, 0)
    assert first.as_dict()["score"] == 0.8
    assert spans([]) == []
    with pytest.raises(ConfigurationError, match="longer than nothing"):
        spans(several, timedelta(0))
    with pytest.raises(ConfigurationError, match="more than 10000 spans"):
        spans(several, timedelta(milliseconds=100))


def test_scores_are_told_by_check() -> None:
    found = scores_of([decided(score=None), scored_at(1, 0.5)])
    assert [score for _, score in found[None]] == [0.5]
    assert [score for _, score in found["judgement"]] == [0.8, 0.5]
    assert [score for _, score in found["critique"]] == [1.0]


def test_several_shifts_are_found() -> None:
    chance = Random(4)
    means = (0.5, 0.8, 0.6)
    values = [chance.gauss(means[number // 40], 0.03) for number in range(120)]
    assert [round(place / 10) for place in shifts(values)] == [4, 8]
    assert shifts([]) == []
