"""Processes, threads and forks that want one clearance, token or step at once: one of them gets it.

Each process tells that it is ready, and all begin with the same word.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from clearance_scene import NOW, a_grant, an_asking

from agno_portkey.contracts import Plan, Step
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.clearance import Clearances, export, new_key

PROCESSES = 4
ROUNDS = 10
STEPS = 12

RACER = """
import sys
from clearance_scene import NOW, an_asking
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.clearance import Clearances, present

database, me, public = sys.argv[1:]
clearances = Clearances(database, timeout=60, clock=lambda: NOW)
print("ready", flush=True)
for line in sys.stdin:
    what, *said = line.split()
    try:
        if what == "claim":
            clearances.claim(said[0], an_asking(f"{me}-{said[0]}"))
        elif what == "present":
            present(clearances, public, said[1], an_asking(f"{me}-{said[0]}"))
        else:
            clearances.take_step(said[0], int(said[1]))
        print("mine", flush=True)
    except ClearanceRefused as refused:
        print(refused.code, flush=True)
"""


class Racers:
    """Processes that share a database; `all_do` has each do the same at once."""

    def __init__(self, database: str, public: str, stack: ExitStack) -> None:
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, database, f"p{number}", public],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            for number in range(PROCESSES)
        ]
        for process in self._processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        assert self._answers() == ["ready"] * PROCESSES

    def all_do(self, *said: object) -> Counter[str]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(" ".join(map(str, said)) + "\n")
            process.stdin.flush()
        return Counter(self._answers())

    def _answers(self) -> list[str]:
        lines = []
        for process in self._processes:
            assert process.stdout is not None
            lines.append(process.stdout.readline().strip())
        return lines


def long_plan() -> Plan:
    return Plan(goal="Much", steps=tuple(Step(action="x", tool="deploy") for _ in range(STEPS)))


def test_of_many_processes_one_gets_it(database: str) -> None:
    key = new_key()
    clearances = Clearances(database, clock=lambda: NOW)
    with ExitStack() as stack:
        racers = Racers(database, key.public, stack)
        for _ in range(ROUNDS):
            grant = a_grant()
            clearances.put(grant)
            said = racers.all_do("claim", grant.id)
            assert said == {"mine": 1, "other_run": PROCESSES - 1}
            grant = a_grant()
            said = racers.all_do("present", grant.id, export(grant, key.private))
            assert said == {"mine": 1, "replayed": PROCESSES - 1}
            held = clearances.get(grant.id)
            assert held.claimed_by is not None
            assert clearances.held_by(held.claimed_by) == held
        use = {"state": "claimed", "claimed_by": "r1", "claimed_at": NOW}
        grant = a_grant(plan=long_plan(), **use)
        clearances.put(grant)
        for number in range(1, STEPS + 1):
            said = racers.all_do("step", grant.id, number)
            assert said == {"mine": 1, "step_taken": PROCESSES - 1}
        assert clearances.get(grant.id).taken == {*range(1, STEPS + 1)}


def at_once(works: list[Callable[[], object]]) -> Counter[str]:
    begin, said, lock = threading.Barrier(len(works)), Counter[str](), threading.Lock()

    def run(work: Callable[[], object]) -> None:
        begin.wait()
        try:
            work()
            code = "mine"
        except ClearanceRefused as refused:
            code = refused.code
        except BaseException as error:
            code = repr(error)
        with lock:
            said[code] += 1

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


@pytest.fixture
def patient(database: str) -> Clearances:
    """Clearances that wait for each other, however busy the machine is."""
    return Clearances(database, timeout=60, clock=lambda: NOW)


def test_steps_that_are_taken_at_once_are_all_taken(patient: Clearances) -> None:
    """A change that was overtaken is made anew: none is lost."""
    use = {"state": "claimed", "claimed_by": "r1", "claimed_at": NOW}
    grant = a_grant(plan=long_plan(), **use)
    patient.put(grant)

    def work(number: int) -> Callable[[], object]:
        def take() -> None:
            patient.take_step(grant.id, number)
            patient.finish_step(grant.id, number)

        return take

    numbers = range(1, STEPS + 1)
    assert at_once([work(number) for number in numbers]) == {"mine": STEPS}
    assert patient.get(grant.id).done == {*numbers}


def test_one_run_that_wants_two_clearances_at_once(patient: Clearances) -> None:
    for number in range(ROUNDS):
        two = [a_grant(), a_grant()]
        for grant in two:
            patient.put(grant)
        asking = an_asking(f"r{number}")
        said = at_once([partial(patient.claim, grant.id, asking) for grant in two])
        assert said == {"mine": 1, "other_clearance": 1}


def test_a_claim_and_its_revocation_at_once(patient: Clearances) -> None:
    for number in range(ROUNDS):
        grant = a_grant()
        patient.put(grant)
        asking = an_asking(f"r{number}")
        at_once(
            [
                lambda id=grant.id, asking=asking: patient.claim(id, asking),
                lambda id=grant.id: patient.revoke(id, by="ann"),
            ]
        )
        assert patient.get(grant.id).state == "revoked"


def test_the_table_is_made_by_many_at_once(database: str) -> None:
    grants = [a_grant() for _ in range(8)]
    said = at_once(
        [lambda grant=grant: Clearances(database, timeout=60).put(grant) for grant in grants]
    )
    assert said == {"mine": 8}


def _held_in_child(clearances: Clearances, answers: object) -> None:
    held = clearances.held_by("r1", NOW)
    taken = None if held is None else clearances.take_step(held.id, 2, NOW).taken
    own = clearances._store._table._kept.pid == os.getpid()  # type: ignore[attr-defined]
    answers.put((taken, own))  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_reads_by_a_connection_of_its_own(patient: Clearances) -> None:
    grant = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW)
    patient.put(grant)
    assert patient.held_by("r1") is not None
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_held_in_child, args=[patient, answers])
    child.start()
    assert answers.get(timeout=60) == ({2}, True)
    child.join()
    assert child.exitcode == 0
    assert patient.take_step(grant.id, 1).taken == {1, 2}
