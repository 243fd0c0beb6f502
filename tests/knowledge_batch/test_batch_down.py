"""A provider that is down, or forgets what it has made: no batch is lost, or made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from batch_forms import (
    RIGHT,
    Jobs,
    Line,
    said,
    through,
)

from agno_portkey.errors import (
    BadResponse,
    GatewayError,
    GatewayUnauthorized,
    UpstreamFailed,
)
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.testing.faults import Answer

STEPS = ["POST /files", "POST /batches", "GET /batches/", "GET /files/"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "fault", [Fault.status(503), Fault.status(429), Fault.status(504), Fault.reset()]
)
def test_what_passes_is_tried_again_at_each_step(
    step: str, fault: Fault, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault, times=2, route=step)
    if step == "POST /batches" and fault in (Fault.status(504), Fault.reset()):
        # Each may have been made: that is for another submit to find out.
        for _ in range(2):
            with pytest.raises(GatewayError, match="submit again later"):
                job(max_lines=4).submit()
    assert said(through(job)) == RIGHT
    assert len(portkey_provider.batches.held) == 2


@pytest.mark.parametrize("step", STEPS)
def test_who_is_down_is_told_and_the_rest_done_later(
    step: str, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None, route=step)
    with pytest.raises(UpstreamFailed):
        through(job)
    portkey_provider.clear_faults()
    assert said(through(job)) == RIGHT
    assert len(portkey_provider.batches.held) == 2


@pytest.mark.parametrize("step", STEPS)
def test_a_key_that_is_refused_ends_it(
    step: str, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(401), times=None, route=step)
    with pytest.raises(GatewayUnauthorized):
        through(job)
    assert sum(r.route.startswith(step) for r in portkey_provider.requests) == 1


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_a_batch_whose_making_nobody_heard_of_is_not_made_twice(
    after: float, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    # It is made; what is lost is the answer.
    portkey_provider.fault(Fault.cut(after), times=1, route="POST /batches")
    assert said(through(job)) == RIGHT
    assert len(portkey_provider.batches.held) == 2
    # One page tells all.
    assert sum(r.route == "GET /batches" for r in portkey_provider.requests) == 1


def test_a_list_ends_where_it_is_said_to(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    """Of a request that never came there is no batch in it."""
    with httpx.Client(base_url=portkey_provider.url) as others:
        sent: Any = {"files": {"file": b"{}"}, "data": {"purpose": "batch"}}
        file = others.post("/files", **sent).json()["id"]
        others.post("/batches", json={"input_file_id": file, "metadata": {}})
    portkey_provider.fault(Fault.status(503), times=1, route="POST /batches")
    job().submit()
    assert len(portkey_provider.batches.held) == 2
    assert sum(r.route == "GET /batches" for r in portkey_provider.requests) == 1


def test_nor_where_the_list_of_batches_is_long(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.cut(0.0), times=3, route="POST /batches")
    portkey_provider.fault(Fault.status(503), times=None, route="GET /batches")
    with pytest.raises(UpstreamFailed):
        job().submit()
    portkey_provider.clear_faults()
    with httpx.Client(base_url=portkey_provider.url) as others:
        said = {"files": {"file": b"{}"}, "data": {"purpose": "batch"}}
        file = others.post("/files", **said).json()["id"]  # type: ignore[arg-type]
        for _ in range(250):
            others.post("/batches", json={"input_file_id": file, "metadata": {}})
    before = len(portkey_provider.requests)
    job().submit()
    assert len(portkey_provider.batches.held) == 251
    pages = [parse_qs(r.query).get("after") for r in portkey_provider.requests[before:]]
    # The others are batch_4 to batch_253, the newest first.
    assert pages == [None, ["batch_154"], ["batch_54"]]


def test_a_list_that_begins_anew_is_not_read_for_ever(
    job: Jobs, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows no pages says the first one each time."""
    portkey_provider.fault(Fault.cut(0.0), times=1, route="POST /batches")
    portkey_provider.fault(Fault.status(503), times=None, route="GET /batches")
    with pytest.raises(GatewayError):
        job().submit()
    portkey_provider.clear_faults()
    [batch] = portkey_provider.batches.held.values()
    others = {**batch, "id": "batch_x", "input_file_id": "file_x"}

    def first(request: Any) -> Answer:
        return Answer.of_json({"object": "list", "data": [others] * 100, "has_more": True})

    monkeypatch.setattr(portkey_provider.batches, "_listed", first)
    before = len(portkey_provider.requests)
    with pytest.raises(BadResponse, match="without an end"):
        job().submit()
    assert len(portkey_provider.requests) == before + 2
    monkeypatch.undo()
    assert job().submit().submitted
    assert len(portkey_provider.batches.held) == 1


