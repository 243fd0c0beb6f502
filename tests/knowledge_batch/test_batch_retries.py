"""Lines that failed are asked again alone, where that may help, and paid for once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from batch_forms import INPUTS, RIGHT, Forms, Jobs, Models, Point, agent, said, through_one

from agno_portkey.cache import CachePolicy
from agno_portkey.errors import (
    ConfigurationError,
    ContentFiltered,
    ContractError,
    GatewayRateLimited,
    GatewayUnauthorized,
    OutputBlocked,
    UpstreamFailed,
)
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.guardrails.pii import PIIGuardrail
from agno_portkey.knowledge.batch.retried import Retried
from agno_portkey.testing import EmbeddedProvider, Fault


@pytest.mark.parametrize(
    ("fault", "kind", "again"),
    [
        (Fault.status(429), GatewayRateLimited, True),
        (Fault.status(500), UpstreamFailed, True),
        (Fault.status(400), UpstreamFailed, False),
        (Fault.status(400, code_str="content_filter"), ContentFiltered, False),
    ],
)
def test_a_line_that_failed_is_asked_again_alone_if_that_may_help(
    fault: Fault,
    kind: type[Exception],
    again: bool,
    job: Jobs,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.fault(fault, times=1, text="question 3")
    one = job()
    one.submit()
    found = one.fetch()
    assert {place: type(error) for place, error in found.errors.items()} == {3: kind}
    assert portkey_provider.calls == []
    later = one.fetch(retry=True)
    assert later.retried == ((3,) if again else ())
    assert said(later) == [r if p != 3 or again else None for p, r in enumerate(RIGHT)]
    assert [call.last_user for call in portkey_provider.calls] == ["question 3"] * again


def test_a_retry_that_fails_says_how(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.fault(Fault.status(500), times=None, text="question 3")
    one = job()
    one.submit()
    found = one.fetch(retry=True)
    assert (found.retried, [*found.errors]) == ((3,), [3])
    assert isinstance(found.errors[3], UpstreamFailed)
    assert len(portkey_provider.calls) == 3


def kept(tmp_path: Path) -> Path:
    return tmp_path / "job.journal.retried"


def test_what_a_retry_brought_is_paid_for_once(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    assert [*through_one(job).errors] == [3]
    assert not kept(tmp_path).exists()
    assert job().fetch(retry=True).retried == (3,)
    for retry in (False, True):
        again = job().fetch(retry=retry)
        assert (said(again), again.retried, again.errors) == (RIGHT, (), {})
    assert len(portkey_provider.calls) == 1


def test_it_is_kept_masked_and_for_its_owner_alone(
    job: Jobs, model: Models, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    inputs = ["Write to Ada Lovelace", "Greet Bob Ross"]

    def one() -> Forms:
        return job(agent(model(guards=[PIIGuardrail("pseudonymize")])), inputs)

    kept(tmp_path).touch(0o644)
    portkey_provider.fault(Fault.status(500), times=2, text="PERSON")
    one().submit()
    assert len(one().fetch().errors) == 2
    assert said(one().fetch(retry=True)) == [f"to {text}" for text in inputs]
    held = kept(tmp_path).read_text()
    assert held.count('"to ') == 2
    assert held.count("<PERSON_1>") == 2
    assert not any(word in held for word in ("Ada", "Lovelace", "Bob", "Ross"))
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600
    assert said(one().fetch()) == [f"to {text}" for text in inputs]
    assert len(portkey_provider.calls) == 2


def test_guards_and_contracts_see_what_was_kept(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    one = job()
    one.submit()
    one.fetch(retry=True)

    @guard
    def no_threes(passage: Passage) -> Block | None:
        return Block("no threes") if passage.direction == "output" else None

    found = job(agent(model(guards=[no_threes]))).fetch(retry=True)
    assert {type(error) for error in found.errors.values()} == {OutputBlocked}
    assert [*found.errors] == [*range(7)]
    assert len(portkey_provider.calls) == 1


def test_of_an_answer_that_was_asked_for_again_the_last_one_is_kept(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()
    answers = iter(['{"m": 0}', '{"m": 1}', '{"n": 2}'])
    portkey_provider.when(lambda r: True, lambda r: next(answers))
    one = job(agent(model(), output_schema=Point), INPUTS[:1])
    assert one.submit().submitted
    assert [type(error) for error in one.fetch().errors.values()] == [ContractError]
    assert said(one.fetch(retry=True)) == [Point(n=2)]
    assert said(one.fetch(retry=True)) == [Point(n=2)]
    assert len(portkey_provider.calls) == 2


def test_a_broken_answer_is_paid_for_once_too(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()
    answers = iter(['{"m": 0}', '{"m": 1}', '{"m": 2}', '{"m": 3}'])
    portkey_provider.when(lambda r: True, lambda r: next(answers))
    one = job(agent(model(), output_schema=Point), INPUTS[:1])
    one.submit()
    assert one.fetch(retry=True).retried == (0,)
    asked = len(portkey_provider.calls)
    assert asked > 1
    for retry in (True, False, True):
        again = one.fetch(retry=retry)
        assert [type(error) for error in again.errors.values()] == [ContractError]
        assert again.retried == ()
    assert len(portkey_provider.calls) == asked


def test_what_a_guard_refuses_of_a_retry_is_paid_for_once_too(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    refusing = [True]

    @guard
    def no_threes(passage: Passage) -> Block | None:
        told = passage.direction == "output" and "3" in passage.text
        return Block("no threes") if told and refusing else None

    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    one = job(agent(model(guards=[no_threes])))
    one.submit()
    for retried in ((3,), ()):
        found = one.fetch(retry=True)
        assert isinstance(found.errors[3], OutputBlocked)
        assert found.retried == retried
    refusing.clear()
    assert said(one.fetch()) == RIGHT
    assert len(portkey_provider.calls) == 1


def test_no_fallback_of_the_agent_is_paid_for(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    with EmbeddedProvider() as other:
        who = agent(model(), fallback_models=[model(base_url=other.url)])
        portkey_provider.fault(Fault.status(500), times=None, text="question 3")
        one = job(who)
        one.submit()
        found = one.fetch(retry=True)
        assert isinstance(found.errors[3], UpstreamFailed)
        assert other.requests == []
        portkey_provider.clear_faults()
        assert said(one.fetch(retry=True)) == RIGHT


def test_a_retry_that_ends_amid_keeps_what_it_has(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=2, text="question")
    one = job(concurrency=1)
    one.submit()
    failed = [*one.fetch().errors]
    portkey_provider.fault(
        Fault.status(401), text=INPUTS[failed[1]], times=1, route="POST /chat/completions"
    )
    with pytest.raises(GatewayUnauthorized):
        one.fetch(retry=True)
    again = one.fetch(retry=True)
    assert (said(again), again.retried) == (RIGHT, (failed[1],))


def test_no_other_request_is_asked_again_in_place_of_the_one_that_failed(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    assert [*through_one(job).errors] == [3]
    found = job(inputs=[*INPUTS[:3], "else", *INPUTS[4:]]).fetch(retry=True)
    assert isinstance(found.errors[3], ConfigurationError)
    assert portkey_provider.calls == []


@pytest.mark.parametrize(
    "line",
    [
        b"}{",
        b"[]",
        b'{"job": "%s", "place": 3, "answer": 5}',
        b'{"job": "%s", "place": "3", "answer": {}}',
        b'{"job": "else", "place": 3, "answer": {}}',
        b'{"job": "%s", "place": 3, "ans',
        b"\xff" * 20,
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_asked_again_and_harms_nothing(
    line: bytes, job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    name = job().submit().job.encode()
    # As a kill leaves it: without an end.
    kept(tmp_path).write_bytes(line.replace(b"%s", name))
    assert [*job().fetch().errors] == [3]
    assert said(job().fetch(retry=True)) == RIGHT
    assert said(job().fetch(retry=True)) == RIGHT
    assert len(portkey_provider.calls) == 1


def test_what_another_job_has_asked_again_is_not_taken(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    """A journal was removed, and what stood beside it was not."""
    for _ in range(2):
        portkey_provider.fault(Fault.status(500), times=1, text="question 3")
        (tmp_path / "job.journal").unlink(missing_ok=True)
        job().submit()
        assert job().fetch(retry=True).retried == (3,)
    assert said(job().fetch()) == RIGHT


def test_who_cannot_keep_it_does_not_ask(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    job().submit()
    kept(tmp_path).mkdir()
    with pytest.raises(ConfigurationError, match="retried"):
        job().fetch(retry=True)
    assert portkey_provider.calls == []


def test_where_nothing_failed_nothing_is_looked_for(job: Jobs, tmp_path: Path) -> None:
    job().submit()
    kept(tmp_path).mkdir()
    assert said(job().fetch(retry=True)) == RIGHT
    assert said(job().fetch()) == RIGHT


def test_many_at_once_keep_their_own_and_leave_the_model_as_it_was(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=7, text="question")
    asked = model()
    one = job(agent(asked))
    one.submit()
    assert len(one.fetch().errors) == 7
    before = {*vars(asked)}
    assert said(one.fetch(retry=True)) == RIGHT
    assert {*vars(asked)} == before
    assert said(one.fetch()) == RIGHT
    assert len(portkey_provider.calls) == 7


def test_two_do_not_ask_at_once(
    job: Jobs, model: Models, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    job().submit()
    refused: list[ConfigurationError] = []

    def second(done: int, total: int) -> None:
        if portkey_provider.calls and not refused:
            with pytest.raises(ConfigurationError, match="another process") as told:
                Retried(str(tmp_path / "job.journal"), "any").asking().__enter__()
            refused.append(told.value)

    assert said(job(progress=second).fetch(retry=True)) == RIGHT
    assert len(refused) == 1


def test_a_retry_that_cannot_be_written_down_is_told(
    job: Jobs, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    portkey_provider.fault(Fault.status(500), times=2, text="question")
    one = job(concurrency=1)
    one.submit()

    def full(self: Retried, place: int, answer: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Retried, "_note", full)
    with pytest.raises(OSError, match="space"):
        one.fetch(retry=True)
    # No more is paid for than is kept.
    assert len(portkey_provider.calls) == 1


def test_half_an_answer_on_the_disk_takes_no_other_along(
    job: Jobs, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle of a line, and others are under way."""
    portkey_provider.fault(Fault.status(500), times=3, text="question")
    one = job(concurrency=3)
    name = one.submit().job
    failed = [*one.fetch().errors]
    torn: list[bytes] = []
    write = os.write

    def full(file: int, text: bytes) -> int:
        if name.encode() in text and not torn:
            torn.append(text)
            write(file, text[: len(text) // 2])
            raise OSError(28, "No space left on device")
        return write(file, text)

    note, at_once = Retried._note, threading.Barrier(3)

    def together(self: Retried, place: int, answer: Any) -> None:
        # All are answered before the first one is written down.
        at_once.wait(30)
        note(self, place, answer)

    monkeypatch.setattr(Retried, "_note", together)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="space"):
        one.fetch(retry=True)
    monkeypatch.undo()
    assert len(torn) == 1
    again = one.fetch(retry=True)
    assert said(again) == RIGHT
    assert len(again.retried) == 1
    assert len(portkey_provider.calls) == len(failed) + 1


def test_an_answer_of_a_cache_is_not_kept_twice(
    job: Jobs, model: Models, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    store = str(tmp_path / "cache.db")
    who = agent(model(cache=CachePolicy(kind="exact", scope="public", store=store)))
    assert who.run(INPUTS[3]).content == RIGHT[3]
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    one = job(who)
    one.submit()
    assert said(one.fetch(retry=True)) == RIGHT
    assert len(portkey_provider.calls) == 1
    assert kept(tmp_path).read_bytes() == b""
