"""What `HybridSearch` has of a vector database but for searching: the words follow each write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from agno.knowledge.document import Document
from agno.vectordb.base import (
    VectorDb,
    aembed_before_replace,
    embed_before_replace,
    retrievable_documents,
)

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.search.chunks import Chunks, Touched
from agno_portkey.knowledge.search.filters import is_plain

__all__ = ["Keeping"]

T = TypeVar("T")


class Keeping(VectorDb):
    """A vector database that leaves its chunks to another, `vector_db`.

    Documents are embedded before anything is locked or taken away, off the event loop in the
    asynchronous forms, as are all writes.
    """

    _chunks: Chunks

    def __init__(self, vector_db: Any) -> None:
        super().__init__(
            id=getattr(vector_db, "id", None),
            name=getattr(vector_db, "name", None),
            description=getattr(vector_db, "description", None),
        )
        self.vector_db = vector_db

    @property
    def embedder(self) -> Any:
        return self.vector_db.embedder

    # Writing

    def insert(
        self,
        content_hash: str,
        documents: list[Document],
        filters: dict[str, Any] | None = None,
        user_id: str | None = None,
    ) -> None:
        """Embed and keep `documents`, and their words."""
        embed_before_replace(_unembedded(documents), self.embedder)
        self._put(self.vector_db.insert, content_hash, documents, filters, user_id)

    async def async_insert(
        self,
        content_hash: str,
        documents: list[Document],
        filters: dict[str, Any] | None = None,
        user_id: str | None = None,
    ) -> None:
        await aembed_before_replace(_unembedded(documents), self.embedder)
        put = self.vector_db.insert
        await asyncio.to_thread(self._put, put, content_hash, documents, filters, user_id)

    def upsert_available(self) -> bool:
        return bool(self.vector_db.upsert_available())

    def upsert(
        self,
        content_hash: str,
        documents: list[Document],
        filters: dict[str, Any] | None = None,
        user_id: str | None = None,
    ) -> None:
        """The same in place of what this owner has of the same `content_hash`."""
        embed_before_replace(_unembedded(documents), self.embedder)
        self._put(self.vector_db.upsert, content_hash, documents, filters, user_id)

    async def async_upsert(
        self,
        content_hash: str,
        documents: list[Document],
        filters: dict[str, Any] | None = None,
        user_id: str | None = None,
    ) -> None:
        await aembed_before_replace(_unembedded(documents), self.embedder)
        put = self.vector_db.upsert
        await asyncio.to_thread(self._put, put, content_hash, documents, filters, user_id)

    def _put(
        self,
        put: Callable[..., None],
        content_hash: str,
        documents: list[Document],
        filters: dict[str, Any] | None,
        user_id: str | None,
    ) -> None:
        chunks, given = self._chunks, retrievable_documents(documents)
        if not given and (documents or put == self.vector_db.insert):
            # Nothing came of their embedding: what is there stays.
            return

        replaces = put == self.vector_db.upsert

        def touched() -> Touched:
            new = [chunks.new_id(document, content_hash, user_id) for document in given]
            there = chunks.ids_of(content_hash=content_hash, owner=user_id)
            return Touched([*new, *there], len(there) * replaces + 1)

        given = self._checked(given, filters, content_hash, user_id)
        ready = [_Embedded.of(document) for document in given]

        def act() -> None:
            if not self.exists():
                # LanceDb would pass over it.
                raise ConfigurationError("vector_db: its table is not there; create() makes it")
            put(content_hash, ready, filters, user_id=user_id)

        chunks.writing(act, touched)

    def _checked(
        self,
        documents: Sequence[Document],
        filters: Any,
        content_hash: str,
        user_id: str | None,
    ) -> list[Document]:
        """`documents`, each once; ConfigurationError for what could not be searched afterwards."""
        known: dict[str, Document] = {}
        for place, document in enumerate(documents):
            meta = document.meta_data or {}
            if not isinstance(meta, dict) or not is_plain({**meta, **(filters or {})}):
                raise ConfigurationError(
                    f"documents[{place}].meta_data: a dict of JSON values without NaN, NUL and "
                    "halves of characters"
                )
            if not is_plain([document.name, document.content_id, content_hash, user_id]):
                raise ConfigurationError(f"documents[{place}]: a name or id that is no plain text")
            id = self._chunks.new_id(document, content_hash, user_id) or f"#{place}"
            if known.setdefault(id, document).content != document.content:
                raise ConfigurationError(f"documents[{place}].id: two have {document.id!r}")
        return [*known.values()]

    def delete_by_id(self, id: str) -> bool:
        _check_text("id", id)
        if "'" in id:
            # LanceDb would read it as part of its condition.
            raise ConfigurationError(f"id: one without a quote, not {id!r}")
        return self._write(lambda: bool(self.vector_db.delete_by_id(id)), lambda: Touched([id], 1))

    def delete_by_name(self, name: str) -> bool:
        _check_text("name", name)
        return self._write(
            lambda: bool(self.vector_db.delete_by_name(name)), lambda: self._named(name=name)
        )

    def _named(self, **fields: Any) -> Touched:
        ids = self._chunks.ids_of(**fields)
        return Touched(ids, len(ids))

    def delete_by_metadata(self, metadata: dict[str, Any]) -> bool:
        """Delete what has all of `metadata`; ConfigurationError where that would be everything."""
        if not isinstance(metadata, dict) or not metadata:
            raise ConfigurationError("metadata: what is to be deleted has; for all of it, drop()")
        return self._write(lambda: bool(self.vector_db.delete_by_metadata(metadata)), None)

    def delete_by_content_id(self, content_id: str, user_id: str | None = None) -> bool:
        _check_text("content_id", content_id)
        owner = {} if user_id is None else {"owner": user_id}
        return self._write(
            lambda: bool(self.vector_db.delete_by_content_id(content_id, user_id=user_id)),
            lambda: self._named(content_id=content_id, **owner),
        )

    def update_metadata(self, content_id: str, metadata: dict[str, Any]) -> None:
        _check_text("content_id", content_id)
        if not isinstance(metadata, dict) or not is_plain(metadata):
            raise ConfigurationError("metadata: a dict of JSON values without NaN and NUL")

        def touched() -> Touched:
            ids = self._chunks.ids_of(content_id=content_id)
            # Each row is deleted and written anew.
            return Touched(ids, 2 * len(ids))

        self._write(lambda: self.vector_db.update_metadata(content_id, metadata), touched)

    def delete(self) -> bool:
        return self._write(lambda: bool(self.vector_db.delete()), None)

    def _write(self, act: Callable[[], T], touched: Callable[[], Touched] | None) -> T:
        return self._chunks.writing(act, touched)

    # The collection

    def create(self) -> None:
        self.vector_db.create()
        self._chunks.ready()

    async def async_create(self) -> None:
        await asyncio.to_thread(self.create)

    def drop(self) -> None:
        """Drop the table, and its words."""
        self.vector_db.drop()
        self._chunks.drop()

    async def async_drop(self) -> None:
        await asyncio.to_thread(self.drop)

    def rebuild(self) -> int:
        """Make the words anew from the chunks; how many there are."""
        return self._chunks.rebuild()

    def exists(self) -> bool:
        return bool(self.vector_db.exists())

    async def async_exists(self) -> bool:
        return await asyncio.to_thread(self.exists)

    def optimize(self) -> None:
        """Have both sides put in order; of deleted texts nothing is left in the words file."""
        self._chunks.optimize()

    def get_count(self) -> int:
        return int(self.vector_db.get_count())

    def name_exists(self, name: str) -> bool:
        return bool(self.vector_db.name_exists(name))

    async def async_name_exists(self, name: str) -> bool:  # type: ignore[override]
        return await asyncio.to_thread(self.name_exists, name)

    def id_exists(self, id: str) -> bool:
        return bool(self.vector_db.id_exists(id))

    def content_hash_exists(self, content_hash: str, user_id: str | None = None) -> bool:
        return bool(self.vector_db.content_hash_exists(content_hash, user_id=user_id))


class _Embedded(Document):
    """A document that is not embedded once more."""

    @classmethod
    def of(cls, document: Document) -> _Embedded:
        return cls(**{each.name: getattr(document, each.name) for each in fields(Document)})

    def embed(self, embedder: Any = None) -> None:
        """Nothing: it has its vector."""


def _unembedded(documents: Sequence[Document]) -> list[Document]:
    """Those without a vector, an empty one is none; ConfigurationError where one has no text."""
    for place, document in enumerate(documents):
        if not isinstance(document.content, str) or not is_plain(
            document.content.replace("\0", "")
        ):
            raise ConfigurationError(
                f"documents[{place}].content: a text without halves of characters"
            )
    missing = [document for document in documents if not document.embedding]
    for document in missing:
        document.embedding = None
    return missing


def _check_text(name: str, said: Any) -> None:
    if not isinstance(said, str):
        raise ConfigurationError(f"{name}: a text, not {said!r}")
