"""What is installed is a library wherever it lies; what only lies beside it is the user's."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from agno_portkey.reach.code import is_ours

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_path("purelib"))

GOVERNS = """
import agno
from agno.agent import Agent
from agno_portkey import PortkeyModel, govern

assert agno.__file__.startswith({folder!r})
model = PortkeyModel("m", api_key="x", portkey_provider="openai", base_url="http://127.0.0.1:1/v1")
govern(Agent(name="Desk", model=model))
"""

ASKS_BESIDE = """
from agno_portkey.errors import UngovernedPathError
from beside import ask

try:
    govern(Agent(name="Desk", model=model, tools=[ask]))
except UngovernedPathError as error:
    assert "Desk.tools[0].OpenAI" in str(error), error
else:
    raise AssertionError("a tool beside the libraries was not looked at")
"""

BESIDE = """
from openai import OpenAI

def ask(question: str) -> str:
    "Asks another."
    return str(OpenAI().models.list())
"""


def run(folder: Path, program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program.replace("{folder!r}", repr(str(folder)))],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", ["the host alone", "what pip puts there"])
def test_agents_are_governed_where_the_host_is_installed_elsewhere(
    what: str, tmp_path: Path
) -> None:
    """As by `pip install --target`, in a layer of AWS Lambda, or on PYTHONPATH."""
    for each in SITE.iterdir():
        # Links: a copy of all that is installed would take a while.
        if each.name == "agno" or (what != "the host alone" and each.suffix != ".pth"):
            (tmp_path / each.name).symlink_to(each)
    (tmp_path / "beside.py").write_text(BESIDE)
    run(tmp_path, GOVERNS + ASKS_BESIDE)


def test_what_a_record_lists_is_a_librarys_and_nothing_else_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "layer" / "python"
    listed = ["lib/__init__.py", 'lib/"odd, name".py', "single.py"]
    info = folder / "lib-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(
        'lib/__init__.py,sha256=x,1\n"lib/""odd, name"".py",,\nsingle.py,,\n../../bin/lib,,\n'
    )
    (folder / "no_record-1.0.dist-info").mkdir()
    # What an editable installation leaves in the sources of a project.
    (folder / "app.egg-info").mkdir()
    (folder / "app.egg-info" / "SOURCES.txt").write_text("app/__init__.py\n")
    for name in listed:
        assert not is_ours(str(folder / name))
    for name in ("app.py", "app/__init__.py", "lib/mine.py", "no_record/__init__.py"):
        assert is_ours(str(folder / name))
    # Beside other folders with the same beginning.
    assert is_ours(f"{ROOT}/agno_portkey_of_mine/x.py")


def test_the_interpreters_own_folders_are_libraries() -> None:
    assert not is_ours(os.__file__)
    assert not is_ours(str(SITE / "anything.py"))
    assert not is_ours("<frozen importlib._bootstrap>")
    assert is_ours(__file__)
