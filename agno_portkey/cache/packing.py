"""Entries as bytes, the same in each store."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agno_portkey.cache.entry import Entry, Evidence
from agno_portkey.cache.sealing import Sealing, Unreadable

__all__ = [
    "Packed",
    "described",
    "embedding_of",
    "learnt",
    "legible",
    "named",
    "names",
    "noted",
    "pack",
    "raw",
    "text_of",
    "unpack",
    "unread",
]

_TEXTS = ("key", "bucket", "scope", "model", "role", "swarm", "prompt", "knowledge", "embedder")
_LISTS = ("sources", "tags")
_NUMBERS = ("created_at", "expires_at", "cost", "seconds")
_NAMES = (*_TEXTS, *_LISTS, *_NUMBERS, "tokens")
_TYPES = [str] * len(_TEXTS) + [list] * len(_LISTS) + [float] * len(_NUMBERS) + [int]
# How long the question is, in front of it.
_PREFIX = 4


class Packed(NamedTuple):
    """An entry at rest: what is never sealed of it, its embedding, its question and answer."""

    about: bytes
    embedding: bytes
    body: bytes

    @property
    def size(self) -> int:
        return sum(map(len, self))


def raw(text: str) -> bytes:
    """The bytes of any text, also of one with half a surrogate pair."""
    return text.encode("utf-8", "surrogatepass")


def text_of(held: bytes) -> str:
    """The text of what `raw` made; raises Unreadable for anything else."""
    try:
        return str(held, "utf-8", "surrogatepass")
    except (UnicodeDecodeError, TypeError):
        raise Unreadable("it is no text") from None


def legible(held: Any) -> str:
    """What can be read of a text, whatever it is."""
    try:
        return text_of(held)
    except Unreadable:
        return str(held, "utf-8", "replace") if isinstance(held, bytes) else str(held)


def named(key: bytes) -> str:
    """The text of a key; one for any bytes, by which they are found among `names`."""
    try:
        return text_of(key)
    except Unreadable:
        return str(key, "utf-8", "surrogateescape")


def names(key: str) -> set[bytes]:
    """What may lie there as `key`: what `raw` makes of it, and bytes that were spoilt."""
    try:
        return {raw(key), key.encode("utf-8", "surrogateescape")}
    except UnicodeEncodeError:
        return {raw(key)}


def pack(entry: Entry, sealing: Sealing) -> Packed:
    texts = [getattr(entry, name) for name in _TEXTS]
    lists = [list(getattr(entry, name)) for name in _LISTS]
    numbers = [float(getattr(entry, name)) for name in _NUMBERS]
    values = [*texts, *lists, *numbers, int(entry.tokens)]
    about = raw(json.dumps(values, ensure_ascii=False, separators=(",", ":")))
    question = raw(entry.question)
    body = len(question).to_bytes(_PREFIX) + question + raw(entry.answer)
    embedding = entry.embedding
    if embedding:
        embedding = sealing.closed(embedding, _place(raw(entry.key), raw(entry.bucket)))
    return Packed(about, embedding, sealing.closed(body, about))


def unpack(key: str, packed: Packed, sealing: Sealing) -> Entry:
    """The entry that was packed as that of `key`; raises Unreadable where it is not as it was."""
    values = _values(packed.about)
    if values["key"] != key:
        raise Unreadable("it is another entry's")
    body = _opened(packed.body, packed.about, sealing)
    ends = _PREFIX + int.from_bytes(body[:_PREFIX])
    if not _PREFIX <= ends <= len(body):
        raise Unreadable("it is cut off")
    question, answer = text_of(body[_PREFIX:ends]), text_of(body[ends:])
    bucket = raw(values["bucket"])
    embedding = packed.embedding and embedding_of(raw(key), bucket, packed.embedding, sealing)
    return _entry(values, question=question, answer=answer, embedding=embedding)


def described(about: bytes) -> Entry:
    """The entry without question, answer and embedding; raises Unreadable."""
    return _entry(_values(about), question="", answer="")


def unread(key: str, bucket: str, **known: Any) -> Entry:
    """What stands for an entry that can't be read, so that it can be deleted."""
    plain = {"scope": "", "model": "", "created_at": 0.0, "expires_at": 0.0}
    return Entry(key=key, bucket=bucket, question="", answer="", **{**plain, **known})


def learnt(values: Any) -> Evidence:
    """Evidence of its fields; raises Unreadable where they are none."""
    match values:
        case [
            str() as stratum,
            str() as entry,
            int() | float() as likeness,
            int() as same,
            int() | float() as at,
            *rest,
        ] if len(rest) <= 1:
            return Evidence(stratum, entry, likeness, bool(same), at, _share(*rest))
    raise Unreadable("it is no evidence")


def _share(value: Any = None) -> float | None:
    """What a policy allows; None where it is not known, as in what older versions have kept."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1 else None


def noted(values: Any) -> tuple[float, str, str, int]:
    """A note of its fields; raises Unreadable where they are none."""
    match values:
        case [int() | float() as at, str() as by, str() as what, int() as count]:
            return at, by, what, count
    raise Unreadable("it is no note")


def embedding_of(key: bytes, bucket: bytes, held: bytes, sealing: Sealing) -> bytes:
    """The embedding that was packed as that of `key` in `bucket`; raises Unreadable."""
    return _opened(held, _place(key, bucket), sealing)


def _opened(held: bytes, about: bytes, sealing: Sealing) -> bytes:
    if not isinstance(held, bytes):
        raise Unreadable("it is of another type")
    return sealing.opened(held, about)


def _place(key: bytes, bucket: bytes) -> bytes:
    return len(key).to_bytes(_PREFIX) + key + bucket


def _values(about: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text_of(about))
    except (ValueError, RecursionError):
        raise Unreadable("it is no JSON") from None
    if not isinstance(values, list) or [type(value) for value in values] != _TYPES:
        raise Unreadable("it does not describe an entry")
    named: dict[str, Any] = dict(zip(_NAMES, values, strict=True))
    for name in _LISTS:
        if not all(isinstance(each, str) for each in named[name]):
            raise Unreadable("it does not describe an entry")
        named[name] = tuple(named[name])
    return named


def _entry(values: dict[str, Any], **content: Any) -> Entry:
    try:
        return Entry(**values, **content)
    except ValueError:
        raise Unreadable("it does not describe an entry") from None