@pytest.mark.parametrize("file", [[], {}, 5, None])
def test_a_batch_in_the_list_that_is_of_no_file_is_nobody_s(
    file: Any, job: Jobs, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    portkey_provider.batches.by_hand = True
    job().submit()
    [batch] = portkey_provider.batches.held.values()
    path = tmp_path / "job.journal"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    portkey_provider.batches.held["batch_x"] = {**batch, "id": "batch_x", "input_file_id": file}
    job().cancel()
    assert batch["status"] == "cancelling"
    assert portkey_provider.batches.held["batch_x"]["status"] == "validating"


def test_without_a_list_nothing_is_made_that_may_be_there(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.cut(0.0), times=1, route="POST /batches")
    portkey_provider.fault(Fault.status(404), times=None, route="GET /batches")
    with pytest.raises(GatewayError):
        job().submit()
    with pytest.raises(GatewayError):
        job().submit()
    assert len(portkey_provider.batches.held) == 1


def test_a_batch_of_another_name_or_file_is_refused(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    one = job()
    one.submit()
    [batch] = portkey_provider.batches.held.values()
    true = dict(batch)
    for lie in ({"id": "batch_9"}, {"input_file_id": "file_9"}):
        batch.update({**true, **lie})
        with pytest.raises(BadResponse):
            one.status()
        with pytest.raises(BadResponse):
            one.fetch()
    batch.update(true)
    assert said(one.fetch()) == RIGHT


def test_a_page_in_place_of_an_answer_is_refused(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    for step in ("POST /files", "GET /batches/"):
        portkey_provider.fault(Fault.malformed_chunk(), times=None, route=step)
        with pytest.raises(GatewayError):
            through(job)
        portkey_provider.clear_faults()
    # Of one that was made all the same the list tells.
    portkey_provider.fault(Fault.malformed_chunk(), times=None, route="POST /batches")
    assert said(through(job)) == RIGHT
    assert len(portkey_provider.batches.held) == 2


@pytest.mark.parametrize("told", [{}, {"id": None}, {"status": None}, {"input_file_id": 5}])
def test_a_batch_of_which_half_is_told_is_refused(
    told: Line, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    one = job()
    one.submit()
    [batch] = portkey_provider.batches.held.values()
    true = dict(batch)
    if told:
        batch.update(told)
    else:
        del batch["status"], batch["input_file_id"]
    portkey_provider.batches.by_hand = True
    for use in (one.status, one.fetch, one.cancel):
        with pytest.raises(BadResponse):
            use()
    batch.clear()
    batch.update(true)
    portkey_provider.batches.by_hand = False
    assert said(one.fetch()) == RIGHT


@pytest.mark.parametrize("fault", [Fault.status(404), Fault.status(503)])
def test_a_file_that_is_gone_costs_its_own_lines_alone(
    fault: Fault, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    one = job(max_lines=4)
    one.submit()
    one.status()
    first, second = portkey_provider.batches.held.values()
    gone = f"GET /files/{first['output_file_id']}/"
    portkey_provider.fault(fault, times=None, route=gone)
    found = one.fetch(retry=True)
    assert said(found) == [None] * 4 + RIGHT[4:]
    assert [*found.errors] == [0, 1, 2, 3]
    assert all(isinstance(error, GatewayError) for error in found.errors.values())
    # They are paid for, and may be read yet.
    assert (found.retried, portkey_provider.calls) == ((), [])
    portkey_provider.fault(fault, times=None, route=f"GET /files/{second['output_file_id']}/")
    with pytest.raises(GatewayError):
        one.fetch()
    portkey_provider.clear_faults()
    assert said(one.fetch()) == RIGHT


def test_answers_whose_file_is_not_named_yet_are_not_paid_for_anew(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    one = job(max_lines=4)
    one.submit()
    one.status()
    first, second = portkey_provider.batches.held.values()
    names = [batch["output_file_id"] for batch in (first, second)]
    for name in (None, "", 5):
        first["output_file_id"] = name
        found = one.fetch(retry=True)
        assert said(found) == [None] * 4 + RIGHT[4:]
        assert {type(error) for error in found.errors.values()} == {BadResponse}
        assert (found.retried, portkey_provider.calls) == ((), [])
    second["output_file_id"] = None
    with pytest.raises(BadResponse, match="names no file"):
        one.fetch(retry=True)
    first["output_file_id"], second["output_file_id"] = names
    assert said(one.fetch(retry=True)) == RIGHT
    assert portkey_provider.calls == []


def test_while_another_part_is_under_way_a_gone_file_is_told(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    one = job(max_lines=4)
    one.submit()
    first, _ = portkey_provider.batches.held
    portkey_provider.batches.advance(first, "completed", lines=4)
    portkey_provider.fault(Fault.status(404), times=None, route="GET /files/")
    found = one.fetch()
    assert ([*found.errors], found.pending) == ([0, 1, 2, 3], (4, 5, 6))
