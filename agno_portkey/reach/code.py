"""What a function can reach by the names in its code: globals, attributes of modules, imports."""

from __future__ import annotations

import dis
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from csv import reader
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import agno

from agno_portkey.reach.providers import is_maker, is_provider, makes, per_class

__all__ = ["functions_of", "is_ours", "names_reached", "sdk_named_by"]

_PATHS = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_PATHS |= {site.getusersitepackages(), *site.getsitepackages()}
# Wherever they lie: the host and this package.
_PATHS |= {os.path.dirname(agno.__file__), os.path.dirname(os.path.dirname(__file__))}
_LIBRARIES = ("<frozen", *(path + os.sep for path in _PATHS))
_BUILT = ("__init__", "__post_init__", "__new__")


@lru_cache(maxsize=8192)
def is_ours(file: str) -> bool:
    """Whether the code in `file` is a user's: in no installed library, nor in this package.

    Outside the interpreter's own folders (`pip install --target`, layers of AWS Lambda) the files
    that pip listed as installed are libraries', and not those that only lie beside them.
    """
    if file.startswith(_LIBRARIES):
        return False
    file = os.path.abspath(file)
    return not any(file in _installed_in(str(folder)) for folder in Path(file).parents)


@lru_cache(maxsize=1024)
def _installed_in(folder: str) -> frozenset[str]:
    """The files of the distributions that were installed into `folder`, by their records."""
    found: set[str] = set()
    for record in Path(folder).glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as lines:
            found.update(os.path.abspath(os.path.join(folder, row[0])) for row in reader(lines))
    return frozenset(found)


class Named:
    """The names in a function's code, those of the functions inside it included."""

    def __init__(self, code: CodeType) -> None:
        self.names: set[str] = set()
        self.called: set[str] = set()
        self.imported: set[tuple[str, int]] = set()
        self._read(code)

    def _read(self, code: CodeType) -> None:
        self.names.update(code.co_names)
        module, level, consts = "", 0, (0, 0)
        for step in dis.get_instructions(code):
            if step.opname == "LOAD_CONST":
                consts = (consts[1], step.argval)
            elif step.opname == "IMPORT_NAME":
                # Before it stand how many dots it begins with, and the list of names.
                module, level = str(step.argval), consts[0]
                self.imported.add((module, level))
            elif step.opname == "IMPORT_FROM":
                self.imported.add((f"{module}.{step.argval}".strip("."), level))
            elif step.opname == "LOAD_GLOBAL" and (step.arg or 0) & 1:
                self.called.add(str(step.argval))
        for const in code.co_consts:
            if isinstance(const, CodeType):
                self._read(const)


@lru_cache(maxsize=8192)
def named(code: CodeType) -> Named:
    return Named(code)


def names_reached(
    function: FunctionType, *, makes_things: bool = True
) -> Iterator[tuple[str, object, str | None]]:
    """What a function names: the name, what it stands for, and what is wrong with that, if known.

    A factory, whose products are looked at when they come, may make things (`makes_things`
    is false then).
    """
    said = named(function.__code__)
    around = function.__globals__
    for name in sorted(said.names & around.keys()):
        yield from _named(name, around[name], said, name in said.called, makes_things)
    for name, level in sorted(said.imported):
        full = _absolute(name, level, around)
        held = _imported(full)
        if held is not None:
            yield from _named(full, held, said, True, makes_things)
        elif is_provider(full):
            yield full, None, "is a provider's package, imported when it is called"


def _named(
    name: str, held: object, said: Named, called: bool, makes_things: bool, depth: int = 0
) -> Iterator[tuple[str, object, str | None]]:
    if isinstance(held, ModuleType):
        if depth < 5 and _worth_it(held.__name__):
            inside = vars(held)
            for inner in sorted(said.names & inside.keys()):
                yield from _named(
                    f"{name}.{inner}", inside[inner], said, True, makes_things, depth + 1
                )
        return
    if (wrong := makes(held)) is not None:
        if makes_things:
            yield name, held, wrong
        return
    if is_maker(held):
        if called and makes_things:
            yield name, held, f"is the class {getattr(held, '__name__', name)}, made when called"
        return
    yield name, held, None


def _worth_it(module: str) -> bool:
    """Whether a module's attributes are looked at: a user's, a provider's or the host's."""
    if is_provider(module) or module.split(".")[0] == "agno":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and is_ours(file)


def _absolute(name: str, level: int, around: dict[str, Any]) -> str:
    if not level:
        return name
    package = around.get("__package__") or ""
    try:
        return importlib.util.resolve_name("." * level + name, package)
    except ImportError:
        return name


def _imported(full: str) -> object:
    """What an import inside a function brings, if its module is loaded."""
    if full in sys.modules:
        return sys.modules[full]
    module, _, name = full.rpartition(".")
    return vars(sys.modules[module]).get(name) if module in sys.modules else None


def functions_of(kind: type[Any], *, built: bool) -> Iterator[tuple[str, Any]]:
    """What a user's class holds: functions, and values that are no plain data.

    Of an object that is `built`, the code that built it has run.
    """
    for base in kind.__mro__:
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if base.__module__ in sys.builtin_module_names or (file and not is_ours(file)):
            continue
        for name, held in list(vars(base).items()):
            if built and name in _BUILT:
                continue
            plain = isinstance(held, staticmethod | classmethod)
            inner = held.__func__ if plain else held
            if isinstance(inner, FunctionType) or not name.startswith("__"):
                yield name, inner


@per_class
def sdk_named_by(kind: type[Any]) -> str | None:
    """The provider's package that the methods of one of the host's classes name, if they do.

    Amazon's is left out: the host reads files and sends mail by it as well.
    """
    if kind.__module__.split(".")[0] == "agno_portkey":
        return None
    for base in kind.__mro__:
        if base.__module__.split(".")[0] != "agno":
            continue
        for name, held in vars(base).items():
            function = getattr(held, "__func__", getattr(held, "fget", held))
            if name in _BUILT or not isinstance(function, FunctionType):
                continue
            if (package := _sdk_of(function)) is not None:
                return package
    return None


def _sdk_of(function: FunctionType) -> str | None:
    said, around = named(function.__code__), function.__globals__
    full = [name for name, level in said.imported if not level]
    for name in said.names & around.keys():
        held = around[name]
        if isinstance(held, ModuleType):
            full.append(held.__name__)
        elif isinstance(held, type) and not issubclass(held, BaseException):
            full.append(held.__module__)
    for name in full:
        if is_provider(name) and not name.startswith(("boto", "aioboto", "huggingface_hub")):
            return name.split(".")[0]
    return None
