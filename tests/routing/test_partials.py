"""What came of an answer is there once for who asks the same again, and for nobody else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.routing.recovery.partials import Partials, digest_of


def test_a_partial_answer_serves_once() -> None:
    partials = Partials()
    assert not partials
    partials.keep("a", "one two")
    assert partials
    assert partials.take("b") == ""
    assert partials.take("a") == "one two"
    assert partials.take("a") == ""


def test_it_is_forgotten_after_ten_minutes() -> None:
    now = [0.0]
    partials = Partials(clock=lambda: now[0])
    partials.keep("a", "one")
    now[0] = 600.0
    assert partials.take("a") == "one"
    partials.keep("a", "one")
    now[0] = 1200.1
    assert partials.take("a") == ""


def test_the_oldest_is_forgotten_first() -> None:
    partials = Partials()
    for number in range(65):
        partials.keep(str(number), "text")
    partials.keep("1", "anew")
    assert partials.take("0") == ""
    assert partials.take("1") == "anew"
    assert partials.take("2") == "text"


PARAMS: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@given(st.sampled_from(["extra_headers", "timeout", "stream", "stream_options"]), st.text())
def test_what_is_not_of_the_question_does_not_matter(name: str, value: str) -> None:
    assert digest_of({**PARAMS, name: value}, (None,)) == digest_of(PARAMS, (None,))


@given(st.sampled_from(["model", "messages", "temperature", "tools"]), st.text())
def test_all_else_does(name: str, value: str) -> None:
    assert digest_of({**PARAMS, name: value}, (None,)) != digest_of(PARAMS, (None,))


@given(*[st.tuples(*[st.none() | st.text()] * 2)] * 2)
def test_two_who_ask_the_same_get_different_digests(one: Any, other: Any) -> None:
    assert (digest_of(PARAMS, one) == digest_of(PARAMS, other)) == (one == other)
