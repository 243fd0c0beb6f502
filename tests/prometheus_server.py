"""A real Prometheus on loopback, for tests: it scrapes what they serve, and answers PromQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from debian_server import SECONDS, DebianServer, debian_binary


def promtool_binary() -> str:
    """The promtool that comes with Debian's Prometheus."""
    return debian_binary("prometheus", "promtool")


class PrometheusServer(DebianServer):
    """One server which scrapes 127.0.0.1:`scraped`.

    It reads and evaluates `rules`, and tells the Alertmanager at `alertmanager` what fires.
    """

    name = "prometheus"

    def __init__(
        self, scraped: int, *, every: str = "1s", rules: str = "", alertmanager: str = ""
    ) -> None:
        super().__init__()
        self._scraped = scraped
        self._every, self._rules, self._alertmanager = every, rules, alertmanager

    def ask(self, query: str) -> dict[str, float]:
        """What `query` gives now: figures by the values of their labels."""
        said = self.get("/api/v1/query", query=query)["data"]["result"]
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
        targets = self.get("/api/v1/targets")["data"]["activeTargets"]
        return [each["lastError"] for each in targets if each["lastError"]]

    def command(self) -> tuple[list[str], Path]:
        jobs = [
            {"job_name": "app", "static_configs": [{"targets": [f"127.0.0.1:{self._scraped}"]}]}
        ]
        often = {"scrape_interval": self._every, "scrape_timeout": self._every}
        config: dict[str, Any] = {"global": often, "scrape_configs": jobs}
        if self._rules:
            (self.folder / "rules.yml").write_text(self._rules)
            config["rule_files"] = [str(self.folder / "rules.yml")]
            often["evaluation_interval"] = self._every
        if self._alertmanager:
            told = [{"targets": [self._alertmanager.removeprefix("http://")]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": told}]}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = [
            debian_binary("prometheus", "prometheus"),
            f"--web.listen-address={self.address}",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
        ]
        return command, self.folder


def _labels(metric: dict[str, str]) -> str:
    own = ("__name__", "instance", "job")
    return " ".join(value for name, value in sorted(metric.items()) if name not in own)
