"""Texts are embedded through the gateway: each once, in order, guarded, and none for another."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from agno.exceptions import EmbeddingError
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey.errors import (
    BadResponse,
    Blocked,
    ConfigurationError,
    ContextOverflow,
    GatewayUnauthorized,
    UpstreamFailed,
)
from agno_portkey.guardrails import Block, Guard, Passage, Rewrite, guard
from agno_portkey.knowledge import Embedded, EmbeddingCache, PortkeyEmbedder
from agno_portkey.routing import Fallback, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.verdict import Event

LENGTH = 8
QUICK = Recovery(attempts=3, wait=0.001, max_wait=0.01)
TEXTS = [f"text {number}" for number in range(20)]

Makes = Callable[..., PortkeyEmbedder]


@pytest.fixture
def embedder(portkey_provider: EmbeddedProvider) -> Makes:
    def made(**options: Any) -> PortkeyEmbedder:
        usual = {
            "base_url": portkey_provider.url,
            "api_key": "k",
            "dimensions": LENGTH,
            "recovery": QUICK,
        }
        return PortkeyEmbedder(**{**usual, **options})

    return made


def embedded(embedder: PortkeyEmbedder, texts: list[str], form: str) -> Embedded:
    return embedder.embed(texts) if form == "sync" else asyncio.run(embedder.aembed(texts))


def sent(provider: EmbeddedProvider) -> list[list[str]]:
    return [request.body["input"] for request in provider.requests]


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


# Guards


@guard(rewrites=True)
def no_names(passage: Passage) -> Rewrite | None:
    return Rewrite(passage.text.replace("Ann", "<NAME>")) if "Ann" in passage.text else None


@guard
def no_beans(passage: Passage) -> Block | None:
    return Block("beans") if "beans" in passage.text else None


class Breaks(Guard):
    def inspect(self, passage: Passage) -> None:
        raise ZeroDivisionError


def test_guards_see_texts_before_they_leave(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    guarded = embedder(guards=[no_names, no_beans])
    found = embedded(guarded, ["Ann is here", "spill the beans", "all is well"], form)
    assert {place: type(error).__name__ for place, error in found.failures.items()} == {
        1: "InputBlocked"
    }
    assert found.vectors[0] == embedder().embed(["<NAME> is here"]).vectors[0]
    said = [text for batch in sent(portkey_provider) for text in batch]
    assert not any("Ann" in text or "beans" in text for text in said)
    with pytest.raises(Blocked):
        guarded.get_embedding("beans")


def test_a_guard_that_fails_lets_nothing_out(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str
) -> None:
    found = embedded(embedder(guards=[Breaks()]), TEXTS, form)
    assert len(found.failures) == len(TEXTS)
    assert portkey_provider.requests == []


# Kept vectors


def test_kept_vectors_are_not_asked_for(
    embedder: Makes, portkey_provider: EmbeddedProvider, form: str, tmp_path: Any
) -> None:
    path = str(tmp_path / "vectors.db")
    first = embedded(embedder(cache=path), TEXTS, form)
    again = embedded(embedder(cache=EmbeddingCache(path)), [*TEXTS, "new"], form)
    assert again.kept == len(TEXTS)
    assert sent(portkey_provider) == [TEXTS, ["new"]]
    for one, other in zip(first.vectors, again.vectors, strict=False):
        assert other == pytest.approx(one, rel=1e-6)
    # By another gateway the same provider is reached.
    beside = portkey_provider.url.replace("127.0.0.1", "localhost")
    assert embedded(embedder(cache=path, base_url=beside), TEXTS, form).kept == len(TEXTS)
    # What is made otherwise is another vector.
    for options in (
        {"id": "other"},
        {"dimensions": 4},
        {"request_params": {"user": "u"}},
        {"portkey_provider": "groq"},
    ):
        before = len(portkey_provider.requests)
        embedded(embedder(cache=path, **options), TEXTS[:1], form)
        assert len(portkey_provider.requests) == before + 1


@pytest.mark.parametrize("spoil", ["folder", "junk"])
def test_a_file_that_can_not_be_used_is_no_obstacle(
    spoil: str, embedder: Makes, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.db"
    path.mkdir() if spoil == "folder" else path.write_bytes(b"junk" * 1000)
    asks = embedder(cache=str(path))
    for _ in range(2):
        assert asks.embed(TEXTS).failures == {}
    # It is left alone for a while, and not tried with each batch.
    assert caplog.text.count("could not be used") == 1


def test_what_was_not_used_for_longest_goes(tmp_path: Any) -> None:
    cache = EmbeddingCache(tmp_path / "vectors.db", max_entries=2)
    cache.put({b"a": [1.0]})
    cache.put({b"b": [2.0]})
    assert cache.get([b"a"]) == {b"a": [1.0]}
    cache.put({b"c": [3.0]})
    assert cache.get([b"a", b"b", b"c"]) == {b"a": [1.0], b"c": [3.0]}
    cache.close()


# Answers that are none


class Lies:
    """Stands before the provider's answers, and spoils them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], Any]) -> None:
        from agno_portkey import drivers

        asked = drivers.SyncIO.embed

        async def embed(io: Any, model: Any, params: Any) -> Any:
            answer = json.loads(await asked(io, model, params))
            spoil(answer["data"])
            return json.dumps(answer).encode()

        monkeypatch.setattr(drivers.SyncIO, "embed", embed)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop(),
        lambda data: data.append(data[0]),
        lambda data: data[0].update(index=1),
        lambda data: data[0].update(embedding=[]),
        lambda data: data[0].update(embedding=[float("nan")] * LENGTH),
        lambda data: data[0].update(embedding=["a"] * LENGTH),
        lambda data: data[0].update(embedding="no base64"),
        lambda data: data[0].update(embedding="AAAA"),
        lambda data: data[0].update(embedding=b64encode(b"\0\0\xc0\x7f" * LENGTH).decode()),
        lambda data: data[0].pop("embedding"),
        lambda data: data.__setitem__(0, "a vector"),
        lambda data: [each.update(embedding=[1.0]) for each in data],
    ],
)
def test_an_answer_that_can_not_be_is_none(
    spoil: Callable[[Any], Any], embedder: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lies(monkeypatch, spoil)
    found = embedder().embed(["a", "b", "c"])
    assert 0 in found.failures
    assert found.vectors[0] == []


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b"[" * 100_000, b'{"data": 3}', b"\xff"])
def test_an_answer_that_is_no_list_of_vectors_is_none(
    said: bytes, embedder: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agno_portkey import drivers

    async def embed(io: Any, model: Any, params: Any) -> bytes:
        return said

    monkeypatch.setattr(drivers.SyncIO, "embed", embed)
    found = embedder().embed(["a"])
    assert isinstance(found.failures[0], BadResponse)
    assert found.vectors == [[]]


@pytest.mark.parametrize("form", ["float", "base64"])
def test_vectors_come_as_numbers_however_they_are_written(form: str, embedder: Makes) -> None:
    written = embedder(request_params={"encoding_format": form}).embed(TEXTS)
    assert written.require() == embedder().embed(TEXTS).vectors
    assert all(isinstance(number, float) for number in written.vectors[0])


def test_what_is_printed_of_vectors_is_short() -> None:
    found = Embedded([[0.0] * 1000] * 1000, [1] * 1000, {3: ValueError("no")}, 4, 7)
    assert repr(found) == "Embedded(1000 texts, 1 failed, 7 kept, 4 requests)"


def test_vectors_in_another_order_find_their_texts(
    embedder: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = embedder().embed(TEXTS).vectors
    Lies(monkeypatch, lambda data: data.reverse())
    assert embedder().embed(TEXTS).vectors == right


# Agno


def test_agno_hears_of_failures_in_its_own_words(
    embedder: Makes, portkey_provider: EmbeddedProvider
) -> None:
    asks = embedder()
    vector, usage = asks.get_embedding_and_usage("hello")
    assert (len(vector), usage is not None) == (LENGTH, True)
    portkey_provider.fault(Fault.status(400), times=None, text="bad")
    with pytest.raises(EmbeddingError) as raised:
        asks.get_embedding("bad")
    assert raised.value.provider_status_code == 400
    vectors, usages = asyncio.run(asks.async_get_embeddings_batch_and_usage(["good", "bad"]))
    assert [len(vector) for vector in vectors] == [LENGTH, 0]
    assert usages[1] is None
    with pytest.raises(EmbeddingError):
        asyncio.run(asks.async_get_embeddings_batch_and_usage(["bad", "bad"]))


def test_observers_hear_figures_and_no_words(embedder: Makes, form: str) -> None:
    heard: list[Event] = []
    embedded(embedder(observers=[heard.append], tags={"team": "t"}), [*TEXTS, "text 1"], form)
    [event] = heard
    assert event.kind == "embedding"
    assert {name: event.data[name] for name in ("texts", "requests", "failed", "kept")} == {
        "texts": 21,
        "requests": 1,
        "failed": 0,
        "kept": 0,
    }
    assert event.data["tags"]["team"] == "t"
    assert "text 1" not in str(event.data)


def test_progress_is_told_to_the_end(embedder: Makes, form: str) -> None:
    told: list[tuple[int, int]] = []
    asks = embedder(batch_size=3, progress=lambda done, total: told.append((done, total)))
    embedded(asks, [*TEXTS, "text 1"], form)
    assert told[-1] == (21, 21)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"concurrency": 1.5},
        {"batch_tokens": True},
        {"dimensions": "8"},
        {"config": Fallback(targets=[Target(provider="openai", api_key="k")])},
        {"base_url": "no address"},
        {"guards": ["no guard"]},
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], embedder: Makes) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        embedder(**options).embed(["a"])


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
