"""Who gets which arm stays so, and what the arms did can be compared."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections import Counter
from copy import deepcopy
from hashlib import blake2b
from typing import Any

import pytest
from agno.agent import Agent
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.experiments.arms import Arms, ArmSummary, pick
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.verdict import Event

KEYS = [f"user-{number}" for number in range(4_000)]
THREE = [("control", 0.7), ("canary", 0.2), ("wild", 0.1)]

names = st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True)
weights = st.floats(0, 1e12, allow_subnormal=False)


@st.composite
def arms(draw: st.DrawFn) -> list[tuple[str, float]]:
    named = [(name, draw(weights)) for name in draw(names)]
    # At least one that can be chosen.
    return [*named[:-1], (named[-1][0], draw(st.floats(1e-12, 1e12)))]


# Picking


@given(arms(), st.text(min_size=1), st.text())
def test_it_is_the_arm_with_the_highest_score(
    among: list[tuple[str, float]], key: str, salt: str
) -> None:
    """The formula of the docstring, in its plain form."""

    def score(name: str, weight: float) -> float:
        told = json.dumps([salt, key, name]).encode()
        number = int.from_bytes(blake2b(told, digest_size=8).digest(), "big") >> 12
        return -weight / math.log((number + 0.5) / 2**52)

    best = max(score(*arm) for arm in among)
    chosen = among[pick(among, key, salt=salt)]
    assert score(*chosen) == pytest.approx(best, rel=1e-12)
    assert chosen[1] > 0


def test_every_process_picks_the_same() -> None:
    script = (
        "import sys, json; from agno_portkey.routing.experiments.arms import pick\n"
        "arms, keys = json.load(sys.stdin)\n"
        "print([pick(arms, key, salt='s') for key in keys])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([THREE, KEYS[:50]]),
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == [pick(THREE, key, salt="s") for key in KEYS[:50]]


@pytest.mark.parametrize("keys", [KEYS, [None] * len(KEYS), [""] * len(KEYS)])
def test_each_arm_gets_its_share(keys: list[str | None]) -> None:
    got = Counter(pick(THREE, key) for key in keys)
    for index, (_, weight) in enumerate(THREE):
        # Six standard errors: it fails by chance about once in a billion.
        allowed = 6 * math.sqrt(weight * (1 - weight) / len(keys))
        assert abs(got[index] / len(keys) - weight) < allowed


def test_another_salt_deals_anew() -> None:
    first = [pick(THREE, key, salt="one") for key in KEYS]
    second = [pick(THREE, key, salt="two") for key in KEYS]
    same = sum(a == b for a, b in zip(first, second, strict=True)) / len(KEYS)
    # Independent deals agree with probability 0.49 + 0.04 + 0.01.
    assert 0.5 < same < 0.58


def test_salt_key_and_name_do_not_run_together() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("", "abc")]
    even = [(str(number), 1.0) for number in range(1_000)]
    assert len({pick(even, key, salt=salt) for salt, key in pairs}) == 3


@given(arms(), st.integers(0, 4), st.floats(1, 100), st.lists(st.text(min_size=1), max_size=20))
def test_more_weight_only_draws_keys_in(
    before: list[tuple[str, float]], which: int, factor: float, keys: list[str]
) -> None:
    which %= len(before)
    name, weight = before[which]
    after = [*before[:which], (name, (weight + 0.5) * factor), *before[which + 1 :]]
    for key in keys:
        was, now = pick(before, key), pick(after, key)
        assert now in (was, which)


@given(arms(), st.integers(0, 4), st.lists(st.text(min_size=1), max_size=20))
def test_an_arm_taken_out_moves_its_own_keys_alone(
    all_arms: list[tuple[str, float]], out: int, keys: list[str]
) -> None:
    out %= len(all_arms)
    rest = [index for index in range(len(all_arms)) if index != out]
    if not any(all_arms[index][1] for index in rest):
        return
    for key in keys:
        was, now = pick(all_arms, key), pick(all_arms, key, among=rest)
        assert now != out
        assert was in (now, out)


@given(st.data(), arms(), st.text(min_size=1))
def test_order_does_not_matter(
    data: st.DataObject, these: list[tuple[str, float]], key: str
) -> None:
    shuffled = data.draw(st.permutations(these))
    assert shuffled[pick(shuffled, key)] == these[pick(these, key)]


def test_a_weight_of_0_is_never_chosen_and_only_such_are_refused() -> None:
    two = [("on", 1.0), ("off", 0.0)]
    assert {pick(two, key) for key in KEYS} == {0}
    with pytest.raises(ConfigurationError, match="every arm that may be asked has weight 0"):
        pick(two, "k", among=[1])


@pytest.mark.parametrize("among", [[], [3], [-1, 0]])
def test_whom_to_choose_among_is_checked(among: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="among: at least one index from 0 to 2"):
        pick(THREE, "k", among=among)


@pytest.mark.parametrize(
    ("these", "said"),
    [
        ([("a", 1.0), ("a", 2.0)], r"arms\[1\]: the name 'a' is taken"),
        ([("a", 1.0), ("b", -1.0)], r"arms\[1\]: a weight of 0 or more, not -1.0"),
        ([("a", math.nan)], r"arms\[0\]: a weight of 0 or more, not nan"),
        ([("a", math.inf)], r"arms\[0\]: a weight of 0 or more, not inf"),
        ([], "among: at least one index"),
    ],
)
def test_arms_are_checked(these: list[tuple[str, float]], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        pick(these, "k")


# What the arms did


def call(arm: str | None, experiment: str | None = None, **data: Any) -> Event:
    tags = {"arm": arm, "experiment": experiment}
    return Event("attempt", data={**data, "tags": {k: v for k, v in tags.items() if v is not None}})


def test_calls_through_the_gateway_are_kept_by_their_arm(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    arms = Arms()
    for arm, calls in (("control", 3), ("canary", 2)):
        model = PortkeyModel(
            base_url=portkey_gateway.url,
            portkey_provider="openai",
            api_key="k",
            custom_host=portkey_provider.url,
            tags={"experiment": "sizes", "arm": arm},
            observers=[arms],
        )
        for _ in range(calls):
            Agent(model=model).run("Hi")
    portkey_provider.fault(Fault.status(400), times=1)
    Agent(model=model).run("Hi")

    canary, control = arms.summary()
    assert (control.experiment, control.arm, control.calls, control.ok) == (
        "sizes",
        "control",
        3,
        1.0,
    )
    assert (canary.arm, canary.calls, canary.ok) == ("canary", 3, 2 / 3)
    assert canary.tokens is not None
    assert canary.tokens > 0

    found = arms.compare("control", "canary", metric="ok")
    assert (found.mean_a, found.mean_b, found.n_b) == (1, 2 / 3, 3)
    assert "canary is 33.3 points lower than control" in str(found)
    seconds = arms.compare("control", "canary", metric="seconds", experiment="sizes")
    assert (seconds.n_a, seconds.n_b, seconds.unit) == (3, 2, "s")
    assert arms.compare("control", "canary", metric="tokens").unit == "tokens"


def test_failed_calls_count_as_such_and_not_as_fast_ones() -> None:
    arms = Arms()
    for event in (
        call("a", seconds=2.0, output_tokens=10),
        call("a", seconds=4.0, output_tokens=30),
        call("a", seconds=0.001, error="UpstreamFailed"),
        call("a", seconds=3.0),
        call("a", seconds=math.nan, output_tokens="many"),
    ):
        arms(event)
    assert arms.summary() == [ArmSummary("", "a", 5, 0.8, 3.0, 20.0)]


def test_what_is_no_call_of_an_arm_is_passed_over() -> None:
    arms = Arms()
    arms(call(None, seconds=1.0))
    arms(Event("attempt", data={"seconds": 1.0}))
    arms(Event("call", data=call("a", seconds=1.0).data))
    assert arms.summary() == []


def test_the_latest_calls_count_and_old_arms_are_forgotten() -> None:
    arms = Arms(keep=2)
    for seconds in (100.0, 1.0, 3.0):
        arms(call("a", seconds=seconds))
    assert arms.summary() == [ArmSummary("", "a", 3, 1.0, 2.0, None)]
    for number in range(1_000):
        arms(call(f"arm-{number}"))
    left = arms.summary()
    assert len(left) == 1_000
    assert "a" not in {row.arm for row in left}


def test_an_experiment_is_named_only_where_it_must_be() -> None:
    arms = Arms()
    for experiment, slow in (("one", 1.0), ("two", 5.0)):
        for extra in (0.0, 0.5):
            arms(call("a", experiment, seconds=slow + extra))
            arms(call("b", experiment, seconds=slow + extra + 1))
    arms(call("c", "three"))
    assert arms.compare("a", "b", experiment="two").mean_a == 5.25
    with pytest.raises(ConfigurationError, match=r"experiment: name one .* \('one', 'two'\)"):
        arms.compare("a", "b")
    with pytest.raises(ConfigurationError, match=r"experiment: .* \(none has both arms\)"):
        arms.compare("a", "c")
    with pytest.raises(
        ConfigurationError, match=r"arm_b: no call of 'd' in the experiment 'two' .* of: a, b$"
    ):
        arms.compare("a", "d", experiment="two")
    with pytest.raises(ConfigurationError, match="arm_a: no call of 'd' was heard; heard of: a, b"):
        arms.compare("d", "b")


def test_what_can_not_be_said_yet_is_refused() -> None:
    arms = Arms()
    with pytest.raises(ConfigurationError, match="give the model this observer"):
        arms.compare("a", "b")
    for arm in ("a", "b"):
        arms(call(arm, seconds=1.0))
    with pytest.raises(ConfigurationError, match="arm 'a': 1 answered calls are too few"):
        arms.compare("a", "b", metric="seconds")
    assert arms.compare("a", "b", metric="ok").difference == 0
    metric: Any = "money"
    with pytest.raises(ConfigurationError, match="metric: seconds, tokens or ok, not 'money'"):
        arms.compare("a", "b", metric=metric)


@pytest.mark.parametrize("keep", [1, 0, True, 2.5])
def test_how_many_to_keep_is_checked(keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep: a number of calls"):
        Arms(keep=keep)


def test_threads_lose_nothing_and_a_copy_is_the_same_observer() -> None:
    arms = Arms()
    usual = sys.getswitchinterval()

    def hear() -> None:
        # Each arm is new to all of them at about the same time.
        for number in range(900):
            arms(call(f"arm-{number}", seconds=1.0))

    threads = [threading.Thread(target=hear) for _ in range(4)]
    # Threads that take turns this often meet in the middle of everything.
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert sum(row.calls for row in arms.summary()) == 3_600
    assert deepcopy(arms) is arms


def test_what_an_arm_failed_at_counts_for_it_though_another_arm_saved_the_call() -> None:
    arms = Arms()
    for arm, more in [("a", {"error": "UpstreamFailed"}), ("b", {})]:
        arms(Event("attempt", data={"tags": {"arm": arm}, "seconds": 1.0, **more}))
    # The call itself names one arm only, and is passed over.
    arms(Event("call", data={"tags": {"arm": "b"}, "seconds": 2.0}))
    assert [(each.arm, each.calls, each.ok) for each in arms.summary()] == [
        ("a", 1, 0.0),
        ("b", 1, 1.0),
    ]
