"""Of threads and processes that change the thresholds of a gate at once, one does."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

import pytest
from adjusting_scene import a_proposal, kept_in

from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.adjusting import Thresholds

RACER = """
import sys
from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.adjusting import Thresholds

database, me = sys.argv[1:]
kept = Thresholds(
    database, swarm="Release", written={"release": {"judgement": 0.1, "accuracy": 0.1}}, seconds=60
)
print("ready", flush=True)
for line in sys.stdin:
    check, threshold = line.split()
    try:
        kept.put("release", check if me == "0" else "accuracy", float(threshold), by=me)
        print("mine", flush=True)
    except AdjustmentRefused as refused:
        print(refused.code, flush=True)
"""


def test_of_processes_that_change_a_gate_at_once_one_does(database: str) -> None:
    """Also where each changes another check: the rates of one depend on the other."""
    path = os.pathsep.join(filter(None, sys.path))
    with ExitStack() as stack:
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, database, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            for number in range(2)
        ]
        for racer in racers:
            stack.enter_context(racer)
            stack.callback(racer.kill)
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        done = 0
        for number in range(1, 21):
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"judgement {0.1 + number / 100}\n")
                racer.stdin.flush()
            said = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
            assert {*said} <= {"mine", "overtaken"}
            assert "mine" in said
            done += said.count("mine")
    changes = kept_in(database).log("release")
    assert [each.version for each in changes] == [*range(1, done + 1)]


def test_of_threads_that_apply_one_proposal_at_once_one_does(database: str) -> None:
    proposal, said, lock = a_proposal(0.8), list[str](), threading.Lock()
    begin = threading.Barrier(8)

    def apply() -> None:
        kept = kept_in(database, seconds=60)
        begin.wait()
        try:
            kept.apply(proposal, by="ann")
            code = "mine"
        except AdjustmentRefused as refused:
            code = refused.code
        except BaseException as error:
            code = repr(error)
        with lock:
            said.append(code)

    threads = [threading.Thread(target=apply) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["mine", *["overtaken"] * 7]
    assert len(kept_in(database).log("release")) == 1


def _in_child(kept: Thresholds, answers: Any) -> None:
    answers.put(kept.put("release", "judgement", 0.9, by="child").version)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_connections_of_its_own(kept: Thresholds) -> None:
    kept.apply(a_proposal(0.8), by="ann")
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_in_child, args=[kept, answers])
    child.start()
    assert answers.get(timeout=60) == 2
    child.join()
    assert child.exitcode == 0
    assert kept.current(["release"]) == {"release": {"judgement": 0.9}}
