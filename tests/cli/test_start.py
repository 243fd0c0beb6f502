"""How `agno-portkey` starts: what it imports before it is known what is asked, what it names."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import agno_portkey
from agno_portkey.cli import app, late

# Typer has pydantic of its own accord, where an option is read.
HEAVY = [
    *("agno", "openai", "numpy", "pandas", "sqlalchemy", "httpx", "fastapi"),
    *("presidio_analyzer", "spacy", "openlit", "opentelemetry", "matplotlib", "lancedb", "yaml"),
]
LOADED = """
import json, sys
from agno_portkey.cli import app
sys.argv = ["agno-portkey", *sys.argv[1:]]
try:
    app()
except SystemExit:
    pass
print(json.dumps([name for name in sys.modules if "." not in name or name.count(".") == 1]))
"""


def loaded(*asked: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", LOADED, *asked], capture_output=True, text=True, check=True
    )
    return set(json.loads(told.stdout.splitlines()[-1]))


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_nothing_heavy_is_imported_for(asked: str) -> None:
    assert loaded(asked) & set(HEAVY) == set()


@pytest.mark.parametrize(("asked", "code"), [(["--version"], 0), (["ledgr"], 2)])
def test_the_package_runs_as_the_command_does(asked: list[str], code: int) -> None:
    run = [sys.executable, "-m", "agno_portkey", *asked]
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    command = CliRunner().invoke(app, asked)
    assert (told.returncode, told.stdout) == (code, command.stdout)
    assert bool(told.stderr) is bool(code)


def test_traces_are_listed_without_what_runs_agents() -> None:
    """Agno's tables are; the other database, gates, models and guards are not."""
    there = loaded("trace", "list")
    assert there & {"agno_portkey.gates", "agno_portkey.guardrails", "agno_portkey.model"} == set()
    assert there & {"openai", "numpy", "spacy", "presidio_analyzer", "openlit", "psycopg"} == set()


def test_help_says_of_each_command_what_the_command_says() -> None:
    commands = late.LateGroup().commands
    assert [*commands] == [*late._COMMANDS]
    for name, command in commands.items():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert late._COMMANDS[name][2] == first


def test_one_that_is_mistyped_is_refused_with_the_nearest() -> None:
    told = CliRunner().invoke(app, ["ledgr", "report"], env={"COLUMNS": "100"})
    assert told.exit_code == 2
    assert "Did you mean 'ledger'?" in told.output


def test_the_package_imports_a_name_when_it_is_asked_for() -> None:
    script = """
import sys, agno_portkey
assert "agno" not in sys.modules
import agno_portkey.govern
from agno_portkey import Plan, govern
assert callable(govern) and govern is sys.modules["agno_portkey.govern"].govern
assert callable(agno_portkey.govern)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    listed = {name for names in agno_portkey._MODULES.values() for name in names}
    assert listed == set(agno_portkey.__all__)
    assert set(agno_portkey.__all__) <= set(dir(agno_portkey))
    with pytest.raises(AttributeError, match="nobody"):
        _ = agno_portkey.nobody  # type: ignore[attr-defined]
