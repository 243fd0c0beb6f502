"""The journal of a batch job: what was sent where, in a file that a kill leaves readable.

It holds digests, ids and figures: no text of an input or answer.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any
from uuid import uuid4

from agno_portkey.alone import hold_alone
from agno_portkey.errors import ConfigurationError

__all__ = ["JobJournal", "JobState", "Part", "at_once", "keep_name", "require_file"]

_KIND = "agno-portkey batch "
_FORMAT = f"{_KIND}1"


@dataclass
class Part:
    """One file of a job: the digests of its lines, by place, and how far it came.

    `creating` says that its batch may be there although its name is not known; `doubtful` that
    there may be another one, too: it was looked for and not found, and made anew.
    """

    number: int
    lines: dict[int, str]
    file: str | None = None
    creating: bool = False
    doubtful: bool = False
    batch: str | None = None


@dataclass
class JobState:
    """What a journal tells: the job's name, of how many inputs, its parts, and who was refused.

    `undecided` inputs were not sent since a guard or their run failed, and all others were.
    """

    job: str
    inputs: int
    parts: list[Part] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    undecided: set[int] = field(default_factory=set)
    whole: bool = False

    @property
    def sent(self) -> bool:
        """Whether all was sent that a guard has let out."""
        made = all(part.batch is not None for part in self.parts)
        return made and (self.whole or bool(self.undecided))

    def id_of(self, place: int) -> str:
        """The `custom_id` of the line for the input at `place`: nobody else's."""
        return f"{self.job}-{place}"

    def take(self, record: Mapping[str, Any]) -> None:
        """Go on to what `record` says."""
        match record:
            case {"part": int(number), "lines": dict(lines)}:
                if number != len(self.parts):
                    raise ValueError("a part out of its order")
                known = {int(place): str(digest) for place, digest in lines.items()}
                self._require_new(known.keys())
                self.parts.append(Part(number, known))
                self.undecided -= known.keys()
            case {"uploaded": int(number), "file": str(name)}:
                self.parts[number].file = name
            case {"creating": int(number)}:
                self.parts[number].doubtful = self.parts[number].creating
                self.parts[number].creating = True
            case {"created": int(number), "batch": str(name)}:
                self.parts[number].batch = name
            case {"refused": list(places)}:
                told = {int(place) for place in places}
                self._require_new(told)
                self.refused |= told
                self.undecided -= self.refused
            case {"undecided": list(places)}:
                self.undecided = {int(place) for place in places}
            case {"whole": True}:
                self.whole = True
            case _:
                raise ValueError("no record")

    def _require_new(self, places: Set[int]) -> None:
        sent = {place for part in self.parts for place in part.lines}
        if places & (sent | self.refused) or not places <= {*range(self.inputs)}:
            raise ValueError("a place that is known, or of no input")


class JobJournal:
    """The file of one job, which one process at a time writes and any may read."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = fspath(path)
        self._file: int | None = None
        # Whoever is cancelled on a loop leaves a thread behind that still writes.
        self._lock = threading.Lock()

    def read(self) -> JobState:
        """What is in the file; ConfigurationError where there is none, or another one."""
        try:
            with open(self.path, "rb", opener=at_once) as file:
                require_file(file.fileno(), self.path)
                return self._state(file.read())
        except OSError as error:
            raise ConfigurationError(
                f"journal: {self.path} can't be read ({type(error).__name__}); submit the batch "
                "first"
            ) from error

    @contextmanager
    def written(self, inputs: int) -> Iterator[JobState]:
        """The state of the job, begun if there is none; nobody else writes meanwhile."""
        try:
            held = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"journal: {self.path} can't be written ({type(error).__name__})"
            ) from error
        try:
            require_file(held, self.path)
            self._own(held)
            # Who is refused above must not close it for whoever is at it.
            self._file = held
            try:
                yield self._begun(held, inputs)
            finally:
                with self._lock:
                    self._file = None
        finally:
            os.close(held)

    def _own(self, held: int) -> None:
        try:
            hold_alone(held)
        except OSError:
            raise ConfigurationError(
                f"journal: another process is at {self.path}; wait for it, or give another file"
            ) from None

    def _begun(self, held: int, inputs: int) -> JobState:
        size = os.fstat(held).st_size
        text = os.pread(held, size, 0)
        if b"\n" not in text and _is_begun(text):
            os.ftruncate(held, 0)
            state = JobState(uuid4().hex[:16], inputs)
            os.fchmod(held, 0o600)
            self._write({"journal": _FORMAT, "job": state.job, "inputs": inputs})
            keep_name(self.path)
            return state
        state = self._state(text)
        if not text.endswith(b"\n"):
            # A kill cut it off, before anything was done of what it was to say.
            os.ftruncate(held, text.rfind(b"\n") + 1)
        if state.inputs != inputs:
            raise ConfigurationError(
                f"journal: {self.path} is of a job of {state.inputs} inputs, not {inputs}; give "
                "another file"
            )
        return state

    def note(self, state: JobState, record: Mapping[str, Any]) -> None:
        """Write `record` down and go on to it; it is on the disk when this returns."""
        self._write(record)
        state.take(json.loads(json.dumps(record)))

    def _write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record).encode() + b"\n"
        with self._lock:
            if self._file is None:
                raise RuntimeError("the journal is not open")
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)

    def _state(self, text: bytes) -> JobState:
        first, *others = text[: text.rfind(b"\n") + 1].splitlines() or [b""]
        try:
            head = json.loads(first)
            self._require_known(head["journal"])
            state = JobState(str(head["job"]), int(head["inputs"]))
            for number, line in enumerate(others, 2):
                try:
                    state.take(json.loads(line))
                except (ValueError, LookupError, TypeError, RecursionError) as error:
                    raise ConfigurationError(
                        f"journal: line {number} of {self.path} is damaged: what was sent is not "
                        "known any more; look at the provider's batches"
                    ) from error
        except ConfigurationError:
            raise
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise ConfigurationError(
                f"journal: {self.path} is not the journal of a batch; give another file"
            ) from error
        return state

    def _require_known(self, said: Any) -> None:
        if isinstance(said, str) and said.startswith(_KIND) and said != _FORMAT:
            raise ConfigurationError(
                f"journal: {self.path} was written by another version of agno-portkey, and this "
                "one can't go on with it; use that version"
            )
        if said != _FORMAT:
            raise ValueError(said)


def require_file(held: int, path: str) -> None:
    """Refuse what keeps nothing, as a device or pipe does."""
    if not stat.S_ISREG(os.fstat(held).st_mode):
        raise ConfigurationError(f"journal: {path} is no file that could keep it; give another")


def at_once(path: str, flags: int) -> int:
    # A pipe would wait for somebody to write.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def keep_name(path: str) -> None:
    """Have the name of a file that was made outlast a loss of power, as what is in it does."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_begun(text: bytes) -> bool:
    """Whether `text`, without a line's end, is the beginning of a first line."""
    begun = f'{{"journal": "{_FORMAT}"'.encode()
    return text.startswith(begun) or begun.startswith(text)
