"""How many requests the gateway sent by itself, as far as its headers and the config tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.routing.recovery.inside import requests_inside

LEAF: dict[str, Any] = {"provider": "openai"}


def fallback(*targets: Any, **more: Any) -> dict[str, Any]:
    return {"strategy": {"mode": "fallback"}, "targets": list(targets), **more}


def balanced(*targets: Any) -> dict[str, Any]:
    return {"strategy": {"mode": "loadbalance"}, "targets": list(targets)}


TRIED = {"retry": {"attempts": 3}}


@pytest.mark.parametrize(
    ("config", "option", "retries", "inside"),
    [
        (LEAF, "config", None, 0),
        (LEAF, "config", 0, 0),
        (LEAF, "config", 2, 2),
        # All that were allowed, and one where that is not said.
        ({**LEAF, **TRIED}, "config", -1, 3),
        (LEAF, "config", -1, 1),
        (fallback(LEAF, LEAF), "config.targets[0]", None, 0),
        (fallback(LEAF, LEAF, LEAF), "config.targets[2]", None, 2),
        (fallback(LEAF, LEAF), "config.targets[1]", 1, 2),
        (fallback(LEAF, LEAF, **TRIED), "config.targets[1]", -1, 4),
        # Skipped, and not asked.
        (fallback({**LEAF, "is_open": True}, LEAF), "config.targets[1]", None, 0),
        # Chosen, with nobody asked before.
        (balanced(LEAF, LEAF), "config.targets[1]", None, 0),
        (fallback(balanced(LEAF, LEAF), LEAF), "config.targets[0].targets[1]", None, 0),
        (fallback(LEAF, fallback(LEAF, LEAF)), "config.targets[1].targets[1]", None, 2),
        (balanced(LEAF, fallback(LEAF, LEAF)), "config.targets[1].targets[1]", None, 1),
    ],
)
def test_it_counts_retries_and_who_was_left(
    config: Any, option: str, retries: int | None, inside: int
) -> None:
    answered = {"option_index": option, "retry_attempt_count": retries}
    assert requests_inside(json.dumps(config), answered) == inside


def test_of_a_config_that_only_the_gateway_knows_those_before_count() -> None:
    assert requests_inside("", {"option_index": "config.targets[2]"}) == 2
    assert requests_inside("", {}) == 0


headers = st.one_of(
    st.none(),
    st.text(),
    st.builds(
        lambda places: "config" + "".join(f".targets[{place}]" for place in places),
        st.lists(st.integers(0, 5), max_size=4),
    ),
)


@given(
    st.sampled_from(["", "no", "[]", "3", json.dumps(fallback(LEAF, LEAF)), '{"targets": 3}']),
    headers,
    st.none() | st.integers(-1, 9),
)
def test_whatever_the_headers_say_it_is_a_number(
    config: str, option: str | None, retries: int | None
) -> None:
    answered = {"option_index": option, "retry_attempt_count": retries}
    assert requests_inside(config, answered) >= max(0, retries or 0)
