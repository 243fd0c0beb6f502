"""Texts are embedded through the gateway: each once, in order, and again where that helps."""

from __future__ import annotations

import pytest
from embedding import LENGTH, QUICK, TEXTS, Makes, embedded, sent
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey.errors import (
    ConfigurationError,
    ContextOverflow,
    GatewayUnauthorized,
    UpstreamFailed,
)
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault


def test_it_is_sent_through_the_gateway_with_tags(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider, form: str
) -> None:
    through = PortkeyEmbedder(
        base_url=portkey_gateway.url,
        api_key="k",
        portkey_provider="openai",
        custom_host=portkey_provider.url,
        dimensions=LENGTH,
    )
    direct = PortkeyEmbedder(
        base_url=portkey_provider.url, api_key="k", dimensions=LENGTH, tags={"team": "search"}
    )
    found = embedded(through, TEXTS, form)
    assert found.require() == embedded(direct, TEXTS, form).vectors
    assert sum(found.tokens) > 0
    assert sent(portkey_provider) == [TEXTS, TEXTS]
    # The gateway keeps tags to itself.
    assert '"team": "search"' in portkey_provider.requests[1].headers["x-portkey-metadata"]


@pytest.mark.parametrize(("key", "sent"), [(None, None), ("k", "Bearer k")])
def test_no_key_is_made_up(
    key: str | None,
    sent: str | None,
    embedder: Makes,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    """The gateway would send it on in place of the key that it holds itself."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert embedded(embedder(api_key=key), TEXTS, form).require()
    [request] = portkey_provider.requests
    assert request.headers.get("authorization") == sent


def test_a_key_in_a_header_of_ones_own_is_sent(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    own = {"Authorization": "Bearer mine"}
    assert embedded(embedder(default_headers=own), TEXTS, form).require()
    assert embedded(embedder(request_params={"extra_headers": own}), TEXTS, form).require()
    sent = [request.headers.get("authorization") for request in portkey_provider.requests]
    assert sent == ["Bearer mine"] * 2


def test_texts_go_out_in_batches_each_once_and_come_back_in_order(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    one = embedder(batch_size=1)
    alone = [embedded(one, [text], form).vectors[0] for text in TEXTS]
    portkey_provider.reset()
    many = embedder(batch_size=3, concurrency=4)
    found = embedded(many, [*TEXTS, *reversed(TEXTS)], form)
    assert found.require() == [*alone, *reversed(alone)]
    asked = sent(portkey_provider)
    assert sorted(text for batch in asked for text in batch) == sorted(TEXTS)
    assert sorted(map(len, asked)) == [2, 3, 3, 3, 3, 3, 3]
    # Who is there twice took its tokens once.
    once = sum(embedded(one, [text], form).tokens[0] for text in TEXTS)
    assert sum(found.tokens[: len(TEXTS)]) == once > 0
    assert found.tokens[len(TEXTS) :] == [0] * len(TEXTS)
    assert found.requests == 7


def test_its_first_argument_is_the_model(portkey_provider: EmbeddedProvider) -> None:
    PortkeyEmbedder("my-model", base_url=portkey_provider.url, api_key="k", dimensions=8).embed(
        ["a"]
    )
    assert portkey_provider.requests[0].model == "my-model"
    assert PortkeyEmbedder("text-embedding-3-large").dimensions == 3072


def test_nothing_asks_nothing(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    assert embedded(embedder(), [], form).require() == []
    assert portkey_provider.requests == []


def test_what_fails_with_others_is_tried_alone(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(Fault.status(400), times=None, text="text 7")
    found = embedded(embedder(), TEXTS, form)
    assert [*found.failures] == [7]
    assert isinstance(found.failures[7], UpstreamFailed)
    assert found.vectors[7] == []
    assert all(len(v) == LENGTH for place, v in enumerate(found.vectors) if place != 7)
    with pytest.raises(UpstreamFailed):
        found.require()


@pytest.mark.parametrize("fault", [Fault.status(503), Fault.reset(), Fault.status(429)])
def test_what_passes_is_tried_again(
    fault: Fault, embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(fault, times=2)
    found = embedded(embedder(), TEXTS, form)
    assert found.failures == {}
    assert found.requests == 3


def test_a_provider_that_is_down_is_not_asked_for_each_text(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    found = embedded(embedder(batch_size=10), TEXTS, form)
    assert len(found.failures) == len(TEXTS)
    assert len(portkey_provider.requests) == 2 * QUICK.attempts


def test_a_key_that_is_refused_ends_it(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(Fault.status(401), times=None)
    with pytest.raises(GatewayUnauthorized):
        embedded(embedder(batch_size=1, concurrency=2), TEXTS, form)
    assert len(portkey_provider.requests) <= 2


def test_a_provider_that_asks_for_a_pause_gets_one_from_everybody(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=0.3), times=1)
    patient = Recovery(attempts=3, wait=0.001, max_wait=1)
    asks = embedder(batch_size=1, concurrency=2, recovery=patient)
    assert embedded(asks, TEXTS, form).failures == {}
    first, _, *others = sorted(request.at for request in portkey_provider.requests)
    assert all(later - first >= 0.29 for later in others[1:])


@pytest.mark.parametrize(
    ("fault", "recovery"),
    [
        (Fault.status(429, retry_after=60), QUICK),
        (Fault.status(503), Recovery(attempts=3, wait=10, budget=0.001)),
    ],
    ids=["a pause that is too long", "no time left"],
)
def test_who_would_have_to_wait_too_long_does_not(
    fault: Fault,
    recovery: Recovery,
    embedder: Makes,
    portkey_provider: EmbeddedProvider,
    form: str,
) -> None:
    portkey_provider.fault(fault, times=None)
    assert len(embedded(embedder(recovery=recovery), TEXTS, form).failures) == len(TEXTS)
    assert len(portkey_provider.requests) == 1


def test_who_is_silent_is_asked_again(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(Fault.silence(), times=1)
    assert embedded(embedder(timeout=0.2), TEXTS, form).failures == {}
    assert len(portkey_provider.requests) == 2


def test_without_batches_each_goes_alone(
    embedder: Makes, portkey_provider: EmbeddedProvider
) -> None:
    embedder(enable_batch=False).embed(TEXTS)
    assert sorted(sent(portkey_provider)) == sorted([text] for text in TEXTS)


def test_the_id_of_a_hosted_config_goes_along(
    embedder: Makes, portkey_provider: EmbeddedProvider
) -> None:
    embedder(config="pc-abc-123", profile="hosted").embed(["a"])
    assert portkey_provider.requests[0].headers["x-portkey-config"] == "pc-abc-123"


def test_a_text_that_is_too_long_harms_no_other(
    embedder: Makes, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.context_overflow(), times=None, text="text 3")
    found = embedder().embed(TEXTS)
    assert {place: type(error) for place, error in found.failures.items()} == {3: ContextOverflow}


def test_no_more_requests_are_under_way_than_are_wanted(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    portkey_provider.fault(Fault.slow_first_token(0.05), times=None)
    embedded(embedder(batch_size=1, concurrency=3), TEXTS, form)
    begun = sorted(request.at for request in portkey_provider.requests)
    # Whoever is third before one has ended, which takes as long as the provider does.
    assert all(late - early >= 0.04 for early, late in zip(begun, begun[3:], strict=False))


def test_a_text_is_no_list_of_texts(embedder: Makes) -> None:
    with pytest.raises(ConfigurationError, match="texts"):
        embedder().embed("hello")


@given(st.lists(st.text(max_size=200)), st.integers(1, 7), st.integers(1, 300))
@settings(deadline=None)
def test_batches_hold_every_text_once_in_order(texts: list[str], most: int, tokens: int) -> None:
    from agno_portkey.knowledge.batches import batches, tokens_at_most

    found = [*batches(texts, most=most, tokens=tokens)]
    assert [place for batch in found for place in batch] == [*range(len(texts))]
    for batch in found:
        assert 0 < len(batch) <= most
        assert len(batch) == 1 or sum(tokens_at_most(texts[p]) for p in batch) <= tokens
