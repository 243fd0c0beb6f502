"""Lines that failed, and batches that end early: what is done is kept, the rest told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batch_forms import (
    RIGHT,
    Jobs,
    said,
)

from agno_portkey.errors import (
    ContentFiltered,
    GatewayRateLimited,
    GatewayTimeout,
    UpstreamFailed,
)
from agno_portkey.testing import EmbeddedProvider, Fault, Reply


def test_an_answer_cut_by_the_content_filter_is_no_output(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()
    portkey_provider.when(lambda r: True, Reply("Half", finish_reason="content_filter"))
    one = job()
    one.submit()
    found = one.fetch(retry=True)
    assert {type(error) for error in found.errors.values()} == {ContentFiltered}
    assert portkey_provider.calls == []


@pytest.mark.parametrize(
    ("status", "kind"), [("expired", GatewayTimeout), ("cancelled", UpstreamFailed)]
)
@pytest.mark.parametrize("says", [True, False])
def test_a_batch_that_ends_early_keeps_what_is_done(
    status: str,
    kind: type[Exception],
    says: bool,
    job: Jobs,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.batches.by_hand = True
    if not says:
        portkey_provider.batches.alter = lambda lines: [x for x in lines if x["error"] is None]
    one = job()
    one.submit()
    [batch] = portkey_provider.batches.held
    portkey_provider.batches.end(batch, status, lines=3)
    assert (one.status().state, one.status().over) == (status, True)
    found = one.fetch()
    assert said(found) == [*RIGHT[:3], None, None, None, None]
    assert {type(error) for error in found.errors.values()} == {kind}
    assert found.pending == ()
    again = one.fetch(retry=True)
    assert said(again) == RIGHT
    assert again.retried == (3, 4, 5, 6)
    assert len(portkey_provider.calls) == 4


def test_who_cancels_gets_what_was_done(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.batches.by_hand = True
    one = job(max_lines=4)
    one.submit()
    first, second = portkey_provider.batches.held
    portkey_provider.batches.advance(first, "completed", lines=4)
    assert one.cancel().state == "cancelling"
    cancelled = [r.path for r in portkey_provider.requests if r.path.endswith("/cancel")]
    assert cancelled == [f"/v1/batches/{second}/cancel"]
    assert one.cancel().state == "cancelling"
    portkey_provider.batches.end(second, "cancelled")
    assert said(one.fetch()) == [*RIGHT[:4], None, None, None]


@pytest.mark.parametrize(
    ("told", "kind", "retried"),
    [
        ([{"code": "invalid", "message": "Bad.", "line": None}], UpstreamFailed, 0),
        ([{"code": "invalid", "message": "Bad.", "line": 2}], UpstreamFailed, 6),
        ([{"code": "token_limit_exceeded", "message": "Full."}], GatewayRateLimited, 7),
        ([], UpstreamFailed, 7),
    ],
)
def test_a_file_that_the_provider_refuses(
    told: list[Any],
    kind: type[Exception],
    retried: int,
    job: Jobs,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.batches.by_hand = True
    one = job()
    one.submit()
    [batch] = portkey_provider.batches.held
    portkey_provider.batches.end(batch, "failed")
    portkey_provider.batches.held[batch]["errors"] = {"object": "list", "data": told}
    found = one.fetch()
    assert {type(error) for error in found.errors.values()} == {kind}
    assert len(found.errors) == 7
    assert all("refused the file" in str(error) for error in found.errors.values())
    again = one.fetch(retry=True)
    assert len(again.retried) == retried
    assert (1 in again.errors) is (retried < 7)


@pytest.mark.parametrize("told", [5, "no", [], [5], {"data": 5}, {"data": "no"}, {"data": [5]}])
def test_reasons_that_are_none_are_no_obstacle(
    told: Any, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    one = job()
    one.submit()
    [batch] = portkey_provider.batches.held
    portkey_provider.batches.end(batch, "failed")
    portkey_provider.batches.held[batch]["errors"] = told
    found = one.fetch()
    assert {type(error) for error in found.errors.values()} == {UpstreamFailed}
    assert [*found.errors] == [*range(7)]


def test_what_cannot_be_cancelled_keeps_no_other_from_it(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    one = job(max_lines=3)
    one.submit()
    first, *others = portkey_provider.batches.held
    portkey_provider.fault(Fault.status(503), times=3, route=f"GET /batches/{first}")
    with pytest.raises(UpstreamFailed):
        one.cancel()
    held = portkey_provider.batches.held
    assert [held[name]["status"] for name in others] == ["cancelling", "cancelling"]
    assert one.cancel().state == "cancelling"
    assert held[first]["status"] == "cancelling"


def test_a_batch_that_nobody_wrote_down_is_cancelled_too(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    job().submit()
    [batch] = portkey_provider.batches.held.values()
    path = tmp_path / "job.journal"
    *known, created, _whole = path.read_bytes().splitlines(keepends=True)
    assert b"created" in created
    path.write_bytes(b"".join(known))
    status = job().cancel()
    assert (status.submitted, batch["status"]) == (False, "cancelling")


def test_a_status_that_nobody_knows_is_not_over(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    one = job()
    one.submit()
    portkey_provider.batches.advance(next(iter(portkey_provider.batches.held)), "resting")
    assert (one.status().state, one.status().over) == ("resting", False)
    assert len(one.fetch().pending) == 7
