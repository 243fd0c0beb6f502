"""Objects that a user names on the command line: `package.module:name` or `file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agno_portkey.errors import ConfigurationError

__all__ = ["current_folder", "named"]


def named(spec: str, default: str) -> Any:
    """The object that `spec` names; its name is `default` where none is given.

    Modules are found from the current folder too. Raises ConfigurationError that says what failed.
    """
    place, _, name = spec.partition(":")
    name = name or default
    try:
        with current_folder():
            module = _from_file(Path(place)) if place.endswith(".py") else _imported(place)
    except (Exception, SystemExit) as error:  # a module of the user's may raise anything
        kind = type(error).__name__
        raise ConfigurationError(f"{spec}: can't import {place} ({kind}: {error})") from error
    if not hasattr(module, name):
        raise ConfigurationError(f"{spec}: there is no {name} in {place}")
    return getattr(module, name)


@contextmanager
def current_folder() -> Iterator[None]:
    """Have modules of the current folder found, as `python -m` does and a command does not."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _imported(name: str) -> Any:
    return importlib.import_module(name)


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
