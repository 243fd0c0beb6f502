"""Texts are guarded before they leave, kept vectors are used, and no false one is taken."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from agno.exceptions import EmbeddingError
from embedding import LENGTH, TEXTS, Makes, embedded, sent

from agno_portkey.errors import (
    BadResponse,
    Blocked,
    ConfigurationError,
)
from agno_portkey.guardrails import Block, Guard, Passage, Rewrite, guard
from agno_portkey.knowledge import Embedded, EmbeddingCache
from agno_portkey.routing import Fallback, Target
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.verdict import Event

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
