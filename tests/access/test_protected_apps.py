"""`protect`: which apps it takes, what it puts into the map, and who hears of refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.authz import Authorization
from agno.os.middleware import JWTMiddleware
from fastapi import APIRouter, FastAPI
from served_access import SECURITY_KEY, Served, bad_tokens, pair, token

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError
from agno_portkey.security.access import define_roles, protect, scopes_of
from agno_portkey.serving import gate_router, stop_router


def app_of(path: Path, *routers: APIRouter, prefix: str = "", **options: Any) -> FastAPI:
    base = FastAPI()
    for router in routers:
        base.include_router(router, prefix=prefix)
    authorization = Authorization(
        verification_keys=[pair()[1]], audience="os", verify_audience=True, **options
    )
    agent = Agent(id="desk", model=PortkeyModel(base_url="http://127.0.0.1:9"))
    os = AgentOS(
        id="os", agents=[agent], base_app=base, authorization=authorization, telemetry=False
    )
    return os.get_app()


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(id="main", db_file=str(tmp_path / "agno.db"))


def test_a_route_of_ours_without_a_scope_is_named(tmp_path: Path) -> None:
    router = APIRouter()

    @router.get("/dashboard/{page}")
    def dashboard(page: str) -> str:
        return page

    dashboard.__module__ = "agno_portkey.serving.dashboard"
    for prefix in ("", "/api"):
        with pytest.raises(ConfigurationError, match=rf"GET {prefix}/dashboard/\* \(dashboard\)"):
            protect(app_of(tmp_path, router, prefix=prefix))


def test_somebody_elses_route_is_theirs(tmp_path: Path, db: SqliteDb) -> None:
    router = APIRouter()

    @router.get("/theirs")
    def theirs() -> str:
        return "theirs"

    app = protect(app_of(tmp_path, router, gate_router(db)))
    assert "GET /theirs" not in app.state.scope_mappings


def test_ours_are_asked_for_first_and_under_their_prefix(tmp_path: Path, db: SqliteDb) -> None:
    app = app_of(tmp_path, stop_router(db), prefix="/agents/own")
    app.state.scope_mappings["GET /agents/*"] = []
    protect(app)
    [first, *_] = app.state.scope_mappings
    assert first == "GET /agents/own/swarm/stops"
    served = Served.__new__(Served)
    served.app = app
    path = "/agents/own/swarm/stops"
    assert served.ask("GET", path, token(["agents:read"])).status_code == 403
    assert served.ask("GET", path, token(["dashboard:read"])).status_code == 200


def test_a_mounted_app_of_ours_is_mapped_too(tmp_path: Path, db: SqliteDb) -> None:
    app, inner = app_of(tmp_path), FastAPI()
    inner.include_router(gate_router(db))
    app.mount("/inner", inner)
    protect(app)
    assert app.state.scope_mappings["POST /inner/gates/*/approve"] == ["gates:approve"]


def test_an_app_that_asks_nobody_is_refused(tmp_path: Path, db: SqliteDb) -> None:
    with pytest.raises(ConfigurationError, match="the app of an AgentOS"):
        protect(FastAPI())
    os = AgentOS(id="os", agents=[Agent(id="a")], base_app=FastAPI(), telemetry=False)
    with pytest.raises(ConfigurationError, match="asks nobody who they are"):
        protect(os.get_app())
    with pytest.raises(ConfigurationError, match=r"GET /gates is excluded from the authorization"):
        protect(app_of(tmp_path, gate_router(db), excluded_route_paths=["/gates*"]))
    own = AgentOS(id="os", agents=[Agent(id="a")], base_app=FastAPI(), telemetry=False).get_app()
    own.add_middleware(JWTMiddleware, verification_keys=["k" * 32], algorithm="HS256")
    with pytest.raises(ConfigurationError, match="a map of its own"):
        protect(own)


def test_observers_are_what_can_be_called(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="observers"):
        protect(app_of(tmp_path), observers=["no observer"])  # type: ignore[list-item]


def test_agent_os_keeps_our_roles_for_its_users(tmp_path: Path, db: SqliteDb) -> None:
    authorization = define_roles(
        Authorization(db=db, verification_keys=[pair()[1]], audience="os", verify_audience=True)
    )
    authorization.assign("olga", "operator")
    authorization.assign("ann", "approver")
    base = FastAPI()
    base.include_router(stop_router(db))
    base.include_router(gate_router(db))
    os = AgentOS(
        id="os",
        agents=[Agent(id="a")],
        db=db,
        base_app=base,
        authorization=authorization,
        telemetry=False,
    )
    served = Served.__new__(Served)
    served.app = protect(os.get_app())
    body = {"swarm": "Release", "reason": "wrong prices"}
    # The scopes of a token count for nothing there: the roles decide.
    for name, scopes, status in (
        ("olga", [], 200),
        ("ann", [], 403),
        ("ann", ["swarm:stop", "agent_os:admin"], 403),
        ("nobody", ["swarm:stop"], 403),
    ):
        bearer = token(scopes, sub=name)
        assert served.ask("POST", "/swarm/stop", bearer, json=body).status_code == status
    assert served.ask("GET", "/gates", token([], sub="ann")).status_code == 200


# Refusals are told


def test_each_refusal_is_told_once_and_is_in_the_audit_log(tmp_path: Path) -> None:
    served = Served(tmp_path)
    viewer = token(scopes_of("viewer"), sub="vic")
    served.ask("POST", "/keys/openai-prod-search/rotate", viewer)
    served.ask("POST", "/swarm/stop", None)
    served.ask("POST", "/swarm/stop", token(scopes_of("operator"), tenant="acme"))
    served.ask("GET", "/agents", viewer)
    told = [event.data for event in served.heard if event.kind == "access"]
    assert told == [
        {
            "by": "vic",
            "target": "POST /keys/*/rotate",
            "scope": "keys:rotate",
            "status": 403,
        },
        {"by": None, "target": "POST /swarm/stop", "scope": "swarm:stop", "status": 401},
        {"by": "eve", "target": "POST /swarm/stop", "scope": "swarm:stop", "status": 403},
        {"by": "vic", "target": "GET /agents", "scope": "", "status": 403},
    ]
    shown = served.as_role("auditor", "GET", "/audit?kind=access").json()["records"]
    assert [each["record"]["data"] for each in reversed(shown)] == told
    assert served.as_role("auditor", "GET", "/audit?kind=access&by=eve").json()["records"] == [
        shown[1]
    ]


def test_a_flood_of_bad_tokens_does_not_fill_the_log(tmp_path: Path) -> None:
    served = Served(tmp_path, recorded=False)
    bad = bad_tokens(["swarm:stop"])["forged"]
    served.ask_all([("GET", "/keys", bad)] * 100)
    assert len(served.heard) == 60
    # A known caller is told at any time, with how many were left out.
    served.as_role("viewer", "GET", "/keys")
    assert served.heard[-1].data["left_out"] == 40
    served.as_role("viewer", "GET", "/keys")
    assert "left_out" not in served.heard[-1].data


def test_an_observer_that_raises_lets_nobody_in(tmp_path: Path) -> None:
    def broken(event: object) -> None:
        raise OSError("the disk is full")

    served = Served(tmp_path, recorded=False)
    app = protect(served.app, observers=[broken])
    served.app = app
    assert served.ask("GET", "/keys", None).status_code == 401


def test_the_routes_ask_and_tell_by_themselves(tmp_path: Path) -> None:
    served = Served(tmp_path, recorded=False, protected=False)
    viewer = token(scopes_of("viewer"))
    for method, path in (
        ("GET", "/keys"),
        ("GET", "/audit"),
        ("GET", "/audit/verify"),
        ("POST", "/keys/openai-prod-search/rotate"),
        ("POST", "/swarm/stop"),
        ("POST", "/swarm/resume"),
        ("POST", "/gates/x/approve"),
    ):
        assert served.ask(method, path, viewer).status_code == 403, path
    told = [event.data["target"] for event in served.heard]
    assert told[:2] == ["GET /keys", "GET /audit"]
    assert (told[-1], len(told)) == ("POST /gates/{id}/approve", 7)


def test_an_open_server_lets_nobody_change_anything(tmp_path: Path, db: SqliteDb) -> None:
    served = Served(tmp_path, recorded=False, key=True)
    assert served.ask("GET", "/keys", SECURITY_KEY).status_code == 200
    bare = FastAPI()
    bare.include_router(stop_router(db))
    served.app = bare
    assert served.ask("GET", "/swarm/stops", None).status_code == 200
    body = {"swarm": "*", "reason": "because"}
    assert served.ask("POST", "/swarm/stop", None, json=body).status_code == 401
