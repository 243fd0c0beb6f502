"""A log filter that redacts: whatever a handler is about to write has been looked at.

It belongs on handlers: a filter of a parent logger is not asked about the records of its children.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.findings import Block, Flag, Rewrite
from agno_portkey.guardrails.passages import Passage
from agno_portkey.verdict import Verdict

__all__ = ["RedactingFilter", "install"]

Redact: TypeAlias = Callable[[str], str]

# What every record has, and which of it are names that a program may give as it likes.
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime"}
_NAMES = ("name", "threadName", "processName", "taskName")
_DROPPED = "[this message could not be redacted, and was dropped]"
_REFUSED = "[this message was refused by {}]"
# Values that say nothing, and how deep in a value texts are looked for.
_PLAIN = frozenset((bool, int, float, type(None)))
_DEEPEST = 8
# How many names are remembered that nothing was to be hidden of.
_REMEMBERED = 1_024


class RedactingFilter(logging.Filter):
    """Redacts records in place: message, traceback, stack, names, what was passed as `extra`.

    `redact` is a function of a text, or one or more guards, each asked in turn: what one rewrites
    goes on, and what one blocks is dropped. It never raises: a record that it can't redact goes
    on with none of its words. It sees what is on a record when it is asked: not what a filter
    behind it, or a formatter, puts in, nor what is written past logging, as warnings are.
    """

    def __init__(self, redact: Redact | Guard | Iterable[Guard]) -> None:
        super().__init__()
        self._redact = _as_function(redact)
        self._formatter = logging.Formatter()
        self._clean: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if self._left_so(record):
            return True
        try:
            self._redact_record(record)
        except BaseException as error:
            _empty(record)
            if not isinstance(error, Exception | SystemExit):
                raise
        record.__dict__[_MARK] = (self, _content(record))
        return True

    def _left_so(self, record: logging.LogRecord) -> bool:
        """Whether this one has redacted the record already, and nothing came to it since."""
        mark: tuple[object, dict[str, Any]] = record.__dict__.get(_MARK) or (None, {})
        by, left = mark
        now = _content(record)
        return by is self and all(left.get(k) is now[k] for k in now)

    def _redact_record(self, record: logging.LogRecord) -> None:
        redact = self._redact
        record.msg, record.args = _text(redact(record.getMessage())), None
        # A formatter that ran before this one has put words there as well.
        record.__dict__.pop("message", None)
        if record.exc_info:
            told = record.exc_text or self._formatter.formatException(_info(record))
            record.exc_text = _text(redact(told))
            # A handler that formats the exception anew would print what it quotes.
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = _text(redact(record.exc_text))
        if record.stack_info:
            record.stack_info = _text(redact(record.stack_info))
        held = record.__dict__
        for name in _NAMES:
            if isinstance(held.get(name), str):
                held[name] = self._name(held[name])
        for name in [name for name in held if name not in _OWN and name != _MARK]:
            value, called = self._extra(held[name]), self._name(name)
            if called != name:
                del held[name]
            held[called] = value

    def _name(self, name: str) -> str:
        """A name, redacted; there are few of them."""
        if name in self._clean:
            return name
        if (redacted := _text(self._redact(name))) == name and len(self._clean) < _REMEMBERED:
            self._clean.add(name)
        return redacted

    def _extra(self, value: Any, depth: int = 0) -> Any:
        """A value that was passed as extra, its texts redacted."""
        if isinstance(value, str):
            return _text(self._redact(str(value)))
        if type(value) in _PLAIN:
            return value
        if depth >= _DEEPEST:
            return _DROPPED
        if isinstance(value, Mapping):
            return {
                self._extra(key, depth + 1): self._extra(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._extra(item, depth + 1) for item in value]
        return _text(self._redact(str(value)))


_MARK = "_agno_portkey_redacted_by"
# What formatters write on a record.
_FORMATTED = frozenset((_MARK, "message", "asctime"))


def _content(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _FORMATTED}


def install(
    redact: Redact | Guard | Iterable[Guard],
    handlers: Iterable[Any] | None = None,
) -> Callable[[], None]:
    """Put one `RedactingFilter` on `handlers`, else on all that there are; returns its removal.

    A handler that has one for the same `redact` already keeps that one, behind all its other
    filters. Handlers that are made later have none: install it again once logging is configured
    anew.
    """
    added: list[tuple[Any, RedactingFilter]] = []
    made = RedactingFilter(redact)
    for handler in _all_handlers() if handlers is None else handlers:
        if not isinstance(handler, logging.Handler):
            raise ConfigurationError("handlers: a list of logging handlers")
        installed = next((each for each in handler.filters if _same(each, made)), None)
        if installed is None:
            handler.addFilter(made)
            added.append((handler, made))
        elif handler.filters[-1] is not installed:
            # What the others put on a record is looked at as well.
            handler.removeFilter(installed)
            handler.addFilter(installed)

    def remove() -> None:
        for handler, each in added:
            handler.removeFilter(each)

    return remove


def _same(installed: Any, made: RedactingFilter) -> bool:
    return isinstance(installed, RedactingFilter) and installed._redact == made._redact


def _all_handlers() -> list[Any]:
    """The handlers of every logger, and the one that logging falls back on."""
    known = [*logging.root.manager.loggerDict.values(), logging.root]
    found = [each for logger in known for each in getattr(logger, "handlers", ())]
    return [*dict.fromkeys([*found, *([logging.lastResort] if logging.lastResort else [])])]


def _info(record: logging.LogRecord) -> Any:
    info = record.exc_info
    return (type(info), info, info.__traceback__) if isinstance(info, BaseException) else info


def _text(redacted: object) -> str:
    if not isinstance(redacted, str):
        raise TypeError("what redacts logs gave no text")
    return redacted


def _empty(record: logging.LogRecord) -> None:
    record.msg, record.args = _DROPPED, None
    record.exc_info = record.exc_text = record.stack_info = None
    for name in [name for name in record.__dict__ if name not in _OWN or name in _NAMES]:
        record.__dict__[name] = None
    record.__dict__.pop("message", None)


class _Asked:
    """Guards as one function of a text; equal to another one that asks the same."""

    def __init__(self, guards: tuple[Guard, ...]) -> None:
        self._guards = guards

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._guards == other._guards

    def __hash__(self) -> int:
        return hash(self._guards)

    def __call__(self, text: str) -> str:
        for guard in self._guards:
            said = guard.inspect(Passage(text, "data", "output"))
            if isinstance(said, Rewrite):
                text = _text(said.text)
            elif isinstance(said, Block) or (isinstance(said, Verdict) and not said.passed):
                return _REFUSED.format(guard.name)
            elif said is not None and not isinstance(said, Flag | Verdict):
                if inspect.iscoroutine(said):
                    said.close()
                raise TypeError(f"{guard.name}: it gave no finding at once, and can't redact logs")
        return text


def _as_function(redact: Any) -> Redact:
    if isinstance(redact, Guard):
        return _Asked((redact,))
    if isinstance(redact, Iterable) and not isinstance(redact, str):
        guards = tuple(redact)
        if guards and all(isinstance(each, Guard) for each in guards):
            return _Asked(guards)
    if callable(redact):
        function: Any = redact
        return cast("Redact", function)
    raise ConfigurationError("redact: a function of a text, or guards, and at least one")
