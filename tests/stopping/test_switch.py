"""A swarm is stopped for all who share a database, until it may go on."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from hypothesis import given, settings
from hypothesis import strategies as st
from stopping_store import Kept, settled

from agno_portkey.errors import ConfigurationError
from agno_portkey.stopping import ALL, StopSwitch

QUICK = 0.05


def test_a_stop_is_seen_by_another_switch_and_so_is_its_end(database: str) -> None:
    here, there = StopSwitch(database), StopSwitch(database, max_age=QUICK)
    assert there.check("Release") is None
    stop = here.stop("Release", reason="it deletes things", by="kim")
    verdict = settled(there, "Release", passed=False)
    assert verdict is not None
    assert (verdict.passed, verdict.source) == (False, "stop")
    assert "the swarm Release is stopped since 20" in verdict.reason
    assert "by kim (it deletes things)" in verdict.reason
    assert "agno-portkey resume --swarm Release" in verdict.reason
    assert verdict.evidence == {
        "swarm": "Release",
        "stopped_at": stop.at.isoformat(),
        "by": "kim",
        "reason": "it deletes things",
    }
    assert there.check("Search") is None
    assert here.stopped() == {"Release": stop}
    assert here.resume("Release") == [stop]
    assert here.resume("Release") == []
    assert here.resumed() == {}
    assert settled(there, "Release", passed=True) is None
    assert here.stopped() == {}


def test_the_one_who_stops_sees_it_at_once(database: str) -> None:
    switch = StopSwitch(database, max_age=30)
    assert switch.check("Release") is None
    switch.stop("Release")
    assert switch.check("Release") is not None
    switch.resume("Release")
    assert switch.check("Release") is None


@pytest.mark.parametrize("said", ["x" * 300, "a\0b", "\ud800", b"ann", 7])
def test_who_and_why_keep_no_stop_from_being_written(database: str, said: Any) -> None:
    switch = StopSwitch(database)
    switch.stop("Release", by=said, reason=said)
    [stop] = StopSwitch(database).stopped().values()
    assert isinstance(stop.by, str)
    assert isinstance(stop.reason, str)
    assert StopSwitch(database).check("Release") is not None
    switch.resume("Release", by=said, reason=said)
    assert StopSwitch(database).check("Release") is None


def test_every_swarm_can_be_stopped_at_once(database: str) -> None:
    switch = StopSwitch(database)
    switch.stop(ALL)
    for name in ("Release", "a name never heard of"):
        verdict = switch.check(name)
        assert verdict is not None
        assert "every swarm is stopped" in verdict.reason
        assert "resume --all" in verdict.reason
    # One that was stopped by name, too, does not go on with the others.
    switch.stop("Release")
    switch.resume(ALL)
    assert switch.check("Search") is None
    assert switch.check("Release") is not None


def test_a_member_is_stopped_with_any_team_it_is_in() -> None:
    switch = StopSwitch(InMemoryDb())
    switch.stop("Inner")
    assert switch.check("Outer") is None
    assert switch.check("Outer", "Inner") is not None
    assert switch.check() is None


def test_a_later_stop_takes_the_place_of_an_earlier_one(database: str) -> None:
    switch = StopSwitch(database)
    switch.stop("Release", reason="one", by="kim")
    later = switch.stop("Release", reason="two")
    assert switch.stopped() == {"Release": later}
    assert (later.by, later.reason) == (None, "two")


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1))
def test_case_and_space_make_no_difference(name: str) -> None:
    switch = StopSwitch(InMemoryDb())
    if not name.strip():
        with pytest.raises(ConfigurationError, match="swarm: a name of 1 to 255"):
            switch.stop(name)
        return
    switch.stop(name)
    for spelt in (name, f" {name}\t", name.strip()):
        assert switch.check(spelt) is not None
    switch.resume(f"  {name}")
    assert switch.check(name) is None


_NAMES = st.sampled_from(["Release", "release ", "Sèarch", "'; DROP TABLE x; --", ALL])


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(st.tuples(st.booleans(), _NAMES), max_size=8))
def test_whatever_is_done_the_state_is_what_was_done_last(
    steps: list[tuple[bool, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("stops") / "agno.db"
    switch, stopped = StopSwitch(str(file)), set[str]()
    for stops, name in steps:
        folded = name.strip().casefold()
        if stops:
            switch.stop(name)
            stopped.add(folded)
        else:
            switch.resume(name)
            stopped.discard(folded)
        for asked in ("Release", "Sèarch", "'; DROP TABLE x; --", "another"):
            # A read that a busy machine is long about would count as a stop.
            refused = StopSwitch(str(file), timeout=30).check(asked) is not None
            assert refused == (ALL in stopped or asked.casefold() in stopped)


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, None, 3])
def test_a_name_has_to_be_one(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="swarm: a name of 1 to 255 characters"):
        StopSwitch(InMemoryDb()).stop(name)


# What is known is asked for again when it is too old


def test_what_was_read_counts_for_a_while_and_is_read_anew_before_it_does_not() -> None:
    store = Kept()
    switch = StopSwitch(store, max_age=30)
    for _ in range(100):
        assert switch.check("Release") is None
    assert store.reads == 1
    eager = StopSwitch(store, max_age=0.01)
    assert eager.check("Release") is None
    store.kept_stop("Release")
    assert settled(eager, "Release", passed=False) is not None


def test_while_it_still_counts_the_next_read_is_begun_and_not_waited_for() -> None:
    store = Kept()
    switch = StopSwitch(store, max_age=4, timeout=0.1)
    while switch.check("Release") is not None:
        pass
    gate, reads = store.hold(), store.reads
    while store.reads == reads:
        # One that waited for this read would be refused: it does not come to an end.
        assert switch.check("Release") is None
        time.sleep(0.01)
    gate.set()


def test_many_that_ask_at_once_have_one_read_for_all() -> None:
    store = Kept()
    gate = store.hold()
    switch = StopSwitch(store, max_age=30, timeout=30)
    answers: list[Any] = []
    asking = [
        threading.Thread(target=lambda: answers.append(switch.check("Release"))) for _ in range(20)
    ]
    for thread in asking:
        thread.start()
    store.entered.wait()
    gate.set()
    for thread in asking:
        thread.join()
    assert answers == [None] * 20
    # Those who came while it was under way may want one that began after they asked.
    assert store.reads <= 2


def test_who_asks_while_a_read_is_under_way_is_not_answered_from_before_a_stop() -> None:
    store = Kept()
    gate = store.hold()
    switch = StopSwitch(store, max_age=0.001, timeout=30)
    first = threading.Thread(target=switch.check, args=("Release",))
    first.start()
    store.entered.wait()
    # The read has looked already; then the stop is written, and then somebody asks.
    store.kept_stop("Release")
    answers: list[Any] = []
    second = threading.Thread(target=lambda: answers.append(switch.check("Release")))
    second.start()
    second.join(0.05)
    gate.set()
    first.join()
    second.join()
    assert answers[0] is not None


def test_a_switch_is_not_copied() -> None:
    switch = StopSwitch(InMemoryDb())
    assert copy.deepcopy([switch])[0] is switch
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(switch)


# Names that were asked for


def test_the_names_that_processes_ask_for_are_kept(database: str) -> None:
    switch = StopSwitch(database, max_age=QUICK)
    assert switch.known_swarms() == set()
    wanted = {"Release", "Search"}
    while switch.known_swarms() != wanted:
        assert switch.check("Release", "Search", ALL) is None
    switch.stop("Release")
    switch.stop(ALL)
    assert switch.known_swarms() == wanted


def test_what_can_not_be_noted_hinders_nothing(tmp_path: Path) -> None:
    class ReadOnly(Kept):
        def note(self, swarms: Any) -> None:
            self.noting += 1
            raise OSError("read-only")

    store = ReadOnly()
    switch = StopSwitch(store, max_age=0.001)
    while store.reads < 5:
        assert switch.check("Release") is None
    assert store.noting <= 1
