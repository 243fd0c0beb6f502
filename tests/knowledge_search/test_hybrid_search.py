"""A collection is searched by vector and by words, whoever wrote to it and however."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from agno.knowledge.document import Document
from agno.knowledge.knowledge import Knowledge
from agno.vectordb.distance import Distance
from searched import Opens, Words, by_words, doc, texts

from agno_portkey.knowledge import Feedback, HybridSearch, SearchUnavailable
from agno_portkey.knowledge.search import searching
from agno_portkey.knowledge.search.terms import terms_of
from agno_portkey.verdict import Event

CAT, DOG, OWL = "The cats are sitting", "A dog barks loudly", "An owl sees by night"


@pytest.fixture
def search(opens: Opens) -> HybridSearch:
    opened = opens()
    opened.insert("one", [doc(CAT, "cat", "c1", kind="pet"), doc(DOG, "dog", "c2", kind="pet")])
    opened.insert("two", [doc(OWL, "owl", "c3", kind="bird")])
    return opened


def test_words_are_found_by_their_stems_and_rated(search: HybridSearch) -> None:
    found = search.find("a sitting cat", limit=3)
    assert next(hit.document.content for hit in found) == CAT
    best = found.hits[0]
    assert best.vector is not None
    assert best.words is not None
    assert best.score == 1.0
    assert by_words(search, "barking") == {DOG}
    assert found.queries == ("a sitting cat",)
    assert [cost.step for cost in found.costs] == ["embedding", "search"]
    assert found.cost("embedding").tokens == 3  # type: ignore[union-attr]


def test_the_text_is_looked_into_and_not_what_is_around_it(search: HybridSearch) -> None:
    for word in ("content", "payload", "kind", "pet", "c1", "usage", "meta_data"):
        assert by_words(search, word) == set()


def test_a_rare_word_counts_more_than_a_common_one(opens: Opens) -> None:
    search = opens()
    common = [doc(f"pump valve number {n}") for n in range(20)]
    search.insert("all", [*common, doc("pump cavitation observed twice")])
    assert (
        texts(search, "pump cavitation", search_type="keyword")[0]
        == "pump cavitation observed twice"
    )


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("database", ["lance", "postgres"])
def test_each_side_rates_what_the_other_found(
    database: str, distance: Distance, request: pytest.FixtureRequest
) -> None:
    opens: Opens = request.getfixturevalue("lance" if database == "lance" else "postgres_search")

    def opened(**options: Any) -> HybridSearch:
        search = opens(**options)
        search.vector_db.distance = distance
        return search

    # By vector the first ones are nearest, by words the last one is best.
    pumps = [doc("pump " * 3 + f"number{often}", f"pump {often}", kind="a") for often in range(9)]
    rare = doc("cavitation seen by an owl at night", "rare", kind="a")
    hidden = doc("pump pump pump cavitation", "hidden", kind="b")
    opened().insert("all", [*pumps, rare, hidden])
    asked, only = "pump pump pump cavitation", {"kind": "a"}
    wide = {hit.document.name: hit for hit in opened().find(asked, 20, only)}
    for weight, side in ((0.3, "rare"), (0.9, "pump")):
        narrow = opened(candidates=1, weight=weight).find(asked, 1, only)
        # As if it had looked at all, whichever side has found it, and at nothing filtered out.
        [hit] = narrow.hits
        assert str(hit.document.name).startswith(side)
        at_all = wide[hit.document.name]
        assert at_all.vector is not None
        assert hit.vector == pytest.approx(at_all.vector, rel=1e-5)
        assert hit.words == pytest.approx(at_all.words)


def test_what_has_a_term_counts_more_than_what_has_none(search: HybridSearch) -> None:
    search.weight = 0
    found = {hit.document.content: hit.score for hit in search.find("cat dog dog", 3)}
    assert found[DOG] == 1.0
    assert 0 < found[CAT] < 1
    assert found[OWL] == 0.0


def test_only_stop_words_do_no_harm(search: HybridSearch) -> None:
    for query in (
        "the",
        "''\"; DROP TABLE words; --",
        "NEAR(cat",
        "cat* AND",
        "\x00\ud800",
    ):
        assert len(search.find(query, limit=3)) == 3


def test_the_query_is_embedded_once(search: HybridSearch, embedder: Words) -> None:
    embedder.asked.clear()
    search.search("cat")
    asyncio.run(search.async_search("dog"))
    assert embedder.asked == ["cat", "dog"]
    assert texts(search, "cat", search_type="keyword") == [CAT]
    assert embedder.asked == ["cat", "dog"]


def test_documents_have_their_id_and_score_and_are_copies(search: HybridSearch) -> None:
    [first] = search.search(CAT, limit=1)
    assert (first.name, first.content_id, first.meta_data["search_score"]) == ("cat", "c1", 1.0)
    assert search.id_exists(str(first.id))
    first.meta_data["kind"] = "changed"
    [again] = search.search(CAT, limit=1, filters={"kind": "pet"})
    assert again.meta_data == {"kind": "pet", "search_score": 1.0}


@pytest.mark.parametrize("form", ["sync", "async"])
def test_writes_are_followed(opens: Opens, embedder: Words, form: str) -> None:
    search, other = opens(), opens()

    def write(name: str, *args: Any, **options: Any) -> None:
        if form == "async":
            asyncio.run(getattr(search, f"async_{name}")(*args, **options))
        else:
            getattr(search, name)(*args, **options)

    write("insert", "h", [doc(CAT, content_id="c"), doc(DOG, content_id="c")], {"from": "x"})
    assert embedder.asked == [CAT, DOG]
    assert by_words(other, "cat") == {CAT}
    assert texts(other, "cat", filters={"from": "x"})[0] == CAT
    embedder.asked.clear()
    write("upsert", "h", [doc(OWL, content_id="c")])
    assert embedder.asked == [OWL]
    for each in (search, other):
        assert by_words(each, "cat dog owl") == {OWL} == set(texts(each, "cat"))


def test_deletes_and_changes_are_followed(search: HybridSearch, opens: Opens) -> None:
    assert search.delete_by_name("cat")
    assert by_words(search, "cats") == set()
    search.update_metadata("c2", {"kind": "guard"})
    assert texts(search, "dog", filters={"kind": "guard"}) == [DOG]
    assert texts(search, "dog", filters={"kind": "pet"}) == []
    assert search.delete_by_metadata({"kind": "bird"})
    assert texts(search, "owl") == [DOG]
    [left] = search.search("dog")
    assert search.delete_by_id(str(left.id))
    assert texts(opens(), "dog owl cat") == []
    search.insert("h", [doc(CAT, content_id="c9")])
    assert search.delete_by_content_id("c9")
    assert texts(search, "cat") == []


def test_what_is_dropped_is_forgotten(search: HybridSearch, opens: Opens) -> None:
    search.drop()
    assert not search.exists()
    assert texts(search, "cat") == []
    search.create()
    search.insert("h", [doc(OWL)])
    assert texts(search, "cat owl") == [OWL] == texts(opens(), "cat owl")


def test_others_chunks_are_never_seen(opens: Opens) -> None:
    search = opens()
    search.insert("h", [doc("shared cat")])
    search.insert("h", [doc("ann's cat", content_id="c", of="ann")], user_id="ann")
    search.insert("h", [doc(f"bob's cat {n}", content_id="c") for n in range(30)], user_id="bob")
    own = {"shared cat", "ann's cat"}
    for query in ("cat", "bob's cat", "bob"):
        assert set(texts(search, query, user_id="ann")) == own
        assert set(texts(search, query, user_id="ann' OR '1'='1")) == {"shared cat"}
    assert texts(search, "bob's cat", user_id="ann", limit=1) in (["shared cat"], ["ann's cat"])
    assert texts(search, "cat", user_id="bob", filters={"of": "ann"}) == []
    assert len(texts(search, "cat")) == 32
    # One owner's upsert and delete leave the others theirs.
    search.upsert("h", [doc("ann's dog", content_id="c")], user_id="ann")
    assert set(texts(search, "cat dog", user_id="ann")) == {"shared cat", "ann's dog"}
    search.delete_by_content_id("c", user_id="bob")
    assert set(texts(search, "cat dog")) == {"shared cat", "ann's dog"}


def test_filters_come_before_the_best_are_taken(opens: Opens) -> None:
    search = opens(candidates=5)
    search.insert("near", [doc("cat cat cat", n=n) for n in range(1)])
    search.insert("many", [doc(f"cat cat number {n}", n=n) for n in range(200)])
    search.insert("far", [doc("a tiger, once called cat", wanted=True)])
    assert texts(search, "cat", limit=3, filters={"wanted": True}) == ["a tiger, once called cat"]
    assert len(texts(search, "cat", limit=3, filters={"n": 150})) == 1


def test_of_many_that_fit_enough_are_found(lance: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_portkey.knowledge.search.lance._NAMED", 10)
    search = lance(candidates=5, search_type="vector")
    search.insert("near", [doc("cat cat", n=n, kind="near") for n in [0]])
    search.insert("near", [doc(f"cat cat {n}", kind="near") for n in range(300)])
    search.insert("far", [doc(f"dog {n}", kind="far") for n in range(30)])
    found = texts(search, "cat", limit=20, filters={"kind": "far"})
    assert len(found) == 20
    assert all(text.startswith("dog") for text in found)


def test_it_is_knowledge_of_agno(opens: Opens) -> None:
    search = opens()
    knowledge = Knowledge(name="k", vector_db=search)
    knowledge.insert(name="cat", text_content=CAT, metadata={"kind": "pet"})
    asyncio.run(knowledge.ainsert(name="dog", text_content=DOG, metadata={"kind": "pet"}))
    knowledge.insert(name="cat", text_content=CAT, metadata={"kind": "pet"}, skip_if_exists=True)
    assert knowledge.search("cat", max_results=1)[0].content == CAT
    assert asyncio.run(knowledge.asearch("dog", max_results=1))[0].content == DOG
    assert [each.content for each in knowledge.search("owl", filters={"kind": "pet"})]
    knowledge.remove_vectors_by_name("cat")
    assert by_words(search, "cat") == set()


async def test_the_loop_goes_on_meanwhile(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    search, here = await asyncio.to_thread(opens), threading.get_ident()
    seen: set[int] = set()
    chunks: Any = search._chunks
    for name in ("ready", "nearest", "matching", "documents", "writing"):
        real = getattr(chunks, name)

        def noted(*args: Any, real: Any = real, **options: Any) -> Any:
            seen.add(threading.get_ident())
            return real(*args, **options)

        monkeypatch.setattr(chunks, name, noted)

    def noted_terms(text: str) -> Any:
        seen.add(threading.get_ident())
        return terms_of(text)

    monkeypatch.setattr(searching, "terms_of", noted_terms)
    await search.async_insert("h", [doc(CAT)])
    await search.async_upsert("h", [doc(DOG)])
    assert [each.content for each in await search.async_search("dog")] == [DOG]
    await search.async_drop()
    await search.async_create()
    assert await search.async_exists()
    assert not await search.async_name_exists("x")
    assert seen
    assert here not in seen


def test_searches_and_writes_at_once_lose_nothing(opens: Opens) -> None:
    search = opens()

    async def play() -> None:
        jobs: list[Any] = [search.async_insert(f"h{n}", [doc(f"cat {n}")]) for n in range(8)]
        await asyncio.gather(*jobs, *(search.async_search("cat") for _ in range(8)))

    asyncio.run(play())
    assert by_words(search, "cat") == {f"cat {n}" for n in range(8)}
    assert by_words(opens(), "cat") == {f"cat {n}" for n in range(8)}


def test_observers_hear_what_it_cost_and_no_words(opens: Opens) -> None:
    heard: list[Event] = []
    search = opens(observers=[heard.append])
    search.insert("h", [doc(CAT)])
    search.search("secret cat")
    [event] = heard
    assert (event.kind, event.data["hits"], event.data["queries"]) == ("search", 1, 1)
    assert [cost["step"] for cost in event.data["costs"]] == ["embedding", "search"]
    assert "secret" not in repr(event)


def test_a_collection_from_before_is_searched_by_words(opens: Opens) -> None:
    search = opens()
    search.vector_db.insert("h", [Document(content=CAT)])
    assert by_words(search, "cat") == {CAT}
    assert search.rebuild() == 1
    assert by_words(opens(), "cat") == {CAT}


@pytest.mark.parametrize("form", ["sync", "async"])
def test_knowledge_is_told_that_it_can_not_be_searched(
    opens: Opens, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    search = opens()

    def broken(*args: Any) -> Any:
        raise SearchUnavailable("the words are away")

    monkeypatch.setattr(search._chunks, "matching", broken)
    knowledge = Knowledge(vector_db=search)

    def asked() -> Any:
        return knowledge.search("cat") if form == "sync" else asyncio.run(knowledge.asearch("cat"))

    with pytest.raises(SearchUnavailable, match="the words are away"):
        asked()


def test_what_is_not_embedded_takes_nothing_away(
    opens: Opens, embedder: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = opens()
    search.insert("h", [doc(CAT)])
    monkeypatch.setattr(embedder, "get_embedding_and_usage", lambda text: ([], None))
    search.upsert("h", [doc(DOG)])
    asyncio.run(search.async_upsert("h", [doc(DOG)]))
    search.insert("h2", [doc(DOG)])
    monkeypatch.undo()
    assert texts(search, "cat dog") == [CAT]
    monkeypatch.setattr(embedder, "get_embedding_and_usage", lambda text: ([], None))
    with pytest.raises(SearchUnavailable, match="no vector for the query"):
        search.search("cat")


def test_both_fusions_and_their_usual_weights(opens: Opens) -> None:
    search = opens()
    search.insert("h", [doc(CAT), doc(DOG)])
    ranked = opens(fusion="rrf", rrf_k=10)
    assert (search.weight, ranked.weight, opens(fusion="rrf", weight=0.7).weight) == (0.6, 0.5, 0.7)
    assert ranked.find(CAT).hits[0].score == pytest.approx(2 / 11)
    assert opens(weight=0.25).find("dog").hits[0].score == pytest.approx(1)


def test_long_queries_are_searched(opens: Opens) -> None:
    search = opens(expansion=Feedback())
    search.insert("h", [doc(CAT), doc(DOG)])
    query = " ".join(f"word{n} " * (1 + n % 7) for n in range(1500)) + " cats" * 9
    assert by_words(search, query) == {CAT}


def test_what_is_printed_of_hits_is_short(search: HybridSearch) -> None:
    found = search.find(CAT, limit=2)
    assert found[0] is found.hits[0]
    assert "vector=" in repr(found)
    assert len(repr(found)) < 1_000
