"""`agno-portkey serve`: one command for all of it, plain words where it can't be, nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
from playing import SECONDS
from redis_server import RedisServer
from run_asked import begin, client, ours, resume
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, tell

SECRET = "a secret of the tests that is long enough for HS256"
TEAM = """
from agno.agent import Agent
from agno_portkey import PortkeyModel
from agno_portkey.testing.story import Release, release_team

team = release_team(PortkeyModel(api_key="x"), Release(), id="mine", name="Mine")
broken = 42
"""
MAIN = "from agno_portkey.cli import main; main()"
POLICY = "gate: {name: release, runner: Runner, min_score: 8}\n"


def refused(*args: str, **environment: str) -> str:
    result = CliRunner().invoke(app, ["serve", *args], env={"COLUMNS": "200", **environment})
    assert result.exit_code == 2, result.output
    return result.stderr


@contextmanager
def served(folder: Path, *args: str, **environment: str) -> Iterator[tuple[str, list[str]]]:
    """Where the command serves, and what it has said; it is ended by Ctrl-C, and ends well."""
    command = [sys.executable, "-c", MAIN, "serve", "--port", "0", *args]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PORTKEY_", "AGNO_PORTKEY_J"))}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**kept, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    up = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("Ctrl-C"):
                up.set()
        up.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert up.wait(6 * SECONDS), lines
        [chat] = [line.split()[-1] for line in lines if line.startswith("Chat")] or [None]
        assert chat is not None, lines
        yield chat.removesuffix("/portkey/chat"), lines
    finally:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(3 * SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        reader.join(SECONDS)
        assert process.stdout is not None
        process.stdout.close()
    assert code == 0, lines
    assert "Stopped." in lines


def port_of(line: str) -> int:
    return int(line.partition("127.0.0.1:")[2].partition("/")[0])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_the_demos_team_is_served_with_a_gateway_that_goes_with_it(tmp_path: Path) -> None:
    with served(tmp_path) as (url, lines), client(url) as http:
        # Said before what takes seconds is loaded.
        assert lines[0] == "Starting the demo ..."
        [gateway] = [port_of(line) for line in lines if line.startswith("Gateway")]
        assert answers(gateway)
        for session in ("one", "two"):
            said = resume(http, begin(http, REQUEST, session), session=session)
            passed = [each["verdict"]["passed"] for each in ours(said) if each["kind"] == "gate"]
            assert passed == [False, True]
            assert said[-1]["event"] == "TeamRunCompleted"
        assert http.get("/portkey/chat").status_code == 200
        assert http.get("/portkey/api/me").json()["authorization"] is False
    assert (tmp_path / "agno-portkey.db").exists()
    assert not answers(gateway)


def test_a_team_of_the_users_is_asked_where_its_environment_says(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEAM)
    (tmp_path / "policy.yaml").write_text(POLICY)
    with EmbeddedProvider() as provider:
        tell(provider)
        given = ("mine.py:team", "--policy", "policy.yaml", "--db", "own.db")
        with (
            served(tmp_path, *given, PORTKEY_BASE_URL=provider.url) as (url, lines),
            client(url) as http,
        ):
            said = resume(http, begin(http, REQUEST, team="mine"), team="mine")
    assert said[-1]["event"] == "TeamRunCompleted"
    assert [each for each in ours(said) if each["kind"] == "gate"]
    assert any(line.startswith("Served") and "Mine" in line for line in lines)
    assert not any("started for this" in line for line in lines)
    assert (tmp_path / "own.db").exists()


MODEL = 'PortkeyModel(api_key="x")'
# Both find the embedded provider where the tests have written it: none is of the environment.
BESIDE = "open('provider').read()"
ITS_OWN = f"PortkeyModel(api_key='x', base_url={BESIDE})"
UNSAID = f"PortkeyModel(api_key='x', portkey_provider='openai', custom_host={BESIDE})"
# What is made later, or held elsewhere than as a model of somebody.
LATER = """
from agno.agent import AgentFactory
from agno.db.in_memory import InMemoryDb
later = AgentFactory(id="desk", db=InMemoryDb(), factory=lambda context: Agent())
"""
CALLED = """
helper = Agent(tools=lambda: [])
"""
INDEXED = """
from agno_portkey.knowledge import PortkeyEmbedder
index = [PortkeyEmbedder()]
"""


@pytest.mark.parametrize(
    ("model", "more", "is_started"),
    [
        (ITS_OWN, "", False),
        (UNSAID, "", True),
        *((ITS_OWN, more, True) for more in (INDEXED, LATER, CALLED)),
    ],
    ids=["own", "unsaid", "indexed", "later", "called"],
)
def test_a_gateway_is_started_where_it_is_asked(
    tmp_path: Path, model: str, more: str, is_started: bool
) -> None:
    (tmp_path / "mine.py").write_text(TEAM.replace(MODEL, model) + more)
    (tmp_path / "policy.yaml").write_text(POLICY)
    with EmbeddedProvider() as provider:
        tell(provider)
        (tmp_path / "provider").write_text(provider.url)
        given = ("mine.py:team", "--policy", "policy.yaml")
        with served(tmp_path, *given) as (url, lines), client(url) as http:
            said = resume(http, begin(http, REQUEST, team="mine"), team="mine")
    assert said[-1]["event"] == "TeamRunCompleted"
    [told] = [line.split(maxsplit=1)[1] for line in lines if line.startswith("Gateway")]
    assert told.endswith("(started for this)") is is_started
    assert is_started or told == "as its models say"


@pytest.mark.parametrize("model", [MODEL, ITS_OWN], ids=["unsaid", "own"])
def test_an_address_that_the_teams_module_puts_into_the_environment_stays_there(
    tmp_path: Path, model: str
) -> None:
    sets = f"import os\nos.environ['PORTKEY_BASE_URL'] = {BESIDE}\n"
    (tmp_path / "mine.py").write_text(sets + TEAM.replace(MODEL, model))
    (tmp_path / "policy.yaml").write_text(POLICY)
    with EmbeddedProvider() as provider:
        tell(provider)
        (tmp_path / "provider").write_text(provider.url)
        given = ("mine.py:team", "--policy", "policy.yaml")
        with served(tmp_path, *given) as (url, lines), client(url) as http:
            said = resume(http, begin(http, REQUEST, team="mine"), team="mine")
        assert said[-1]["event"] == "TeamRunCompleted"
        [told] = [line.split(maxsplit=1)[1] for line in lines if line.startswith("Gateway")]
        assert told == provider.url


def test_with_a_key_it_takes_tokens_of_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET)
    key.chmod(0o600)
    claims = {"sub": "ann", "aud": "agno-portkey", "exp": 4_000_000_000, "scopes": ["gates:read"]}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    other = jwt.encode({**claims, "aud": "another"}, SECRET, algorithm="HS256")
    (tmp_path / "mine.py").write_text(TEAM)
    environment = {"AGNO_PORTKEY_JWT_KEY": str(key), "PORTKEY_BASE_URL": "http://127.0.0.1:9"}
    with served(tmp_path, "mine.py:team", **environment) as (url, _):
        for given, status in ((None, 401), (other, 401), (token, 200)):
            with client(url, given) as http:
                assert http.get("/gates").status_code == status
        with client(url, token) as http:
            may = http.get("/portkey/api/me").json()["may"]
            assert {scope for scope, allowed in may.items() if allowed} == {"gates:read"}


def test_several_workers_share_what_is_said(tmp_path: Path) -> None:
    with (
        RedisServer() as redis,
        served(tmp_path, "--workers", "2", AGNO_PORTKEY_REDIS_URL=redis.url) as (url, _),
    ):
        # Each request is a connection of its own, which either may take.
        with client(url) as http:
            run_id = begin(http, REQUEST)
        for _ in range(4):
            with client(url) as http:
                assert resume(http, run_id)[-1]["event"] == "TeamRunCompleted"


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("--port", port)
    assert port in said
    assert "--port" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org"])
def test_another_host_takes_a_key(host: str) -> None:
    said = refused("--host", host)
    assert "AGNO_PORTKEY_JWT_KEY" in said


def test_several_workers_take_redis() -> None:
    assert "AGNO_PORTKEY_REDIS_URL" in refused("--workers", "2")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nowhere_at_all:team", "can't import nowhere_at_all"),
        ("mine.py:nobody", "there is no nobody"),
        ("mine.py:broken", "not int"),
        ("gone.py:team", "can't import gone.py"),
    ],
)
def test_what_is_no_team_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(TEAM)
    monkeypatch.chdir(tmp_path)
    said = refused(spec, "--port", "0", PORTKEY_BASE_URL="http://127.0.0.1:9")
    assert words in said


@pytest.mark.parametrize(
    ("args", "words"),
    [(("--policy", "p.yaml"), "name a team"), (("x:team", "--approval"), "its gate says it")],
)
def test_what_goes_with_another_team_alone_is_said(args: tuple[str, ...], words: str) -> None:
    assert words in refused(*args)


@pytest.mark.parametrize("key", ["", "too short", "/nowhere/at/all"])
def test_a_key_that_is_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    (tmp_path / "mine.py").write_text(TEAM)
    monkeypatch.chdir(tmp_path)
    environment = {"AGNO_PORTKEY_JWT_KEY": key, "PORTKEY_BASE_URL": "http://127.0.0.1:9"}
    assert "AGNO_PORTKEY_JWT_KEY" in refused("mine.py:team", "--port", "0", **environment)
