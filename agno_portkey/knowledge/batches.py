"""Texts in batches that a provider takes in one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["batches", "tokens_at_most"]


def tokens_at_most(text: str) -> int:
    """About how many tokens `text` has, rather too many: one for each two bytes or so of UTF-8.

    English has four bytes a token, and no script fewer than two in the tokenizers of today.
    """
    return len(text.encode("utf-8", "surrogatepass")) // 2 + 1


def batches(texts: Sequence[str], *, most: int, tokens: int) -> Iterator[list[int]]:
    """The places of `texts`, in order, in batches of at most `most` and about `tokens` in all.

    A text that is longer than that stands alone: the provider says what it makes of it.
    """
    batch: list[int] = []
    held = 0
    for place, text in enumerate(texts):
        size = tokens_at_most(text)
        if batch and (len(batch) >= most or held + size > tokens):
            yield batch
            batch, held = [], 0
        batch.append(place)
        held += size
    if batch:
        yield batch
