"""A batch of which nobody says whether it was made: it is looked for, and paid for once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from batch_forms import RIGHT, Jobs, Models, said

from agno_portkey.calls import IO
from agno_portkey.drivers import SyncIO, step
from agno_portkey.errors import GatewayError, GatewayUnreachable
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault

UNSAID = [Fault.reset(), Fault.status(504), Fault.status(408), Fault.status(502), Fault.status(500)]


def sent(provider: EmbeddedProvider, route: str = "POST /batches") -> list[Any]:
    return [request for request in provider.requests if request.route == route]


def comes_to_light(provider: EmbeddedProvider) -> None:
    """The first batch that was asked for is made now."""
    with httpx.Client(base_url=provider.url) as client:
        client.post("/batches", json=sent(provider)[0].body).raise_for_status()


@pytest.mark.parametrize("fault", UNSAID)
def test_none_is_made_in_its_place(
    fault: Fault, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault, times=1, route="POST /batches")
    with pytest.raises(GatewayError, match="submit again later"):
        job().submit()
    assert len(sent(portkey_provider)) == 1
    # Several looks, since a slow provider may need a while.
    assert len(sent(portkey_provider, "GET /batches")) > 3
    comes_to_light(portkey_provider)
    assert len(portkey_provider.batches.held) == 1
    assert job().submit().submitted
    assert len(portkey_provider.batches.held) == 1
    assert said(job().fetch()) == RIGHT


def test_it_is_found_although_it_comes_to_light_late(
    job: Jobs, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    portkey_provider.fault(Fault.reset(), times=1, route="POST /batches")
    batches, looks = portkey_provider.batches, []
    listed = batches._listed

    def late(request: Any) -> Any:
        looks.append(request)
        if len(looks) == 4:
            batches._create(sent(portkey_provider)[0])
        return listed(request)

    monkeypatch.setattr(batches, "_listed", late)
    assert job().submit().submitted
    assert (len(looks), len(sent(portkey_provider)), len(batches.held)) == (4, 1, 1)
    assert said(job().fetch()) == RIGHT


def test_it_is_looked_for_no_longer_than_the_budget_says(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    hasty = Recovery(attempts=3, wait=30.0, max_wait=30.0, budget=0.5)
    portkey_provider.fault(Fault.reset(), times=1, route="POST /batches")
    with pytest.raises(GatewayError, match="submit again later"):
        job(model(recovery=hasty)).submit()
    assert len(sent(portkey_provider, "GET /batches")) == 1


@pytest.mark.parametrize("fault", [Fault.status(429), Fault.status(409), Fault.status(503)])
def test_whoever_says_that_nothing_was_made_is_asked_again(
    fault: Fault, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault, times=2, route="POST /batches")
    assert job().submit().submitted
    assert (len(sent(portkey_provider)), len(portkey_provider.batches.held)) == (3, 1)


def test_where_nobody_was_reached_nothing_was_made(
    model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(self: Provider, file: str, io: IO) -> None:
        return None

    # Who is back again when it is asked for a list.
    monkeypatch.setattr(Provider, "found", none)
    nobody = Provider(model(base_url="http://127.0.0.1:1/v1"), dict)
    with pytest.raises(GatewayUnreachable) as told:
        step(nobody.create("file_1", "job", 0, SyncIO()))
    assert "submit again later" not in str(told.value)


def double(job: Jobs, provider: EmbeddedProvider) -> tuple[str, str]:
    """A batch that was made in place of one that came to light after all: both names."""
    provider.batches.by_hand = True
    provider.fault(Fault.reset(), times=1, route="POST /batches")
    with pytest.raises(GatewayError):
        job(max_lines=4).submit()
    job(max_lines=4).submit()
    known, _ = provider.batches.held
    comes_to_light(provider)
    return known, [*provider.batches.held][-1]


def test_both_are_cancelled(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    double(job, portkey_provider)
    assert job().cancel().state == "cancelling"
    held = portkey_provider.batches.held.values()
    assert [batch["status"] for batch in held] == ["cancelling"] * 3


def test_of_one_that_nobody_wrote_down_all_are_cancelled(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    portkey_provider.fault(Fault.reset(), times=1, route="POST /batches")
    with pytest.raises(GatewayError):
        job().submit()
    for _ in range(2):
        comes_to_light(portkey_provider)
    assert not job().cancel().submitted
    held = portkey_provider.batches.held.values()
    assert [batch["status"] for batch in held] == ["cancelling"] * 2


def test_whoever_fetches_ends_the_one_too_many(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    known, other = double(job, portkey_provider)
    portkey_provider.batches.advance(known, "completed", lines=4)
    portkey_provider.fault(Fault.status(404), times=3, route="GET /batches")
    # What can't be looked for costs no answer.
    found = job().fetch()
    assert (said(found)[:4], found.pending) == (RIGHT[:4], (4, 5, 6))
    assert portkey_provider.batches.held[other]["status"] == "validating"
    assert said(job().fetch())[:4] == RIGHT[:4]
    statuses = {name: batch["status"] for name, batch in portkey_provider.batches.held.items()}
    assert (statuses.pop(known), statuses.pop(other)) == ("completed", "cancelling")
    assert [*statuses.values()] == ["validating"]


def test_where_there_can_be_no_other_none_is_looked_for(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    job().submit()
    job().cancel()
    job().fetch()
    assert sent(portkey_provider, "GET /batches") == []
