"""What observers hear is in the stream of the run: in order, once, and nobody's trouble."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.os.event_streams import InMemoryEventStream
from agno.os.managers import EventsBuffer, SSESubscriberManager
from agno.run.base import RunStatus
from agno.run.team import RunContentEvent
from hypothesis import given
from hypothesis import strategies as st
from playing import playing
from run_asked import begin, client, ours, resume

from agno_portkey.playground.streams import Overheard
from agno_portkey.playground.told import Live, told
from agno_portkey.testing.story import REQUEST
from agno_portkey.verdict import Event, Verdict, hear_everything, heard, tell


class Heard:
    """A second observer of the process, to compare with."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __enter__(self) -> list[Event]:
        hear_everything(self.events.append)
        return self.events

    def __exit__(self, *_: object) -> None:
        hear_everything(self.events.append, again=False)


def stream() -> Overheard:
    return Overheard(InMemoryEventStream(EventsBuffer(), SSESubscriberManager()))


def what(said: list[dict[str, Any]]) -> list[Any]:
    """What was said without what the host fills in later: a tool's result, who provided it."""
    return [
        [each.get(name) for name in ("event_index", "event", "content", "kind")] for each in said
    ]


async def kinds(streams: Overheard, run_id: str = "run") -> list[Any]:
    return [
        getattr(event, "kind", None) or event.event for _, event in await streams.replay(run_id)
    ]


def test_all_that_observers_hear_is_in_the_stream_once_and_in_order(tmp_path: Path) -> None:
    with Heard() as events, playing(tmp_path) as stage, client(stage.url) as http:
        run_id = begin(http, REQUEST)
        said = resume(http, run_id)
        again = resume(http, run_id)
        rest = resume(http, run_id, after=said[40]["event_index"])
    in_stream = [(each["kind"], each.get("role"), each["of_run"]) for each in ours(said)]
    assert in_stream == [(event.kind, event.role, event.run_id) for event in events]
    assert {"attempt", "call", "contract", "plan", "critique", "judgement", "gate", "tool"} <= {
        kind for kind, _, _ in in_stream
    }
    numbers = [each["event_index"] for each in said]
    assert numbers == sorted(set(numbers))
    assert {each["run_id"] for each in ours(said)} == {run_id}
    assert what(again) == what(said)
    assert what(rest) == what(said)[41:]


def test_a_refusal_is_told_before_the_error_that_it_ends_in(tmp_path: Path) -> None:
    with playing(tmp_path) as stage, client(stage.url) as http:
        said = resume(http, begin(http, REQUEST))
    gate = next(n for n, each in enumerate(said) if each.get("kind") == "gate")
    error = next(n for n, each in enumerate(said) if each["event"] == "RunError")
    assert gate < error
    assert said[gate]["verdict"]["passed"] is False
    assert said[gate]["verdict"]["reasons"]
    assert stage.release.done == [
        ("run_tests", {"suite": "smoke"}),
        ("deploy", {"version": "2.1", "target": "staging"}),
    ]


async def test_one_of_a_run_that_no_stream_knows_is_dropped() -> None:
    streams = stream()
    live = Live(streams)
    live.start()
    tell((), Event("gate", run_id="another"))
    tell((), Event("gate"))
    await streams.register_run("run")
    tell((), Event("plan", run_id="run"))
    await streams.complete_run("run", RunStatus.completed)
    # It would make the run one that goes on.
    tell((), Event("gate", run_id="run"))
    await live.stop()
    assert await kinds(streams) == ["plan"]
    assert await streams.get_run_status("another") is None
    assert await streams.get_run_status("run") == RunStatus.completed


async def test_one_that_comes_to_be_written_after_the_end_is_dropped() -> None:
    streams = stream()
    await streams.register_run("run")
    await streams.complete_run("run", RunStatus.completed)
    for run_id in ("run", "never begun"):
        await streams.add_beside(run_id, told(Event("gate"), run_id))
        assert await kinds(streams, run_id) == []
    assert await streams.get_run_status("never begun") is None


async def test_a_members_run_is_known_by_its_first_event() -> None:
    streams = stream()
    live = Live(streams)
    live.start()
    await streams.add_event("run", RunContentEvent(run_id="member"))
    tell((), Event("call", run_id="member"))
    await live.stop()
    [_, (_, one)] = await streams.replay("run")
    assert (one.run_id, one.of_run) == ("run", "member")


async def test_one_heard_before_what_the_run_says_next_is_before_it() -> None:
    streams = stream()
    live = Live(streams)
    live.start()
    await streams.register_run("run")
    for number in range(3):
        tell((), Event(f"kind {number}", run_id="run"))
        await streams.add_event("run", RunContentEvent(run_id="run"))
    await live.stop()
    content = RunContentEvent().event
    assert await kinds(streams) == [*(("kind 0", content, "kind 1", content, "kind 2", content))]


async def test_what_finds_no_room_is_counted_and_blocks_nobody() -> None:
    streams = stream()
    live = Live(streams, waiting=2)
    live.start()
    await streams.register_run("run")
    for number in range(5):
        # The loop has no turn meanwhile.
        tell((), Event(f"kind {number}", run_id="run"))
    await live.drain()
    tell((), Event("after", run_id="run"))
    await live.stop()
    assert await kinds(streams) == ["kind 0", "kind 1", "after"]
    assert [event.left_out for _, event in await streams.replay("run")] == [None, None, 3]


