"""What is kept of a run: no text that a guard blocked or rewrote, wherever the host has put it.

One row is written too early for that: the host stores a run in the background as it was asked,
before any guard, and writes over it when the run has ended. Of what is governed, it is stored
without the input.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from agno.models.message import Message
from agno.tools.function import UserInputField
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agno_portkey.guardrails.known import Known
from agno_portkey.guardrails.messages import in_value
from agno_portkey.guardrails.passages import Source, Unreadable
from agno_portkey.guardrails.showing import Showing
from agno_portkey.modes import override_of

__all__ = [
    "Kept",
    "clean",
    "earlier_of",
    "keep_as_sent",
    "keeps_out",
    "parts_rewritten",
    "replaced",
    "was_asked",
    "withheld",
]

# How many runs' texts are remembered; a run needs its own until it ends.
_RUNS = 1_000

# A text of fewer characters is replaced where it stands alone, and not inside of others.
_WITHIN = 8

# What is kept of a text of which nobody can tell what it was rewritten into.
_REWRITTEN = "[rewritten by a guard]"

# A number of more digits is not written out.
_LONG = 1e300

# What is neither text nor number, and is written as one; records of the host's are not.
_WRITTEN = (Decimal, Enum, UUID, date, time, timedelta)

_EARLIER = "_agno_portkey_earlier"

_HOSTS = ("agno.run", "agno.models.", "agno.session", "agno.reasoning")
# What identifies and orders the host's records: none of it is anybody's words.
_NO_WORDS: tuple[str, ...] = (
    "id",
    "role",
    "event",
    "status",
    "model",
    "model_provider",
    "agent_name",
    "team_name",
)
# The application's own, which its tools write and read.
_NO_WORDS += ("session_state", "updated_session_state")


class Kept:
    """What to keep in place of which texts, by run; thread-safe, shared by a model's copies."""

    def __init__(self) -> None:
        # What need not be asked about anew has the same life, as has what is shown.
        self.known = Known()
        self.showing = Showing()
        self._lock = threading.Lock()
        self._runs: dict[str, dict[str, str]] = {}

    def of(self, run_id: str | None) -> dict[str, str]:
        """The texts of a run, none if there are none."""
        return self._runs.get(run_id or "", {})

    def note(self, run_id: str | None, texts: Mapping[str, str]) -> None:
        """Add to the texts of a run; past the limit the oldest run's are forgotten."""
        if run_id is None or not texts:
            return
        with self._lock:
            known = self._runs.pop(run_id, {})
            while len(self._runs) >= _RUNS:
                del self._runs[next(iter(self._runs))]
            self._runs[run_id] = {**known, **texts}


class _Earlier:
    """Not as a plain mapping, of which the texts would be cleaned away with those of the run."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}


def earlier_of(*records: Any) -> dict[str, list[str]]:
    """What texts of a run were before guards that keep them so rewrote them.

    It is noted on the host's records of the run, which share it: its context, its output.
    """
    held = [record for record in records if hasattr(record, "__dict__")]
    known = (getattr(record, _EARLIER, None) for record in held)
    found = next((each for each in known if each is not None), None) or _Earlier()
    for record in held:
        setattr(record, _EARLIER, found)
    return found.texts


def was_asked(run: Any) -> bool:
    """Whether the guards in a model were asked about `run`: they note its earlier texts on it."""
    return hasattr(run, _EARLIER)


def replaced(value: Any, kept: Mapping[str, str]) -> Any:
    """`value` with what is to be kept in place of each text that is not."""
    return _Cleaning(kept).plain(value) if kept else value


def parts_rewritten(value: Any, kept: Mapping[str, str]) -> dict[str, str]:
    """What to keep in place of the texts in `value`, where `kept` is of texts made of them.

    A text that stands in one that was rewritten, and not in what became of it, was rewritten too;
    into what can't be told.
    """
    found: dict[str, str] = {}
    final = {raw: _last(raw, kept) for raw in kept}

    def take(text: str, source: Source, path: str) -> str:
        instead = replaced(text, kept)
        forms = (text, json.dumps(text)[1:-1])
        gone = (any(f in raw and f not in left for f in forms) for raw, left in final.items())
        if instead != text:
            found[text] = instead
        elif any(gone):
            found[text] = _REWRITTEN
        return text

    with suppress(Unreadable):
        in_value(value, take, "data")
    return found


def keeps_out(guard: Any) -> bool:
    """Whether `guard` has a say in what is stored."""
    mode = override_of("guards") or guard.mode
    return not guard.keep_raw and mode not in ("off", "observe")


def withheld(*guards: Any) -> str:
    """What is kept in the place of a text that `guards` were not done with."""
    return f"[withheld: {', '.join(guard.name for guard in guards)} had not looked at it]"


def keep_as_sent(message: Message, sent: Message) -> None:
    """Make the host's own message what was sent of it."""
    if sent is not message:
        for name in ("content", "compressed_content", "tool_calls", "name"):
            setattr(message, name, getattr(sent, name))


