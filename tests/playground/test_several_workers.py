"""Two processes on one Postgres and one Redis: what one of them is told holds at the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playing import SECONDS
from postgres_server import PostgresServer
from redis_server import RedisServer
from run_asked import Said, begin, client, ours, resume

from agno_portkey.testing import EmbeddedProvider, Reply
from agno_portkey.testing.story import REQUEST, SOUND, tell

ONE = Path(__file__).with_name("one_worker.py")


@dataclass
class Two:
    first: httpx.Client
    second: httpx.Client
    provider: EmbeddedProvider
    file: Path

    @property
    def done(self) -> list[str]:
        """What the Runners of both have done."""
        return self.file.read_text().split() if self.file.exists() else []


@pytest.fixture(scope="module")
def two(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    file = tmp_path_factory.mktemp("workers") / "done.txt"
    with ExitStack() as stack:
        provider = stack.enter_context(EmbeddedProvider())
        redis = stack.enter_context(RedisServer())
        database = postgres.new_database()
        urls = [
            stack.enter_context(worker(provider.url, database, redis.url, str(file)))
            for _ in range(2)
        ]
        first, second = (stack.enter_context(client(url)) for url in urls)
        yield Two(first, second, provider, file)


@pytest.fixture(autouse=True)
def told(two: Two) -> None:
    two.provider.reset()
    tell(two.provider, plans=[SOUND])


@contextmanager
def worker(*given: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "AGNO_TELEMETRY": "false"}
    process = subprocess.Popen([sys.executable, str(ONE), str(port), *given], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 3 * SECONDS
        while not answers(url):
            assert process.poll() is None, "the worker ended at once"
            assert time.monotonic() < deadline, "the worker did not start in time"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(SECONDS)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def waiting(said: list[Said]) -> str:
    """The clearance that a person has to give."""
    [clearance] = {
        each["data"]["clearance"]
        for each in ours(said)
        if each["kind"] == "gate" and each["data"].get("waiting")
    }
    return str(clearance)


def test_a_stream_that_one_began_is_resumed_at_the_other(two: Two) -> None:
    run_id = begin(two.first, REQUEST, "resumed")
    there = resume(two.second, run_id, session="resumed")
    here = resume(two.first, run_id, session="resumed")
    assert [each["event_index"] for each in there] == sorted({e["event_index"] for e in there})
    assert there == here
    assert ours(there)
    middle = there[len(there) // 2]["event_index"]
    rest = resume(two.second, run_id, after=middle, session="resumed")
    assert rest == [each for each in there if each["event_index"] > middle]


def test_a_plan_is_approved_at_the_other_and_runs_once(two: Two) -> None:
    clearance = waiting(resume(two.first, begin(two.first, REQUEST, "once"), session="once"))
    before = two.done
    approve = f"/gates/{clearance}/approve"
    assert two.second.post(approve, json={"reason": "looked at"}).status_code == 200
    both = threading.Barrier(2)

    def ask(http: httpx.Client) -> None:
        both.wait(SECONDS)
        resume(http, begin(http, REQUEST, "once"), session="once")

    asking = [threading.Thread(target=ask, args=(http,)) for http in (two.first, two.second)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(6 * SECONDS)
    assert two.done[len(before) :] == ["run_tests", "deploy"]
    assert two.first.post(approve, json={"reason": "again"}).status_code == 409


def test_an_answer_that_one_has_kept_is_a_hit_at_the_other(two: Two) -> None:
    resume(two.first, begin(two.first, REQUEST, "kept"), session="kept")
    said = resume(two.second, begin(two.second, REQUEST, "kept again"), session="kept again")
    outcomes = [each["data"]["outcome"] for each in ours(said) if each["kind"] == "cache"]
    assert "hit" in outcomes


def test_a_run_is_cancelled_from_the_other(two: Two) -> None:
    two.provider.reset()
    two.provider.when(lambda request: True, Reply("word " * 3_000, token_delay=0.02))
    run_id = begin(two.first, REQUEST, "left")
    deadline = time.monotonic() + SECONDS
    while not two.provider.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    there = {"session_id": "left"}
    cancel = two.second.post(f"/teams/release/runs/{run_id}/cancel", params=there)
    assert cancel.status_code == 200
    said = resume(two.second, run_id, session="left")
    assert "TeamRunCancelled" in [each["event"] for each in said]
    assert two.provider.requests[0].wait(SECONDS) == "client_gone"
    assert len(two.provider.requests) == 1


def test_a_swarm_that_is_stopped_at_one_is_refused_at_the_other(two: Two) -> None:
    stop = {"swarm": "Release", "reason": "a test"}
    assert two.first.post("/swarm/stop", json=stop).status_code == 200
    try:
        deadline, refused = time.monotonic() + SECONDS, False
        while not refused and time.monotonic() < deadline:
            said = resume(two.second, begin(two.second, REQUEST, "stopped"), session="stopped")
            refused = any(each["kind"] == "stop" for each in ours(said))
        assert refused
        count = len(two.provider.requests)
        resume(two.second, begin(two.second, REQUEST, "stopped"), session="stopped")
        assert len(two.provider.requests) == count
    finally:
        assert two.second.post("/swarm/resume", json=stop).status_code == 200
