"""Placeholders at rest, `<PERSON_1@5f0c…>`: marked with the vault that they come from.

They are exact: what is restored is what was stored, character by character. What only looks like
one gets a `@` more in front, which is taken off again. So no text can be stored that would be
opened, whatever mark it names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agno_portkey.guardrails.pii.book import Mention
    from agno_portkey.guardrails.pii.vault import Vault

__all__ = ["is_mark", "joined", "kept", "new", "placeholder", "unkept"]

_MARK = r"[0-9a-f]{16}"
_STORED = re.compile(
    rf"<(@*)([A-Z][A-Z0-9_]{{0,19}})_([1-9][0-9]{{0,5}})@({_MARK})(?:\.([1-9][0-9]{{0,5}}))?>"
)


def new() -> str:
    """A mark that nobody else has: 64 random bits."""
    return secrets.token_hex(8)


def is_mark(mark: object) -> bool:
    return isinstance(mark, str) and re.fullmatch(_MARK, mark) is not None


def placeholder(mark: str, kind: str, number: int, spelling: int) -> str:
    return f"<{kind}_{number}@{mark}{f'.{spelling}' if spelling else ''}>"


def joined(found: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Stretches of a text in order; those that overlap as one, of the type of the longest."""
    start = end = longest = 0
    kind = ""
    for a, b, k in sorted(found, key=lambda each: each[:2]):
        if a < end:
            end = max(end, b)
        else:
            if end:
                yield start, end, kind
            start, end, longest = a, b, 0
        if b - a > longest:
            longest, kind = b - a, k
    if end:
        yield start, end, kind


def kept(text: str, vaults: Sequence[Vault]) -> str:
    """`text` as it may be stored: the values that any of `vaults` knows behind placeholders."""
    known: dict[tuple[int, int], tuple[Vault, Mention]] = {}
    for vault in vaults:
        for mention in vault.mentions(text):
            known.setdefault((mention.start, mention.end), (vault, mention))
    found = [(start, end, mention.kind) for (start, end), (_, mention) in known.items()]
    if "<" in text and "@" in text:
        found += ((*like.span(), "") for like in _STORED.finditer(text))
    if not found:
        return text
    stored, at = [], 0
    for start, end, kind in joined(found):
        said = text[start:end]
        stored.append(text[at:start])
        if kind:
            holder = known.get((start, end))
            vault, found_there = holder or (vaults[0], None)
            stored.append(vault.placeholder(kind, said, found_there))
        else:
            stored.append(f"<@{said[1:]}")
        at = end
    return "".join((*stored, text[at:]))


def unkept(text: str, vault_of: Callable[[str], Vault | None]) -> str:
    """The text that `kept` has stored; what `vault_of` gives no vault for stays as it is."""

    def opened(found: re.Match[str]) -> str:
        extra, kind, number, mark, which = found.groups()
        if extra:
            return f"<{found[0][2:]}"
        vault = vault_of(mark)
        value = None if vault is None else vault.spelling(kind, int(number), int(which or 0))
        return found[0] if value is None else value

    return _STORED.sub(opened, text) if "<" in text and "@" in text else text
