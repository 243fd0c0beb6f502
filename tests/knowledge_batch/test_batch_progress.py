"""Who waits for a job sees it move: while inputs are made ready, answered, and looked at."""

from __future__ import annotations

import pytest
from batch_forms import INPUTS, Jobs, Models, agent

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.testing import EmbeddedProvider, Fault

Told = list[tuple[int, int]]


@guard
def no_twos(passage: Passage) -> Block | None:
    if "question 5" in passage.text:
        raise RuntimeError("down")
    return Block("no twos") if "question 2" in passage.text else None


@pytest.fixture
def told() -> Told:
    return []


def test_each_input_is_told_as_it_is_made_ready(
    job: Jobs, model: Models, told: Told, portkey_provider: EmbeddedProvider
) -> None:
    """Refused ones and undecided ones, too; and none of them has left yet."""
    sent: list[int] = []

    def note(done: int, total: int) -> None:
        told.append((done, total))
        sent.append(len(portkey_provider.requests))

    one = job(agent(model(guards=[no_twos])), concurrency=1, progress=note)
    with pytest.raises(InputBlocked):
        one.submit()
    assert told == [(done, 7) for done in range(8)]
    assert {*sent} == {0}
    told.clear()
    with pytest.raises(InputBlocked):
        one.submit()
    assert told == [(6, 7), (7, 7)]


def test_each_answer_is_told_while_it_is_waited_for(
    job: Jobs, model: Models, told: Told, portkey_provider: EmbeddedProvider
) -> None:
    batches = portkey_provider.batches
    batches.by_hand = True
    one = job(max_lines=4, progress=lambda done, total: told.append((done, total)))
    one.submit()
    first, second = batches.held
    told.clear()
    one.wait(seconds=0)
    portkey_provider.fault(Fault.status(500), times=1, text="question 1")
    batches.advance(first, lines=3)
    one.wait(seconds=0)
    batches.advance(second, "completed", lines=3)
    # More than there are is nobody's progress.
    batches.held[first]["request_counts"]["completed"] = 1_000
    one.wait(seconds=0)
    assert told == [(0, 7), (3, 7), (7, 7)]


def test_what_a_guard_kept_back_is_waited_for_by_nobody(
    job: Jobs, model: Models, told: Told, portkey_provider: EmbeddedProvider
) -> None:
    one = job(
        agent(model(guards=[no_twos])), progress=lambda done, total: told.append((done, total))
    )
    with pytest.raises(InputBlocked):
        one.submit()
    told.clear()
    one.wait(every=0.01)
    assert told == [(7, 7)]


@pytest.mark.parametrize("retry", [False, True])
def test_what_is_asked_again_is_done_when_it_is_answered(
    retry: bool, job: Jobs, told: Told, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=2, text="question")
    portkey_provider.fault(Fault.status(400), times=1, text="question 6")
    calls: list[int] = []

    def note(done: int, total: int) -> None:
        told.append((done, total))
        calls.append(len(portkey_provider.calls))

    one = job(progress=note, concurrency=1)
    one.submit()
    told.clear()
    calls.clear()
    assert len(one.fetch(retry=retry).outputs) == len(INPUTS)
    assert told == sorted(told)
    assert told[-1] == (7, 7)
    # Five were not asked again.
    asked = [made for made in calls if made]
    assert asked == ([1, 2] if retry else [])
    assert told[-1 - len(asked)][0] == 7 - len(asked)
