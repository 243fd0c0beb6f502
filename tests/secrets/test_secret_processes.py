"""Several processes write and read, and are killed amid it: there is the old value or the new."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("forked_writers.py")
OLD, NEW = "old", "new-" * 500


@pytest.fixture(scope="module", params=["files", "encrypted"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("forked")
    command = [sys.executable, str(PROGRAM), request.param, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=90).stdout)


@pytest.mark.parametrize(("when", "kept"), [("fsync", OLD), ("replace", OLD), ("after", NEW)])
def test_who_is_killed_amid_a_write_leaves_the_old_or_the_new(
    when: str, kept: str, left: Any
) -> None:
    # What lies there of the other is swept away with the next write, and holds nobody up.
    assert left["killed"][when] == [-signal.SIGKILL, kept, ["KEY"], "newest", []]


def test_who_reads_meanwhile_sees_no_half_of_a_value(left: Any) -> None:
    assert len(left["read"]) >= 5
    for value in left["read"]:
        assert value == "x" or value == value[:1] * 2000


def test_what_several_write_at_once_is_all_there(left: Any) -> None:
    expected = [f"{who}-{number} {who}" for who in "ab" for number in range(15)]
    assert left["added"] == sorted(expected)


CHILD = """
import os, sys
from agno_portkey.secrets import EnvironmentSecrets, Secret
secret = Secret("KEY", EnvironmentSecrets())
secret.reveal()
import threading, warnings
warnings.simplefilter("ignore")
with secret._lock:  # as if taken by a thread that the child does not have
    child = os.fork()
    if child == 0:
        os._exit(0 if secret.reveal() == "sk-value" else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_process_begins_anew() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], env={"KEY": "sk-value"}, timeout=90)
    assert done.returncode == 0
