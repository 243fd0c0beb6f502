"""The tiles on top of the dashboard: what their figures are, and when a target is met or missed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agno_portkey import playground
from agno_portkey.routing.local_install import find_node_binary
from agno_portkey.telemetry.dashboard.panels import TARGETS

PAGES = Path(str(playground.__file__)).parent / "static"
ASKED = """
import { tiles } from "./board-panels.js";
const told = tiles(JSON.parse(process.argv[2])).map((tile) => [tile.id, [tile.figure, tile.met]]);
console.log(JSON.stringify(Object.fromEntries(told)));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's modules, as Node takes them."""
    folder = tmp_path_factory.mktemp("pages")
    for file in PAGES.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "asked.js").write_text(ASKED)
    return folder


def tiles(folder: Path, **totals: float) -> dict[str, list[Any]]:
    data = {"groups": [{"totals": totals}], "targets": TARGETS}
    command = [str(find_node_binary()), str(folder / "asked.js"), json.dumps(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, list[Any]] = json.loads(done.stdout)
    return told


def test_few_decisions_neither_meet_nor_miss_a_target(folder: Path) -> None:
    told = tiles(folder, passed=1, refused=1, p95=9_000, count=19, hits=0, misses=19, runs=2)
    assert told["passes"] == ["50.0 %", "few"]
    assert (told["chat"][1], told["hits"][1]) == ("few", "few")
    # What was not meant to be is told from the first on.
    assert told["incidents"][1] is True
    assert tiles(folder, runs=1, incidents=1)["incidents"][1] is False


def test_from_twenty_on_they_do(folder: Path) -> None:
    missed = tiles(folder, passed=17, refused=3, p95=2_000, count=20, hits=8, misses=12)
    met = tiles(folder, passed=18, refused=2, p95=1_999, count=20, hits=9, misses=11)
    for name in ("passes", "chat", "hits"):
        assert (missed[name][1], met[name][1]) == (False, True)


def test_nothing_is_no_figure(folder: Path) -> None:
    assert {met for _, met in tiles(folder).values()} == {None}
