"""The database that `trace` and `ledger` read: asked for, and refused where it is none."""

from __future__ import annotations

from agno_portkey.cli.report import fail
from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.sql import file_of, named
from agno_portkey.stopping import DATABASE_VARIABLE, missing_file

__all__ = ["given"]

# What a file of SQLite begins with; one of no bytes is a database in which there is nothing yet.
_BEGINS = b"SQLite format 3\0"


def given(db: str | None, what: str) -> str:
    """`db`, which `--db` or the environment names: an address, or a SQLite file that is there.

    `what` says which one is wanted. Nothing is made; the command ends with 1 where there is none.
    """
    if not db or not db.strip():
        fail(
            f"Which database? Give --db with {what}, an address or a SQLite file, or set "
            f"{DATABASE_VARIABLE}."
        )
    try:
        url = named(db)
        # One that is opened would be made.
        missing = missing_file(db)
    except AgnoPortkeyError as error:
        fail(error)
    if missing is not None:
        fail(f"There is no database {missing}: give --db {what}.")
    if (file := file_of(url)) is not None:
        _read(file, what)
    return db


def _read(file: str, what: str) -> None:
    try:
        with open(file, "rb") as opened:
            begins = opened.read(len(_BEGINS))
    except OSError as error:
        fail(f"{file} can't be read: {error.strerror}.")
    if begins and begins != _BEGINS:
        fail(f"{file} is no SQLite database: give --db {what}.")
