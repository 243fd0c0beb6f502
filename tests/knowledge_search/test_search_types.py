"""By words, by vectors or both: as it is asked for, and in that search alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from agno.knowledge.knowledge import Knowledge
from agno.vectordb.search import SearchType
from searched import Opens, Words, doc

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import Found, HybridSearch
from agno_portkey.verdict import Event

CAT, DOG = "The cats are sitting", "A dog barks loudly"


@pytest.fixture
def search(opens: Opens) -> HybridSearch:
    opened = opens()
    opened.insert("h", [doc(CAT), doc(DOG)])
    return opened


def sides(found: Found) -> str:
    """The sides that have found something."""
    by_vector = any(hit.vector is not None for hit in found)
    by_words = any(hit.words is not None for hit in found)
    return {(True, True): "hybrid", (False, True): "keyword", (True, False): "vector"}[
        by_vector, by_words
    ]


def test_one_call_is_by_its_own_sides(search: HybridSearch, opens: Opens) -> None:
    for said in ("keyword", SearchType.vector, "hybrid"):
        assert sides(search.find("cat", search_type=said)) == SearchType(said).value
        assert sides(asyncio.run(search.afind("cat", search_type=said))) == SearchType(said).value
        assert sides(search.find("cat")) == "hybrid"
        always = opens(search_type=said)
        assert always.search_type is SearchType(said)
        for _ in range(2):
            assert sides(always.find("cat")) == SearchType(said).value
        other = "vector" if said == "keyword" else "keyword"
        assert sides(always.find("cat", search_type=other)) == other


@pytest.mark.parametrize("said", ["words", "", 3, None, ["keyword"]])
def test_another_type_is_refused(search: HybridSearch, opens: Opens, said: Any) -> None:
    with pytest.raises(ConfigurationError, match="search_type: "):
        opens(search_type=said)
    with pytest.raises(ConfigurationError, match="search_type: "):
        search.search_type = said
    if said is not None:
        with pytest.raises(ConfigurationError, match="search_type: "):
            search.find("cat", search_type=said)
    assert sides(search.find("cat")) == "hybrid"


def test_what_is_set_is_for_one_search_of_that_object(search: HybridSearch, opens: Opens) -> None:
    other = opens()
    search.search_type = "keyword"
    assert [search.search_type, other.search_type] == [SearchType.keyword, SearchType.hybrid]
    assert sides(other.find("cat")) == "hybrid"
    assert sides(search.find("cat")) == "keyword"
    assert search.search_type == "hybrid"
    assert sides(search.find("cat")) == "hybrid"
    # One that is refused or says its own was the next one as well.
    search.search_type = "keyword"
    assert sides(search.find("cat", search_type="vector")) == "vector"
    search.search_type = "keyword"
    with pytest.raises(ConfigurationError, match="limit"):
        search.find("cat", 0)
    assert sides(search.find("cat")) == "hybrid"


@pytest.mark.parametrize("form", ["sync", "async"])
def test_knowledge_leaves_no_type_behind(search: HybridSearch, embedder: Words, form: str) -> None:
    knowledge = Knowledge(vector_db=search)

    def asked(**options: Any) -> list[str]:
        embedder.asked.clear()
        if form == "sync":
            knowledge.search("cat", **options)
        else:
            asyncio.run(knowledge.asearch("cat", **options))
        return [*embedder.asked]

    assert asked(search_type="keyword") == []
    assert asked() == ["cat"]


def test_searches_at_once_keep_their_own_type(search: HybridSearch) -> None:
    knowledge, both = Knowledge(vector_db=search), threading.Barrier(2)
    found: dict[str, Any] = {}

    def ask(kind: str) -> None:
        search.search_type = kind
        both.wait()
        found[kind] = sides(search.find("cat"))

    threads = [threading.Thread(target=ask, args=(kind,)) for kind in ("keyword", "vector")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"keyword": "keyword", "vector": "vector"}

    async def play() -> list[int]:
        kinds = ["keyword", "hybrid"] * 4
        each = (knowledge.asearch("cat", search_type=kind) for kind in kinds)
        return [len(documents) for documents in await asyncio.gather(*each)]

    # The words find one of the two, the vectors both.
    assert asyncio.run(play()) == [1, 2] * 4


@pytest.mark.parametrize("query", ["", " ", " \n\t", "\u2003\u00a0"])
@pytest.mark.parametrize("kind", list(SearchType))
def test_blanks_find_nothing_and_ask_nobody(
    opens: Opens, embedder: Words, query: str, kind: SearchType
) -> None:
    heard: list[Event] = []
    search = opens(observers=[heard.append])
    search.insert("h", [doc(CAT)])
    embedder.asked.clear()
    found = search.find(query, search_type=kind)
    again = asyncio.run(search.afind(query, search_type=kind))
    assert found == again == Found((), (query,), ())
    assert Knowledge(vector_db=search).search(query) == []
    assert embedder.asked == []
    assert [event.data["hits"] for event in heard] == [0, 0, 0]
    with pytest.raises(ConfigurationError, match="filters"):
        search.find(query, filters=7)
