"""Every file of the galleries runs by itself, and so does every fence of their guides."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / "hooks", ROOT / "guardrails"]
FILES = [f for folder in FOLDERS for f in sorted(folder.glob("[!_]*.py"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_runs(file: Path) -> None:
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(file.read_text().splitlines()) <= 60


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_its_guide_names_every_file_and_its_fences_run(folder: Path) -> None:
    guide = (folder / "README.md").read_text()
    for file in FILES:
        if file.parent == folder:
            assert f"({file.name})" in guide
    fences = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert fences
    for fence in fences:
        exec(compile(fence, str(folder), "exec"), {})


def test_both_folders_share_one_stage() -> None:
    stages = {(folder / "_stage.py").read_text() for folder in FOLDERS}
    assert len(stages) == 1
