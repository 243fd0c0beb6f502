"""Reads files of YAML or JSON, of which nothing is shown where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agno_portkey.documents import parse, read_text
from agno_portkey.errors import ConfigurationError

__all__ = ["read_plain"]


def read_plain(path: Path) -> Any:
    """What a YAML or JSON file holds; raises ConfigurationError that shows none of it."""
    text = read_text(path)
    try:
        return parse(text)
    except ConfigurationError as error:
        said = str(error).replace("no YAML", "it is no YAML or JSON", 1)
        raise ConfigurationError(f"{path}: {said}") from None
