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

# What every record has: none of it is anybody's words, but for those that are redacted by name.
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime"}
_DROPPED = "[this message could not be redacted, and was dropped]"
_REFUSED = "[this message was refused by {}]"
# Values that say nothing, and how deep in a value texts are looked for.
_PLAIN = (bool, int, float, type(None))
_DEEPEST = 8


class RedactingFilter(logging.Filter):
    """Redacts records in place: message, traceback, stack, and what was passed as `extra`.

    `redact` is a function of a text, or one or more guards, each asked in turn: what one rewrites
    goes on, and what one blocks is dropped. It never raises: a record that it can't redact goes
    on with none of its words.
    """

    def __init__(self, redact: Redact | Guard | Iterable[Guard]) -> None:
        super().__init__()
        self._redact = _as_function(redact)
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.__dict__.get(_MARK) is self:
            # Several handlers are given the same record.
            return True
        try:
            self._redact_record(record)
        except BaseException as error:
            _empty(record)
            if not isinstance(error, Exception | SystemExit | RecursionError):
                raise
        record.__dict__[_MARK] = self
        return True

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
        if len(held) > len(_OWN) - 2:
            for name in [name for name in held if name not in _OWN and name != _MARK]:
                held[name] = self._extra(held[name])

    def _extra(self, value: Any, depth: int = 0) -> Any:
        """A value that was passed as extra, its texts redacted."""
        if isinstance(value, str):
            return _text(self._redact(str(value)))
        if isinstance(value, _PLAIN):
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


def install(
    redact: Redact | Guard | Iterable[Guard],
    handlers: Iterable[Any] | None = None,
) -> Callable[[], None]:
    """Put one `RedactingFilter` on `handlers`, else on all that there are; returns its removal.

    A handler that has one for the same `redact` already keeps that one. Handlers that are made
    later have none: install it again once logging is configured anew.
    """
    added: list[tuple[Any, RedactingFilter]] = []
    made = RedactingFilter(redact)
    for handler in _all_handlers() if handlers is None else handlers:
        if not isinstance(handler, logging.Handler):
            raise ConfigurationError("handlers: a list of logging handlers")
        if not any(_same(each, made) for each in handler.filters):
            handler.addFilter(made)
            added.append((handler, made))

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
    for name in [name for name in record.__dict__ if name not in _OWN]:
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
