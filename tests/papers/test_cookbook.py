"""Each notebook of the cookbook runs, and shows what is kept of it; none tells secrets."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "cookbook"
NOTEBOOKS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))
# Bytes.
LARGEST = 300_000
# What no reader is to see: paths of a machine, keys and tokens, and what was not meant to fail.
PRIVATE = {
    "a path": re.compile(r"/(?:tmp|home|root|Users|work|var|private|opt)/|[A-Z]:\\"),
    "a token": re.compile(r"eyJ[\w-]{8,}\.|\b[ps]k-[\w-]{12,}|_CLEARANCE_KEY=|Bearer [\w.-]{9,}"),
    "a traceback": re.compile(r"Traceback \(most recent call last\)"),
}
# Modules that the pages name, and so are public.
NAMED = {
    name
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for name in re.findall(r"\bagno_portkey(?:\.\w+)*", page.read_text(encoding="utf-8"))
}


def called(path: Path) -> str:
    return path.stem


def build() -> Any:
    """The module that writes the notebooks."""
    spec = importlib.util.spec_from_file_location("cookbook_build", BOOK / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kinds(cell: Any) -> set[str]:
    """The kinds of what a cell shows."""
    found = set()
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        pictures = [name for name in data if name.startswith("image/")]
        found.add("a picture" if pictures else f"text on {output.get('name', 'a page')}")
    return found


def shown(notebook: Any) -> Iterator[tuple[str, str]]:
    """All text that cells show, with the id of the cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield cell["id"], output.get("text", "")
            for name, data in output.get("data", {}).items():
                if not name.startswith("image/"):
                    yield cell["id"], data if isinstance(data, str) else json.dumps(data)


def told(notebook: Any) -> list[tuple[str, str]]:
    """What is private in what is shown: the cell, and what it is."""
    return [
        (cell, what)
        for cell, text in shown(notebook)
        for what, pattern in PRIVATE.items()
        if pattern.search(text)
    ]


def failed(notebook: Any) -> list[str]:
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", ())]
    return [each["ename"] for each in outputs if each["output_type"] == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=called)
def test_it_runs_and_shows_what_is_kept(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given = {}
    if folder := os.environ.get("AGNO_PORTKEY_CACHE_DIR"):
        given["AGNO_PORTKEY_CACHE_DIR"] = folder  # where the gateway is
    if "postgres" in path.name:
        address = request.getfixturevalue("postgres").new_database()
        given["AGNO_PORTKEY_DATABASE_URL"] = address
    ran = build().executed(path, tmp_path, given)
    kept = nbformat.read(path, as_version=4)
    assert not failed(ran)
    assert not told(ran)
    assert [cell["id"] for cell in ran.cells] == [cell["id"] for cell in kept.cells]
    for now, before in zip(ran.cells, kept.cells, strict=True):
        assert kinds(now) == kinds(before), f"{before['id']}: python cookbook/build.py {path.name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=called)
def test_what_is_kept_is_whole_small_and_tells_nothing(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    ids = [cell["id"] for cell in kept.cells]
    assert len({*ids}) == len(ids)
    assert not failed(kept)
    assert not told(kept)
    assert all(cell["metadata"] == {} for cell in kept.cells)
    code = [cell for cell in kept.cells if cell["cell_type"] == "code"]
    # Run from the first to the last, in a fresh kernel.
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    assert path.stat().st_size < LARGEST


def trees(notebook: Any) -> Iterator[ast.AST]:
    """The Python of all cells; commands of the shell are calls in it."""
    plain = TransformerManager().transform_cell
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            yield from ast.walk(ast.parse(plain(cell["source"])))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=called)
def test_it_takes_what_is_public_alone(path: Path) -> None:
    for node in trees(nbformat.read(path, as_version=4)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agno_portkey"):
            assert node.module in NAMED
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert not alias.name.startswith("_"), alias.name
                public = getattr(module, "__all__", dir(module))
                assert alias.name in public or f"{node.module}.{alias.name}" in NAMED, alias.name
        elif isinstance(node, ast.Import):
            ours = {each.name for each in node.names if each.name.startswith("agno_portkey")}
            assert ours <= NAMED
        elif isinstance(node, ast.Attribute):
            assert not re.match(r"_(?!_)", node.attr), node.attr


def test_the_guide_names_each_notebook_and_links_lead_somewhere() -> None:
    guide = (BOOK / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in NOTEBOOKS} == {*re.findall(r"\]\((\d\d_\w+\.ipynb)\)", guide)}
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell["cell_type"] == "markdown":
                for target in re.findall(r"\]\(([^)\s]+)\)", cell["source"]):
                    there = target.startswith("https://") or (BOOK / target).exists()
                    assert there, f"{path.name}: {target}"
