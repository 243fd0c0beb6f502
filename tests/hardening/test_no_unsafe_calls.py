"""By the syntax of the package: nothing that runs, builds or trusts what it is given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import agno_portkey

PACKAGE = Path(agno_portkey.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# The one reader of YAML; others write it, and look at the nodes that it read.
READER = "documents.py"
TO_WRITE = ("yaml.safe_dump", "yaml.MappingNode", "yaml.SequenceNode")

NO_MODULE = {
    "pickle",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
}
NO_CALL = {
    *("eval", "exec", "__import__", "compile"),
    # What is written by it is a key in memory, and never read.
    *("marshal.loads", "marshal.load"),
    *("os.system", "os.popen", "tempfile.mktemp", "ssl._create_unverified_context"),
}
NO_KEYWORD = {"shell": True, "verify": False, "check_hostname": False, "allow_pickle": True}


def name_of(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)]).lstrip(".")


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    is_called = isinstance(node, ast.Call) and name_of(node.func).endswith("import_module")
    if is_called and isinstance(node, ast.Call) and node.args:
        first = node.args[0]
        return [str(first.value)] if isinstance(first, ast.Constant) else []
    return []


def keyed_digest(node: ast.AST) -> bool:
    """`hmac.new(...).digest()` and the like."""
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    if not called or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if name_of(node.func) == "hmac.digest":
        return True
    inner = node.func.value
    made = isinstance(inner, ast.Call) and name_of(inner.func) == "hmac.new"
    return made and node.func.attr in ("digest", "hexdigest")


def wrong_call(node: ast.Call) -> Iterator[str]:
    if name_of(node.func) in NO_CALL:
        yield f"{name_of(node.func)}()"
    for word in node.keywords:
        held = word.value.value if isinstance(word.value, ast.Constant) else None
        if word.arg in NO_KEYWORD and held is NO_KEYWORD[word.arg]:
            yield f"{word.arg}={held}"


def wrong_in(tree: ast.AST, *, reader: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        for module in imported(node):
            if module in NO_CALL or module.split(".")[0] in NO_MODULE:
                yield f"import {module}"
            if module.startswith("yaml.") and not reader:
                yield f"import {module}"
        if isinstance(node, ast.Attribute) and not reader:
            named = name_of(node)
            if named.startswith("yaml.") and named not in TO_WRITE:
                yield named
        if isinstance(node, ast.Call):
            yield from wrong_call(node)
        if isinstance(node, ast.Compare) and any(map(keyed_digest, [node.left, *node.comparators])):
            yield "a keyed digest by =="


def test_the_package_has_none() -> None:
    assert len(MODULES) > 300
    found = {
        str(path.relative_to(PACKAGE)): wrong
        for path in MODULES
        if (wrong := [*wrong_in(ast.parse(path.read_text("utf-8")), reader=path.name == READER)])
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        *("import pickle", "from pickle import loads", "from marshal import loads"),
        *("import_module('dill')", "marshal.loads(x)"),
        *("eval('1')", "exec(text)", "__import__(name)", "os.system(x)"),
        *("yaml.load(text, Loader)", "from yaml import unsafe_load", "yaml.safe_load(text)"),
        *("run(x, shell=True)", "httpx.Client(verify=False)", "np.load(f, allow_pickle=True)"),
        *("hmac.new(k, m, s).hexdigest() == given", "given != hmac.digest(k, m, s)"),
    ],
)
def test_each_would_be_found(code: str) -> None:
    assert [*wrong_in(ast.parse(code), reader=False)]
