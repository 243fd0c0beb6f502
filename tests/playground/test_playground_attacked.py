"""The playground under attack: other sites, other users, paths and hosts that are none of its."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os.auth import create_dev_token
from agno.os.authz import Authorization
from agno.os.event_streams import get_event_stream
from agno.workflow.step import Step
from agno.workflow.workflow import Workflow
from playing import playing, serving
from run_asked import begin, client, resume, said_in

from agno_portkey import PortkeyModel, playground
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST

SECRET = "a secret of the tests that is long enough for HS256"
ELSEWHERE = ["https://elsewhere.example", "null", "http://127.0.0.1:1", "http://[", ""]
STOP = {"swarm": "Release", "reason": "a test"}


def test_a_page_of_another_site_begins_no_run_and_ends_nothing(tmp_path: Path) -> None:
    """A form of any page is sent without asking first; AgentOS' own routes take forms."""
    with playing(tmp_path) as stage, client(stage.url) as http:
        form = {"message": REQUEST, "stream": "false", "session_id": "s"}
        for origin in ELSEWHERE:
            given = {"Origin": origin}
            for path in ("/teams/release/runs", "/teams/release/runs/x/cancel", "/swarm/stop"):
                answer = http.post(path, data=form, headers=given)
                assert answer.status_code == 403, (origin, path)
                assert answer.json()["detail"]["error"] == "origin"
            assert http.delete("/sessions/s", headers=given).status_code == 403
        assert stage.provider.calls == []
        own = {"Origin": stage.url.upper()}
        assert http.post("/teams/release/runs", data=form, headers=own).status_code == 200


def test_a_page_that_the_host_allows_does_what_is_the_hosts(tmp_path: Path) -> None:
    form = {"message": REQUEST, "stream": "false"}
    given = {"Origin": "https://os.agno.com"}
    with playing(tmp_path) as stage, client(stage.url) as http:
        answer = http.post("/teams/release/runs", data=form, headers=given)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == given["Origin"]
        assert http.post("/swarm/stop", json=STOP, headers=given).status_code == 403
        assert http.get("/swarm/stops").json()["stops"] == []
    (tmp_path / "other").mkdir()
    mine = ["https://mine.example"]
    with playing(tmp_path / "other", cors_allowed_origins=mine) as stage, client(stage.url) as http:
        answer = http.post("/teams/release/runs", data=form, headers=given)
        assert answer.status_code == 403
        given = {"Origin": mine[0], "Host": "mine.example"}
        assert http.post("/swarm/stop", json=STOP, headers=given).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("elsewhere.example", 403),
        ("elsewhere.example:7777", 403),
        ("127.0.0.1.elsewhere.example", 403),
        ("localhost.elsewhere.example", 403),
        ("elsewhere.example.", 403),
        ("127.0.0.1@elsewhere.example", 403),
        ("[::1].elsewhere.example", 403),
        ("127.1.", 403),
        ("127.0.0.1:7777", 200),
        ("127.0.0.2", 200),
        ("[::1]:7777", 200),
        ("localhost:7777", 200),
        ("LOCALHOST", 200),
        ("app.localhost", 200),
        ("playground:7777", 200),
    ],
)
def test_a_name_of_anybodys_that_leads_here_is_refused(
    tmp_path: Path, host: str, status: int
) -> None:
    """Of such a site a browser says that it is the one that was asked: it reads all answers."""
    with playing(tmp_path) as stage, client(stage.url) as http:
        given = {"Host": host, "Origin": f"http://{host}"}
        for path in ("/portkey/api/me", "/sessions", "/swarm/stops"):
            assert http.get(path, headers=given).status_code == status
        assert http.post("/swarm/stop", json=STOP, headers=given).status_code == status


@contextmanager
def a_workflow(path: Path) -> Iterator[str]:
    with EmbeddedProvider() as provider:
        agent = Agent(name="One", model=PortkeyModel(base_url=provider.url, api_key="x"))
        steps: Any = [Step(name="one", agent=agent)]
        db = SqliteDb(id="main", db_file=str(path / "agno.db"))
        flow = Workflow(id="flow", name="Flow", db=db, steps=steps)
        with serving(playground.app(flow, telemetry=False)) as url:
            yield url


