"""What is no chunk, no text or no number holds up nobody, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agno.filters import NEQ
from agno.knowledge.document import Document
from searched import Opens, Words, by_words, doc, texts

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import Feedback


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "no json",
        "null",
        "[1]",
        "{}",
        '{"content": null}',
        '{"content": 5, "meta_data": {}}',
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("id", ["bad", None])
def test_a_row_that_is_no_chunk_is_passed_over(lance: Opens, payload: Any, id: str | None) -> None:
    search = lance(expansion=Feedback())
    search.insert("h", [doc("good apple", level="open")])
    row = {"id": id, "vector": [0.1] * 32, "payload": payload, "user_id": None}
    search.vector_db.table.add([row])
    for each in (search, lance()):
        assert texts(each, "apple") == ["good apple"]
        assert texts(each, "apple", filters=NEQ("level", "x")) == ["good apple"]
    search.insert("h2", [doc("more apple")])
    assert by_words(lance(), "apple") == {"good apple", "more apple"}


def test_a_row_without_a_vector_is_found_by_its_words(lance: Opens) -> None:
    search = lance(expansion=Feedback())
    search.insert("h", [doc("good apple")])
    payload = json.dumps({"content": "an apple"})
    row = {"id": "a", "vector": None, "payload": payload, "user_id": None}
    search.vector_db.table.add([row])
    assert texts(search, "apple") == ["good apple", "an apple"]


def test_odd_fields_of_a_row_hide_nothing(lance: Opens) -> None:
    search = lance()
    payload = {"content": "apple", "name": 5, "content_id": [1], "content_hash": {}, "usage": 3}
    row = {"id": "a", "vector": [0.1] * 32, "payload": json.dumps(payload), "user_id": None}
    search.vector_db.table.add([row])
    [found] = search.find("apple").documents
    assert (found.name, found.content_id, found.content) == (None, None, "apple")


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ("content) VALUES ('b', NULL", []),
        ("embedding) VALUES ('b', '" + str([0.1] * 32) + "'", []),
        ("content) VALUES ('b', 'bad apple'", ["bad apple"]),
        ("content, meta_data, usage) VALUES ('b', 'bad apple', '[1]', '2'", ["bad apple"]),
    ],
)
def test_a_row_of_postgres_that_is_not_whole_holds_up_nobody(
    postgres_search: Opens, row: str, seen: list[str]
) -> None:
    search = postgres_search(expansion=Feedback())
    search.insert("good", [doc("good apple", level="open")])
    with search.vector_db.db_engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO ai.docs (id, {row})")
    assert sorted(texts(search, "apple")) == sorted(["good apple", *seen])
    assert texts(search, "apple", filters=NEQ("level", "x"))[0] == "good apple"


@pytest.mark.parametrize("content", [None, 5, b"x", "\ud800 apple"])
@pytest.mark.parametrize("way", ["insert", "upsert", "async_insert", "async_upsert"])
def test_a_document_has_a_text(opens: Opens, embedder: Words, content: Any, way: str) -> None:
    search = opens()
    search.insert("h", [doc("apple")])
    embedder.asked.clear()
    given = [doc("pear"), Document(content=content)]

    async def write() -> None:
        done = getattr(search, way)("h", given)
        if done is not None:
            await done

    with pytest.raises(ConfigurationError, match=r"documents\[1\].content"):
        asyncio.run(write())
    assert embedder.asked == []
    assert texts(search, "apple") == ["apple"]


def test_what_is_deleted_is_named(opens: Opens) -> None:
    search = opens()
    search.insert("h", [doc("apple", kind=1)])
    names: list[tuple[Any, Any]] = [
        (search.delete_by_metadata, {}),
        (search.delete_by_metadata, None),
        (search.delete_by_name, None),
        (search.delete_by_id, 5),
        (search.delete_by_content_id, None),
        (lambda id: search.update_metadata(id, {"a": 1}), None),
    ]
    for delete, said in names:
        with pytest.raises(ConfigurationError):
            delete(said)
    assert texts(search, "apple", filters={"kind": 1}) == ["apple"]


def test_rows_of_one_id_take_no_place_of_others(lance: Opens) -> None:
    search = lance(candidates=5, search_type="vector")
    for _ in range(30):
        search.insert("h", [doc("cat cat")])
    search.insert("h2", [doc(f"cat dog {n}") for n in range(9)])
    for filters in (None, [NEQ("a", 1)]):
        assert len({*texts(search, "cat", limit=8, filters=filters)}) == 8


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30, 0, -1, True, 1.5, "5", None])
def test_a_number_that_no_database_counts_to_is_refused(opens: Opens, number: Any) -> None:
    with pytest.raises(ConfigurationError, match="limit: a whole number from 1 to 2147483647"):
        opens().find("x", number)
    with pytest.raises(ConfigurationError, match="candidates: a whole number from 1"):
        opens(candidates=number)


def test_as_many_as_can_be_asked_for_are_found(opens: Opens) -> None:
    search = opens(candidates=2**31 - 1)
    search.insert("h", [doc("apple"), doc("pear")])
    assert set(texts(search, "apple", limit=2**31 - 1)) == {"apple", "pear"}


@pytest.mark.parametrize("way", ["insert", "upsert"])
def test_nothing_is_written_to_no_table(opens: Opens, way: str) -> None:
    search = opens()
    search.drop()
    with pytest.raises(ConfigurationError, match="create"):
        getattr(search, way)("h", [doc("apple")])
    search.create()
    getattr(search, way)("h", [doc("apple")])
    assert texts(search, "apple") == ["apple"]


def test_a_table_made_anew_is_not_away_meanwhile(lance: Opens) -> None:
    search = lance()
    search.insert("h", [doc("apple")])
    lance().drop()
    lance().insert("h", [doc("pear")])
    db, away = search.vector_db, list[bool]()
    exists = db.exists

    def noted() -> bool:
        # What another thread writes now, Agno would drop without a word.
        away.append(db.table is None)
        return bool(exists())

    db.exists = noted
    assert by_words(search, "apple pear") == {"pear"}
    assert away
    assert not any(away)
