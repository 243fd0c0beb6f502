"""A second batch of the same lines: it is told and ended, and what it has answered not lost."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest
from batch_forms import INPUTS, RIGHT, Jobs, said

from agno_portkey.errors import GatewayError, GatewayTimeout
from agno_portkey.testing import EmbeddedProvider, Fault


@pytest.fixture
def two(job: Jobs, portkey_provider: EmbeddedProvider) -> tuple[str, str]:
    """The batch that the job knows, and the one that came to light behind it."""
    batches = portkey_provider.batches
    batches.by_hand = True
    portkey_provider.fault(Fault.reset(), times=1, route="POST /batches")
    with pytest.raises(GatewayError, match="submit again later"):
        job().submit()
    [lost] = [r.body for r in portkey_provider.requests if r.route == "POST /batches"]
    assert [part.doubtful for part in job().submit().parts] == [True]
    with httpx.Client(base_url=portkey_provider.url) as client:
        client.post("/batches", json=lost).raise_for_status()
    known, other = batches.held
    return known, other


def status_of(provider: EmbeddedProvider, name: str) -> str:
    return str(provider.batches.held[name]["status"])


def test_a_batch_that_is_made_at_once_is_not_doubtful(job: Jobs) -> None:
    assert [part.doubtful for part in job(max_lines=4).submit().parts] == [False, False]
    assert job().fetch().doubles == ()


def test_no_result_is_handed_out_twice(
    two: tuple[str, str], job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    known, other = two
    portkey_provider.batches.advance(other, "completed", lines=7)
    first = job().fetch()
    assert (first.pending, first.doubles) == ((*range(7),), (other,))
    portkey_provider.batches.advance(known, "completed", lines=7)
    for _ in range(2):
        found = job().fetch(retry=True)
        assert (said(found), found.errors, found.pending) == (RIGHT, {}, ())
        assert (found.foreign, found.doubles, found.retried) == (0, (other,), ())
    # The one that the job knows is counted, and asked about, alone.
    assert len(portkey_provider.batches.lines) == 14
    assert found.tokens < 2 * sum(output.metrics.total_tokens for output in found)


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_answers_that_are_paid_for_are_not_lost(
    status: str, two: tuple[str, str], job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    known, other = two
    done = 0 if status == "failed" else 3
    portkey_provider.batches.end(known, status, lines=done)
    portkey_provider.batches.advance(other, lines=5)
    # What it may bring yet is waited for, and not paid for anew.
    waiting = job().fetch(retry=True)
    assert said(waiting) == [*RIGHT[:done], *[None] * (7 - done)]
    assert (waiting.errors, waiting.pending) == ({}, (*range(done, 7),))
    assert status_of(portkey_provider, other) == "in_progress"
    portkey_provider.batches.end(other, "expired", lines=6)
    found = job().fetch()
    assert (said(found), found.pending) == ([*RIGHT[:6], None], ())
    assert isinstance(found.errors[6], GatewayError)
    assert portkey_provider.calls == []
    again = job().fetch(retry=True)
    assert [call.last_user for call in portkey_provider.calls] == (
        INPUTS[6:] if status != "failed" else []
    )
    assert len(again.retried) == len(portkey_provider.calls)


def test_of_one_that_completed_with_a_failed_line_the_other_is_ended_and_read(
    two: tuple[str, str], job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    known, other = two
    portkey_provider.batches.advance(other, lines=4)
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    portkey_provider.batches.advance(known, "completed", lines=7)
    found = job().fetch(retry=True)
    assert (found.pending, found.errors) == ((3,), {})
    assert status_of(portkey_provider, other) == "cancelling"
    portkey_provider.batches.end(other, "cancelled", lines=4)
    found = job().fetch(retry=True)
    assert (said(found), found.retried) == (RIGHT, ())
    assert portkey_provider.calls == []


@pytest.mark.parametrize("broken", ["list", "batch", "file"])
def test_what_may_be_there_and_cannot_be_read_is_not_paid_for_anew(
    broken: str,
    two: tuple[str, str],
    job: Jobs,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known, other = two
    portkey_provider.batches.end(known, "expired", lines=6)
    portkey_provider.batches.advance(other, "completed", lines=7)
    held = portkey_provider.batches.held[other]
    route = {
        "list": "GET /batches",
        "batch": f"GET /batches/{other}",
        "file": f"GET /files/{held['output_file_id']}/",
    }[broken]
    # The route of the list begins that of each batch: three attempts are those of the list.
    times = 3 if broken == "list" else None
    portkey_provider.fault(Fault.status(404), times=times, route=route)
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        found = job().fetch(retry=True)
    assert said(found) == [*RIGHT[:6], None]
    assert isinstance(found.errors[6], GatewayTimeout)
    assert (found.retried, portkey_provider.calls) == ((), [])
    assert "too many" in caplog.text
    portkey_provider.clear_faults()
    assert said(job().fetch(retry=True)) == RIGHT
    assert portkey_provider.calls == []


def test_one_that_is_being_cancelled_is_not_cancelled_again(
    two: tuple[str, str], job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    for _ in range(2):
        assert job().fetch().pending == (*range(7),)
    job().cancel()
    for _ in range(2):
        job().cancel()
    cancelled = [r.path for r in portkey_provider.requests if r.path.endswith("/cancel")]
    assert sorted(cancelled) == sorted(f"/v1/batches/{name}/cancel" for name in two)


def test_after_a_kill_it_is_found_all_the_same(
    two: tuple[str, str], job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    """Before the second one was written down: the latest counts, and the other is still told."""
    known, other = two
    path = tmp_path / "job.journal"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert [(p.batch, p.doubtful) for p in job().submit().parts] == [(other, True)]
    found = job().fetch()
    assert (found.doubles, found.pending) == ((known,), (*range(7),))
    assert status_of(portkey_provider, known) == "cancelling"
    assert len(portkey_provider.batches.held) == 2


def test_of_three_each_line_is_what_one_of_them_says(
    two: tuple[str, str], job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    known, other = two
    batches = portkey_provider.batches
    third = "batch_third"
    batches.held[third] = {**batches.held[other], "id": third}
    batches.end(known, "expired", lines=3)
    batches.alter = lambda lines: [*lines, {**lines[0], "custom_id": "else"}]
    batches.end(other, "completed", lines=5)
    batches.held[third]["status"] = "in_progress"
    found = job().fetch(retry=True)
    assert said(found) == [*RIGHT[:5], None, None]
    assert (found.errors, found.pending, found.foreign) == ({}, (5, 6), 1)
    assert {*found.doubles} == {other, third}
