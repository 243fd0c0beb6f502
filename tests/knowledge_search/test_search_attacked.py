"""What an attack on search found: each of these showed, hid or broke what it must not."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.filters import AND, EQ, IN, NEQ, NOT, OR, STARTSWITH
from agno.knowledge.document import Document
from agno.vectordb.lancedb import LanceDb
from agno.vectordb.pgvector import PgVector
from agno.vectordb.search import SearchType
from hypothesis import given
from hypothesis import strategies as st
from pgvector_server import PgVectorServer
from searched import Opens, Words, by_words, doc, texts
from sqlalchemy import create_engine, text

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import Feedback, HybridSearch
from agno_portkey.knowledge.search.chunks import Scope
from agno_portkey.knowledge.search.filters import fits, is_plain, read_filters

# Owners


@pytest.mark.parametrize("kind", list(SearchType))
@pytest.mark.parametrize(
    "filters",
    [
        IN("t", ["n", "x"]),
        OR(EQ("t", "n"), EQ("t", "x")),
        {"op": "IN", "key": "t", "values": ["n", "x"]},
        NOT(AND(EQ("t", "a"), EQ("t", "b"))),
    ],
)
def test_no_filter_shows_another_owners_chunks(opens: Opens, filters: Any, kind: Any) -> None:
    search = opens(expansion=Feedback(), search_type=kind)
    search.insert("h", [doc("alice salary is 5000", t="x")], user_id="alice")
    search.insert("h", [doc("bob lunch", t="n")], user_id="bob")
    for asked in ("salary", "salary lunch"):
        assert set(texts(search, asked, filters=filters, user_id="bob")) <= {"bob lunch"}
        assert texts(search, asked, filters=filters, user_id="nobody") == []
    narrow = opens(candidates=1, search_type="keyword")
    narrow.insert("m", [doc("lunch lunch lunch", t="x")], user_id="alice")
    assert texts(narrow, "lunch", limit=1, filters=filters, user_id="bob") == ["bob lunch"]


@pytest.mark.parametrize("owner", [5, True, ["a"], b"x", "\ud800", "a\0b"])
def test_an_owner_is_a_text(opens: Opens, owner: Any) -> None:
    with pytest.raises(ConfigurationError, match="user_id"):
        opens().find("x", user_id=owner)


# Other tables


def test_no_table_of_others_is_dropped(pgvector: PgVectorServer, embedder: Words) -> None:
    url = pgvector.new_database().replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA ai"))
        connection.execute(text("CREATE TABLE ai.notes_portkey_words (precious text)"))
        connection.execute(text("INSERT INTO ai.notes_portkey_words VALUES ('data')"))
    search = HybridSearch(PgVector("notes", db_engine=engine, embedder=embedder))
    with pytest.raises(ConfigurationError, match=r"notes_portkey_words.*somebody else"):
        search.create()
    with pytest.raises(ConfigurationError, match="somebody else"):
        search.drop()
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT precious FROM ai.notes_portkey_words")).scalars()
        assert kept.all() == ["data"]
    engine.dispose()


def test_a_name_with_a_backslash_is_refused(pgvector: PgVectorServer, embedder: Words) -> None:
    engine = create_engine(pgvector.url().replace("postgresql:", "postgresql+psycopg:"))
    with pytest.raises(ConfigurationError, match="without"):
        HybridSearch(PgVector("a\\b", db_engine=engine, embedder=embedder))
    engine.dispose()


# Rows that can't be read

BAD: list[Any] = [
    Document(content="x", meta_data={"s": float("nan")}),
    Document(content="x", meta_data={"s": "\ud800"}),
    Document(content="x", meta_data={"s": "acme\0evil"}),
    Document(content="x", meta_data={"k\0y": "v"}),
    Document(content="x", meta_data=["a"]),  # type: ignore[arg-type]
    Document(content="x", name="\ud800"),
    Document(content="x", content_id="a\0b"),
]


@pytest.mark.parametrize("bad", BAD)
def test_what_could_not_be_searched_is_refused(opens: Opens, bad: Document) -> None:
    search = opens()
    search.insert("good", [doc("good x")])
    with pytest.raises(ConfigurationError, match="documents"):
        search.insert("h", [doc("fine"), bad])
    with pytest.raises(ConfigurationError, match="documents"):
        search.insert("h", [doc("fine")], {"k": float("inf")})
    assert texts(search, "good") == ["good x"]
    with pytest.raises(ConfigurationError, match="metadata"):
        search.update_metadata("c", {"k": "a\0b"})


@pytest.mark.parametrize("meta", [{"s": float("nan")}, {"level": "sec\0ret"}, ["a"], {"k\0y": "v"}])
def test_a_row_of_others_that_can_not_be_read_holds_up_nobody(lance: Opens, meta: Any) -> None:
    search = lance()
    search.insert("good", [doc("good apple", level="open")])
    raw: LanceDb = lance().vector_db
    raw.insert("h", [Document(content="bad apple", name="\ud800", meta_data=meta)])
    assert set(texts(search, "apple")) == {"good apple", "bad apple"}
    assert by_words(search, "apple") == {"good apple", "bad apple"}
    # Of what can't be read nothing is known: it fits no filter.
    for filters in (NEQ("level", "x"), NOT(STARTSWITH("level", "sec")), NEQ("s", 1)):
        assert texts(search, "apple", filters=filters) == ["good apple"]


@pytest.mark.parametrize("value", ["a\0b", "\ud800", float("nan")])
def test_a_filter_that_no_database_compares_is_refused(opens: Opens, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="filters"):
        opens().find("x", filters={"k": value})
    with pytest.raises(ConfigurationError, match="501 conditions"):
        opens().find("x", filters=IN("k", list(range(501))))


def test_two_documents_of_one_id_are_refused_and_the_same_twice_is_one(lance: Opens) -> None:
    search = lance()
    with pytest.raises(ConfigurationError, match="two have 'a'"):
        search.insert("h", [Document(id="a", content="apple"), Document(id="a", content="pear")])
    search.insert("h", [doc("apple"), doc("apple")])
    assert texts(search, "apple") == ["apple"]


# Others' writes


def test_what_others_write_during_a_write_is_found(lance: Opens) -> None:
    search = lance()
    search.insert("good", [doc("an apple")])
    raw: LanceDb = lance().vector_db
    inserts = search.vector_db.insert

    def meanwhile(*args: Any, **options: Any) -> None:
        inserts(*args, **options)
        raw.insert("p", [doc("a plain zebra")])

    search.vector_db.insert = meanwhile
    search.insert("h", [doc("a pear")])
    assert by_words(search, "zebra") == {"a plain zebra"}
    assert by_words(lance(), "zebra pear") == {"a plain zebra", "a pear"}


def test_what_others_write_before_a_write_is_followed(lance: Opens) -> None:
    search, other = lance(), lance()
    search.insert("h", [doc("zebra", "n")])
    chunks: Any = search._chunks
    ids_of = chunks.ids_of

    def meanwhile(**fields: Any) -> list[str]:
        ids: list[str] = ids_of(**fields)
        other.upsert("h", [doc("a walrus", "n")])
        return ids

    chunks.ids_of = meanwhile
    assert search.delete_by_name("n")
    assert chunks.matching({"walrus": 1.0, "zebra": 1.0}, 9, Scope()) == {}


def test_a_filter_holds_for_what_a_row_is_now(lance: Opens, embedder: Words) -> None:
    search = lance()
    search.insert("h", [doc("apple plan", content_id="c1", level="public")])
    raw: LanceDb = lance().vector_db
    vectors = embedder.get_embedding_and_usage

    def meanwhile(text: str) -> Any:
        raw.update_metadata("c1", {"level": "secret"})
        return vectors(text)

    embedder.get_embedding_and_usage = meanwhile  # type: ignore[method-assign]
    assert texts(search, "apple", filters={"level": "public"}) == []


@pytest.mark.parametrize("id", ["nope' OR '1'='1", "'"])
def test_an_id_is_no_condition(opens: Opens, id: str) -> None:
    search = opens()
    search.insert("h", [doc("apple")], user_id="ann")
    with pytest.raises(ConfigurationError, match="without a quote"):
        search.delete_by_id(id)
    assert texts(search, "apple") == ["apple"]


# What is left of what was deleted


def test_a_dropped_table_leaves_no_words(lance: Opens, tmp_path: Path) -> None:
    search = lance()
    search.insert("h", [doc("zz johndoe5551234")])
    Path(tmp_path, "lance", "docs.words.db.broken").write_bytes(b"johndoe5551234")
    search.drop()
    assert [*Path(tmp_path, "lance").glob("docs.words.db*")] == []


def test_after_it_was_put_in_order_nothing_deleted_is_in_the_file(
    lance: Opens, tmp_path: Path
) -> None:
    search = lance()
    search.insert("h", [doc("zz johndoe5551234", content_id="c1"), doc("others")])
    search.delete_by_content_id("c1")
    search.optimize()
    for file in Path(tmp_path, "lance").glob("docs.words.db*"):
        assert b"johndoe5551234" not in file.read_bytes()


# Places


def test_a_file_stays_where_it_is(
    tmp_path: Path, embedder: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    search = HybridSearch(LanceDb(uri="kb", table_name="docs", embedder=embedder))
    search.insert("h", [doc("apple")])
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    with search._chunks._words.reading():  # type: ignore[attr-defined]
        assert (tmp_path / "kb" / "docs.words.db").is_file()


def test_a_book_is_searched(opens: Opens) -> None:
    search = opens()
    search.insert("h", [doc(" ".join(f"word{n}x" for n in range(60_000))), doc("short")])
    [found] = by_words(search, "word59999x")
    assert len(found) > 500_000


# What filters mean

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.5]),
    st.text("aÄb", max_size=3),
)


@given(st.dictionaries(st.sampled_from("kl"), _VALUES), _VALUES)
def test_a_row_fits_as_json_compares(meta: dict[str, Any], value: Any) -> None:
    condition = read_filters({"k": value})
    same = "k" in meta and isinstance(meta["k"], bool) == isinstance(value, bool)
    assert fits(condition, meta) == (same and meta["k"] == value)
    assert fits(read_filters([NEQ("k", value)]), meta) != fits(condition, meta)


def test_a_value_is_plain_unless_it_holds_what_can_not_be_compared() -> None:
    assert all(map(is_plain, ["\\u0000", {"a": [1, None, True, "é"]}, "\n"]))
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert not any(map(is_plain, ["a\0", {"\0": 1}, [["\0"]], float("inf"), {1, 2}, nested]))


def test_many_threads_write_and_search(lance: Opens) -> None:
    search = lance()
    failed: list[BaseException] = []

    def work(owner: str) -> None:
        try:
            for number in range(3):
                search.insert(
                    f"{owner}{number}", [doc(f"apple of {owner} {number}")], user_id=owner
                )
                found = texts(search, "apple", user_id=owner)
                assert len(found) == number + 1, found
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(owner,)) for owner in ("ann", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
