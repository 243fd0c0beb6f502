"""What must not be kept, though guards let it pass: secrets, placeholders, personal data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["Finds", "found_in", "texts_in"]

# Whether there is something in a text that must not be kept.
Finds = Callable[[str], bool]

# What guards of this package, and of others, put in the place of what they found.
_PLACEHOLDER = re.compile(
    r"<[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?:@[0-9a-f.\u2026]+)?>"
    r"|\[[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\]"
    r"|\[(?:secret: |blocked by |redacted|withheld)"
)


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a plain value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for held in value.values() for text in texts_in(held))
    elif isinstance(value, list | tuple):
        yield from (text for held in value for text in texts_in(held))


def found_in(texts: Iterable[str], finders: Iterable[tuple[str, Finds]]) -> str | None:
    """What stands in `texts` that is not to be kept, by name; None if nothing does.

    A finder that fails has found something: nobody knows what is in the text.
    """
    held = [*texts]
    if any(_PLACEHOLDER.search(text) for text in held):
        return "placeholder"
    for name, finds in finders:
        try:
            if any(finds(text) for text in held):
                return name
        except Exception:
            return f"{name} unknown"
    return None
