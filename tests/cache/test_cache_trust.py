"""How far a semantic cache trusts likeness, and what it serves of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.cache.entry import Evidence
from agno_portkey.cache.semantic.bounds import at_least, at_most
from agno_portkey.cache.semantic.trust import Estimate, Trust
from agno_portkey.errors import ConfigurationError

NOW = 1_000_000.0


def trusting(*evidence: Evidence, budget: float = 0.01, **options: Any) -> Trust:
    trust = Trust(budget, clock=lambda: NOW, **{"level": 0.95, **options})
    for each in evidence:
        trust.add(each)
    return trust


def compared(
    count: int, *, same: bool = True, likeness: float = 0.95, since: float = 0.0, of: str = ""
) -> list[Evidence]:
    """Comparisons one after the other, with an entry each or with one entry."""
    times = (since + at for at in range(count))
    return [Evidence("", of or f"e{at}", likeness, same, at) for at in times]


def served(trust: Trust, likeness: float = 0.95, entry: str = "new", stratum: str = "") -> float:
    """The share of a thousand draws that is served."""
    said = [trust.decide(stratum, entry, likeness, draw / 1_000) for draw in range(1_000)]
    assert said == sorted(said, reverse=True)
    return said.count("serve") / 1_000


# The pool


def test_nothing_is_served_where_nothing_is_known() -> None:
    trust = trusting()
    assert (trust.bound("", "new", 1.0), served(trust, 1.0)) == (1.0, 0.0)


def test_even_a_large_budget_does_not_serve_what_is_not_known_or_known_to_be_wrong() -> None:
    trust = trusting(*compared(9), Evidence("", "bad", 0.95, False, 10.0), budget=0.5)
    assert served(trust, 0.95) > 0
    assert (served(trust, stratum="other"), served(trust, 0.95, "bad")) == (0.0, 0.0)


def test_it_serves_all_but_a_sample_once_the_bound_is_within_the_budget() -> None:
    assert trusting(*compared(298)).bound("", "new", 0.95) > 0.01
    trust = trusting(*compared(299))
    assert trust.bound("", "new", 0.95) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert served(trust) == 0.98


@pytest.mark.parametrize("sample", [0.0, 0.1, 1.0])
def test_the_sample_is_asked_nevertheless(sample: float) -> None:
    assert served(trusting(*compared(299), sample=sample)) == pytest.approx(1 - sample)


def test_before_it_serves_as_often_as_the_budget_bears() -> None:
    chance = 0.98 * 0.01 / (1 - 0.05 ** (1 / 150))
    assert served(trusting(*compared(150))) == pytest.approx(chance, abs=0.001)


def test_what_would_be_served_seldom_is_asked() -> None:
    # A bound of 5 % leaves one in five, and one of 4 % one in four.
    assert served(trusting(*compared(58))) == 0.0
    assert served(trusting(*compared(75))) > 0.24


def test_a_stratum_is_judged_by_its_own_comparisons() -> None:
    other = [replace(each, stratum="number") for each in compared(50, same=False)]
    trust = trusting(*compared(299), *other)
    assert (served(trust), served(trust, stratum="number")) == (0.98, 0.0)


def test_what_is_liker_is_served_and_what_is_less_like_is_asked() -> None:
    trust = trusting(*compared(299, likeness=0.9))
    assert (served(trust, 0.99), served(trust, 0.8)) == (0.98, 0.0)
    assert trust.serves_from("") == 0.9


evidences = st.builds(
    Evidence,
    st.sampled_from(["", "word"]),
    st.sampled_from("abcdef"),
    st.integers(0, 100).map(lambda percent: percent / 100),
    st.sampled_from([True, True, True, True, False]),
    st.integers(0, 500).map(float),
)


@given(st.lists(evidences, max_size=60), st.integers(0, 400), st.sampled_from([0.01, 0.05, 0.3]))
def test_what_is_liker_is_not_trusted_less(
    evidence: list[Evidence], right: int, budget: float
) -> None:
    trust = trusting(*compared(right, since=1_000.0), *evidence, budget=budget)
    for entry in ("a", "new"):
        bounds = [trust.bound("", entry, percent / 100) for percent in range(101)]
        assert bounds == sorted(bounds, reverse=True)
        assert all(0 < bound <= 1 for bound in bounds)


# Entries


def test_an_entry_is_not_served_at_or_below_the_likeness_at_which_it_was_wrong() -> None:
    wrong = Evidence("", "bad", 0.91, False, 5_000.0)
    trust = trusting(*compared(999), wrong, *compared(200, since=6_000.0))
    assert [trust.bound("", "bad", at) for at in (0.8, 0.9, 0.91)] == [1.0, 1.0, 1.0]
    assert served(trust, 0.91, "bad") == 0.0
    assert served(trust, 0.95, "new") == 0.98


def test_above_it_its_own_share_of_errors_counts_beside_the_pools() -> None:
    trust = trusting(*compared(999), Evidence("", "bad", 0.91, False, 2_000.0))
    pool = at_most(0, 999, 0.95)
    assert trust.bound("", "new", 0.95) == pytest.approx(pool)
    # Ten comparisons go by the pool, and one is its own.
    assert trust.bound("", "bad", 0.95) == pytest.approx((10 * pool + 1) / 11)
    for each in compared(99, of="bad", since=3_000.0):
        trust.add(each)
    assert trust.bound("", "bad", 0.95) == pytest.approx((10 * pool + 1) / 110)
    assert (served(trust, 0.95, "bad"), served(trust, 0.91, "bad")) == (0.98, 0.0)


def test_an_entry_that_is_wrong_again_and_again_costs_the_others_little() -> None:
    wrong = compared(40, same=False, of="bad", since=2_000.0)
    trust = trusting(*compared(900), *wrong, *compared(97, since=3_000.0))
    # Its first three errors count.
    assert trust.bound("", "new", 0.95) == pytest.approx(at_most(3, 1_000, 0.95))


# Change


def burst(errors: int, since: float = 2_000.0) -> list[Evidence]:
    return compared(errors, same=False, since=since)


def test_a_burst_of_errors_closes_a_stratum_that_its_average_would_leave_open() -> None:
    trust = trusting(*compared(997), *burst(3))
    assert at_most(3, 1_000, 0.95) < 0.01
    assert (trust.bound("", "new", 0.99), trust.serves_from("")) == (1.0, None)
    assert served(trust) == 0.0


def test_it_opens_again_when_the_burst_has_subsided() -> None:
    # Each error adds log 6, each right one takes log (0.995 / 0.97); the alarm is at 4.
    trust = trusting(*compared(997), *burst(3))
    needed = math.floor((3 * log(6) - 4) / log(0.995 / 0.97)) + 1
    assert trust.needed("") == needed
    for each in compared(needed, since=3_000.0):
        assert trust.serves_from("") is None
        trust.add(each)
    assert trust.serves_from("") is not None
    assert 0 < served(trust) < 0.1


def test_one_error_has_more_asked_for_a_while() -> None:
    trust = trusting(*compared(999), *burst(1))
    assert served(trust) == pytest.approx(1 - log(6) / 4, abs=0.001)
    for each in compared(71, since=3_000.0):
        trust.add(each)
    assert served(trust) == 0.98


def test_errors_where_nothing_is_served_raise_no_alarm() -> None:
    unlike = compared(30, same=False, likeness=0.6, since=2_000.0)
    assert served(trusting(*compared(299), *unlike)) == 0.98


def test_errors_far_apart_are_no_burst() -> None:
    errors = [each for at in range(3) for each in burst(1, since=200.5 + 300 * at)]
    assert served(trusting(*compared(999), *errors)) == 0.98


def test_old_errors_are_forgotten_with_their_window() -> None:
    trust = trusting(*burst(30), *compared(999, since=3_000.0))
    assert trust.bound("", "new", 0.95) == pytest.approx(at_most(1, 1_000, 0.95))
    trust.add(Evidence("", "last", 0.95, True, 9_000.0))
    assert trust.bound("", "new", 0.95) == pytest.approx(1 - 0.05 ** (1 / 1_000))


# Limits


def test_the_stratum_that_was_heard_of_least_lately_is_forgotten() -> None:
    trust = trusting(*compared(299), strata=2)
    for at, stratum in enumerate(["a", "b"]):
        trust.add(Evidence(stratum, "e", 0.9, True, 5_000.0 + at))
    assert (trust.bound("", "new", 0.95), trust.needed("")) == (1.0, 299)
    assert trust.bound("b", "e", 0.9) < 1


def test_an_entry_that_is_forgotten_counts_in_the_pool_and_so_does_its_next_error() -> None:
    errors = [*compared(3, same=False, of="one", since=2_000.0), *burst(1, 3_000.0)]
    calm = compared(250, since=5_000.0)
    trust = trusting(*compared(700), *errors, *calm, entries=1)
    assert trust.bound("", "one", 0.95) == pytest.approx(at_most(4, 954, 0.95))
    assert trust.bound("", "e3000.0", 0.95) == 1.0
    trust.add(Evidence("", "one", 0.95, False, 6_000.0))
    assert trust.bound("", "new", 0.95) == pytest.approx(at_most(5, 955, 0.95))


def test_what_is_remembered_is_limited() -> None:
    trust = trusting(entries=3, strata=2, budget=0.05)
    for at in range(2_000):
        trust.add(Evidence(f"s{at % 5}", f"e{at}", 0.9, at % 3 > 0, float(at)))
    kept = [held.known for held in trust._strata.values()]
    assert len(kept) == 2
    assert all(len(known) <= 200 and len(known._records) <= 3 for known in kept)


# Several at once


@given(st.lists(evidences, unique=True, max_size=60), st.randoms())
def test_the_order_of_evidence_does_not_matter(evidence: list[Evidence], chance: Any) -> None:
    shuffled = [*compared(80), *evidence]
    chance.shuffle(shuffled)
    assert told(trusting(*shuffled, budget=0.05)) == told(
        trusting(*compared(80), *evidence, budget=0.05)
    )


def told(trust: Trust) -> list[Any]:
    bounds = [trust.bound("", entry, at / 50) for entry in ("a", "b", "new") for at in range(51)]
    return [bounds, trust.needed(""), trust.needed("word"), trust.estimate()]


def test_threads_learn_what_one_would() -> None:
    parts = [compared(100, since=100.0 * part) for part in range(8)]
    parts.append([Evidence("", f"bad{at}", 0.9, False, 40.0 * at) for at in range(20)])
    trust = trusting()

    def works(part: Iterable[Evidence]) -> None:
        for each in part:
            trust.add(each)
            trust.decide("", each.entry, each.likeness, 0.5)
            trust.estimate()

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(works, parts))
    alone = trusting(*(each for part in parts for each in part))
    assert [trust.bound("", "new", at / 50) for at in range(51)] == [
        alone.bound("", "new", at / 50) for at in range(51)
    ]


# What it tells


def test_it_tells_how_many_comparisons_are_needed() -> None:
    assert trusting().needed("") == 299
    assert trusting(*compared(100)).needed("") == 199
    assert trusting(*compared(299)).needed("") == 0
    wrong = compared(1, same=False, since=2_000.0)
    more = trusting(*compared(99), *wrong).needed("")
    assert at_most(1, 100 + more, 0.95) <= 0.01 < at_most(1, 99 + more, 0.95)


def test_a_smaller_budget_needs_more_and_a_lower_level_less() -> None:
    assert trusting(budget=0.001).needed("") == 2_995
    # 0.99 ** 105 is the first power below 0.35, which the level of 0.65 leaves.
    assert Trust().needed("") == trusting(level=0.65).needed("") == 105


def test_the_estimate_is_of_what_is_served() -> None:
    errors = compared(2, same=False, likeness=0.97, since=200.5)
    unlike = compared(40, same=False, likeness=0.5, since=8_000.0)
    trust = trusting(*compared(998), *errors, *unlike)
    interval = at_least(2, 1_000, 0.975), at_most(2, 1_000, 0.975)
    expected = Estimate(0.002, *interval, wrong=2, comparisons=1_000)
    assert trust.estimate() == {"": expected, "*": expected}


def test_strata_weigh_what_was_served_of_them() -> None:
    first = [Evidence("a", f"e{at}", 0.9, True, float(at)) for at in range(1_000)]
    second = [Evidence("b", f"e{at}", 0.9, at not in (50, 400), float(at)) for at in range(1_000)]
    trust = trusting(*first, *second)
    assert trust.estimate()["*"].rate == pytest.approx(0.001)
    for _ in range(3):
        trust.decide("b", "new", 0.9, 0.0)
    trust.decide("a", "new", 0.9, 0.0)
    assert trust.estimate()["*"].rate == pytest.approx(0.0015)


def test_nothing_is_known_of_what_is_not_served() -> None:
    assert trusting(*compared(20)).estimate() == {"*": Estimate(0.0, 0.0, 1.0, 0, 0)}


# Junk


@pytest.mark.parametrize("name", ["likeness", "at"])
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, -0.01])
def test_numbers_that_can_not_be_are_refused(name: str, junk: float) -> None:
    refuses(name, junk)


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("likeness", 1.01),
        ("likeness", "0.9"),
        ("likeness", None),
        ("at", NOW + 301),
        ("at", "yesterday"),
        ("entry", ""),
        ("entry", None),
        ("stratum", None),
        ("same", None),
        ("same", 1),
    ],
)
def test_what_is_no_evidence_is_refused(name: str, junk: object) -> None:
    refuses(name, junk)


def refuses(name: str, junk: object) -> None:
    trust = trusting(*compared(299))
    before = told(trust)
    fields: dict[str, Any] = {name: junk}
    with pytest.raises(ConfigurationError, match=name):
        trust.add(replace(Evidence("", "e", 0.9, False, 1.0), **fields))
    assert told(trust) == before


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    assert trusting(Evidence("", "e", 0.9, True, NOW + 299)).bound("", "e", 0.9) < 1


@pytest.mark.parametrize("likeness", [math.nan, math.inf, -0.1, 1.1])
def test_a_likeness_that_can_not_be_is_asked(likeness: float) -> None:
    trust = trusting(*compared(299))
    assert (trust.bound("", "new", likeness), served(trust, likeness)) == (1.0, 0.0)


@pytest.mark.parametrize("draw", [math.nan, -0.5, 1.0, math.inf])
def test_a_draw_that_can_not_be_is_asked(draw: float) -> None:
    assert trusting(*compared(299), sample=0.0).decide("", "new", 0.95, draw) == "explore"


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("max_error", 0.0),
        ("max_error", 1.0),
        ("max_error", math.nan),
        ("sample", -0.1),
        ("sample", 1.1),
        ("sample", math.nan),
        ("level", 1.0),
        ("entries", 0),
        ("strata", 0),
    ],
)
def test_settings_that_can_not_be_are_refused(name: str, junk: float) -> None:
    options: dict[str, Any] = {name: junk}
    with pytest.raises(ConfigurationError, match=name):
        Trust(**options)
