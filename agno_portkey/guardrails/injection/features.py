"""Which weights a text adds up: hashed words, pairs of words, and pieces of words.

The hash is CRC-32, the same everywhere. Training and scoring read texts with the functions here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from zlib import crc32

__all__ = ["SIZES", "VERSION", "pair_slots", "piece_slots", "windows", "word_code"]

# To be raised with a change of what texts are read as: a model fits the version it was made with.
# (Not for one that few of those trained on have anything of, as decoding twice: 6 of 17,030.)
VERSION = 1
# Characters of the pieces of a word.
SIZES = (3, 4, 5)
# Tokens of a window, and how far the next one is.
WINDOW = 64
STRIDE = 32

_MANY = 0xFFFFFFFF
_NEXT, _OVER = 0x9E3779B1, 0x85EBCA6B


def word_code(word: str) -> int:
    """The hash of a word, 32 bits."""
    return crc32(word.encode("utf-8", "replace"))


def piece_slots(word: str, mask: int) -> list[int]:
    """The places of the weights of a word's pieces, its edges marked."""
    if len(word) < 2:
        return []
    edged = f"<{word}>"
    codes = (
        word_code(edged[start : start + size])
        for size in SIZES
        for start in range(len(edged) - size + 1)
    )
    return [(code ^ code >> 15) & mask for code in codes]


def pair_slots(codes: Sequence[int], mask: int) -> set[int]:
    """The places of the weights of words, neighbours, and words with one between them."""
    found = {(code ^ code >> 15) & mask for code in codes}
    for one, two in itertools.pairwise(codes):
        code = one * _NEXT + two & _MANY
        found.add((code ^ code >> 15) & mask)
    for one, two in zip(codes, codes[2:], strict=False):
        code = one * _OVER + two & _MANY
        found.add((code ^ code >> 15) & mask)
    return found


def windows(items: Sequence[str]) -> list[Sequence[str]]:
    """The tokens of a text in overlapping windows; one that is short is one window."""
    if len(items) <= WINDOW:
        return [items]
    starts = range(0, len(items) - WINDOW + STRIDE, STRIDE)
    return [items[start : start + WINDOW] for start in starts]
