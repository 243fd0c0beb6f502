"""An app with every router, a database of its own; and no word of the host's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from agno.db.sqlite import SqliteDb
from served_access import Served


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    # The host says each refusal in colours, which takes longer than all else here.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("attacked"), recorded=False)


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(id="main", db_file=str(tmp_path / "agno.db"))
