"""What hangs inside an analysis keeps its own text waiting, and not those after it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agno_portkey.errors import AnalysisFailed
from agno_portkey.guardrails.pii import lone
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.lone import Late, Lone


class Gate:
    """Where tasks hang, until it is opened; `reached` once one does."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def hang(self, held: Any = None) -> Any:
        self.reached.set()
        self.opened.wait(60)
        return held


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


class Made:
    """Counts what is made, as a `Lone` would hold it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


def alone(made: Any = None) -> Lone[int]:
    return Lone(0, made or Made(), name="test")


# In an analyzer


def hanging(gate: Gate, language: str, seconds: float) -> Analyzer:
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    class HangsOnce(EntityRecognizer):
        def load(self) -> None:
            """Nothing."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any) -> list[Any]:
            if "hang" in text:
                gate.hang()
            return [RecognizerResult("CODE", 0, 4, 0.9)]

    analyzer = Analyzer(["US_SSN"], languages=[language], deny_list=["x"], seconds=seconds)
    analyzer.own = [HangsOnce(["CODE"], name="hangs", supported_language=language)]
    return analyzer


@pytest.mark.parametrize("language", ["en", "fi"])
def test_texts_after_one_that_hangs_go_on(gate: Gate, language: str) -> None:
    with pytest.raises(AnalysisFailed, match="no answer within"):
        hanging(gate, language, 1.5).spans("do hang here")
    assert gate.reached.is_set()
    found = hanging(gate, language, 60).spans("BLUE is the word")
    assert [(span.start, span.end, span.type) for span in found] == [(0, 4, "CODE")]
    gate.opened.set()
    assert hanging(gate, language, 60).spans("BLUE and green") == found


def test_what_breaks_inside_is_no_lateness() -> None:
    from presidio_analyzer import EntityRecognizer

    class Breaks(EntityRecognizer):
        def load(self) -> None:
            """Nothing."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any) -> list[Any]:
            raise TimeoutError("the backend took too long")

    analyzer = Analyzer(["US_SSN"], deny_list=["x"])
    analyzer.own = [Breaks(["CODE"], name="breaks")]
    with pytest.raises(AnalysisFailed, match="TimeoutError"):
        analyzer.spans("a text")


_LEAVES = """
import threading, sys
from presidio_analyzer import EntityRecognizer
from agno_portkey.errors import AnalysisFailed
from agno_portkey.guardrails.pii import Analyzer
class Hangs(EntityRecognizer):
    def load(self): pass
    def analyze(self, text, entities, nlp_artifacts):
        threading.Event().wait()
analyzer = Analyzer(["US_SSN"], deny_list=["x"], seconds=2)
analyzer.own = [Hangs(["CODE"], name="hangs")]
try: analyzer.spans("a text")
except AnalysisFailed as error: print(error)
"""


def test_a_process_ends_though_a_recogniser_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LEAVES], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no answer within" in done.stdout


_BUSY = """
import threading
from agno_portkey.guardrails.pii import Analyzer
analyzer, begun = Analyzer(cache=0).warm(), threading.Event()
def go():
    while True:
        begun.set()
        analyzer.spans("Anna Becker was in Berlin with Mr. Smith and others. " * 20)
threading.Thread(target=go, daemon=True).start()
begun.wait()
"""


def test_a_process_ends_well_while_a_text_is_read() -> None:
    for _ in range(3):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", _BUSY], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


# The thread by itself


def test_tasks_run_one_after_the_other_with_what_is_held() -> None:
    made, seen = Made(), list[int]()
    thread = alone(made)
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda each: thread.run(seen.append, 60), range(40))]
    assert (found, seen, made.count) == ([None] * 40, [0] * 40, 0)


def test_what_fails_is_raised_and_what_is_held_stays() -> None:
    made = Made()
    thread = alone(made)

    def fail(held: int) -> None:
        raise SystemExit(held)

    for _ in range(2):
        with pytest.raises(SystemExit):
            thread.run(fail, 60)
    assert thread.run(int, 60) == made.count == 0


def test_what_cant_be_made_is_tried_anew(gate: Gate) -> None:
    tries = list[int]()

    def make() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not now")
        return 7

    thread = alone(make)
    with pytest.raises(Late):
        thread.run(gate.hang, 0.05)
    with pytest.raises(OSError, match="not now"):
        thread.run(int, 60)
    assert thread.run(int, 60) == 7


def test_who_waits_behind_one_that_hangs_goes_on_with_the_next(gate: Gate) -> None:
    thread = alone()
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(thread.run, gate.hang, 1.0)
        gate.reached.wait(60)
        behind = pool.submit(thread.run, int, 60)
        assert isinstance(late.exception(60), Late)
        assert behind.result(60) == 1


def test_who_can_wait_no_longer_leaves_the_one_before_alone(gate: Gate) -> None:
    made = Made()
    thread = alone(made)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(thread.run, gate.hang, 60)
        gate.reached.wait(60)
        with pytest.raises(Late):
            thread.run(lambda held: pytest.fail("it was given up"), 0.05)
        gate.opened.set()
        assert first.result(60) == 0
    assert thread.run(int, 60) == made.count == 0


def test_only_so_many_are_left_behind(gate: Gate) -> None:
    made = Made()
    thread = alone(made)
    for _ in range(lone.MOST + 3):
        with pytest.raises(Late):
            thread.run(gate.hang, 0.2)
    assert made.count == lone.MOST
    gate.opened.set()
    assert thread.run(int, 60) == lone.MOST
    # They came to an end, and count no more.
    another = Gate()
    with pytest.raises(Late):
        thread.run(another.hang, 0.2)
    another.opened.set()
    assert thread.run(int, 60) == lone.MOST + 1


def test_one_that_was_left_behind_does_nothing_more(gate: Gate) -> None:
    ran = list[threading.Thread]()

    def hang(held: int) -> None:
        ran.append(threading.current_thread())
        gate.hang()

    thread = alone()
    with pytest.raises(Late):
        thread.run(hang, 0.2)
    gate.opened.set()
    ran[0].join(60)
    assert not ran[0].is_alive()
    assert thread.run(int, 60) == 1


def test_a_forked_process_makes_anew_what_was_in_use(gate: Gate) -> None:
    thread = alone()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(thread.run, gate.hang, 60)
        gate.reached.wait(60)
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.write(write, str(thread.run(int, 60)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 8) == b"1"
        gate.opened.set()
    assert thread.run(int, 60) == 0


def test_at_the_end_what_waits_is_dropped_and_what_runs_has_a_moment(gate: Gate) -> None:
    thread = alone()
    ran = list[int]()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(thread.run, gate.hang, 60)
        gate.reached.wait(60)
        second = pool.submit(thread.run, ran.append, 1)
        while not thread._waiting:
            pass
        ending = threading.Thread(target=thread.end)
        ending.start()
        assert isinstance(second.exception(60), Late)
        gate.opened.set()
        ending.join(60)
        assert first.result(60) == 0
    with pytest.raises(Late):
        thread.run(ran.append, 0.1)
    assert ran == []


def test_who_comes_after_the_end_waits_for_nothing() -> None:
    """A record that is logged while the process ends, say."""
    one = alone()
    assert one.run(lambda held: held, 60) == 0
    one.end()
    with pytest.raises(Late):
        one.run(lambda held: held, 3_600)


def test_without_a_thread_nothing_is_left_to_be_done_later(monkeypatch: pytest.MonkeyPatch) -> None:
    one, done = alone(), list[str]()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        one.run(lambda held: done.append("first"), 60)
    monkeypatch.undo()
    one.run(lambda held: done.append("second"), 60)
    assert done == ["second"]
