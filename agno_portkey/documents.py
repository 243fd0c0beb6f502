"""Reads documents that people write, YAML and JSON, within limits; writes what is theirs alone.

Nothing here builds objects: what is read is plain data. Aliases are refused, since a few lines of
them unfold to more than fits into memory; so is a key that stands twice, of which YAML's own loader
keeps one without a word.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from agno_portkey.errors import ConfigurationError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "compose", "parse", "private", "read_text"]

# The reader is slow: a text of this size takes some seconds.
MAX_BYTES = 256_000
MAX_DEPTH = 64


def read_text(path: str | Path) -> str:
    """The UTF-8 text of a file; ConfigurationError where it is none, or longer than `MAX_BYTES`.

    A pipe that nobody writes to is empty, and a device is not read to an end that it has not.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            if hasattr(os, "set_blocking"):
                os.set_blocking(file.fileno(), True)
            read = file.read(MAX_BYTES + 1)
        if len(read) <= MAX_BYTES:
            return read.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: it is no text in UTF-8") from None
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or "it is no path"
        raise ConfigurationError(f"{path}: can't be read ({told})") from None
    raise ConfigurationError(f"{path}: it may have {MAX_BYTES:,} bytes at most")


def parse(text: str) -> Any:
    """The plain data of a YAML or JSON text; ConfigurationError that quotes none of it."""
    return _read(text, lambda loader: loader.get_single_data())


def compose(text: str) -> Any:
    """The nodes of a text that can be parsed, which know their places; None for an empty one."""
    return _read(text, lambda loader: loader.get_single_node())


def private(path: str, flags: int) -> int:
    """The `opener` for what may hold contents: a file that is new is its owner's alone."""
    return os.open(path, flags, 0o600)


class _Loader(yaml.SafeLoader):
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise self._error("aliases are not read")
        if self._depth >= MAX_DEPTH:
            raise self._error(f"it is nested too deeply, beyond {MAX_DEPTH} levels")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            raise yaml.MarkedYAMLError(problem="a key stands twice", problem_mark=node.start_mark)
        return found

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if value.isascii():
            return value
        # JSON's escapes have two for one character, which YAML's own loader leaves apart.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    def _error(self, problem: str) -> yaml.MarkedYAMLError:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _read(text: str, how: Any) -> Any:
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ConfigurationError(f"a document may have {MAX_BYTES:,} bytes at most")
    try:
        loader = _Loader(text)
        try:
            return how(loader)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        # The loader's own message quotes the text, which may hold keys.
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"no YAML{line}: {error.problem or error.context}") from None
    except yaml.YAMLError:
        raise ConfigurationError("no YAML: it holds characters that YAML has not") from None
    except RecursionError:
        raise ConfigurationError("no YAML: it is nested too deeply") from None
    except (ValueError, OverflowError, AttributeError, TypeError, LookupError):
        # Dates and numbers that look like some and are none.
        raise ConfigurationError("no YAML: a value in it can't be read") from None
