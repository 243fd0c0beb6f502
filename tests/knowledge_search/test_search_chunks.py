"""Each side keeps to its scope by itself, and rates as the books say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from agno.filters import EQ, NEQ
from agno.vectordb.distance import Distance
from agno.vectordb.lancedb import LanceDb
from agno.vectordb.pgvector import HNSW, Ivfflat
from searched import Opens, Words, by_words, doc, texts
from sqlalchemy.event import listens_for

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import HybridSearch
from agno_portkey.knowledge.search.chunks import Scope
from agno_portkey.knowledge.search.filters import read_filters
from agno_portkey.knowledge.search.postgres_sql import Names


def test_each_part_keeps_to_the_owner(opens: Opens, embedder: Words) -> None:
    search = opens()
    search.insert("h", [doc("shared cat")])
    search.insert("h", [doc("ann's cat")], user_id="ann")
    search.insert("h", [doc("bob's cat")], user_id="bob")
    chunks = search._chunks
    ids = [str(hit.document.id) for hit in search.find("cat")]
    assert len(ids) == 3
    vector = embedder.get_embedding("cat")
    own = {hit.document.id for hit in search.find("cat", user_id="ann")}
    assert len(own) == 2
    for scope in (Scope("ann"), Scope("ann", read_filters([NEQ("kind", "x")]))):
        assert chunks.documents(ids, scope).keys() == own
        assert chunks.matching({"cat": 1.0}, 10, scope).keys() == own
        assert chunks.nearest(vector, 10, scope).keys() == own


def test_bm25_of_postgres_by_hand(postgres_search: Opens) -> None:
    texts_ = ["wing wing flutter", "wing lift", "drag polar of a body", "lift lift lift drag"]
    search = postgres_search()
    search.insert("h", [doc(text) for text in texts_])
    words = [[word for word in text.split() if word not in ("of", "a")] for text in texts_]
    found = search.find("wings drag", limit=10, search_type="keyword")
    rated = {hit.document.content: hit.words for hit in found}
    wanted = {
        text: score
        for text, each in zip(texts_, words, strict=True)
        if (score := bm25(["wing", "drag"], each, words)) > 0
    }
    assert rated == pytest.approx(wanted)


def bm25(terms: Sequence[str], text: Sequence[str], all_: Sequence[Sequence[str]]) -> float:
    mean = sum(map(len, all_)) / len(all_)
    total = 0.0
    for term in terms:
        has = sum(term in each for each in all_)
        idf = math.log(1 + (len(all_) - has + 0.5) / (has + 0.5))
        often = text.count(term)
        total += idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * len(text) / mean))
    return total


def test_an_index_of_vectors_hides_nothing(postgres_search: Opens) -> None:
    search = postgres_search(search_type="vector")
    search.insert("near", [doc(f"cat cat {n}", kind="near") for n in range(300)])
    search.insert("far", [doc(f"dog {n}", kind="far") for n in range(20)])
    engine = search.vector_db.db_engine
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE INDEX ON ai.docs USING hnsw (embedding vector_cosine_ops)"
        )
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET enable_seqscan = off")
    engine.dispose()
    assert len(texts(search, "cat", limit=90)) == 90
    assert len(texts(search, "cat", filters=[EQ("kind", "far")])) == 20


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("index", [HNSW(ef_search=150), Ivfflat(lists=2, probes=2)])
def test_the_nearest_of_all_are_asked_of_the_index(
    postgres_search: Opens, distance: Distance, index: HNSW | Ivfflat
) -> None:
    search = postgres_search(search_type="vector")
    search.vector_db.distance, search.vector_db.vector_index = distance, index
    search.insert("h", [doc(f"cat {n}", kind=n % 2) for n in range(1000)])
    search.optimize()
    engine, asked = search.vector_db.db_engine, list[tuple[str, Any]]()
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")

    @listens_for(engine, "before_cursor_execute")
    def noted(_: Any, cursor: Any, statement: str, values: Any, *more: Any) -> None:
        asked.append((statement, values))

    def plan(**options: Any) -> str:
        asked.clear()
        assert len(search.find("cat", **options)) == options["limit"]
        [(statement, values)] = [each for each in asked if "AS distance" in each[0]]
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            return "\n".join(row[0] for row in rows)

    kind = type(index).__name__.lower()
    assert f"Index Scan using docs_{kind}_index" in plan(limit=60)
    width = "hnsw.ef_search = 150" if kind == "hnsw" else "ivfflat.probes = 2"
    assert f"SET LOCAL {width}" in [statement for statement, _ in asked]
    # What it finds of some is what fits of the nearest alone.
    assert "docs_" not in plan(limit=60, filters=[EQ("kind", 1)])


def test_more_than_the_index_looks_at_are_found(postgres_search: Opens) -> None:
    search = postgres_search(search_type="vector")
    # Each of another vector: the index has those of one vector in one place.
    texts_ = ["cat" + " apple" * n + " pear" * m for n in range(36) for m in range(36)]
    search.insert("h", [doc(text) for text in texts_])
    search.optimize()
    search.optimize()
    engine = search.vector_db.db_engine
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE ai.docs")
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET enable_seqscan = off")
    engine.dispose()
    assert len(texts(search, "cat", limit=1100)) == 1100


def test_without_an_index_to_be_there_is_none(postgres_search: Opens) -> None:
    search = postgres_search()
    search.vector_db.vector_index = None
    search.insert("h", [doc("cat")])
    search.optimize()
    assert not search.vector_db._index_exists("docs_hnsw_index")
    assert texts(search, "cat") == ["cat"]


def test_vectors_of_nothing_break_nothing(opens: Opens, embedder: Words) -> None:
    search = opens()
    search.insert("h", [doc("cat"), doc("dog")])
    embedder.get_embedding_and_usage = lambda text: ([0.0] * 32, None)  # type: ignore[method-assign]
    assert by_words(search, "cat") == {"cat"}
    assert search.find("cat").hits[0].vector is None


def test_names_of_tables_are_only_names() -> None:
    odd = Names('s"x', "t'y:z" * 20, "english")
    assert len(odd.postings) < 90
    assert '"s""x"' in odd.table
    assert "t'y\\:z" in odd.table


def test_a_bucket_needs_a_place_for_its_words(embedder: Words, tmp_path: object) -> None:
    db = LanceDb(uri=str(tmp_path), table_name="t", embedder=embedder)
    db.uri = "s3://bucket/docs"
    with pytest.raises(ConfigurationError, match="the path of a local file"):
        HybridSearch(db)
    db.api_key = "k"
    with pytest.raises(ConfigurationError, match="on a disk or bucket"):
        HybridSearch(db)


def test_the_words_may_be_elsewhere(lance: Opens, tmp_path: object) -> None:
    search = lance(words=f"{tmp_path}/elsewhere.db")
    search.insert("h", [doc("cat")])
    assert by_words(search, "cats") == {"cat"}
    assert by_words(lance(), "cats") == {"cat"}


def test_terms_count_by_their_weight(opens: Opens) -> None:
    search = opens()
    search.insert("h", [doc("cat alone"), doc("dog alone")])
    for weights, first in (({"cat": 1.0, "dog": 3.0}, "dog"), ({"cat": 3.0, "dog": 1.0}, "cat")):
        found = search._chunks.matching(weights, 2, Scope())
        documents = search._chunks.documents([*found], Scope())
        assert next(documents[key].content for key in found) == f"{first} alone"
        least, most = sorted(found.values())
        assert most == pytest.approx(3 * least)


def test_what_is_replaced_leaves_no_words(lance: Opens) -> None:
    search = lance()
    search.insert("h", [doc("cat"), doc("dog")])
    search.upsert("h", [doc("owl")])
    assert search._chunks.matching({"cat": 1.0, "dog": 1.0}, 9, Scope()) == {}
    assert len(search._chunks.matching({"owl": 1.0}, 9, Scope())) == 1
