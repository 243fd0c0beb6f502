"""A real Alertmanager on loopback, for tests: what Prometheus tells it, it tells a webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from debian_server import DebianServer, debian_binary

_SHARE = "/usr/share/prometheus/alertmanager"


class AlertmanagerServer(DebianServer):
    """One server which posts alerts to `webhook` at once."""

    name = "alertmanager"

    def __init__(self, webhook: str) -> None:
        super().__init__()
        self._webhook = webhook

    def alerts(self) -> list[dict[str, Any]]:
        """Those it holds now."""
        told: list[dict[str, Any]] = self.get("/api/v2/alerts")
        return told

    def command(self) -> tuple[list[str], Path]:
        soon = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
        config = {
            "route": {"receiver": "hook", "group_by": ["alertname"], **soon},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": self._webhook}]}],
        }
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        program, within = _runnable(self.folder)
        command = [
            program,
            f"--web.listen-address={self.address}",
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            # It is one of one.
            "--cluster.listen-address=",
        ]
        return command, within


def _runnable(folder: Path) -> tuple[str, Path]:
    """An Alertmanager, and the folder to start it in.

    Debian's looks for its templates in `_SHARE`. Where the package is only unpacked, a copy in
    `folder` has another path of the same length in the place of that: the folder it is started in.
    """
    binary = Path(debian_binary("prometheus-alertmanager", "prometheus-alertmanager"))
    if Path(_SHARE).is_dir():
        return str(binary), folder
    moved = folder / "alertmanager"
    here = ("./" * len(_SHARE))[: len(_SHARE)]
    moved.write_bytes(binary.read_bytes().replace(_SHARE.encode(), here.encode()))
    moved.chmod(0o700)
    return str(moved), binary.parents[2] / _SHARE.lstrip("/")