def clean(stored: Any, kept: Mapping[str, str]) -> None:
    """Do the same in place, in an output of the host's and all that hangs from it."""
    if kept and stored is not None:
        _Cleaning(kept).any(stored)


class _Cleaning:
    """One pass; what is put in the place of a text may itself be replaced."""

    def __init__(self, kept: Mapping[str, str]) -> None:
        self._instead = {raw: _last(raw, kept) for raw in kept}
        # The longest first: a short text may be part of a longer one.
        # One that stands in what is put in its place would be found there again.
        inside = [raw for raw in kept if len(raw) >= _WITHIN and raw not in self._instead[raw]]
        longest_first = sorted(inside, key=len, reverse=True)
        self._within = [pair for raw in longest_first for pair in _written(raw, self._instead[raw])]
        self._seen: set[int] = set()

    def any(self, value: Any) -> Any:
        """`value` with its texts replaced, the very one if none is; the host's own in place."""
        if _is_hosts(value):
            self._record(value)
            return value
        if isinstance(value, list) and any(map(_is_hosts, value)):
            value[:] = self._items(value)
            return value
        return self.plain(value)

    def plain(self, value: Any) -> Any:
        """The same of what is not the host's: it may be the caller's, and is left as it is."""
        if isinstance(value, str):
            found: Any = self._text(value)
            return value if found == value else found
        if isinstance(value, bytes):
            # A file that is text; of others nothing is blocked or rewritten.
            text = value.decode(errors="replace")
            return value if (found := self._text(text)) == text else found.encode()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._instead.get(str(value), value) if abs(value) < _LONG else value
        if isinstance(value, list | tuple):
            items = self._items(value)
            pairs = zip(items, value, strict=False)
            same = len(items) == len(value) and all(a is b for a, b in pairs)
            return value if same else type(value)(items) if type(value) is tuple else items
        if isinstance(value, dict):
            found = {self.plain(key): self.any(item) for key, item in value.items()}
            pairs = zip(found.items(), value.items(), strict=False)
            same = len(found) == len(value) and all(a is c and b is d for (a, b), (c, d) in pairs)
            return value if same else found
        if isinstance(value, BaseModel):
            return self._model(value)
        return self._other(value) if isinstance(value, _WRITTEN) else value

    def _items(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        """The items but for those that can't be without what was replaced in them."""
        found = [(self.any(item), item) for item in value]
        return [kept for kept, item in found if kept is not None or item is None]

    def _other(self, value: Any) -> Any:
        """Dates, decimals and the like: the guards were asked about what is written of them."""
        text = str(value)
        if (found := self._text(text)) != text:
            return found
        # In a model they are written in another way.
        told = to_jsonable_python(value, fallback=str)
        return value if (found := self.plain(told)) == told else found

    def _model(self, value: BaseModel) -> BaseModel | None:
        held = value.model_dump()
        found = self.plain(held)
        if found is held:
            return value
        try:
            return type(value).model_validate(found, by_name=True)
        except ValueError:
            return None

    def _record(self, held: Any) -> None:
        if id(held) in self._seen:
            return
        self._seen.add(id(held))
        for name, item in list(vars(held).items()):
            if name.endswith("_id") or name in _NO_WORDS or type(item) in (int, float):
                continue
            found = self.any(item)
            if found is not item:
                setattr(held, name, found)

    def _text(self, text: str) -> str:
        if text in self._instead:
            return self._instead[text]
        if text[:1] in ("{", "["):
            try:
                parsed = json.loads(text)
            except (ValueError, RecursionError):
                return self._parts(text)
            found = self.plain(parsed)
            return self._parts(text if found is parsed else json.dumps(found, ensure_ascii=False))
        return self._parts(text)

    def _parts(self, text: str) -> str:
        for raw, instead in self._within:
            text = text.replace(raw, instead)
        return text


def _last(raw: str, kept: Mapping[str, str]) -> str:
    """What is kept of `raw` in the end, after every guard that rewrote it."""
    seen, text = {raw}, kept[raw]
    while text in kept and text not in seen:
        seen.add(text)
        text = kept[text]
    return text


def _written(raw: str, instead: str) -> list[tuple[str, str]]:
    """The two as they stand in a text, and as they stand in one that is escaped JSON."""
    pairs = [(raw, instead)]
    if (escaped := json.dumps(raw)[1:-1]) != raw:
        pairs.append((escaped, json.dumps(instead)[1:-1]))
    return pairs


def _is_hosts(held: Any) -> bool:
    """Whether `held` is one of the host's records: a run, a message, an event, a tool call."""
    if isinstance(held, UserInputField):
        return True
    if not type(held).__module__.startswith(_HOSTS):
        return False
    return dataclasses.is_dataclass(held) or isinstance(held, BaseModel)
