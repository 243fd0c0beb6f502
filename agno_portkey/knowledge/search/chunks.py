"""What a search needs of a vector database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from agno.knowledge.document import Document

from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.knowledge.search.filters import Condition

__all__ = ["Chunks", "Scope", "SearchUnavailable", "Touched"]

T = TypeVar("T")


class SearchUnavailable(AgnoPortkeyError, ValueError):
    """What a search needs can't be read or kept in step now; the message says what to do.

    It is a `ValueError` since any other error is an empty list of documents to Agno's `Knowledge`.
    """


@dataclass(frozen=True, slots=True)
class Touched:
    """The ids that a write may make, change or delete, and how many commits LanceDB makes of it."""

    ids: Sequence[str]
    commits: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose chunks a search sees, and which: the owner's and the shared ones that fit.

    Without a `user_id` all owners' are seen.
    """

    user_id: str | None = None
    condition: Condition | None = None

    @property
    def narrow(self) -> bool:
        return self.user_id is not None or self.condition is not None


class Chunks(Protocol):
    """One collection, by vector and by words. All of it may block; ids are those of its rows."""

    def ready(self) -> None:
        """Have the words in step with the rows; raises SearchUnavailable where that can't be."""

    def nearest(self, vector: Sequence[float], limit: int, scope: Scope) -> dict[str, float]:
        """The nearest ids with their likeness, nearest first."""
        ...

    def likeness(
        self, vector: Sequence[float], ids: Sequence[str], scope: Scope
    ) -> dict[str, float]:
        """The likeness of these ids, of those that are there and in scope."""
        ...

    def matching(
        self, terms: Mapping[str, float], limit: int, scope: Scope, also: Collection[str] = ()
    ) -> dict[str, float]:
        """The best ids by BM25 over the text with their scores; terms have weights.

        And the scores of those in `also` that have any of the terms.
        """
        ...

    def documents(self, ids: Sequence[str], scope: Scope) -> dict[str, Document]:
        """The documents at `ids` that are there and in scope, with their vectors."""
        ...

    def writing(self, act: Callable[[], T], touched: Callable[[], Touched] | None) -> T:
        """Do `act`, a write of the vector database, and have the words follow.

        `touched`, asked before it is done, says of which rows; without it all are looked at.
        """
        ...

    def ids_of(self, **fields: Any) -> list[str]:
        """The ids with these: name, content_id, content_hash, owner, or metadata."""
        ...

    def new_id(self, document: Document, content_hash: str, user_id: str | None) -> str:
        """The id that the vector database gives a document."""
        ...

    def rebuild(self) -> int:
        """Make the words anew from the rows; how many there are."""
        ...

    def optimize(self) -> None:
        """Put the rows and their words in order."""

    def drop(self) -> None:
        """Forget the words."""
