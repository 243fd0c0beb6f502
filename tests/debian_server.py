"""Servers of Debian's packages on loopback, for tests: fetched once, without root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from platformdirs import user_cache_dir

SECONDS = 30.0


class DebianServer:
    """One server on a free port of 127.0.0.1, with a folder of its own while it runs.

    It is ready as soon as it answers `/-/ready`.
    """

    name: str

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"agno-portkey-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self.address}"

    def command(self) -> tuple[list[str], Path]:
        """What is run, once its files are written, and in which folder."""
        raise NotImplementedError

    def get(self, path: str, **query: str) -> Any:
        answer = httpx.get(self.url + path, params=query, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def __enter__(self) -> Self:
        command, within = self.command()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=within,
                env={**os.environ, "GOMAXPROCS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, (self.folder / "log").read_text()[-500:]
            assert time.monotonic() < deadline, f"{self.name} did not start in time"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self.url + "/-/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def debian_binary(package: str, name: str) -> str:
    """The program `name`: from PATH, or that of Debian's `package`, fetched once, without root."""
    if found := shutil.which(name):
        return found
    folder = Path(user_cache_dir("agno-portkey"), package)
    binary = folder / "usr" / "bin" / name
    if not binary.is_file():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fresh = _unpacked(Path(scratch), package)
            with suppress(OSError):  # another process was faster
                fresh.rename(folder)
    return str(binary)


def _unpacked(scratch: Path, package: str) -> Path:
    fresh = scratch / "unpacked"
    # The machine's lists of packages may be missing or old, and only root may renew those.
    own = [f"-oDir::State={scratch}/state", f"-oDir::Cache={scratch}/cache"]
    own += ["-oDir::State::status=/var/lib/dpkg/status", "-oAPT::Sandbox::User="]
    (scratch / "state" / "lists" / "partial").mkdir(parents=True)
    download = ["download", package]
    if _failure(scratch, "apt-get", *download):
        failure = _failure(scratch, "apt-get", *own, "update")
        failure = failure or _failure(scratch, "apt-get", *own, *download)
        if failure:
            pytest.fail(f"no {package} on PATH, and none can be fetched: {failure}")
    [file] = scratch.glob(f"{package}_*.deb")
    failure = _failure(scratch, "dpkg-deb", "-x", str(file), str(fresh))
    assert not failure, failure
    return fresh


def _failure(folder: Path, *command: str) -> str:
    """What went wrong with `command`; nothing where it went well."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr[-300:] or "no word why" if done.returncode else ""
