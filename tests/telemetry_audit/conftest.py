"""What the tests of the audit log share: a place for it, and no key of whoever runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_portkey.telemetry.audit import KEY_VARIABLE
from agno_portkey.telemetry.audit.log import _unanchored


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that a user's own files are in."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    # Those that a test has spoilt have no last checkpoint.
    _unanchored.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"
