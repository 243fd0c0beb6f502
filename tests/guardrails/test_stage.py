"""One stage: who is asked when and in which mode, what ends it, and what goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.errors import ConfigurationError, InputBlocked
from agno_portkey.guardrails import Block, Guard, Passage, Rewrite, Scene, guard
from agno_portkey.guardrails.stage import Stage
from agno_portkey.modes import PARTS, check_mode, mode_now, override_of, variable_of
from agno_portkey.verdict import Event

VARIABLE = "AGNO_PORTKEY_GUARDS_MODE"
CALLS = ("sync", "async")
LONG = 30.0
SCENE = Scene("model", "run", "session", "user", "writer", "crew")


@pytest.fixture(autouse=True)
def _no_mode_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def ask(call: str, guards: Sequence[Guard], *texts: str | Passage, **more: Any) -> list[str] | None:
    """What goes on of `texts`, None if nothing is changed."""
    passages = [Passage(each) if isinstance(each, str) else each for each in texts or ("text",)]
    io = SyncIO() if call == "sync" else AsyncIO()
    stage = Stage(guards, io, SCENE, more.pop("side", "input"), **more)
    asked = stage.inspect(passages)
    return step(asked) if call == "sync" else asyncio.run(asked)


def says(said: Any, **settings: Any) -> Guard:
    return guard(**{"name": "says", **settings})(lambda passage: said)


def swaps(old: str, new: str, **settings: Any) -> Guard:
    def swap(passage: Passage) -> Rewrite | None:
        return Rewrite(passage.text.replace(old, new)) if old in passage.text else None

    return guard(**{"name": f"{old}>{new}", "rewrites": True, **settings})(swap)


# Order


@pytest.mark.parametrize("call", CALLS)
def test_checks_are_asked_at_the_same_time_each_about_all_passages(call: str) -> None:
    barrier = threading.Barrier(4)
    asked: list[tuple[str, str]] = []

    def meets(name: str) -> Guard:
        @guard(name=name, timeout=LONG)
        def meet(passage: Passage) -> None:
            asked.append((name, passage.text))
            if passage.text == "one":
                barrier.wait(LONG)

        return meet

    assert ask(call, [meets(name) for name in "abcd"], "one", "two") is None
    assert sorted(asked) == [(name, text) for name in "abcd" for text in ("one", "two")]


@pytest.mark.parametrize("call", CALLS)
def test_the_first_block_ends_the_others(call: str) -> None:
    begun, cancelled, forever = asyncio.Event(), threading.Event(), threading.Event()
    heard: list[Event] = []

    @guard(timeout=LONG)
    async def waits(passage: Passage) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @guard(timeout=LONG)
    def hangs(passage: Passage) -> None:
        forever.wait()

    @guard(timeout=LONG)
    async def blocks(passage: Passage) -> Block:
        await begun.wait()
        return Block("no")

    with pytest.raises(InputBlocked, match="no"):
        ask(call, [hangs, waits, blocks], observers=[heard.append])
    assert cancelled.wait(LONG)
    forever.set()
    assert [event.verdict.source for event in heard if event.verdict] == ["blocks"]


@pytest.mark.parametrize("call", CALLS)
def test_after_a_block_on_the_spot_nobody_else_is_asked(call: str) -> None:
    asked: list[str] = []
    later = guard(lambda passage: asked.append(passage.text))
    with pytest.raises(InputBlocked):
        ask(call, [later, says(Block("no"), inline=True), later])
    assert asked == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("inline", [False, True])
def test_guards_that_rewrite_work_in_order_and_checks_between_them_see_what_is_left(
    call: str, inline: bool
) -> None:
    seen: dict[str, list[str]] = {}

    def looks(name: str) -> Guard:
        return guard(inline=inline)(
            lambda passage: seen.setdefault(name, []).append(passage.text)  # type: ignore[func-returns-value]
        )

    guards = [
        looks("first"),
        swaps("a", "b", inline=inline),
        looks("second"),
        swaps("b", "c", inline=inline),
        swaps("c", "d", inline=inline),
        looks("third"),
    ]
    assert ask(call, guards, "a b", "x", "c") == ["d d", "x", "d"]
    assert seen == {
        "first": ["a b", "x", "c"],
        "second": ["b b", "x", "c"],
        "third": ["d d", "x", "d"],
    }
    assert ask(call, guards, "x", "y") is None
    assert ask(call, [says(Rewrite("text"), rewrites=True)], "text") is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=5), st.text())
def test_rewriting_is_the_same_as_replacing_in_order(swapped: list[Any], text: str) -> None:
    text = f"abc{text}"
    expected = text
    for old, new in swapped:
        expected = expected.replace(old, new)
    found = ask("sync", [swaps(old, new, inline=True) for old, new in swapped], text)
    assert (found or [text]) == [expected]


# Modes


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("make", [says, swaps], ids=["a check", "one that rewrites"])
@pytest.mark.parametrize("inline", [False, True])
def test_modes_and_the_variable_that_overrides_them_at_run_time(
    call: str, inline: bool, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []

    def made(mode: str) -> Guard:
        args = (Block("no"),) if make is says else ("text", "new")
        own: Guard = make(*args, mode=mode, inline=inline)
        return own

    def outcome(own: str, said: str | None) -> Any:
        heard.clear()
        if said is None:
            monkeypatch.delenv(VARIABLE, raising=False)
        else:
            monkeypatch.setenv(VARIABLE, said)
        try:
            found = ask(call, [made(own)], observers=[heard.append])
        except InputBlocked:
            found = ["new"]
        return "enforce" if found == ["new"] else "observe" if heard else "off"

    for own in ("off", "observe", "enforce"):
        assert outcome(own, None) == outcome(own, "") == own
        for said in ("off", "observe", "enforce"):
            assert outcome(own, said) == outcome(own, f" {said.upper()} ") == said
        # A slip of the pen loosens nothing.
        assert outcome(own, "of") == "enforce"


def test_modes_of_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in PARTS:
        monkeypatch.setenv(variable_of(part), "observe")
        assert (override_of(part), mode_now(part, "off")) == ("observe", "observe")
        monkeypatch.delenv(variable_of(part))
        assert (override_of(part), mode_now(part, "off")) == (None, "off")
    assert check_mode("off") == "off"
    with pytest.raises(ConfigurationError, match="gate: one of off, observe, enforce, not 'on'"):
        check_mode("on", name="gate")
