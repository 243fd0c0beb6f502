"""Writes the pages of reference that follow from the code: settings, and commands.

python docs/write_reference.py
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agno_portkey.cache import CachePolicy
from agno_portkey.cli import app
from agno_portkey.contracts import Contract, Repair
from agno_portkey.gates import Sampling
from agno_portkey.modes import PARTS, variable_of
from agno_portkey.policy import Policy
from agno_portkey.routing import (
    CircuitBreaker,
    Conditional,
    Fallback,
    LoadBalance,
    Recovery,
    Single,
    Target,
    Timeout,
    When,
)
from agno_portkey.security.rotation.config import KeysFile
from agno_portkey.settings import VARIABLES, Settings
from agno_portkey.telemetry.alerts import Thresholds
from agno_portkey.telemetry.ledger import Budget

FOLDER = Path(__file__).parent / "reference"
_WIDEST = 60

MEANT = {
    "AGNO_PORTKEY_AUDIT_KEY": "32 bytes in base64: the key that seals an audit log",
    "AGNO_PORTKEY_CACHE_DIR": "the folder of the local gateway, of caches and fetched parts",
    "AGNO_PORTKEY_CACHE_KEY": "32 bytes in base64: seals kept answers at rest",
    "AGNO_PORTKEY_CACHE_URL": "where answers are kept: a SQLite file, or `redis://...`",
    "AGNO_PORTKEY_CLEARANCE_KEY": "the private key that signs exported clearances",
    "AGNO_PORTKEY_CLEARANCE_PUBLIC_KEY": "the public keys that may have signed a clearance",
    "AGNO_PORTKEY_DATABASE_URL": "the database of stops and of commands: SQLite or Postgres",
    "AGNO_PORTKEY_JWT_AUDIENCE": "the audience of tokens for commands; `agno-portkey` without it",
    "AGNO_PORTKEY_JWT_KEY": "with it commands ask for a token: a public key, its file, a secret's",
    "AGNO_PORTKEY_KEYS_FILE": "the file of keys; `keys.yaml` in the current folder without it",
    "AGNO_PORTKEY_PROD_ALLOWS": "what production lets pass nevertheless, with commas",
    "AGNO_PORTKEY_REDIS_URL": "circuits and streams that several processes share",
    "AGNO_PORTKEY_SECRETS_KEY": "opens an encrypted file of secrets",
    "AGNO_PORTKEY_TOKEN": "the token of whoever runs a command",
    "AGNO_PORTKEY_TRUSTED_HOSTS": "addresses of one's own network that targets may have",
    "AGNO_PORTKEY_VAULT_KEYS": "the keys of vaults: the first seals, all of them open",
    "PORTKEY_ADMIN_API_KEY": "a key of Portkey's that may manage keys, for their rotation",
    "PORTKEY_API_KEY": "the key of hosted Portkey, or of a gateway that asks for one",
    "PORTKEY_BASE_URL": "the gateway's address",
    "PORTKEY_CONFIG": "a config's id (`pc-...`), or a routing config as JSON",
    "PORTKEY_ENVIRONMENT": "the environment of this process: dev, staging, prod, or another name",
    "PORTKEY_VIRTUAL_KEY": "the virtual key of a provider",
}

_PARTS: tuple[tuple[str, str, tuple[type, ...]], ...] = (
    ("A policy", "What a policy file holds, and `Policy(...)` takes.", (Policy,)),
    (
        "Routes",
        "A route in Python, or in a file; `agno-portkey routing schema` is for editors.",
        (Single, Fallback, LoadBalance, Conditional, When, Target, Timeout),
    ),
    ("Recovery", "What a `PortkeyModel` does when a call fails.", (Recovery, CircuitBreaker)),
    ("Structured outputs", "How far a broken one is mended.", (Contract, Repair)),
    ("Gates", "How a Judge is asked.", (Sampling,)),
    ("Caches", "Whose answers are served again.", (CachePolicy,)),
    ("Budgets", "What may be spent.", (Budget,)),
    ("Keys", "What `keys.yaml` holds.", (KeysFile,)),
    ("Alerts", "From where on there is one.", (Thresholds,)),
)


def configuration() -> str:
    """The page of all settings."""
    lines = [
        "# Settings",
        "",
        "Written from the code by `make docs`. An argument wins over a variable.",
        "",
        "## Variables",
        "",
        "| variable | |",
        "| --- | --- |",
        *(f"| `{name}` | {MEANT[name]} |" for name in sorted(_variables())),
        *(f"| `{variable_of(part)}` | the mode of `{part}`, while it runs |" for part in PARTS),
    ]
    done: set[type] = set()
    for title, said, kinds in _PARTS:
        lines += ["", f"## {title}", "", said]
        for kind in kinds:
            lines += _described(kind, done)
    return "\n".join(lines) + "\n"


def _variables() -> set[str]:
    return {*VARIABLES, *(f"PORTKEY_{name.upper()}" for name in Settings.model_fields)}


def _described(kind: type, done: set[type]) -> Iterator[str]:
    """A class, and those that its fields take, each once."""
    if kind in done:
        return
    done.add(kind)
    yield from ("", f"### {kind.__name__}", "", _first(kind), "", "| field | takes | default |")
    yield "| --- | --- | --- |"
    inner: list[type] = []
    for name, annotation, default in _fields(kind):
        inner += _classes(annotation)
        yield f"| `{name}` | {_cell(_told(annotation))} | {_cell(default)} |"
    for each in inner:
        yield from _described(each, done)


def _fields(kind: type) -> Iterator[tuple[str, Any, str]]:
    if issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield (
                field.alias or name,
                field.annotation,
                _default(field.default, field.is_required()),
            )
        return
    hints = _hints(kind)
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        is_due = parameter.default is parameter.empty
        yield name, hints.get(name, parameter.annotation), _default(parameter.default, is_due)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
    except NameError:  # of a name that is for type checkers alone
        return {}


def _default(value: Any, is_due: bool) -> str:
    if is_due:
        return "due"
    if value is PydanticUndefined or "factory" in type(value).__name__.lower():
        return "empty"
    if isinstance(value, BaseModel):
        return "its own"
    if value in ((), {}, "", frozenset()):
        return "empty"
    text = repr(value)
    return (
        ""
        if value is None
        else f"`{text}`"
        if len(text) <= _WIDEST and "0x" not in text
        else "its own"
    )


def _told(annotation: Any) -> str:
    """What a field takes, in words that a user of it knows."""
    if isinstance(annotation, str):
        return f"`{annotation}`"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _told(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_told(each) for each in inner if each is not type(None)))
    if isinstance(origin, type) and issubclass(origin, Callable):  # type: ignore[arg-type]
        return "a function"
    if isinstance(origin, type) and issubclass(origin, Iterable):
        several = [_told(each) for each in inner if each is not Ellipsis]
        is_mapping = len(several) == 2 and hasattr(origin, "keys")
        return f"{several[0]}: {several[1]}" if is_mapping else f"list of {' or '.join(several)}"
    if isinstance(annotation, type):
        return _NAMES.get(annotation, annotation.__name__)
    value = getattr(annotation, "__value__", None)
    return _told(value) if value is not None else "any"


_NAMES: dict[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "yes or no",
    Path: "path",
    object: "any",
}


def _classes(annotation: Any) -> Iterator[type]:
    for each in get_args(annotation):
        yield from _classes(each)
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model and annotation is not BaseModel:
        yield annotation


def _first(kind: type) -> str:
    """The first paragraph of what a class says of itself."""
    # Its own: one that has none would say what its base is.
    paragraph = inspect.cleandoc(vars(kind).get("__doc__") or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def commands() -> str:
    """The page of all commands."""
    lines = ["# Commands", "", "Written from the code by `make docs`; `--help` says the same."]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        lines += _command(command, f"agno-portkey {name}", 2)
    return "\n".join(lines) + "\n"


def _command(command: Any, called: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=called)
    yield from ("", f"{'#' * level} {called}", "", _prose(command.help or ""))
    taken = [each for each in command.get_params(context) if each.name != "help"]
    if taken:
        yield from ("", "| | |", "| --- | --- |")
    for each in taken:
        names = ", ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts))
        if isinstance(each, click.Argument):
            names = f"`{each.make_metavar(context)}`"
        said = getattr(each, "help", None) or ""
        yield f"| {names} | {_cell(_prose(said))} |"
    for name, inner in getattr(command, "commands", {}).items():
        yield from _command(inner, f"{called} {name}", level + 1)


def _prose(text: str) -> str:
    """A help text in lines as they are, without the marks of a terminal."""
    return re.sub(r"[ \t]+\n", "\n", inspect.cleandoc(text.replace("\f", "")))


def main() -> None:
    """Write both pages, where they are not as they should be."""
    FOLDER.mkdir(exist_ok=True)
    for name, made in (("configuration", configuration), ("commands", commands)):
        file, text = FOLDER / f"{name}.md", made()
        # One that is as it was is no newer than the tests that were run on it.
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
