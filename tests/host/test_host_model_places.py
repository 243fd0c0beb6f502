"""Every class of the host that can hold or make a model: an upgrade that adds one fails here.

Read from the source, since many of its modules import packages that are not installed. A new
place is to be tried in tests/govern/places.py before it is added to what is known here.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import agno
import pytest
from host_model import pin
from host_places import KNOWN_CLIENTS, KNOWN_DEFAULTS, KNOWN_HOLDERS

from agno_portkey.reach import providers

ROOT = Path(agno.__file__).parent
WALK = "reach/survey.py"
TABLES = "reach/providers.py"

# Models themselves, what serves them over HTTP, and what only passes things on while it runs.
ASIDE = ("models", "os", "integrations", "api", "cloud", "db", "tracing", "utils", "run")
HOLDS = re.compile(
    r"\b(Model|Agent|Team|Workflow|Embedder|Reranker|QueryTransformer|ChunkingStrategy"
    r"|BaseExternalAgent|AgentOSClient|MemoryManager|SessionSummaryManager|CompressionManager"
    r"|LearningMachine|Compaction|FallbackConfig|FollowupConfig|OpenAI\w*|AsyncOpenAI)\b"
)


@functools.cache
def sources() -> dict[str, ast.Module]:
    """Each file of the host that is looked at, by its dotted name below `agno`."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in ASIDE:
            found[".".join(parts)] = ast.parse(file.read_text())
    return found


def names_in(kind: ast.ClassDef) -> Iterator[str]:
    """The fields, attributes and constructor arguments of a class that can hold a model."""
    for node in ast.walk(kind):
        if isinstance(node, ast.AnnAssign) and HOLDS.search(ast.unparse(node.annotation)):
            target = ast.unparse(node.target).removeprefix("self.")
            if target.isidentifier():
                yield target
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for arg in (*node.args.args, *node.args.kwonlyargs):
                if arg.annotation and HOLDS.search(ast.unparse(arg.annotation)):
                    yield arg.arg


def imports_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def holders() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and (names := set(names_in(node))):
                found.setdefault(f"{module}.{node.name}", set()).update(names)
    return found


@pin("no other class of the host holds a model: see that the walk finds it there", WALK)
def test_holders() -> None:
    assert holders() == KNOWN_HOLDERS


def picks_a_model(module: str, name: str) -> bool:
    parts = name.split(".")
    if name.startswith("agno.knowledge.embedder."):
        return parts[3] != "base" and ".embedder" not in f".{module}"
    neutral = {"base", "message", "response", "utils", "metrics", "fallback"}
    return name.startswith("agno.models.") and parts[2] not in neutral


@pin("no other file of the host takes a model by itself where none is given", TABLES)
def test_defaults() -> None:
    found = {
        module
        for module, tree in sources().items()
        if any(picks_a_model(module, name) for name in imports_in(tree))
    }
    assert found == KNOWN_DEFAULTS


@pin("no other file of the host has a provider's client", TABLES)
def test_clients() -> None:
    found = {
        module
        for module, tree in sources().items()
        if not module.startswith(("knowledge.embedder", "knowledge.reranker"))
        and any(providers.is_provider(name) for name in imports_in(tree))
    }
    assert found == KNOWN_CLIENTS


def classes() -> set[str]:
    return {
        f"agno.{module}.{node.name}"
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


@pytest.mark.parametrize("table", ["_ELSEWHERE", "_ASKING", "_LOCAL", "_DEFAULTS", "_MAKERS"])
@pin("the classes that are known by their names have them still", TABLES)
def test_names(table: str) -> None:
    assert set(getattr(providers, table)) - classes() == set()


@pin("the toolkits that ask models by plain HTTP have their names still", TABLES)
def test_tools() -> None:
    assert {name.removeprefix("agno.") for name in providers._ASKING_TOOLS} <= set(sources())


@pin("embedders and rerankers have one base each", TABLES)
def test_bases() -> None:
    for folder, base in (("embedder", "Embedder"), ("reranker", "Reranker")):
        for module, tree in sources().items():
            if not module.startswith(f"knowledge.{folder}.") or module.endswith("base"):
                continue
            kinds = [n for n in tree.body if isinstance(n, ast.ClassDef)]
            bases = {ast.unparse(b) for kind in kinds for b in kind.bases}
            assert not kinds or any(base in name for name in bases), module
