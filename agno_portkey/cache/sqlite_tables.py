"""The tables of a cache in SQLite. Texts are bytes, and compared as such."""

from __future__ import annotations

from functools import cache

__all__ = ["NAMES", "SCHEMA", "sql"]

# Another form of these tables gets another number, so that no version reads those of another.
_PREFIX = "agno_portkey_cache_2_"


@cache
def sql(text: str) -> str:
    """A statement, in which `@` stands before each of our names."""
    return text.replace("@", _PREFIX)


NAMES = sql("@*")
# What is looked through is apart from what is large.
_SCHEMA = (
    """CREATE TABLE @entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, bucket BLOB NOT NULL,
        embedded INTEGER NOT NULL, used REAL NOT NULL, created_at REAL NOT NULL,
        expires_at REAL NOT NULL, size INTEGER NOT NULL, scope BLOB NOT NULL, model BLOB NOT NULL,
        role BLOB NOT NULL, prompt BLOB NOT NULL, knowledge BLOB NOT NULL, sources BLOB NOT NULL,
        tags BLOB NOT NULL)""",
    "CREATE INDEX @buckets ON @entries (bucket) WHERE embedded",
    "CREATE INDEX @used ON @entries (used)",
    "CREATE INDEX @expiry ON @entries (expires_at)",
    """CREATE TABLE @contents (
        seq INTEGER PRIMARY KEY, about BLOB NOT NULL, embedding BLOB NOT NULL,
        body BLOB NOT NULL)""",
    "CREATE TABLE @totals (entries INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO @totals VALUES (0, 0)",
    """CREATE TRIGGER @put AFTER INSERT ON @entries BEGIN
        UPDATE @totals SET entries = entries + 1, bytes = bytes + new.size; END""",
    """CREATE TRIGGER @gone AFTER DELETE ON @entries BEGIN
        DELETE FROM @contents WHERE seq = old.seq;
        UPDATE @totals SET entries = entries - 1, bytes = bytes - old.size; END""",
    "CREATE TABLE @leases (key BLOB PRIMARY KEY, owner BLOB NOT NULL, until REAL NOT NULL)",
    """CREATE TABLE @evidence (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, stratum BLOB NOT NULL, entry BLOB NOT NULL,
        likeness REAL NOT NULL, same INTEGER NOT NULL, at REAL NOT NULL, max_error REAL)""",
    """CREATE TABLE @notes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, by BLOB NOT NULL,
        what BLOB NOT NULL, count INTEGER NOT NULL)""",
)
SCHEMA = [sql(statement) for statement in _SCHEMA]
