"""The times that a command is asked for: `--since` and `--until`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from agno_portkey.cli.report import fail

__all__ = ["Since", "Until", "time_of"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Since = Annotated[
    str | None,
    typer.Option("--since", help="From then on: 90m, 24h, 7d, 4w, or a time such as 2026-05-01."),
]
Until = Annotated[str | None, typer.Option("--until", help="Before then, in the same forms.")]


def time_of(given: str | None) -> datetime | None:
    """The time that `--since` or `--until` names; ends the command where it is none."""
    if given is None:
        return None
    try:
        if ago := re.fullmatch(r"(\d{1,6})([mhdw])", given.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(given.strip())
    except (ValueError, OverflowError):
        fail(f"{given!r} is no time: give 90m, 24h, 7d, 4w, or one such as 2026-05-01T12:00.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)
