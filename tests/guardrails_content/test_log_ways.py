"""By whatever way words come into a log: arguments, extras, exceptions, names, other handlers."""

from __future__ import annotations

import json
import logging
import logging.handlers
import threading
import warnings
from collections.abc import Callable
from queue import Queue
from typing import Any

import pytest
from logged import KEY, fail

from agno_portkey.guardrails import Flag, Guard, Passage
from agno_portkey.guardrails.logs import RedactingFilter, install
from agno_portkey.guardrails.secrets import SecretsGuardrail, without_secrets
from agno_portkey.verdict import Verdict


def _threaded(logger: logging.Logger) -> None:
    thread = threading.Thread(target=logger.info, args=("x",), name=f"of {KEY}")
    thread.start()
    thread.join()


def _chained(logger: logging.Logger) -> None:
    try:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        logger.exception("both")


def _noted(logger: logging.Logger) -> None:
    error = ValueError("plain")
    error.add_note(KEY)
    logger.error("x", exc_info=error)


class _Number(int):
    def __str__(self) -> str:
        return KEY

    __repr__ = __str__


class _Prefix(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: Any) -> Any:
        return f"[{KEY}] {msg}", kwargs


def _warned(logger: logging.Logger) -> None:
    record = logging.getLogger("py.warnings")
    record.addHandler(handler := logger.parent.handlers[0])  # type: ignore[union-attr]
    record.propagate = False
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(KEY, stacklevel=1)
    finally:
        logging.captureWarnings(False)
        record.removeHandler(handler)
        record.propagate = True


def _cyclic(logger: logging.Logger) -> None:
    held: dict[str, Any] = {"key": KEY}
    held["held"] = held
    logger.info("x", extra={"held": held})


WAYS: dict[str, Callable[[logging.Logger], object]] = {
    "arguments": lambda log: log.info("%s and %s", "a", KEY),
    "a mapping": lambda log: log.info("%(key)s", {"key": KEY}),
    "split in two": lambda log: log.info("ghp_%s", KEY[4:]),
    "bytes": lambda log: log.info(KEY.encode()),  # type: ignore[arg-type]
    "an exception as message": lambda log: log.info(ValueError(KEY)),  # type: ignore[arg-type]
    "a chain": _chained,
    "a note": _noted,
    "an exception as extra": lambda log: log.info("x", extra={"e": (1, ValueError(KEY))}),
    "a number that says it": lambda log: log.info("x", extra={"n": _Number(3)}),
    "an extra's name": lambda log: log.info("x", extra={KEY: 1}),
    "a cycle": _cyclic,
    "a child's name": lambda log: log.getChild(KEY).info("x"),
    "a thread's name": _threaded,
    "an adapter": lambda log: _Prefix(log, {}).info("x"),
    "a warning": _warned,
}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = super().format(record)
        return json.dumps([said, {name: str(value) for name, value in vars(record).items()}])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("formatter", [_Json(), logging.Formatter("%(name)s %(message)s")])
def test_by_whatever_way(way: str, formatter: logging.Formatter, log: Any) -> None:
    logger, handler, out = log
    handler.setFormatter(formatter)
    remove = install(without_secrets, [handler])
    WAYS[way](logger)
    assert out.getvalue()
    assert KEY[4:20] not in out.getvalue()
    remove()


def test_what_another_filter_says_anew_between_two_handlers(log: Any) -> None:
    logger, handler, out = log
    other = logging.StreamHandler(out)
    other.addFilter(lambda record: bool(setattr(record, "msg", KEY) or True))
    logger.parent.addHandler(other)
    remove = install(without_secrets, [handler, other])
    logger.info("x")
    assert out.getvalue() == "INFO x\n[secret: github token]\n"
    logger.parent.removeHandler(other)
    remove()


def test_what_another_filter_puts_on_between_two_handlers(log: Any) -> None:
    logger, handler, out = log
    other = logging.StreamHandler(out)
    other.setFormatter(logging.Formatter("%(message)s %(late)s"))
    other.addFilter(lambda record: bool(setattr(record, "late", KEY) or True))
    logger.parent.addHandler(other)
    remove = install(without_secrets, [handler, other])
    logger.info("x")
    assert out.getvalue() == "INFO x\nx [secret: github token]\n"
    logger.parent.removeHandler(other)
    remove()


