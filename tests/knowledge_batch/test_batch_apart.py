"""What a batch leaves alone: stores, circuits and other models are those of calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from batch_forms import INPUTS, RIGHT, Jobs, Models, Point, agent, said

from agno_portkey import Repair
from agno_portkey.errors import ContractError, GatewayError
from agno_portkey.guardrails import Passage, guard
from agno_portkey.knowledge.batch.journal import JobJournal
from agno_portkey.routing import CircuitBreaker, Fallback, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault


def test_no_stronger_model_is_asked_for_a_broken_answer(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()
    portkey_provider.when(lambda r: True, '{"m": 0}')
    who = agent(model(repair=Repair(stronger="gpt-strong")), output_schema=Point)
    one = job(who, INPUTS[:1])
    one.submit()
    found = one.fetch()
    assert [type(error) for error in found.errors.values()] == [ContractError]
    # The answer of the batch was looked at once, and not taken for one of the other model.
    assert str(found.errors[0]).count("stronger") == 0
    assert portkey_provider.calls == []


class Noted(InMemoryDb):
    """A store that notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if "session" in name and callable(getattr(InMemoryDb, name, None)):
            object.__getattribute__(self, "asked").append(name)
        return super().__getattribute__(name)


def test_what_is_made_ready_asks_no_store(job: Jobs, model: Models) -> None:
    db = Noted()
    one = job(agent(model(), db=db), INPUTS[:2])
    one.submit()
    assert db.asked == []
    one.fetch()
    assert db.asked != []


def test_answers_are_read_although_nobody_may_be_called(
    portkey_gateway: LocalGateway, job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    targets = [
        Target(name=name, provider="openai", api_key="k", custom_host=portkey_provider.url)
        for name in ("one", "two")
    ]
    asked = model(
        base_url=portkey_gateway.url,
        api_key=None,
        config=Fallback(targets=targets),
        breaker=CircuitBreaker(failure_threshold=1, cooldown=1_000),
    )
    who = agent(asked)
    one = job(who, target="one")
    one.submit()
    portkey_provider.fault(Fault.status(500), times=None, route="POST /chat/completions")
    portkey_provider.batches.by_hand = True
    who.run("a call")
    opened = asked.router.circuits.states()
    assert opened
    portkey_provider.clear_faults()
    portkey_provider.batches.by_hand = False
    assert said(one.fetch()) == RIGHT
    # Nor do answers say who may be called again.
    assert asked.router.circuits.states().keys() == opened.keys()
    assert portkey_provider.requests[-1].method == "GET"


def test_who_goes_on_is_asked_for_what_is_left_alone(
    job: Jobs, model: Models, tmp_path: Path
) -> None:
    """That the agent asks the same each time was seen when the job was begun."""
    seen: list[str] = []

    @guard
    def sees(passage: Passage) -> None:
        seen.append(passage.text)

    one = job(agent(model(guards=[sees])), max_lines=4)
    one.submit()
    path = tmp_path / "job.journal"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    seen.clear()
    one.submit()
    assert sorted(seen) == INPUTS[4:]


def test_a_journal_does_not_grow_while_a_guard_is_down(
    job: Jobs, model: Models, tmp_path: Path
) -> None:
    @guard
    def down(passage: Passage) -> None:
        raise RuntimeError("down")

    one, path, sizes = job(agent(model(guards=[down]))), tmp_path / "job.journal", set()
    for _ in range(3):
        with pytest.raises(Exception, match="down failed"):
            one.submit()
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1
    assert JobJournal(path).read().undecided == {*range(7)}


def test_of_several_answers_to_a_line_that_was_asked_again_the_last_counts(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    job().submit()
    assert said(job().fetch(retry=True)) == RIGHT
    kept = tmp_path / "job.journal.retried"
    line = kept.read_bytes()
    kept.write_bytes(line.replace(b"to question 3", b"an older one") + line)
    assert said(job().fetch()) == RIGHT
    kept.write_bytes(line + line.replace(b"to question 3", b"a newer one"))
    assert said(job().fetch())[3] == "a newer one"


def test_what_kept_a_known_batch_from_its_end_is_told_before_the_list(
    job: Jobs, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    portkey_provider.batches.by_hand = True
    job(max_lines=4).submit()
    known, unwritten = portkey_provider.batches.held
    path = tmp_path / "job.journal"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    portkey_provider.fault(Fault.status(400, message="known"), times=1, route="GET /batches/")
    portkey_provider.fault(Fault.status(400, message="listed"), times=1, route="GET /batches")
    with pytest.raises(GatewayError, match="known"):
        job(max_lines=4).cancel()
    job(max_lines=4).cancel()
    held = portkey_provider.batches.held
    assert [held[name]["status"] for name in (known, unwritten)] == ["cancelling"] * 2
