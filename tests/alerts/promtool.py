"""Debian's promtool, which plays series into rules and says which alerts fire."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_server import promtool_binary

# What is expected of ALERTS in a state, by minute: label sets.
Expected = Mapping[tuple[int, str], list[dict[str, str]]]


def check(folder: Path, rules: str) -> str:
    """What `promtool check rules` says."""
    (folder / "rules.yml").write_text(rules)
    done = _run("check", "rules", str(folder / "rules.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trouble(
    folder: Path,
    rules: str,
    series: Mapping[str, str],
    expected: Expected,
    alerts: list[dict[str, Any]] | None = None,
) -> str:
    """What `promtool test rules` finds wrong; samples come, and rules are evaluated, each minute.

    `expected` has the labels of the alerts that there are in a minute and state, their names
    included.
    """
    (folder / "rules.yml").write_text(rules)
    asked = [
        {
            "expr": f"count by (alertname, severity, {', '.join(LABELS)}) "
            f'(ALERTS{{alertstate="{state}"}})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": _written(each), "value": 1} for each in labels],
        }
        for (minute, state), labels in expected.items()
    ]
    told = {
        "rule_files": [str(folder / "rules.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": asked,
                "alert_rule_test": alerts or [],
            }
        ],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(told))
    done = _run("test", "rules", str(folder / "test.yml"))
    return "" if done.returncode == 0 else done.stdout + done.stderr


LABELS = (
    *("gen_ai_request_model", "gen_ai_provider_name"),
    *("agno_portkey_source", "agno_portkey_target"),
)


def _written(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promtool_binary(), *words], capture_output=True, text=True, check=False, timeout=60
    )