def test_it_is_asked_once_about_what_several_handlers_write(log: Any) -> None:
    logger, handler, out = log
    asked: list[str] = []
    other = logging.StreamHandler(out)
    logger.parent.addHandler(other)
    remove = install(lambda text: asked.append(text) or text.upper(), [handler, other])  # type: ignore[func-returns-value]
    logger.info("x")
    logger.info("y")
    assert out.getvalue() == "INFO X\nX\nINFO Y\nY\n"
    assert asked.count("x") == asked.count("y") == 1
    logger.parent.removeHandler(other)
    remove()


def test_installed_again_it_goes_behind_the_filters_that_came_since(log: Any) -> None:
    logger, handler, out = log
    handler.setFormatter(logging.Formatter("%(late)s"))
    remove = install(without_secrets, [handler])
    handler.addFilter(lambda record: bool(setattr(record, "late", KEY) or True))
    install(without_secrets, [handler])
    assert len(handler.filters) == 2
    logger.info("x")
    assert out.getvalue() == "[secret: github token]\n"
    remove()
    handler.filters.clear()


def test_a_handler_that_another_fills_is_given_redacted_records(log: Any) -> None:
    logger, handler, out = log
    queue: Any = Queue()
    sender = logging.handlers.QueueHandler(queue)
    logger.parent.removeHandler(handler)
    logger.parent.addHandler(sender)
    remove = install(without_secrets)
    try:
        fail()
    except ValueError:
        logger.exception("key %s", KEY)
    handler.handle(queue.get_nowait())
    assert KEY not in out.getvalue()
    assert out.getvalue().count("[secret: github token]") == 2
    logger.parent.removeHandler(sender)
    remove()


def test_without_any_handler_the_last_resort_is_redacted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    remove = install(without_secrets)
    record = logging.makeLogRecord({"msg": f"key {KEY}", "levelno": 40})
    assert logging.lastResort is not None
    logging.lastResort.handle(record)
    assert capsys.readouterr().err == "key [secret: github token]\n"
    remove()


def test_names_are_looked_at_once_and_few_are_remembered() -> None:
    asked: list[str] = []
    made = RedactingFilter(lambda text: asked.append(text) or text)  # type: ignore[func-returns-value]
    for n in range(1_100):
        made.filter(logging.makeLogRecord({"msg": "x", "name": f"n{n}"}))
    asked.clear()
    for name in ("n1", "n1099"):
        made.filter(logging.makeLogRecord({"msg": "x", "name": name}))
    assert asked == ["x", "x", "n1099"]


def test_an_interrupt_goes_on_and_leaves_no_words() -> None:
    def interrupted(text: str) -> str:
        raise KeyboardInterrupt

    record = logging.makeLogRecord({"msg": KEY, "name": KEY, "extra": KEY})
    with pytest.raises(KeyboardInterrupt):
        RedactingFilter(interrupted).filter(record)
    assert KEY not in str(vars(record))


def test_a_text_without_an_exception_and_an_exception_without_a_tuple() -> None:
    record = logging.makeLogRecord({"msg": "x", "exc_text": KEY})
    RedactingFilter(without_secrets).filter(record)
    assert record.exc_text == "[secret: github token]"
    record = logging.makeLogRecord({"msg": "x", "exc_info": ValueError(KEY)})
    RedactingFilter(without_secrets).filter(record)
    assert "ValueError: [secret: github token]" in str(record.exc_text)


def test_guards_are_asked_in_turn_and_may_flag_or_pass(log: Any) -> None:
    class Says(Guard):
        inline = True

        def __init__(self, said: Any) -> None:
            super().__init__()
            self.said = said

        def inspect(self, passage: Passage) -> Any:
            return self.said

    logger, handler, out = log
    passes = [Says(None), Says(Flag("odd")), Says(Verdict(True, "x"))]
    remove = install([*passes, SecretsGuardrail(action="mask")], [handler])
    logger.info("key %s", KEY)
    remove()
    remove = install([*passes, Says(Verdict(False, "x", ("no",)))], [handler])
    logger.info("key %s", KEY)
    remove()
    said = "INFO key [secret: github token]\nINFO [this message was refused by Says]\n"
    assert out.getvalue() == said
    one = RedactingFilter(passes)._redact
    assert one == RedactingFilter(passes)._redact
    assert hash(one) == hash(RedactingFilter(passes)._redact)
    assert one != RedactingFilter(passes[:2])._redact
