"""A reference to a secret: read late, kept briefly, shown nowhere; its source may do anything."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_sources import Clock, Hanging, Told, turned_until

from agno_portkey.errors import ConfigurationError, SecretMissing, SecretUnavailable
from agno_portkey.secrets import Secret
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.source import MAX_LENGTH, unusable

OLD, NEW = "sk-old-4711-value", "sk-new-0815-value"


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    source = Hanging()
    yield source
    source.let_go.set()


def test_it_is_read_when_it_is_needed_and_kept_for_its_time() -> None:
    source, clock = Told(OLD, NEW), Clock()
    secret = Secret("KEY", source, ttl=30, clock=clock)
    assert (source.asked, secret.fresh, secret.version) == (0, False, 0)
    assert secret.reveal() == OLD
    assert (secret.fresh, secret.version) == (True, 1)
    clock.now += 29.9
    assert secret.reveal() == OLD
    assert source.asked == 1
    clock.now += 0.1
    assert not secret.fresh
    assert secret.reveal() == NEW
    assert (source.asked, secret.version) == (2, 2)


def test_it_is_asked_for_anew_at_once() -> None:
    source = Told(OLD, OLD, NEW, NEW)
    secret = Secret("KEY", source)
    assert secret.refresh() is True
    assert secret.refresh() is False
    assert asyncio.run(secret.arefresh()) is True
    assert asyncio.run(secret.arefresh()) is False
    assert (secret.reveal(), source.asked, secret.version) == (NEW, 4, 2)


FAILURES: dict[str, Any] = {
    "raises": OSError("sk-in-the-words-of-an-error"),
    "unavailable": SecretUnavailable("KEY: the cupboard is locked"),
    "exits": SystemExit("sk-in-the-words-of-an-error"),
    "empty": "",
    "blank": "   ",
    "binary": b"sk-bytes",
    "nothing": None,
    "huge": "x" * (MAX_LENGTH + 1),
    "newline": "sk-one\nsk-two",
    "line end": "sk-one\n",
    "zero": "sk-\0",
    "umlaut": "sk-ü",
    "blank at the end": "sk-one ",
    "number": 4711,
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_source_that_fails_or_lies_gives_none(kind: str) -> None:
    secret = Secret("KEY", Told(FAILURES[kind]))
    for reveal in (secret.reveal, lambda: asyncio.run(secret.areveal()), secret.refresh):
        with pytest.raises(SecretUnavailable, match="KEY") as raised:
            reveal()
        shown = "".join(traceback.format_exception(raised.value))
        assert "sk-" not in shown
        assert raised.value.__cause__ is None


@pytest.mark.parametrize("kind", FAILURES)
def test_the_last_value_is_used_for_a_while_where_the_source_fails(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, clock = Told(OLD, FAILURES[kind]), Clock()
    secret = Secret("KEY", source, ttl=30, grace=300, clock=clock)
    assert secret.reveal() == OLD
    clock.now += 30
    with caplog.at_level(logging.WARNING):
        assert secret.reveal() == OLD
        assert secret.reveal() == OLD
    # It rests before it is asked again, and is told of once.
    assert source.asked == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "KEY" in caplog.text
    assert "sk-" not in caplog.text
    clock.now += 299.9
    assert secret.reveal() == OLD
    clock.now += 0.1
    # The rest does not reach beyond the grace.
    clock.now += 5
    with pytest.raises(SecretUnavailable):
        secret.reveal()


def test_what_is_good_again_is_used_again() -> None:
    clock = Clock()
    secret = Secret("KEY", Told(OLD, OSError(), NEW), ttl=30, clock=clock)
    assert secret.reveal() == OLD
    clock.now += 31
    assert secret.reveal() == OLD
    clock.now += 6
    assert secret.reveal() == NEW
    assert secret.fresh


def test_what_was_taken_away_is_not_used_any_longer() -> None:
    clock = Clock()
    secret = Secret("KEY", Told(OLD, SecretMissing("KEY: gone"), OSError()), clock=clock)
    assert secret.reveal() == OLD
    clock.now += 31
    with pytest.raises(SecretMissing, match="KEY: gone"):
        secret.reveal()
    with pytest.raises(SecretUnavailable):
        secret.reveal()


def test_a_refresh_that_fails_leaves_what_is_held() -> None:
    secret = Secret("KEY", Told(OLD, OSError()))
    assert secret.reveal() == OLD
    with pytest.raises(SecretUnavailable):
        secret.refresh()
    assert secret.reveal() == OLD


def test_one_that_hangs_is_not_waited_for_beyond_its_time(hanging: Hanging) -> None:
    secret = Secret("KEY", hanging, timeout=0.01)
    with pytest.raises(SecretUnavailable, match=r"no answer within 0\.01 s"):
        secret.reveal()
    with pytest.raises(SecretUnavailable, match=r"no answer within 0\.01 s"):
        asyncio.run(secret.areveal())
    with pytest.raises(SecretUnavailable):
        secret.refresh()
    with pytest.raises(SecretUnavailable):
        asyncio.run(secret.arefresh())
    # No more threads are left behind for it.
    with pytest.raises(SecretUnavailable, match="4 readings of it hang"):
        secret.reveal()
    # A thread may begin only after its time is over.
    assert all(hanging.begun.acquire(timeout=30) for _ in range(4))
    assert hanging.asked == 4


def test_what_comes_late_does_not_take_the_place_of_what_came_after_it() -> None:
    held, gone = threading.Event(), threading.Event()

    def late() -> str:
        held.wait()
        return OLD

    source = Told(late, NEW)
    secret = Secret("KEY", source, timeout=0.01)
    with pytest.raises(SecretUnavailable):
        secret.reveal()
    assert secret._asking is not None
    secret._asking._began, secret.timeout = float("-inf"), 30
    assert secret.reveal() == NEW
    settle = secret._settle

    def settled(*how: Any) -> None:
        settle(*how)
        gone.set()

    secret._settle = settled  # type: ignore[method-assign]
    held.set()
    gone.wait()
    assert secret.reveal() == NEW


async def test_an_event_loop_goes_on_while_the_source_is_asked(hanging: Hanging) -> None:
    secret = Secret("KEY", hanging, timeout=30)
    asked = asyncio.create_task(secret.areveal())
    await turned_until(hanging.begun)
    assert not asked.done()
    hanging.let_go.set()
    assert await asked == hanging.value


async def test_who_is_cancelled_calls_it_off_for_nobody_else(hanging: Hanging) -> None:
    secret = Secret("KEY", hanging, timeout=30)
    one, other = (asyncio.create_task(secret.areveal()) for _ in range(2))
    await turned_until(hanging.begun)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    hanging.let_go.set()
    assert await other == hanging.value
    assert hanging.asked == 1


def test_threads_and_loops_ask_once(hanging: Hanging) -> None:
    secret = Secret("KEY", hanging, timeout=30)
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(secret.reveal) for _ in range(8)]
        asked += [threads.submit(lambda: asyncio.run(secret.areveal())) for _ in range(8)]
        hanging.begun.acquire()
        hanging.let_go.set()
        assert {each.result() for each in asked} == {hanging.value}
    assert hanging.asked == 1


async def test_a_reading_that_began_before_is_not_taken_for_a_newer_one() -> None:
    begun, held = threading.Semaphore(0), threading.Event()

    def slow() -> str:
        begun.release()
        held.wait()
        return OLD

    source = Told(OLD, slow, NEW)
    secret = Secret("KEY", source, timeout=30)
    assert await secret.areveal() == OLD
    first, second = (asyncio.create_task(secret.arefresh()) for _ in range(2))
    await turned_until(begun)
    # Both wait for the one reading now.
    held.set()
    assert await second is True
    assert await first in (True, False)
    assert (await secret.areveal(), source.asked) == (NEW, 3)


@pytest.mark.parametrize("told", [repr, str, lambda one: f"{one}", lambda one: repr([one])])
def test_it_shows_its_name_alone(told: Callable[[Secret], str]) -> None:
    secret = Secret("KEY", Told(OLD))
    assert secret.reveal() == OLD
    assert told(secret).strip("[]") == "Secret('KEY', Told)"


def test_it_is_shared_by_copies_and_goes_nowhere_else() -> None:
    secret = Secret("KEY", Told(OLD))
    secret.reveal()
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    for kept in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            kept(secret)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret.reveal())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "env"}, "source"),
        ({"source": Told}, "source"),
        ({"name": ""}, "name"),
        ({"name": "../etc/passwd"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a" * 129}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": None}, "name"),
        ({"ttl": -1}, "ttl"),
        ({"grace": float("nan")}, "grace"),
        ({"timeout": "5"}, "timeout"),
    ],
)
def test_what_is_wrong_with_its_arguments_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{said}:"):
        Secret(**{"name": "KEY", "source": Told(OLD), **given})


VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)


@given(VALUES, st.integers(0, 90), st.integers(0, 90))
def test_no_repr_of_a_hidden_text_or_a_part_of_it_shows_it(value: str, a: int, b: int) -> None:
    hidden = Hidden(value)
    assert hidden == value
    assert json.loads(json.dumps({"key": hidden})) == {"key": value}
    assert repr(hidden) == repr(hidden[a:b]) == repr(copy.deepcopy(hidden)) == "'[hidden]'"
    assert hidden[a:b] == value[a:b]
    assert repr({"key": [hidden]}) == "{'key': ['[hidden]']}"


@given(st.text())
def test_what_can_be_used_can_be_sent(value: str) -> None:
    if unusable(value) is None:
        assert value.encode("ascii").strip() == value.encode()
        assert not set(value) & {"\r", "\n", "\0"}
