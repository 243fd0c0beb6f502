"""A real Prometheus on loopback, for tests: it scrapes what they serve, and answers PromQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml
from platformdirs import user_cache_dir

SECONDS = 30.0


def prometheus_binary() -> str:
    """A prometheus: from PATH, or that of Debian's package, fetched once; root is not needed."""
    return debian_binary("prometheus", "prometheus")


def promtool_binary() -> str:
    """The promtool that comes with it."""
    return debian_binary("prometheus", "promtool")


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


def _labels(metric: dict[str, str]) -> str:
    own = ("__name__", "instance", "job")
    return " ".join(value for name, value in sorted(metric.items()) if name not in own)


class PrometheusServer:
    """One server on a free port of 127.0.0.1, which scrapes 127.0.0.1:`scraped`.

    It reads and evaluates `rules`, and tells the Alertmanager at `alertmanager` what fires.
    """

    def __init__(
        self, scraped: int, *, every: str = "1s", rules: str = "", alertmanager: str = ""
    ) -> None:
        self._every, self._rules, self._alertmanager = every, rules, alertmanager
        self._folder = Path(tempfile.mkdtemp(prefix="agno-portkey-prometheus-"))
        self._scraped = scraped
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def ask(self, query: str) -> dict[str, float]:
        """What `query` gives now: figures by the values of their labels."""
        said = self._get("/api/v1/query", query=query)["data"]["result"]
        return {_labels(one["metric"]): float(one["value"][1]) for one in said}

    def until(self, query: str, enough: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """What `query` gives as soon as it is `enough`: scrapes come when they come."""
        deadline = time.monotonic() + SECONDS
        while not enough(said := self.ask(query)):
            assert time.monotonic() < deadline, f"{query} gave no more than {said}"
            time.sleep(0.05)
        return said

    def troubles(self) -> list[str]:
        """Why scrapes failed."""
        targets = self._get("/api/v1/targets")["data"]["activeTargets"]
        return [each["lastError"] for each in targets if each["lastError"]]

    def __enter__(self) -> Self:
        jobs = [
            {"job_name": "app", "static_configs": [{"targets": [f"127.0.0.1:{self._scraped}"]}]}
        ]
        often = {"scrape_interval": self._every, "scrape_timeout": self._every}
        config: dict[str, Any] = {"global": often, "scrape_configs": jobs}
        if self._rules:
            (self._folder / "rules.yml").write_text(self._rules)
            config["rule_files"] = [str(self._folder / "rules.yml")]
            often["evaluation_interval"] = self._every
        if self._alertmanager:
            told = [{"targets": [self._alertmanager.removeprefix("http://")]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": told}]}
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = self._url.removeprefix("http://")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    prometheus_binary(),
                    f"--web.listen-address={address}",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                ],
                env={**os.environ, "GOMAXPROCS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, (self._folder / "log").read_text()[-500:]
            assert time.monotonic() < deadline, "prometheus did not start in time"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)

    def _get(self, path: str, **query: str) -> Any:
        answer = httpx.get(self._url + path, params=query, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self._url + "/-/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
