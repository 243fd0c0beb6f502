"""CSV that a spreadsheet reads and runs nothing of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["cell", "csv_of"]


def csv_of(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([map(cell, row) for row in rows])
    return written.getvalue()


def cell(value: Any) -> Any:
    """`value` in CSV: a spreadsheet runs a text that begins so, and models wrote some."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