def upgraded(url: str, origin: str | None, host: str | None = None) -> int:
    """The status with which a socket is opened, or is not."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=20)
    given = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **({} if origin is None else {"Origin": origin}),
        **({} if host is None else {"Host": host}),
    }
    connection.request("GET", "/workflows/ws", headers=given)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_page_of_another_site_opens_no_socket(tmp_path: Path) -> None:
    """Sockets are open to any page of a browser, which reads what they say."""
    with a_workflow(tmp_path) as url:
        for origin in (*ELSEWHERE, url.replace("127.0.0.1", "localhost")):
            assert upgraded(url, origin) == 403, origin
        rebound = "http://elsewhere.example"
        assert upgraded(url, rebound, "elsewhere.example") == 403
        for own in (url, None, "https://os.agno.com"):
            assert upgraded(url, own) == 101, own


def test_with_an_authorization_it_is_the_token_that_counts(tmp_path: Path) -> None:
    keys = Authorization(verification_keys=[SECRET], algorithm="HS256")
    with playing(tmp_path, id="os", authorization=keys) as stage:
        for host in ("playground.example", "127.0.0.1"):
            given = {"Host": host, "Origin": "https://elsewhere.example"}
            with client(stage.url) as http:
                assert http.post("/swarm/stop", json=STOP, headers=given).status_code == 401
            with client(stage.url, token("ann", "swarm:stop")) as http:
                assert http.post("/swarm/stop", json=STOP, headers=given).status_code == 200


def test_a_page_of_nobodys_is_none_of_a_server_without_a_name(tmp_path: Path) -> None:
    """As old HTTP has it, which names no host."""
    with playing(tmp_path) as stage:
        at = urlsplit(stage.url)
        with socket.create_connection((str(at.hostname), at.port), timeout=20) as asked:
            head = "POST /swarm/stop HTTP/1.0\r\nOrigin: null\r\nContent-Length: 0\r\n\r\n"
            asked.sendall(head.encode())
            assert b" 403 " in asked.makefile("rb").readline()


def token(name: str, *scopes: str) -> str:
    return create_dev_token(name, secret=SECRET, scopes=[*scopes], audience="os")


RUNS = ("teams:read", "teams:run", "sessions:read", "sessions:write", "sessions:delete")


def test_one_user_gets_at_nothing_of_anothers_run(tmp_path: Path) -> None:
    keys = Authorization(verification_keys=[SECRET], algorithm="HS256")
    with playing(tmp_path, id="os", authorization=keys, user_isolation=True) as stage:
        with client(stage.url, token("bob", *RUNS)) as bob:
            run = begin(bob, f"{REQUEST} nonce-of-bob", "of-bob")
            said = resume(bob, run, session="of-bob")
            assert any(each.get("source") == "agno_portkey" for each in said)
        at = f"/teams/release/runs/{run}"
        with client(stage.url, token("ann", *RUNS)) as ann:
            mine = begin(ann, REQUEST, "of-ann")
            resume(ann, mine, session="of-ann")
            for session in ("of-bob", "of-ann", None):
                form = {} if session is None else {"session_id": session}
                asked = [
                    ann.post(f"{at}/resume", data=form),
                    ann.post(f"{at}/cancel", params=form),
                    ann.get(at, params=form),
                ]
                if session:
                    asked.append(ann.post(f"{at}/continue", data={**form, "tools": "[]"}))
                for answer in asked:
                    assert answer.status_code in (400, 403, 404, 422), (session, answer.request.url)
                    assert "nonce-of-bob" not in answer.text
            assert "of-bob" not in ann.get("/sessions", params={"type": "team"}).text
            answer = ann.get("/sessions/of-bob/runs", params={"type": "team"})
            assert "nonce-of-bob" not in answer.text
            # Whose token it is in an address does not count.
            claimed = {"token": token("bob", *RUNS), "user_id": "bob", "session_id": "of-bob"}
            with httpx.Client(base_url=stage.url, trust_env=False) as nobody:
                for path in (at, "/sessions", "/portkey/api/me", "/gates", "/swarm/stops"):
                    assert nobody.get(path, params=claimed).status_code == 401


_TRICKS = [
    "/portkey/static/../api/me",
    "/portkey/static/x/../../api/filters",
    "/portkey/static/x/..%2f..%2fapi%2ffilters",
    "/portkey/static/x/%2e%2e/pages.py",
    "/portkey/static/x/..%5cpages.py",
    "/portkey/static/../../etc/passwd",
    "/portkey/static/x//etc/passwd",
    "/portkey/static/x/chat.js%00.html",
    "/portkey/static/x/",
    "/portkey/static//",
    "/portkey/static/x/.",
    "/portkey//api/me",
    "//portkey/api/me",
    "/PORTKEY/api/me",
    "/portkey/API/me",
    "/portkey/api/me/",
    "/portkey/chat/../api/me",
    "/portkey%2fapi%2fme",
    "/portkey/api/me;x=1",
    "/portkey/api/%6de",
    f"/portkey/static/x/{'a' * 9_000}",
    "/gates/",
    "//gates",
    "/swarm/stops/",
    "/./swarm/stops",
]


@pytest.mark.parametrize("path", _TRICKS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_path_gets_round_the_authorization(path: str, method: str, guarded: str) -> None:
    """The pages are outside of it: they answer for themselves alone."""
    at = urlsplit(guarded)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert answer.status in (307, 401, 404, 405), said
    assert b'"may"' not in said
    assert b"import" not in said
    assert answer.status != 307 or said == b""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = Authorization(verification_keys=[SECRET], algorithm="HS256")
    with playing(tmp_path_factory.mktemp("guarded"), id="os", authorization=keys) as stage:
        yield stage.url


def test_pages_are_pages_under_a_root_of_their_own(tmp_path: Path) -> None:
    with (
        playing(tmp_path) as stage,
        serving(stage.app, root_path="/below") as url,
        client(url) as http,
    ):
        assert "<html" in http.get("/portkey/chat").text
        assert http.get("/portkey", follow_redirects=False).headers["location"] == "/below/portkey/"
        for path in ("/swarm/stop", "/below/swarm/stop", "/teams/x/runs", "/below/teams/x/runs"):
            given = {"Origin": "https://elsewhere.example"}
            assert http.post(path, json=STOP, headers=given).status_code == 403
        given = {"Origin": "https://os.agno.com"}
        assert http.post("/swarm/stop", json=STOP, headers=given).status_code == 403


def test_an_app_that_ends_takes_nothing_from_one_that_goes_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    before = get_event_stream()
    with ExitStack() as ending, ExitStack() as staying:
        ending.enter_context(playing(tmp_path / "one"))
        stage = staying.enter_context(playing(tmp_path / "two"))
        ending.close()
        with client(stage.url) as http:
            said = resume(http, begin(http, REQUEST))
        assert [each for each in said if each.get("kind") == "gate"]
    assert get_event_stream() is before


def lone(name: str, url: str, db: Any) -> Agent:
    return Agent(id=name, name=name, model=PortkeyModel(base_url=url, api_key="x"), db=db)


def test_no_event_is_in_the_stream_of_another_run(tmp_path: Path) -> None:
    """Of one team at once, in few sessions; and the same team where nobody serves it."""
    count = 24
    with playing(tmp_path) as stage, client(stage.url) as http:
        runs: dict[str, str] = {}
        outside = threading.Thread(target=stage.team.run, args=(REQUEST,), daemon=True)
        with ThreadPoolExecutor(count) as pool:
            outside.start()
            sessions = [f"s{number % 5}" for number in range(count)]
            begun = pool.map(lambda each: begin(http, REQUEST, each), sessions)
            runs = dict(zip(begun, sessions, strict=True))
            said = [*pool.map(lambda run: resume(http, run, session=runs[run]), runs)]
        outside.join(60)
        assert not outside.is_alive()
    assert len(runs) == count
    owner: dict[str, str] = {}
    kinds: list[list[str]] = []
    for run, events in zip(runs, said, strict=True):
        numbers = [each["event_index"] for each in events]
        assert numbers == [*range(len(numbers))]
        of_stream = {each["run_id"] for each in events if each.get("source") != "agno_portkey"}
        told = [each for each in events if each.get("source") == "agno_portkey"]
        assert {each["run_id"] for each in told} == {run}
        assert {each["of_run"] for each in told} <= of_stream
        for each in of_stream:
            assert owner.setdefault(each, run) == run
        assert not [each for each in told if each.get("left_out")]
        kinds.append(sorted(each["kind"] for each in told))
        assert events[-1]["event"] == "TeamRunCompleted"
    assert all({"gate", "plan", "call", "tool"} <= {*each} for each in kinds)


def test_agents_alone_and_workflows_have_their_own(tmp_path: Path) -> None:
    with EmbeddedProvider() as provider:
        db = SqliteDb(id="main", db_file=str(tmp_path / "agno.db"))
        one, two = (lone(name, provider.url, db) for name in ("one", "two"))
        flow = Workflow(id="flow", name="flow", db=db, steps=[Step(name="a", agent=two)])
        made = playground.app([one, flow], db=db, telemetry=False)
        with serving(made) as url, client(url) as http:
            for kind, name in (("agents", "one"), ("workflows", "flow"), ("agents", "one")):
                form = {"message": "Hi", "stream": "true", "background": "true", "session_id": "s"}
                with http.stream("POST", f"/{kind}/{name}/runs", data=form) as response:
                    assert response.status_code == 200, response.read()
                    run = str(next(said_in(response))["run_id"])
                with http.stream(
                    "POST", f"/{kind}/{name}/runs/{run}/resume", data={"session_id": "s"}
                ) as response:
                    events = [each for each in said_in(response) if "event_index" in each]
                told = [each for each in events if each.get("source") == "agno_portkey"]
                assert [each["kind"] for each in told].count("call") == 1, (kind, told)
                assert {each["run_id"] for each in told} == {run}
