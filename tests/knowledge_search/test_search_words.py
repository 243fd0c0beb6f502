"""Every word of a stored text finds it: texts and queries are cut in the same way."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from agno.vectordb.pgvector import PgVector
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pgvector_server import PgVectorServer
from searched import Opens, Words, doc
from sqlalchemy import Engine, create_engine, text

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import HybridSearch
from agno_portkey.knowledge.search.terms import stop_words, words_of

ODD = [
    "bob.o'neil+x@mail.example.com",
    "10.0.0.1",
    "v1.2.3-rc.4",
    "https://example.com/a_b/c%20d?q=1#top",
    "C:\\Users\\Ann",
    "snake_case",
    "5e3",
    "0x1F",
    "<b>bold</b>",
    "a&amp;b",
    "Caf\u00e9",
    "Cafe\u0301",
    "\u00c4RGER",
    "A\u0308RGER",
    "\u0130STANBUL",
    "I\u0307stanbul",
    "\u039f\u0394\u039f\u03a3",
    "\u03bf\u03b4\u03cc\u03c2",
    "stra\u00dfe",
    "x\u00b2",
    "\u00bd",
    "\u2460",
    "x\u0301y",
    "a\ue000b",
    "\u041e\u0422\u0427\u0401\u0422",
    "\u6771\u4eac",
    "\U0001d400\U0001d401",
    "\U0001e900",
    "\u1cf2",
    "z" * 300,
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
    min_size=1,
    max_size=6,
).map(" ".join)


@contextmanager
def opened(server: PgVectorServer, database: str, **options: Any) -> Iterator[HybridSearch]:
    engine = create_engine(server.url(database).replace("postgresql:", "postgresql+psycopg:"))
    db = PgVector("docs", db_engine=engine, embedder=Words(), **options)
    try:
        search = HybridSearch(db, search_type="keyword")
        search.create()
        yield search
    finally:
        engine.dispose()


def made(server: PgVectorServer, options: str = "") -> str:
    """A database by these options."""
    name: str = server.new_database().rpartition("/")[2]
    server.run(f"DROP DATABASE {name}")
    server.run(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
    return name


def finds(search: HybridSearch, query: str) -> bool:
    return len(search.find(query, search_type="keyword")) == 1


def test_every_word_of_a_text_finds_it(opens: Opens) -> None:
    search = opens(search_type="keyword")

    @settings(max_examples=60)
    @example(" ".join(ODD))
    @given(TEXTS)
    def play(said: str) -> None:
        search.upsert("h", [doc(said)])
        for word in {*said.split(), *words_of(said)}:
            if not {*words_of(word)} <= stop_words():
                assert finds(search, word), word
                assert finds(search, unicodedata.normalize("NFD", word)), word

    play()


@pytest.fixture(scope="module")
def plain(pgvector: PgVectorServer) -> Iterator[Engine]:
    with opened(pgvector, made(pgvector), content_language="simple") as search:
        yield search.vector_db.db_engine


def cut(engine: Engine, said: str) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ai.docs_portkey_cut(:said)"), {"said": said})
        return {row.term: row.often for row in rows}


@settings(max_examples=300)
@example(" ".join(ODD))
@given(TEXTS)
def test_postgres_cuts_as_python_does(plain: Engine, said: str) -> None:
    said = said.replace("\0", " ")
    assert cut(plain, said) == Counter(word[:255] for word in words_of(said))


def test_each_letter_is_cut_alike(plain: Engine) -> None:
    letters = [chr(code) for code in range(1, 0x30000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(letters), 10_000):
        said = " ".join(letters[start : start + 10_000])
        assert cut(plain, said) == Counter(words_of(said))


@pytest.mark.parametrize("said", [" ".join(ODD), "THE the a ODD odd"])
def test_the_locale_of_the_database_does_not_matter(pgvector: PgVectorServer, said: str) -> None:
    options = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    with opened(pgvector, made(pgvector, options)) as search:
        search.insert("h", [doc(said)])
        for word in said.split():
            assert finds(search, word) is not ({*words_of(word)} <= stop_words()), word


def test_words_are_stemmed_and_stop_words_left_out(postgres_search: Opens) -> None:
    engine = postgres_search().vector_db.db_engine
    assert cut(engine, "Running, runs and RUN; the e-mails") == {"run": 3, "e": 1, "mail": 1}


def test_a_word_at_any_place_of_a_long_text_finds_it(postgres_search: Opens) -> None:
    search = postgres_search()
    search.insert("h", [doc("x" * 200 + " " + "ab " * 33_265 + "boundary " + "cd " * 9)])
    assert finds(search, "boundary")


def test_another_encoding_is_refused(pgvector: PgVectorServer) -> None:
    name = made(pgvector, "ENCODING 'LATIN1'")
    with (
        pytest.raises(ConfigurationError, match="UTF8, not LATIN1"),
        opened(pgvector, name),
    ):
        pass


def test_words_of_an_older_form_are_made_anew(postgres_search: Opens) -> None:
    search = postgres_search()
    search.insert("h", [doc("bob@example.com")])
    for statement in (
        "DROP FUNCTION ai.docs_portkey_cut(text)",
        'ALTER TRIGGER "words_kept_2_english" ON ai.docs RENAME TO "words_kept_1_english"',
    ):
        with search.vector_db.db_engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE ai.docs_portkey_words")
            connection.exec_driver_sql(statement)
        assert finds(search, "example")
