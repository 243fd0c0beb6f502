"""A real Alertmanager on loopback, for tests: what Prometheus tells it, it tells a webhook."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx
import yaml
from prometheus_server import SECONDS, debian_binary


def alertmanager_binary() -> str:
    """An Alertmanager: from PATH, or that of Debian's package, fetched once, without root."""
    return debian_binary("prometheus-alertmanager", "prometheus-alertmanager")


_SHARE = "/usr/share/prometheus/alertmanager"


def _runnable(folder: Path) -> tuple[str, Path]:
    """An Alertmanager, and the folder to start it in.

    Debian's looks for its templates in `_SHARE`. Where the package is only unpacked, a copy in
    `folder` has another path of the same length in the place of that: the folder it is started in.
    """
    binary = Path(alertmanager_binary())
    if Path(_SHARE).is_dir():
        return str(binary), folder
    moved = folder / "alertmanager"
    here = ("./" * len(_SHARE))[: len(_SHARE)]
    moved.write_bytes(binary.read_bytes().replace(_SHARE.encode(), here.encode()))
    moved.chmod(0o700)
    return str(moved), binary.parents[2] / _SHARE.lstrip("/")


class AlertmanagerServer:
    """One server on a free port of 127.0.0.1, which posts alerts to `webhook` at once."""

    def __init__(self, webhook: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="agno-portkey-alertmanager-"))
        self._webhook = webhook
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def alerts(self) -> list[dict[str, Any]]:
        """Those it holds now."""
        answer = httpx.get(self.url + "/api/v2/alerts", trust_env=False)
        assert answer.status_code == 200, answer.text
        told: list[dict[str, Any]] = answer.json()
        return told

    def __enter__(self) -> Self:
        soon = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
        config = {
            "route": {"receiver": "hook", "group_by": ["alertname"], **soon},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": self._webhook}]}],
        }
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        program, within = _runnable(self._folder)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    f"--config.file={self._folder / 'alertmanager.yml'}",
                    f"--storage.path={self._folder / 'data'}",
                    # It is one of one.
                    "--cluster.listen-address=",
                ],
                cwd=within,
                env={**os.environ, "GOMAXPROCS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, (self._folder / "log").read_text()[-500:]
            assert time.monotonic() < deadline, "alertmanager did not start in time"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self.url + "/-/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
