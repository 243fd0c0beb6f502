"""A reranker orders the best in time, or the fused order stands; and what is refused when built."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from agno.knowledge.document import Document
from agno.knowledge.knowledge import Knowledge
from agno.knowledge.reranker.base import Reranker
from agno.vectordb.lancedb import LanceDb
from searched import Opens, Words, doc

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import Feedback, Found, HybridSearch, Reranking

TEXTS = ["cat one", "cat two two", "cat three three three", "dog"]
Orders = Callable[[list[Document]], Any]


class By(Reranker):
    """Orders by a function."""

    order: Any

    def rerank(self, query: str, documents: list[Document], limit: int | None = None) -> Any:
        return self.order(documents)


def by_length(documents: list[Document]) -> list[Document]:
    for document in documents:
        document.reranking_score = float(len(document.content))
        document.meta_data["seen"] = True
    return sorted(documents, key=lambda each: -len(each.content))


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def found(search: HybridSearch, form: str, limit: int = 10) -> Found:
    if form == "async":
        return asyncio.run(search.afind("cat", limit=limit))
    return search.find("cat", limit=limit)


def filled(lance: Opens, order: Orders, **options: Any) -> HybridSearch:
    search = lance(rerank=Reranking(By(order=order), **{"seconds": 30, **options}))
    search.insert("h", [doc(text) for text in TEXTS])
    return search


def contents(told: Found) -> list[str]:
    return [hit.document.content for hit in told]


def test_it_orders_the_best(lance: Opens, form: str) -> None:
    search = filled(lance, by_length)
    told = found(search, form)
    assert contents(told) == sorted(TEXTS, key=len, reverse=True)
    assert told.reranked
    assert told.costs[-1].step == "rerank"
    assert told.costs[-1].failure is None
    assert all("seen" not in hit.document.meta_data for hit in told)
    assert contents(found(search, form, limit=1)) == [TEXTS[2]]


def test_what_it_leaves_out_follows(lance: Opens, form: str) -> None:
    plain = contents(found(filled(lance, lambda documents: documents), form))
    told = found(filled(lance, lambda documents: [documents[2]]), form)
    assert contents(told)[0] == plain[2]
    assert sorted(contents(told)) == sorted(plain)


def test_copies_are_known_again(lance: Opens, form: str) -> None:
    told = found(filled(lance, lambda documents: deepcopy(documents[::-1])), form)
    assert told.reranked


def fails(documents: list[Document]) -> Any:
    raise RuntimeError("secret words")


@pytest.mark.parametrize(
    "order",
    [
        fails,
        lambda documents: [],
        lambda documents: None,
        lambda documents: [*documents, Document(content="foreign")],
        lambda documents: [documents[0], documents[0]],
        lambda documents: ["cat"],
    ],
)
def test_what_is_no_order_leaves_the_fused_one(lance: Opens, form: str, order: Orders) -> None:
    plain = contents(found(lance_plain(lance), form))
    told = found(filled(lance, order), form)
    assert contents(told) == plain
    assert not told.reranked
    assert told.costs[-1].failure
    assert "secret" not in told.costs[-1].failure


def lance_plain(lance: Opens) -> HybridSearch:
    search = lance()
    if not search.get_count():
        search.insert("h", [doc(text) for text in TEXTS])
    search.upsert("h", [doc(text) for text in TEXTS])
    return search


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_one_that_hangs_leaves_the_fused_order(
    lance: Opens, form: str, gate: threading.Event
) -> None:
    plain = contents(found(lance_plain(lance), "sync"))

    def hangs(documents: list[Document]) -> Any:
        gate.wait()
        return documents[::-1]

    search = lance(rerank=Reranking(By(order=hangs), seconds=0.05))
    if form == "sync":
        told = search.find("cat", limit=10)
    else:

        async def asked() -> Found:
            told = await search.afind("cat", limit=10)
            gate.set()
            return told

        told = asyncio.run(asked())
    assert contents(told) == plain
    assert told.costs[-1].failure is not None
    assert "within 0.05 s" in told.costs[-1].failure


def test_that_of_knowledge_takes_its_place(lance: Opens) -> None:
    asked: list[str] = []

    def ours(documents: list[Document]) -> list[Document]:
        asked.append("ours")
        return documents

    search = filled(lance, ours)
    knowledge = Knowledge(vector_db=search, reranker=By(order=by_length))
    assert knowledge.search("cat", max_results=1)[0].content == TEXTS[2]
    assert asyncio.run(knowledge.asearch("cat", max_results=1))[0].content == TEXTS[2]
    assert asked == []
    Knowledge(vector_db=search).search("cat")
    assert asked == ["ours"]


class Other:
    """Some other vector database."""

    embedder = None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"weight": 1.5}, "weight"),
        ({"weight": True}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"fusion": "sum"}, "fusion"),
        ({"rrf_k": -1}, "rrf_k"),
        ({"candidates": 0}, "candidates"),
        ({"expansion": "more"}, "expansion"),
        ({"expansion": [Feedback(), Feedback()]}, "expansion"),
        ({"rerank": By(order=by_length)}, "rerank: a Reranking"),
        ({"observers": [3]}, "observers"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(
    lance: Opens, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        lance(**options)


def test_databases_that_can_not_be_searched_so_are_refused(
    tmp_path: Any, embedder: Words, postgres_search: Opens
) -> None:
    with pytest.raises(ConfigurationError, match="a LanceDb or a PgVector"):
        HybridSearch(Other())
    db = LanceDb(uri=str(tmp_path / "l"), table_name="t", embedder=embedder)
    db._reranker = By(order=by_length)
    with pytest.raises(ConfigurationError, match="it has a reranker"):
        HybridSearch(db)
    with pytest.raises(ConfigurationError, match="not for a PgVector"):
        postgres_search(words="words.db")


@pytest.mark.parametrize(
    "options", [{"seconds": 0}, {"seconds": True}, {"candidates": 0}, {"candidates": 1.5}]
)
def test_a_reranking_that_can_not_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Reranking(By(order=by_length), **options)
    with pytest.raises(ConfigurationError, match="reranker"):
        Reranking("cohere")  # type: ignore[arg-type]


@pytest.mark.parametrize(("query", "limit"), [(3, 5), ("cat", 0), ("cat", True), ("cat", 1.5)])
def test_a_search_that_can_not_be_meant_is_refused(lance: Opens, query: Any, limit: Any) -> None:
    with pytest.raises(ConfigurationError):
        lance().find(query, limit)


def test_a_copy_of_an_agent_has_the_same_search(lance: Opens) -> None:
    search = lance()
    assert deepcopy(search) is search
