"""Ways round what a server asks for, each of which has to end at a refusal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.db.sqlite import SqliteDb
from agno.os.authz import Authorization
from attacked_apps import KEYS, REASON, managed, of, waiting
from fastapi import FastAPI
from served_access import Served, detail, pair, token

from agno_portkey.gates.books import books_of
from agno_portkey.security.access import protect, scopes_of
from agno_portkey.serving import gate_router
from agno_portkey.serving.callers import ROOT

# Routes by other names


SPELLINGS = [
    ("GET", "/keys/"),
    ("GET", "http://os//keys"),
    ("GET", "/KEYS"),
    ("GET", "/%6Beys"),
    ("GET", "/keys%2F"),
    ("GET", "/./keys"),
    ("GET", "/x/../keys"),
    ("GET", "/keys;x=1"),
    ("GET", "/keys%00"),
    ("GET", "/keys?access_token={token}"),
    ("GET", "/audit/../keys"),
    ("HEAD", "/keys"),
    ("OPTIONS", "/keys"),
    ("PUT", "/keys"),
    ("get", "/keys"),
    ("POST", "/keys/openai-prod-search%2Frotate"),
    ("POST", "/keys/openai-prod-search/rotate/"),
    ("POST", "/keys//rotate"),
    ("POST", "/keys/../rotate"),
    ("POST", "/keys/%2e%2e/rotate"),
    ("POST", "/swarm/stop/"),
    ("POST", "/swarm//stop"),
    ("PATCH", "/swarm/stop"),
    ("QUERY", "/swarm/stops"),
]


@pytest.mark.parametrize(("method", "path"), SPELLINGS)
def test_no_other_spelling_of_a_route_lets_anybody_in(
    served: Served, method: str, path: str
) -> None:
    asked = path.format(token=token(scopes_of("admin")))
    for bearer in (None, token([]), token(["gates:read"])):
        answer = served.ask(method, asked, bearer, json=REASON)
        assert answer.status_code in (307, 400, 401, 403, 404, 405), (bearer, answer.text)
    assert served.keys.done == []
    assert served.switch.stopped() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "GET"},
        {"X-Original-URL": "/health"},
        {"X-Rewrite-URL": "/health"},
        {"X-Forwarded-Prefix": "/health"},
        {"Cookie": "access_token={token}"},
        {"X-Authorization": "Bearer {token}"},
        {"Proxy-Authorization": "Bearer {token}"},
        {"X-User-Id": "eve"},
    ],
)
def test_no_header_stands_for_a_token(served: Served, headers: dict[str, str]) -> None:
    bearer = token(scopes_of("admin"))
    sent = {name: value.format(token=bearer) for name, value in headers.items()}
    assert served.ask("GET", "/keys", None, headers=sent).status_code == 401


def test_of_two_tokens_each_is_asked_for_as_if_it_came_alone(served: Served) -> None:
    viewer, admin = token(scopes_of("viewer")), token(scopes_of("key_admin"))
    forged = token(scopes_of("key_admin"), key=pair(1)[0])

    def ask(*bearers: str) -> int:
        async def asked() -> int:
            transport = httpx.ASGITransport(app=served.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
                headers = [("Authorization", f"Bearer {each}") for each in bearers]
                return (await client.get("/keys", headers=headers)).status_code

        return asyncio.run(asked())

    assert ask(viewer, admin) == 403
    assert ask(forged, admin) == 401
    assert ask(admin) == 200


# Scopes


@pytest.mark.parametrize(
    "scopes",
    [
        ["gates:*"],
        ["gates:x:approve"],
        ["*:*"],
        ["*:approve"],
        ["*"],
        ["gates:approve "],
        [" gates:approve"],
        ["gates:approve\n"],
        ["GATES:APPROVE"],
        ["gates:аpprove"],  # noqa: RUF001 - a letter of another alphabet
        ["gates:ａpprove"],  # noqa: RUF001 - and a wide one
        ["gates:approve:x:y"],
        ["gates::approve:"],
        ["gates"],
        [":approve"],
        [""],
        "gates:read gates:approve",
        "gates:read,gates:approve",
        {"gates:approve": True},
        [["gates:approve"]],
        [7, "gates:approve"],
        [None],
        7,
        True,
    ],
)
@pytest.mark.parametrize("protected", [True, False])
def test_scopes_that_are_none_open_nothing(
    served: Served, scopes: Any, protected: bool, tmp_path: Path
) -> None:
    asked = served if protected else Served(tmp_path, light=True, recorded=False)
    answer = asked.ask("POST", "/gates/x/approve", token(scopes))
    assert answer.status_code in (401, 403, 503)


# What is told


def test_nobody_is_told_to_have_been_refused_under_a_name_of_ours(tmp_path: Path) -> None:
    served = Served(tmp_path, recorded=False)
    for sub in (ROOT, "the gate", "x" * 300):
        served.ask("GET", "/keys", token([], sub=sub))
    told = [event.data["by"] for event in served.heard if event.kind == "access"]
    assert told == [None, None, None]


def test_no_token_is_in_what_is_told(tmp_path: Path) -> None:
    served = Served(tmp_path)
    bearer = token(scopes_of("viewer"))
    served.ask("GET", f"/keys?access_token={bearer}", bearer)
    served.ask("GET", f"/keys?access_token={bearer}", None)
    served.ask("POST", f"/keys/{bearer[:200]}/rotate", bearer)
    assert len(served.heard) == 3
    assert bearer[-40:] not in served.log.read_text()
    assert bearer[:40] not in served.log.read_text()


def test_what_is_of_another_environment_is_a_conflict(
    db: SqliteDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = books_of(db)
    waiting(books, "c1", environment="prod")
    base = FastAPI()
    base.include_router(gate_router(db))
    app = of(protect(managed(db, base, Authorization(**KEYS))))
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    answer = app.ask("POST", "/gates/c1/approve", token(["gates:approve"]), json=REASON)
    assert (answer.status_code, detail(answer)["error"]) == (409, "other_environment")
    assert "agno.db" not in answer.text
    assert books.clearances.get("c1").state == "waiting"
