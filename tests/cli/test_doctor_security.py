"""What the doctor says of security, and what it says to do."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.cli.security_checks import security_rows
from agno_portkey.modes import PARTS, variable_of
from agno_portkey.settings import VARIABLES, Settings
from agno_portkey.stopping import StopSwitch

ROOT = Path(__file__).parents[2] / "agno_portkey"
SECRET = "a-secret-of-no-less-than-32-bytes-for-hs256"
# How processes of ours talk to their children: nobody sets it.
INNER = {"AGNO_PORTKEY_PARENT_PID", "AGNO_PORTKEY_REPORT_FD", "AGNO_PORTKEY_"}
KEYS = """
portkey: {key_variable: PORTKEY_ADMIN_API_KEY}
journal: journals
keys:
  - name: openai-prod-search
    maker: {kind: api_key}
    source: {kind: files, folder: secrets}
"""


@pytest.fixture(autouse=True)
def _elsewhere(nothing_set: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def said(check: str) -> list[tuple[str, str]]:
    return [(row.level, row.detail) for row in security_rows(Settings.read()) if row.name == check]


def test_a_sound_process_of_production_is_all_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod")
    rows = [*security_rows(Settings.read())]
    assert {row.level for row in rows} == {"ok"}
    checked = ["environment", "modes", "transport", "access", "rotation", "database"]
    assert [row.name for row in rows] == checked


# Environments and modes


def test_a_process_of_no_environment_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    [(level, told)] = said("environment")
    assert (level, told.split(":")[0]) == ("warning", "PORTKEY_ENVIRONMENT is not set")
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prodd")
    (level, told), (own, _) = said("environment")
    assert (level, own) == ("warning", "ok")
    assert "did you mean prod" in told


@pytest.mark.parametrize(
    ("variable", "value", "level", "words"),
    [
        ("AGNO_PORTKEY_PROD_ALLOWS", "raw-content", "warning", "allows raw-content"),
        ("AGNO_PORTKEY_PROD_ALLOWS", "all", "problem", "not 'all'"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true", "problem", "raw-content"),
    ],
)
def test_what_production_should_not_be_told_is_said(
    variable: str, value: str, level: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "production")
    monkeypatch.setenv(variable, value)
    [(found, told)] = said("environment")
    assert found == level
    assert words in told


def test_messages_in_traces_are_warned_of_outside_of_production(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    assert len(said("modes")) == 1
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    assert [level for level, told in said("modes") if "written into traces" in told] == ["warning"]


def test_parts_that_are_loosened_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", "observe")
    monkeypatch.setenv("AGNO_PORTKEY_GUARDS_MODE", "off")
    monkeypatch.setenv("AGNO_PORTKEY_TAGS_MODE", "enforce")
    [(level, told)] = said("modes")
    assert level == "warning"
    assert "AGNO_PORTKEY_GATE_MODE=observe" in told
    assert "AGNO_PORTKEY_GUARDS_MODE=off" in told
    assert "TAGS" not in told
    # There the gate is enforced all the same.
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod")
    heeded, loosened = (told for _, told in said("modes"))
    assert "GATE_MODE=observe is not heeded in prod" in heeded
    assert "GATE" not in loosened


def test_an_environment_that_is_no_name_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod/eu")
    rows = [*security_rows(Settings.read())]
    assert [(row.name, row.level) for row in rows] == [("environment", "problem")]
    assert "'prod/eu'" in rows[0].detail


# Transport


@pytest.mark.parametrize(
    ("url", "staging", "prod"),
    [
        ("http://127.0.0.1:8787/v1", "ok", "ok"),
        ("http://[::1]:8787/v1", "ok", "ok"),
        ("https://gw.example.com/v1", "ok", "ok"),
        ("http://gw.example.com/v1", "warning", "problem"),
        ("http://127.0.0.1.example.com/v1", "warning", "problem"),
    ],
)
def test_keys_in_the_clear_are_told(
    url: str, staging: str, prod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_BASE_URL", url)
    for name, level in (("staging", staging), ("prod", prod)):
        monkeypatch.setenv("PORTKEY_ENVIRONMENT", name)
        assert [found for found, _ in said("transport")] == [level]


# Access


def test_who_runs_commands_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "ask for no token" in said("access")[0][1]
    file = tmp_path / "secret"
    file.write_text(SECRET)
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", str(file))
    file.chmod(0o644)
    assert said("access")[0][0] == "problem"
    file.chmod(0o600)
    assert said("access") == [("ok", "commands ask for a token in AGNO_PORTKEY_TOKEN; none is set")]
    claims = {"sub": "ann", "aud": "agno-portkey", "scopes": ["keys:read"]}
    good = jwt.encode({**claims, "exp": int(time.time()) + 600}, SECRET, "HS256")
    monkeypatch.setenv("AGNO_PORTKEY_TOKEN", good)
    assert said("access") == [("ok", "commands are run as ann, with keys:read")]
    old = jwt.encode({**claims, "exp": int(time.time()) - 600}, SECRET, "HS256")
    monkeypatch.setenv("AGNO_PORTKEY_TOKEN", old)
    [(level, told)] = said("access")
    assert (level, "it has expired" in told) == ("problem", True)
    assert old not in told


# Keys


def test_a_file_of_keys_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("rotation")[0][1].startswith("no keys.yaml here")
    file = tmp_path / "keys.yaml"
    file.write_text("keys: 7")
    assert said("rotation")[0][0] == "problem"
    file.write_text(KEYS)
    (tmp_path / "secrets").mkdir(mode=0o700)
    file.chmod(0o666)
    told = f"{file.name}: others can write to it, and it names what is run: chmod go-w"
    assert ("problem", told) in said("rotation")
    file.chmod(0o600)
    assert all("others can write" not in told for _, told in said("rotation"))
    monkeypatch.setenv("AGNO_PORTKEY_KEYS_FILE", str(tmp_path / "none.yaml"))
    assert said("rotation")[0][0] == "problem"


# The database


def test_whose_the_database_is_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "agno.db"
    address = f"sqlite:///{file}"
    monkeypatch.setenv("AGNO_PORTKEY_DATABASE_URL", address)
    assert said("database")[0][0] == "ok"
    assert not file.exists()
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod")
    StopSwitch(address).stop("none", reason="to write first", by="ann")
    file.chmod(0o600)
    assert said("database") == [("ok", "of prod")]
    file.chmod(0o640)
    assert said("database") == [("problem", f"others can read it: chmod 600 {file}")]
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    [(level, told)] = said("database")
    assert level == "problem"
    assert "is of prod, and PORTKEY_ENVIRONMENT is dev" in told


def test_a_database_that_is_down_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = f"postgresql://ann:{SECRET}@127.0.0.1:1/agno"
    monkeypatch.setenv("AGNO_PORTKEY_DATABASE_URL", address)
    [(level, told)] = said("database")
    assert level == "problem"
    assert SECRET not in told


def test_a_problem_ends_the_doctor_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"PORTKEY_BASE_URL": "http://127.0.0.1:1/v1", "COLUMNS": "200"}
    monkeypatch.setenv("AGNO_PORTKEY_PROD_ALLOWS", "all")
    result = CliRunner().invoke(app, ["doctor"], env={**told, "PORTKEY_ENVIRONMENT": "prod"})
    assert result.exit_code == 1
    assert "not 'all'" in result.output


# Variables


def _texts() -> Iterator[str]:
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_doctor_knows_each_variable_that_is_read() -> None:
    named = {text for text in _texts() if text.startswith("AGNO_PORTKEY_") and text.isupper()}
    assert named - INNER == {each for each in VARIABLES if each.startswith("AGNO_")} | {
        variable_of(part) for part in PARTS if variable_of(part) in named
    }
