"""The commands by which a person decides on a plan that waits, as lines to copy."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from agno_portkey.sql import file_of
from agno_portkey.stopping import DATABASE_VARIABLE

if TYPE_CHECKING:
    from agno_portkey.gates.clearance import Clearances

__all__ = ["DATABASE_NEEDED", "how_to_approve", "option_of"]

# Where an address can't be shown.
DATABASE_NEEDED = f"with {DATABASE_VARIABLE} set to the team's database"


def how_to_approve(kept: Clearances, id: str) -> str:
    """How the clearance `id` is approved: the command, or why no command can.

    Users and models read it: of where the database is, it names a file below this process' folder.
    """
    if kept.url is None:
        return (
            f"its clearance {id} is kept in this process alone, where no command finds it: give "
            "the team a database (db=), or approve it at the routes of this process (gate_router)"
        )
    command, file = f"agno-portkey gate approve {id}", file_of(kept.url)
    if file is None or os.path.isabs(near := _short(file)):
        return f"{command}, {DATABASE_NEEDED}"
    return f"{command} --db {shlex.quote(near)}"


def option_of(kept: Clearances) -> str | None:
    """The `--db` that finds these clearances, for a shell of whoever has named their database.

    None where there is none: the clearances are in no database, or in one whose address may hold
    a password.
    """
    if (url := kept.url) is None:
        return None
    if (file := file_of(url)) is not None:
        return f"--db {shlex.quote(_short(file))}"
    if url.password is not None or url.query:
        return None
    return f"--db {shlex.quote(url.render_as_string())}"


def _short(file: str) -> str:
    """A file below this process' folder as it is called from there; any other as it is."""
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):  # the folder is gone, or on another drive
        return file
    if near.split(os.sep)[0] == os.pardir:
        return file
    # A name that begins so is no file to a shell's reader, or to SQLite.
    return os.path.join(os.curdir, near) if near.startswith(("-", ":", "~")) else near
