"""What a stage tells of its guards, and what is kept in place of what they did not let through."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from agno.exceptions import CheckTrigger, InputCheckError

from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.errors import GateClosed, InputBlocked, OutputBlocked
from agno_portkey.guardrails import Block, Flag, Guard, Passage, Rewrite, Scene, guard
from agno_portkey.guardrails.stage import Stage
from agno_portkey.verdict import Event, Verdict

CALLS = ("sync", "async")
LONG = 30.0
SCENE = Scene("model", "run", "session", "user", "writer", "crew")


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


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("side", ["input", "output"])
def test_every_guard_is_told_of_once_with_its_evidence(call: str, side: Any) -> None:
    heard: list[Event] = []
    own: list[Event] = []

    @guard(name="finds", observers=[own.append])
    def finds(passage: Passage) -> Block | Flag | None:
        if passage.source == "tool":
            return Flag("odd", 3.0, {"rule": 1})
        return Block("bad", 7.0, {"rule": 2}) if passage.path else None

    guards = [says(None), swaps("x", "y"), finds]
    passages = [Passage("x"), Passage("x", "tool"), Passage("z", path="to.name"), Passage("late")]
    with pytest.raises(InputBlocked if side == "input" else OutputBlocked, match="bad") as caught:
        ask(call, guards, *passages, side=side, observers=[heard.append])
    assert own == heard[-1:]
    assert {(e.kind, e.role, e.swarm, e.run_id) for e in heard} == {
        ("guard", "writer", "crew", "run")
    }
    verdicts = [event.verdict for event in heard if event.verdict]
    assert [(v.source, v.passed) for v in verdicts] == [
        ("says", True),
        ("x>y", True),
        ("finds", False),
    ]
    told = {"stage": "model", "side": side, "mode": "enforce"}
    seconds = [event.data["seconds"] for event in heard]
    assert all(isinstance(each, float) and each >= 0 for each in seconds)
    assert [event.data for event in heard] == [
        {**told, "passages": 4, "rewritten": number, "seconds": each}
        for number, each in zip((0, 2, 0), seconds, strict=True)
    ]
    assert verdicts[0].evidence == told
    assert verdicts[2] == caught.value.verdict
    assert (verdicts[2].reasons, verdicts[2].score) == (("bad",), 7.0)
    assert verdicts[2].evidence == {
        **told,
        "found": [
            {"source": "tool", "path": "", "said": "odd", "as": "flag", "rule": 1},
            {"source": "user", "path": "(key).name", "said": "bad", "as": "block", "rule": 2},
        ],
    }


def test_whoever_passed_is_told_of_before_whoever_blocks() -> None:
    heard: list[Event] = []
    flagged: asyncio.Future[Any] | None = None
    begun = asyncio.Event()

    @guard
    async def blocks(passage: Passage) -> Block:
        await begun.wait()
        assert flagged is not None
        await asyncio.wait([flagged])
        for _ in range(5):  # until its outcome is known
            await asyncio.sleep(0)
        return Block("no")

    @guard
    async def flags(passage: Passage) -> Flag:
        nonlocal flagged
        flagged = asyncio.current_task()
        begun.set()
        return Flag("odd")

    with pytest.raises(InputBlocked):
        ask("async", [blocks, flags], observers=[heard.append])
    verdicts = [event.verdict for event in heard if event.verdict]
    assert [(v.source, v.passed) for v in verdicts] == [("flags", True), ("blocks", False)]


@pytest.mark.parametrize("call", CALLS)
def test_a_block_that_is_only_observed_ends_nobody(call: str) -> None:
    heard: list[Event] = []
    told = threading.Event()

    @guard(mode="observe")
    def observed(passage: Passage) -> Block:
        threading.Timer(0.02, told.set).start()
        return Block("observed")

    @guard(timeout=LONG)
    def enforced(passage: Passage) -> Block | None:
        return Block("no") if told.wait(LONG) else None

    with pytest.raises(InputBlocked, match="no"):
        ask(call, [observed, enforced], observers=[heard.append])
    assert [event.verdict.reason for event in heard if event.verdict] == ["observed", "no"]


@pytest.mark.parametrize("inline", [False, True])
def test_an_observer_that_raises_changes_nothing(
    inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def raises(event: Event) -> None:
        raise RuntimeError("its disk is full")

    caplog.set_level(logging.ERROR, "agno_portkey")
    passing = says(None, inline=inline, observers=[raises, heard.append])
    assert ask("sync", [passing]) is None
    with pytest.raises(InputBlocked):
        ask("sync", [says(Block("no"), inline=inline, observers=[raises, heard.append])])
    assert [event.verdict.passed for event in heard if event.verdict] == [True, False]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def _raising(error: Exception) -> Callable[[Passage], None]:
    def raises(passage: Passage) -> None:
        raise error

    return raises


@pytest.mark.parametrize("call", CALLS)
def test_a_check_error_of_a_body_comes_through_with_a_verdict(call: str) -> None:
    theirs = InputCheckError("not this", check_trigger=CheckTrigger.OFF_TOPIC)
    with pytest.raises(InputCheckError) as caught:
        ask(call, [guard(name="g")(_raising(theirs))])
    assert caught.value is theirs
    assert theirs.additional_data["verdict"]["evidence"]["trigger"] == "off_topic"
    assert theirs.additional_data["verdict"]["reason"] == "not this"
    ours = GateClosed(Verdict(False, "gate", ("closed",)))
    with pytest.raises(GateClosed) as closed:
        ask(call, [guard(_raising(ours))])
    assert closed.value is ours
    assert ours.verdict.source == ours.additional_data["verdict"]["source"] == "gate"


# What is kept


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("keep_raw", [False, True])
def test_what_is_kept_of_what_was_rewritten_blocked_or_never_judged(
    call: str, keep_raw: bool
) -> None:
    kept: list[tuple[str, str]] = []
    keep = {"keep": lambda raw, instead: kept.append((raw, instead))}
    swap = swaps("a", "b", keep_raw=keep_raw)
    blocks = guard(name="stop", keep_raw=keep_raw)(
        lambda passage: Block("no") if "b" in passage.text else None
    )
    with pytest.raises(InputBlocked):
        ask(call, [swap, blocks], "x", "a", "ab", Passage("rules", "system"), **keep)
    instead = "[blocked by stop]"
    # It was not asked about what stands behind the block.
    expected = [("a", "b"), ("ab", "bb"), ("b", instead), ("bb", instead)]
    assert kept == ([] if keep_raw else expected)

    kept.clear()
    fails = guard(name="broken", keep_raw=keep_raw)(_raising(ValueError("x")))
    passages = [Passage("rules", "system"), Passage("asked"), Passage("found", "tool")]
    with pytest.raises(InputBlocked):
        ask(call, [fails], *passages, **keep)
    instead = "[blocked by broken]"
    assert kept == ([] if keep_raw else [("asked", instead), ("found", instead)])

    kept.clear()
    assert ask(call, [swaps("a", "b", mode="observe")], "a", **keep) is None
    assert kept == []
