"""A key at the stand-in of Portkey's admin API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rotated import Scene, at_portkey


@pytest.fixture(scope="session")
def portkey() -> Iterator[Any]:
    """One for all tests of a process; each begins with an empty one."""
    with at_portkey() as portkey:
        yield portkey


@pytest.fixture
def scene(portkey: Any, tmp_path: Path) -> Scene:
    provider, client = portkey
    provider.reset()
    return Scene(provider, client, tmp_path / "journal")
