"""The guide's audit log is one, and what it says of `audit` are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from agno.agent import Agent
from audited import KEY
from typer.testing import CliRunner

from agno_portkey import PortkeyModel
from agno_portkey.cli import app
from agno_portkey.hooks import AuditHook
from agno_portkey.telemetry.audit import KEY_VARIABLE

SECTION = (Path(__file__).parents[2] / "docs/guide/audit.md").read_text(encoding="utf-8")


def test_its_example_and_its_commands_run(
    tmp_path: Path, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    fences = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    [fence] = [each for each in fences if "def with_audit_log" in each]
    names = {"Agent": Agent, "AuditHook": AuditHook}
    exec(compile(fence, "the guide", "exec"), names)
    kinds = {"start": 1, "attempt": 1, "call": 1, "end": 1}
    assert names["with_audit_log"](portkey_model, tmp_path, KEY, apart) == (True, kinds)  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    commands = [each for each in re.findall(r"`agno-portkey (audit .*?)`", SECTION) if ".j" in each]
    assert {each.split()[1] for each in commands} == {"verify", "export", "tail"}
    for command in commands:
        # What is followed has no end.
        result = CliRunner().invoke(app, shlex.split(command.replace(" -f", "")))
        assert result.exit_code == 0, result.output
