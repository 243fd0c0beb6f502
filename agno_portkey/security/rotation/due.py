"""When a key is to be rotated: each quarter, and after what was noted of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Literal, get_args

from pydantic import TypeAdapter

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.batch.journal import at_once, require_file
from agno_portkey.routing.keys.names import Quarter
from agno_portkey.security.rotation.state import Credential, Leaving

__all__ = ["Due", "DueMarks", "Reason", "by_age"]

Reason = Literal["quarter", "unauthorized", "leak", "manual"]


@dataclass(frozen=True, slots=True)
class Due:
    """Why a key is to be rotated: the reason, in words, and since when in seconds since 1970.

    It is 0 where nobody knows since when. `about` is the name of the credential that it was said
    of; once another takes its place it no longer counts.
    """

    reason: Reason
    said: str
    at: float
    about: str = ""


def by_age(current: Credential | None, now: float) -> Due | None:
    """Whether what is in use is of a quarter before that of `now`, or of one that nobody knows."""
    if current is None:
        return Due("quarter", "it was never rotated: nobody knows how old it is", 0.0)
    quarter = current.quarter
    if quarter is None and current.made is not None:
        quarter = Quarter.of(_day(current.made))
    if quarter is None:
        return Due("quarter", "nobody knows how old it is", 0.0, current.name)
    this = Quarter.of(_day(now))
    if quarter.until(this) <= 0:
        return None
    said, after = f"it is of {quarter}, and this is {this}", quarter.next()
    began = datetime(after.year, 3 * after.number - 2, 1, tzinfo=UTC).timestamp()
    return Due("quarter", said, began, current.name)


class DueMarks:
    """What was noted of one key, in a file beside its journal; any process may note."""

    def __init__(
        self,
        folder: str | PathLike[str],
        key: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.join(fspath(folder), f"{key}.due")
        self._clock = clock

    def note(self, reason: Reason, said: str, current: Credential | Leaving | None) -> Due | None:
        """Note that the key is due; None if that is noted already. Blocks until it is on the disk.

        Raises ConfigurationError where it can't be written.
        """
        if reason not in get_args(Reason):
            raise ConfigurationError(f"reason: one of {', '.join(get_args(Reason))}")
        about = current.name if current is not None else ""
        if any(each.reason == reason for each in self.of(current)):
            return None
        due = Due(reason, said, self._clock(), about)
        # What a kill cut off is a line by itself, too.
        line = b"\n" + json.dumps(asdict(due)).encode() + b"\n"
        try:
            os.makedirs(os.path.dirname(self.path) or ".", 0o700, exist_ok=True)
            # A pipe would wait for somebody to read.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
            held = os.open(self.path, flags, 0o600)
            try:
                require_file(held, self.path)
                os.write(held, line)
                os.fsync(held)
            finally:
                os.close(held)
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} can't be written ({type(error).__name__}): see to the disk and its "
                "permissions"
            ) from error
        return due

    def of(self, current: Credential | Leaving | None) -> list[Due]:
        """What was noted of one credential."""
        about = current.name if current is not None else ""
        return [each for each in self.all() if each.about == about]

    def all(self) -> Iterator[Due]:
        try:
            with open(self.path, "rb", opener=at_once) as file:
                require_file(file.fileno(), self.path)
                lines = file.read().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} can't be read ({type(error).__name__}): see to its permissions"
            ) from error
        for line in filter(None, lines):
            if (due := _due_of(line)) is not None:
                yield due


def _due_of(line: bytes) -> Due | None:
    """What a line notes; None for one that a kill cut off, or that is none of ours."""
    try:
        due = _DUE.validate_python(json.loads(line))
        datetime.fromtimestamp(due.at, UTC)
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
    return due


_DUE = TypeAdapter(Due)


def _day(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
