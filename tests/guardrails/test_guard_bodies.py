"""What comes of whatever a guard's body gives back or raises: nothing it does is a pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agno.run.agent import RunInput
from hypothesis import example, given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError, InputBlocked
from agno_portkey.guardrails import Block, Flag, Guard, Passage, Rewrite, guard
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.verdict import Verdict

TEXT = "the bluebird lands at dawn"
CALLS = ("sync", "async")


def ask(asked: Guard, call: str = "sync", text: str = TEXT) -> str:
    """Ask as a pre-hook; the text as it goes on."""
    given_ = RunInput(input_content=text)
    _ask(asked, call, given_)
    return str(given_.input_content)


def _ask(asked: Guard, call: str, given_: RunInput) -> None:
    if call == "sync":
        asked.check(given_)
    else:
        asyncio.run(_awaited(asked, given_))


async def _awaited(asked: Guard, given_: RunInput) -> None:
    await asked.async_check(given_)


async def never_awaited() -> Block:
    return Block("nobody waited for this")


def generates(passage: Passage) -> Iterator[Block]:
    yield Block("x")


async def async_junk(passage: Passage) -> Any:
    return never_awaited()


JUNK: dict[str, Callable[[Passage], Any]] = {
    "bool": lambda passage: True,
    "False": lambda passage: False,
    "str": lambda passage: "x",
    "int": lambda passage: 0,
    "list": lambda passage: [],
    "type": lambda passage: Block,
    "generator": generates,
    "coroutine": async_junk,
    "Rewrite": lambda passage: Rewrite("x"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("kind", JUNK)
def test_junk_blocks(kind: str, inline: bool, call: str) -> None:
    if inline and kind == "coroutine":
        asked = guard(inline=True)(lambda passage: async_junk(passage))
    else:
        asked = guard(inline=inline)(JUNK[kind])
    with pytest.raises(InputBlocked, match="failed: its inspect"):
        ask(asked, call)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "said",
    [Rewrite(7), Block(None), Block("x", evidence=None), Flag(3)],  # type: ignore[arg-type]
)
def test_a_finding_that_is_not_whole_blocks(said: Any, call: str) -> None:
    with pytest.raises(InputBlocked, match=r"its inspect (gave|rewrites into)"):
        ask(guard(rewrites=True)(lambda passage: said), call)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("inline", [False, True])
def test_a_verdict_counts_as_a_finding(inline: bool, call: str) -> None:
    no = Verdict(False, "judge", ("off topic", "rude"), score=2.0, evidence={"judge": "j"})
    assert ask(guard(inline=inline)(lambda passage: Verdict(True, "judge")), call) == TEXT
    with pytest.raises(InputBlocked, match="off topic; rude") as caught:
        ask(guard(inline=inline)(lambda passage: no), call)
    assert caught.value.verdict.score == 2.0
    assert caught.value.verdict.evidence["found"][0]["judge"] == "j"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("blocked", [None, 0, 1, 2, 3])
def test_a_plain_body_may_give_what_is_to_be_awaited(blocked: int | None, call: str) -> None:
    asked: list[str] = []

    async def later(passage: Passage) -> Block | None:
        await asyncio.sleep(0)
        return Block("no") if passage.text == str(blocked) else None

    @guard
    def body(passage: Passage) -> Any:
        asked.append(passage.text)
        # Some at once, some later.
        waits = passage.text in "123"
        return later(passage) if waits else Block("no") if passage.text == str(blocked) else None

    given_ = RunInput(input_content=["0", "1", "2", "3", "4"])
    if blocked is None:
        _ask(body, call, given_)
    else:
        with pytest.raises(InputBlocked):
            _ask(body, call, given_)
    assert asked == [str(place) for place in range(5 if blocked is None else blocked + 1)]


@pytest.mark.parametrize("call", CALLS)
def test_an_inline_body_may_not_wait(call: str) -> None:
    with pytest.raises(InputBlocked, match="awaits, and it is declared inline"):
        ask(guard(inline=True)(lambda passage: never_awaited()), call)

    @guard(inline=True, timeout=0.001)
    def late(passage: Passage) -> None:
        asyncio.run(asyncio.sleep(0.005)) if call == "sync" else _spin()

    with pytest.raises(InputBlocked, match="no verdict within"):
        ask(late, call)


def _spin() -> None:
    for _ in range(200_000):
        pass


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [ValueError, KeyError, SystemExit, NotImplementedError])
def test_whatever_a_body_raises_blocks(error: type[BaseException], call: str) -> None:
    def raises(passage: Passage) -> None:
        raise error(f"can't read {passage.text!r}")

    async def araises(passage: Passage) -> None:
        raises(passage)

    for asked in (guard(raises), guard(inline=True)(raises), guard(araises)):
        with pytest.raises(InputBlocked, match=f"failed: {error.__name__}") as caught:
            ask(asked, call)
        assert TEXT not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_a_guard_without_a_body_is_refused_when_it_is_made_and_blocks_where_it_was_not_asked(
    call: str,
) -> None:
    bare = type("Bare", (Guard,), {})
    with pytest.raises(ConfigurationError, match=r"Bare: write inspect\(self, passage\), which"):
        bare()
    unmade = type("Unmade", (Guard,), {"__init__": lambda self: None})()
    with pytest.raises(ConfigurationError, match=r"Unmade: write inspect\(self, passage\), which"):
        check_guards([unmade])
    with pytest.raises(InputBlocked, match=r"Unmade\.inspect is not written"):
        ask(unmade, call)


WRITTEN: tuple[Callable[[str], Exception], ...] = (
    ValueError,
    KeyError,
    lambda text: ValueError(f"{text!r} is odd"),
    lambda text: ValueError(json.dumps({"read": text})),
)


@given(st.text(min_size=6, max_size=40), st.sampled_from(WRITTEN))
@example("00000\\", KeyError)
def test_a_failure_says_nothing_of_the_text(text: str, write: Callable[[str], Exception]) -> None:
    def raises(passage: Passage) -> None:
        raise write(passage.text)

    with pytest.raises(InputBlocked) as caught:
        ask(guard(name="g", inline=True)(raises), text=text)
    assert str(caught.value) == f"g failed: {type(write('')).__name__}"
    # For who may read it, it is there.
    assert str(caught.value.__cause__) == str(write(text))
