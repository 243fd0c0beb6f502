"""What one object holds, and under which name: attributes, containers, closures, partials."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import CellType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any
from weakref import ref

from agno.db.base import AsyncBaseDb, BaseDb

from agno_portkey.reach.code import functions_of, is_ours, names_reached
from agno_portkey.reach.providers import is_maker, makes, per_class

__all__ = ["Edge", "edges_of", "is_plain"]

_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type(...), range, slice)
# Modules whose objects hold nothing but what they were given.
_OPEN_STDLIB = frozenset(
    {
        "builtins",
        "collections",
        "functools",
        "types",
        "itertools",
        "operator",
        "queue",
        "weakref",
        "contextlib",
    }
)
# Libraries that talk to databases and machines, not to models; their insides are large.
_CLOSED = frozenset(
    {
        "sqlalchemy",
        "httpx",
        "httpcore",
        "requests",
        "urllib3",
        "aiohttp",
        "redis",
        "pymongo",
        "psycopg",
        "psycopg2",
        "asyncpg",
        "sqlite3",
        "numpy",
        "pandas",
        "pyarrow",
        "polars",
        "torch",
        "tensorflow",
        "opentelemetry",
        "rich",
        "pydantic_core",
        "starlette",
        "fastapi",
        "uvicorn",
        "lancedb",
        "lance",
        "chromadb",
        "qdrant_client",
        "pinecone",
        "weaviate",
        "pymilvus",
        "elasticsearch",
        "opensearchpy",
        "playwright",
        "selenium",
        "docker",
        "kubernetes",
        "pytest",
        "_pytest",
        "pluggy",
        "hypothesis",
        "openlit",
        "mcp",
    }
)
# Of this package these hold what a user gave; the rest goes through the gateway.
_OURS_OPEN = frozenset({"guardrails", "knowledge"})
# Names of what a wrapper wraps: left out of the path, as they say nothing.
_WRAPPED = frozenset({"__wrapped__", "entrypoint", "func", "function", "wrapped"})


@dataclass(frozen=True, slots=True)
class Edge:
    """One thing that is held: the end of its path, whether it can be replaced, what is wrong.

    `holder` and `key` say where to put another in its place: an attribute's name, an index or a
    key; `holder` is None for what is in a closure, a tuple or a global.
    """

    name: str
    held: Any
    holder: Any = None
    key: Any = None
    wrong: str | None = None

    def put(self, held: object) -> None:
        if isinstance(self.holder, list | dict | deque):
            self.holder[self.key] = held
        elif self.key in getattr(self.holder, "__dict__", ()):
            # Past setters and frozen fields: it is the same thing, bound.
            self.holder.__dict__[self.key] = held
        else:
            object.__setattr__(self.holder, self.key, held)


def is_plain(held: object) -> bool:
    """Whether it is data that holds nothing."""
    return isinstance(held, _PLAIN)


def edges_of(held: Any, *, makes_things: bool = True) -> Iterator[Edge]:
    """Everything that `held` holds, but for plain data."""
    for edge in _edges_of(held, makes_things):
        if edge.wrong is not None or not isinstance(edge.held, _PLAIN):
            yield edge


def _edges_of(held: Any, makes_things: bool) -> Iterator[Edge]:
    if isinstance(held, dict | MappingProxyType):
        yield from _of_mapping(held)
    elif isinstance(held, list | deque):
        for at, item in enumerate(list(held)):
            yield Edge(f"[{at}]", item, held, at)
    elif isinstance(held, tuple | set | frozenset):
        for at, item in enumerate(list(held)):
            yield Edge(f"[{at}]", item)
    elif isinstance(held, MethodType):
        yield Edge(".__self__", held.__self__)
        yield Edge("", held.__func__)
    else:
        yield from _of_code(held, makes_things)
    if not isinstance(held, MethodType | type):
        yield from _of_object(held)


def _of_code(held: Any, makes_things: bool) -> Iterator[Edge]:
    if isinstance(held, FunctionType):
        yield from _of_function(held, makes_things)
    elif isinstance(held, partial):
        yield from _of_partial(held)
    elif isinstance(held, CellType):
        yield from _of_cell("", held)
    elif isinstance(held, type):
        yield from _of_class(held, built=False)


def _of_mapping(held: dict[Any, Any] | MappingProxyType[Any, Any]) -> Iterator[Edge]:
    holder = held if isinstance(held, dict) else None
    for key, value in list(held.items()):
        plain = isinstance(key, _PLAIN)
        yield Edge(f"[{key!r}]" if plain else f"[{type(key).__name__}]", value, holder, key)
        if not plain:
            yield Edge(".keys()", key)


def _of_function(held: FunctionType, makes_things: bool) -> Iterator[Edge]:
    ours = is_ours(held.__code__.co_filename)
    for name, cell in zip(held.__code__.co_freevars, held.__closure__ or (), strict=True):
        # A library's wrapper round a user's function is not worth a word.
        plain = not ours and name in _WRAPPED
        yield from _of_cell("" if plain else name, cell, makes_things=makes_things)
    for at, value in enumerate(held.__defaults__ or ()):
        yield Edge(f".__defaults__[{at}]", value)
    for name, value in (held.__kwdefaults__ or {}).items():
        yield Edge(f".__kwdefaults__[{name!r}]", value, held.__kwdefaults__, name)
    if ours:
        for name, value, wrong in names_reached(held, makes_things=makes_things):
            yield Edge(f".{name}", value, wrong=wrong)


def _of_cell(name: str, cell: CellType, *, makes_things: bool = True) -> Iterator[Edge]:
    try:
        held = cell.cell_contents
    except ValueError:
        return  # not filled yet
    yield Edge(f".{name}" if name else "", held, wrong=_made(held) if makes_things else None)


def _made(held: Any) -> str | None:
    """What is wrong with holding a class that is going to be called, if something is."""
    if not isinstance(held, type):
        return None
    if is_maker(held):
        return f"is the class {held.__name__}, made when called"
    return makes(held)


def _of_partial(held: partial[Any]) -> Iterator[Edge]:
    yield Edge(".func", held.func, wrong=_made(held.func))
    for at, value in enumerate(held.args):
        yield Edge(f".args[{at}]", value)
    for name, value in held.keywords.items():
        yield Edge(f".keywords[{name!r}]", value, held.keywords, name)


def _of_class(kind: type[Any], *, built: bool) -> Iterator[Edge]:
    for name, held in functions_of(kind, built=built):
        # The class's own value stands for every object of it: it is not replaced.
        yield Edge(f".{name}", held)


def _of_object(held: Any) -> Iterator[Edge]:
    kind = type(held)
    if not _open(kind):
        return
    yield from _of_state(held, kind)
    if isinstance(held, ref):
        yield Edge("()", held())
    elif kind.__module__ in _BUILTIN_MODULES and not isinstance(held, _HANDLED):
        for value in gc.get_referents(held):
            if not isinstance(value, type | ModuleType):
                yield Edge(f".<{kind.__name__}>", value)
    elif _is_users(kind):
        yield from _of_class(kind, built=True)


def _of_state(held: Any, kind: type[Any]) -> Iterator[Edge]:
    state = _slot(held, "__dict__")
    for name, value in list(state.items()) if isinstance(state, dict) else ():
        yield Edge("" if name in _WRAPPED else f".{name}", value, held, name)
    for name in _slots(kind):
        value = _slot(held, name)
        if name.startswith("__pydantic") and isinstance(value, dict):
            for key, inner in value.items():
                yield Edge(f".{key}", inner, value, key)
        else:
            yield Edge(f".{name}", value, held, name)


_BUILTIN_MODULES = frozenset({"builtins", "functools", "itertools", "operator", "types", "weakref"})
_HANDLED = (dict, MappingProxyType, list, tuple, set, frozenset, deque, FunctionType, partial)


@per_class
def _open(kind: type[Any]) -> bool:
    """Whether objects of this class are looked into."""
    if issubclass(kind, BaseDb | AsyncBaseDb | ModuleType | BaseException):
        return False
    root, *rest = kind.__module__.split(".")
    if root == "agno_portkey":
        return bool(rest) and rest[0] in _OURS_OPEN
    if root in _OPEN_STDLIB:
        return True
    return root not in _CLOSED and root not in sys.stdlib_module_names


@per_class
def _is_users(kind: type[Any]) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if kind.__module__ == "__main__" and file is None:
        return True
    return any(
        (path := getattr(sys.modules.get(base.__module__), "__file__", None)) and is_ours(path)
        for base in kind.__mro__
    )


@per_class
def _slots(kind: type[Any]) -> tuple[str, ...]:
    found: list[str] = []
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            if name in ("__dict__", "__weakref__"):
                continue
            mangled = name.startswith("__") and not name.endswith("__")
            found.append(f"_{base.__name__.lstrip('_')}{name}" if mangled else name)
    return tuple(found)


def _slot(held: Any, name: str) -> Any:
    try:
        return object.__getattribute__(held, name)
    except AttributeError:
        return None