async def test_those_of_other_threads_arrive() -> None:
    streams = stream()
    live = Live(streams)
    live.start()
    await streams.register_run("run")
    threads = [
        threading.Thread(target=tell, args=((), Event(f"kind {n}", run_id="run"))) for n in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    # No event of the run, and no end of it, has them written: the pump does.
    seen: list[Any] = []
    async for _, text in streams.tail("run"):
        seen.append(json.loads(text.partition("data: ")[2])["kind"])
        if len(seen) == 9:
            break
    assert sorted(seen) == [f"kind {n}" for n in range(9)]
    await live.stop()


def test_a_loop_that_is_closed_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    streams = stream()
    held: list[Live] = []

    async def left() -> None:
        live = Live(streams)
        held.append(live)
        live.start()
        await streams.register_run("run")

    asyncio.run(left())
    tell((), Event("gate", run_id="run"))
    hear_everything(held[0], again=False)
    assert not caplog.records


async def test_a_stream_that_fails_is_said_once_and_the_rest_arrives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(InMemoryEventStream):
        async def add_event(self, run_id: str, event: Any, generation: int | None = None) -> int:
            if getattr(event, "kind", "").startswith("bad"):
                raise ConnectionError("the secret of the address")
            return await super().add_event(run_id, event, generation)

    streams = Overheard(Failing(EventsBuffer(), SSESubscriberManager()))
    live = Live(streams)
    live.start()
    await streams.register_run("run")
    for kind in ("bad 1", "bad 2", "good"):
        tell((), Event(kind, run_id="run"))
    await live.stop()
    assert await kinds(streams) == ["good"]
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "the secret of the address" not in record.getMessage()


async def test_each_stream_is_written_by_one_at_a_time() -> None:
    """Redis numbers an event in one step, and writes it in another."""

    class InSteps(InMemoryEventStream):
        inside, most = 0, 0

        async def add_event(self, run_id: str, event: Any, generation: int | None = None) -> int:
            type(self).inside += 1
            type(self).most = max(self.most, self.inside)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            index = await super().add_event(run_id, event, generation)
            type(self).inside -= 1
            return index

    streams = Overheard(InSteps(EventsBuffer(), SSESubscriberManager()))
    live = Live(streams)
    live.start()
    await streams.register_run("run")
    for number in range(5):
        tell((), Event(f"kind {number}", run_id="run"))
    adding = [streams.add_event("run", RunContentEvent(run_id="run")) for _ in range(3)]
    await asyncio.gather(*adding)
    await streams.complete_run("run", RunStatus.completed)
    await live.stop()
    assert InSteps.most == 1
    assert len(await kinds(streams)) == 8


async def test_two_on_one_loop_write_each_event_once() -> None:
    streams = stream()
    first, second = Live(streams), Live(streams)
    first.start()
    second.start()
    await streams.register_run("run")
    tell((), Event("gate", run_id="run"))
    await second.stop()
    await first.stop()
    assert await kinds(streams) == ["gate"]


async def test_no_more_is_heard_once_it_is_stopped() -> None:
    streams = stream()
    live = Live(streams)
    live.start()
    await streams.register_run("run")
    await live.stop()
    tell((), Event("gate", run_id="run"))
    await streams.complete_run("run", RunStatus.completed)
    assert await kinds(streams) == []
    assert not streams.before
    assert not heard((), "gate")


def test_evidence_is_cut_down_to_states_ids_and_kinds() -> None:
    evidence = {
        "waiting": True,
        "clearance": "c1",
        "said": "a user's words",
        "found": [
            {"path": "words", "types": {"EMAIL": 2}},
            {"types": {"EMAIL": 1, "PHONE": 1}},
            {"secrets": [{"kind": "a key", "digest": "d"}]},
            {"types": "nonsense"},
        ],
    }
    event = Event("guard", verdict=Verdict(False, "pii", ("personal data",), evidence=evidence))
    one = told(event, "run").to_dict()
    assert one["data"] == {
        "waiting": True,
        "clearance": "c1",
        "types": {"EMAIL": 3, "PHONE": 1, "a key": 1},
    }
    assert one["verdict"] == {
        "passed": False,
        "source": "pii",
        "reasons": ["personal data"],
        "score": None,
    }


def test_tags_are_left_out() -> None:
    data = {"tags": {"user": "somebody"}, "run": "r", "model": "m"}
    assert told(Event("call", data=data), "run").data == {"model": "m"}


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), ANYTHING))
def test_whatever_an_event_holds_is_json(data: dict[str, Any]) -> None:
    text = json.dumps(told(Event("tool", data=data), "run").to_dict(), allow_nan=False)
    assert json.loads(text)["kind"] == "tool"


def test_long_texts_and_lists_are_cut() -> None:
    one = told(Event("tool", data={"text": "x" * 5_000, "list": [*range(500)]}), "run")
    assert one.data is not None
    assert len(one.data["text"]) == 1_000
    assert len(one.data["list"]) == 50
