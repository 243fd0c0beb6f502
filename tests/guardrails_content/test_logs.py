"""Nothing that a redacting filter was to hide reaches a handler's output."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from logged import KEY, fail

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import Block, Guard, Passage, guard
from agno_portkey.guardrails.logs import RedactingFilter, install
from agno_portkey.guardrails.secrets import SecretsGuardrail, without_secrets


def test_message_arguments_exception_stack_and_extras(log: Any) -> None:
    logger, handler, out = log
    handler.setFormatter(logging.Formatter("%(message)s %(ctx)s %(obj)s"))
    remove = install(without_secrets, [handler])

    class Thing:
        def __str__(self) -> str:
            return KEY

    try:
        fail()
    except ValueError:
        logger.exception(
            "key %s", KEY, stack_info=True, extra={"ctx": {"k": [KEY, 1]}, "obj": Thing()}
        )
    text = out.getvalue()
    assert KEY not in text
    assert text.count("[secret: github token]") >= 4
    assert "ValueError: bad" in text
    remove()
    logger.info("key %s", KEY, extra={"ctx": 1, "obj": 2})
    assert KEY in out.getvalue()


def test_a_second_handler_is_given_the_redacted_record_too(log: Any) -> None:
    logger, handler, out = log
    other = logging.StreamHandler(out)
    logging.getLogger("content_test").addHandler(other)
    remove = install(without_secrets, [handler, other])
    logger.info("key %s", KEY)
    assert KEY not in out.getvalue()
    assert out.getvalue().count("[secret: github token]") == 2
    logging.getLogger("content_test").removeHandler(other)
    remove()


def test_installing_twice_adds_one_and_its_removal_takes_none_of_the_first(log: Any) -> None:
    _, handler, _ = log
    guards = [SecretsGuardrail(action="mask")]
    first, second = install(guards, [handler]), install(guards, [handler])
    assert len(handler.filters) == 1
    second()
    assert len(handler.filters) == 1
    first()
    first()
    assert handler.filters == []


def test_all_handlers_there_are(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, handler, _ = log
    last = logging.lastResort
    assert last is not None
    # What governs elsewhere in this process may have put an equal filter there.
    monkeypatch.setattr(last, "filters", [])
    remove = install(without_secrets)
    for each in (handler, last):
        (new,) = each.filters
        assert isinstance(new, RedactingFilter)
    remove()
    assert (handler.filters, last.filters) == ([], [])


@guard
def blocks(passage: Passage) -> Block | None:
    return Block("no") if "secret" in passage.text else None


@guard
async def awaits(passage: Passage) -> None:
    return None


class Raises(Guard):
    def inspect(self, passage: Passage) -> Any:
        raise SystemExit(passage.text)


class Lies(Guard):
    def inspect(self, passage: Passage) -> Any:
        return passage.text


@pytest.mark.parametrize(
    "redact",
    [Raises(), Lies(), awaits, lambda text: None, lambda text: 1 / 0],
    ids=["raises", "lies", "awaits", "none", "fails"],
)
def test_what_can_not_be_redacted_is_dropped(redact: Any, log: Any) -> None:
    logger, handler, out = log
    remove = install(redact, [handler])
    handler.setFormatter(logging.Formatter("%(message)s %(x)s"))
    try:
        fail()
    except ValueError:
        logger.exception("key %s", KEY, extra={"x": KEY}, stack_info=True)
    assert out.getvalue() == "[this message could not be redacted, and was dropped] None\n"
    remove()


def test_arguments_that_do_not_fit_are_dropped(log: Any) -> None:
    logger, handler, out = log
    remove = install(without_secrets, [handler])
    logger.info("%d", KEY)
    assert out.getvalue() == "INFO [this message could not be redacted, and was dropped]\n"
    remove()


def test_a_guard_that_blocks_drops_the_message(log: Any) -> None:
    logger, handler, out = log
    remove = install([blocks, SecretsGuardrail(action="mask")], [handler])
    logger.info("a secret")
    logger.info("plain %s", 1)
    assert out.getvalue() == "INFO [this message was refused by blocks]\nINFO plain 1\n"
    remove()


def test_no_formatter_can_format_the_exception_anew() -> None:
    try:
        fail()
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "x", "exc_info": (ValueError, error, None)})
    RedactingFilter(without_secrets).filter(record)
    assert record.exc_info is None
    assert "[secret: github token]" in str(record.exc_text)


def test_deep_extras_are_dropped_and_keys_redacted() -> None:
    deep: Any = KEY
    for _ in range(40):
        deep = [deep]
    record = logging.makeLogRecord({"msg": "x", "deep": deep, "keys": {KEY: 1.5, "n": None}})
    assert RedactingFilter(without_secrets).filter(record)
    assert KEY not in str(vars(record))
    assert "1.5" in str(record.__dict__["keys"])


@pytest.mark.parametrize("redact", [None, [], "text", [3], 3])
def test_what_is_no_redaction(redact: Any) -> None:
    with pytest.raises(ConfigurationError, match="redact"):
        RedactingFilter(redact)
    with pytest.raises(ConfigurationError, match="handlers"):
        install(without_secrets, [3])
