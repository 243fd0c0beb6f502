"""The journal of many runs: a file that tells after a kill which of them are done."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, BinaryIO

from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput
from pydantic import BaseModel

from agno_portkey.alone import hold_alone
from agno_portkey.errors import ConfigurationError

__all__ = ["Journal"]

# How each line begins.
_BEGINS = b'{"key": "'
_PROMPTS = ("instructions", "system_message", "description", "expected_output", "role")


class Journal:
    """Completed runs in a file, a line each; one process writes it at a time.

    A run is known by its place, its input, name, model id and prompts of who runs it, and the
    options. What can't be
    read, such as a line that a kill cut off, is a run that is made anew.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        agent: Any,
        inputs: Sequence[Any],
        options: Mapping[str, Any],
    ) -> None:
        self._path = fspath(path)
        self._schema = getattr(agent, "output_schema", None)
        about = [_about(agent), dict(options)]
        self._keys = [_digest([about, place, each]) for place, each in enumerate(inputs)]
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._torn = False

    def open(self) -> Iterator[tuple[int, Any]]:
        """The places and outputs of what is done; raises ConfigurationError."""
        try:
            held = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"journal: {self._path} can't be written ({type(error).__name__})"
            ) from error
        file = self._file = os.fdopen(held, "rb+", buffering=0)
        try:
            hold_alone(file)
        except (OSError, ConfigurationError) as error:
            self.close()
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"journal: another process is at {self._path}; wait for it, or give another file"
            ) from None
        places = {key: place for place, key in enumerate(self._keys)}
        text = file.read()
        if not text.startswith(_BEGINS) and not _BEGINS.startswith(text):
            self.close()
            raise ConfigurationError(
                f"journal: {self._path} is not the journal of many runs; give another file"
            )
        if not text.endswith(b"\n"):
            # A kill cut the last line off.
            file.truncate(text.rfind(b"\n") + 1)
        for line in text.splitlines():
            key, output = self._read(line)
            if output is not None and key in places:
                yield places[key], output

    def note(self, place: int, output: Any) -> None:
        """Write down that the run at `place` has completed; it is on the disk when this returns."""
        told = {"key": self._keys[place], "kind": type(output).__name__, "run": output.to_dict()}
        line = json.dumps(told, default=str).encode() + b"\n"
        with self._lock:
            if self._file is not None:
                # Of one that the disk had no room for half may be there: the next begins a line.
                line, self._torn = b"\n" * self._torn + line, True
                while line:
                    line = line[os.write(self._file.fileno(), line) :]
                os.fsync(self._file.fileno())
                self._torn = False

    def session_of(self, place: int) -> str:
        """A session for the run at `place`, the same each time."""
        return f"many-{self._keys[place][:32]}"

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _read(self, line: bytes) -> tuple[str | None, Any]:
        try:
            told = json.loads(line)
            kind: Any = TeamRunOutput if told["kind"] == "TeamRunOutput" else RunOutput
            output = kind.from_dict(told["run"])
            schema: Any = self._schema
            if isinstance(output.content, dict) and _is_model(schema):
                output.content = schema.model_validate(output.content)
            return told["key"], output
        except Exception:
            return None, None


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


def _about(agent: Any) -> list[Any]:
    """What answers depend on, as far as that is text: another prompt or model runs anew."""
    prompts = [getattr(agent, name, None) for name in _PROMPTS]
    members = getattr(agent, "members", None)
    return [
        type(agent).__name__,
        # Not the id: the host gives it one as it runs.
        agent.name,
        getattr(getattr(agent, "model", None), "id", None),
        [each if isinstance(each, str | list) else None for each in prompts],
        [_about(each) for each in members] if isinstance(members, list) else None,
    ]


def _digest(said: Any) -> str:
    text = json.dumps(said, sort_keys=True, default=_plain, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict"):
        return value.to_dict()
    raise ConfigurationError(
        f"journal: a {type(value).__name__} in the inputs or options can't be told again; give "
        "text, plain data or models"
    )
