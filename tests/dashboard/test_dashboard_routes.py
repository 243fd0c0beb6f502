"""The routes of the dashboard: who may ask, what may be asked, and databases that fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.auth import create_dev_token
from agno.os.authz import Authorization
from board_spans import NOON, agno_db, call, put, run
from fastapi import FastAPI
from postgres_server import PostgresServer

from agno_portkey import Event
from agno_portkey.security.access import protect
from agno_portkey.serving import dashboard as serving_dashboard
from agno_portkey.serving import dashboard_router
from agno_portkey.telemetry.dashboard import Board

SECRET = "a secret of the tests that is long enough for HS256"
SINCE = (NOON - timedelta(hours=1)).isoformat()
UNTIL = (NOON + timedelta(hours=1)).isoformat()
RANGE = {"since": SINCE, "until": UNTIL}
PANEL = "/portkey/api/panels/latency"
ROUTES: dict[str, dict[str, str]] = {
    PANEL: RANGE,
    "/portkey/api/runs": {**RANGE, "panel": "latency"},
    f"/portkey/api/runs/{'a' * 32}": {},
    "/portkey/api/filters": {},
}


def ask(app: FastAPI, path: str, params: Any = None, *, token: str | None = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            return await client.get(path, params=params, headers=headers)

    return asyncio.run(asked())


def signed(*scopes: str, sub: str = "eve", **claims: Any) -> str:
    return str(
        create_dev_token(sub, secret=SECRET, scopes=[*scopes], audience="os", extra_claims=claims)
    )


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDb]:
    with agno_db(f"sqlite:///{tmp_path / 'agno.db'}") as found:
        put(found, run(), call())
        yield found


def plain(db: Any, **router: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(dashboard_router(db, **router))
    return app


def guarded(db: Any, *, protected: bool = True, **router: Any) -> FastAPI:
    """An AgentOS that verifies tokens, with our routes."""
    keys = Authorization(verification_keys=[SECRET], algorithm="HS256")
    os = AgentOS(
        id="os",
        agents=[Agent(name="A", id="a")],
        base_app=plain(db, **router),
        authorization=keys,
        telemetry=False,
    )
    app = os.get_app()
    if protected:
        protect(app)
    return app


@pytest.mark.parametrize("path", ROUTES)
def test_without_an_authorization_anybody_may_read(db: SqliteDb, path: str) -> None:
    answer = ask(plain(db), path, ROUTES[path])
    assert answer.status_code == 200, answer.text


def test_without_a_thread_to_catch_up_it_is_answered(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        if thread.name == "agno-portkey-points":
            raise RuntimeError("can't start new thread")
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    path = "/portkey/api/filters"
    assert ask(plain(db), path, ROUTES[path]).status_code == 200


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("path", ROUTES)
def test_each_route_takes_the_scope(db: SqliteDb, path: str, protected: bool) -> None:
    heard: list[Event] = []
    app = guarded(db, protected=protected, observers=[heard.append])
    assert ask(app, path, ROUTES[path]).status_code == 401
    assert ask(app, path, ROUTES[path], token=signed("gates:read")).status_code == 403
    of_a_tenant = ask(app, path, ROUTES[path], token=signed("dashboard:read", tenant="acme"))
    assert of_a_tenant.status_code == 403
    assert "of all tenants" in of_a_tenant.text
    known = ask(app, path, ROUTES[path], token=signed("dashboard:read"))
    assert known.status_code == 200, known.text
    assert {each.kind for each in heard} <= {"access"}
    assert heard


BAD: dict[str, dict[str, str]] = {
    "no range": {},
    "no zone": {"since": "2026-11-28T11:00:00", "until": UNTIL},
    "no time": {"since": "yesterday", "until": UNTIL},
    "turned round": {"since": UNTIL, "until": SINCE},
    "nothing between": {"since": SINCE, "until": SINCE},
    "too long": {"since": "2020-01-01T00:00:00Z", "until": UNTIL},
    "before all": {"since": "1960-01-01T00:00:00Z", "until": "1960-01-02T00:00:00Z"},
    "unknown": {**RANGE, "tenant": "acme"},
    "long": {**RANGE, "swarm": "s" * 256},
    "by what": {**RANGE, "by": "span_id"},
}


@pytest.mark.parametrize("what", BAD)
def test_what_can_not_be_asked_is_refused(db: SqliteDb, what: str) -> None:
    answer = ask(plain(db), PANEL, BAD[what])
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_what_there_is_not_is_not_found(db: SqliteDb) -> None:
    app = plain(db)
    unknown = ask(app, "/portkey/api/panels/everything", RANGE)
    assert unknown.status_code == 404
    assert "latency" in unknown.json()["detail"]["message"]
    for id in ("b" * 32, "%00", "a%0Ab", "' OR 1=1 --", "../filters%3F"):
        assert ask(app, f"/portkey/api/runs/{id}").status_code == 404
    assert ask(app, "/portkey/api/runs", {**RANGE, "panel": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-28T13:00:00+02:00", "2026-11-28T15:00:00+02:00"),
        ("2026-11-28T05:30:00-05:30", "2026-11-28T07:30:00-05:30"),
        ("2026-11-28T11:00:00Z", "2026-11-28T13:00:00Z"),
    ],
)
def test_any_zone_is_the_same_time(db: SqliteDb, since: str, until: str) -> None:
    told = ask(plain(db), PANEL, {"since": since, "until": until}).json()
    [group] = told["groups"]
    assert group["totals"]["count"] == 1
    at = int(NOON.timestamp() * 1_000)
    assert told["times"][[each is not None for each in group["series"]["count"]].index(True)] == at


def test_hostile_names_are_names(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>'; DROP TABLE agno_portkey_points; --\u202e\x1b[2J"
    with agno_db(f"sqlite:///{tmp_path / 'agno.db'}") as db:
        put(db, call(model=name, swarm=name))
        app = plain(db)
        [group] = ask(app, PANEL, RANGE).json()["groups"]
        [swarm] = ask(app, "/portkey/api/filters").json()["swarms"]
        assert group["key"] == swarm
        assert "\x1b" not in swarm
        asked = {**RANGE, "swarm": swarm}
        assert len(ask(app, PANEL, asked).json()["groups"]) == 1
        behind = {**asked, "panel": "latency", "key": group["key"]}
        assert len(ask(app, "/portkey/api/runs", behind).json()["runs"]) == 1


def test_a_server_that_is_away_is_no_empty_panel(postgres: PostgresServer) -> None:
    url = postgres.new_database().replace(f":{postgres.port}/", ":9/")
    with agno_db(url) as db:
        for path, asked in ROUTES.items():
            answer = ask(plain(db), path, asked)
            assert answer.status_code == 503, answer.text
            assert answer.json()["detail"]["error"] == "database"
            assert ":9/" not in answer.text


def test_a_file_that_was_taken_away_is_no_empty_panel(db: SqliteDb, tmp_path: Path) -> None:
    app = plain(db)
    assert ask(app, PANEL, RANGE).status_code == 200
    (tmp_path / "agno.db").unlink()
    answer = ask(app, PANEL, RANGE)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (503, "database")
    assert not (tmp_path / "agno.db").exists()


def test_another_environments_database_is_refused_with_its_name_in_the_log(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod")
    Board(db).catch_up()
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    answer = ask(plain(db), PANEL, RANGE)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "other_environment")
    assert "agno.db" not in answer.text
    assert "agno.db" in caplog.text


def test_one_that_hangs_keeps_neither_the_loop_nor_all_threads(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, asked = threading.Event(), threading.Semaphore(0)
    entered: list[int] = []

    def hangs(*_: Any) -> Any:
        entered.append(1)
        asked.release()
        let_go.wait(60)
        return {}

    monkeypatch.setattr(Board, "panel", hangs)
    monkeypatch.setattr(serving_dashboard, "_SECONDS", 0.3)
    monkeypatch.setattr(serving_dashboard, "_WAITING", 12)
    app = plain(db)

    async def all_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            return await asyncio.gather(*(client.get(PANEL, params=RANGE) for _ in range(20)))

    try:
        answers = asyncio.run(all_at_once())
    finally:
        let_go.set()
    assert {each.status_code for each in answers} == {503}
    errors = [each.json()["detail"]["error"] for each in answers]
    assert errors.count("busy") == 8
    assert errors.count("too_late") == 12
    # No more threads than that are with the database.
    assert len(entered) <= serving_dashboard._AT_ONCE


def test_one_that_lies_is_an_error_and_no_figure(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Board, "panel", lambda *_: (_ for _ in ()).throw(OSError("secret/path")))
    answer = ask(plain(db), PANEL, RANGE)
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_the_loop_is_free_while_a_panel_is_made(db: SqliteDb, monkeypatch: Any) -> None:
    here = threading.get_ident()
    seen: list[int] = []
    of = Board.panel

    def panel(self: Board, *asked: Any) -> Any:
        seen.append(threading.get_ident())
        return of(self, *asked)

    monkeypatch.setattr(Board, "panel", panel)
    assert ask(plain(db), PANEL, RANGE).status_code == 200
    assert seen
    assert here not in seen
