"""Apps that ask nobody, or only some: roles that AgentOS keeps, mounted apps, what is left out."""

from __future__ import annotations

import pytest
from agno.db.sqlite import SqliteDb
from agno.os.authz import Authorization
from attacked_apps import KEYS, REASON, managed, of, waiting
from fastapi import FastAPI
from served_access import Served, token

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.books import books_of
from agno_portkey.security.access import ROLES, define_roles, protect
from agno_portkey.serving import gate_router, stop_router


@pytest.mark.parametrize("prefix", ["", "/inner"])
@pytest.mark.parametrize("role", ROLES)
def test_a_role_of_the_store_overrides_only_if_it_may(db: SqliteDb, prefix: str, role: str) -> None:
    """Whatever the scopes of the token say: there they count for nothing, mounted apps included."""
    books = books_of(db)
    waiting(books, "passed", passed=True)
    waiting(books, "refused", passed=False)
    authorization = define_roles(Authorization(db=db, **KEYS))
    authorization.assign("ann", role)
    base, inner = FastAPI(), FastAPI()
    inner.include_router(gate_router(db))
    if prefix:
        base.mount(prefix, inner)
    else:
        base.include_router(gate_router(db))
    app = of(protect(managed(db, base, authorization)))
    bearer = token(["agent_os:admin", "gates:override"], sub="ann")
    for id, may in (
        ("passed", {"approver", "overrider", "admin"}),
        ("refused", {"overrider", "admin"}),
    ):
        answer = app.ask("POST", f"{prefix}/gates/{id}/approve", bearer, json=REASON)
        assert (answer.status_code == 200) is (role in may), answer.text
        assert (books.clearances.get(id).state == "granted") is (role in may)


def test_who_is_no_administrator_sees_nothing_of_tenants_in_a_mounted_app(db: SqliteDb) -> None:
    books = books_of(db)
    waiting(books, "c1", tenant="globex")
    authorization = define_roles(Authorization(db=db, **KEYS))
    authorization.assign("ann", "viewer")
    base, inner = FastAPI(), FastAPI()
    inner.include_router(gate_router(db))
    base.mount("/inner", inner)
    app = of(protect(managed(db, base, authorization)))
    bearer = token(["agent_os:admin"], sub="ann", tenant="acme")
    assert app.ask("GET", "/inner/gates", bearer).json() == {"gates": []}


def test_an_app_that_only_knows_service_accounts_asks_nobody_else(db: SqliteDb) -> None:
    base = FastAPI()
    base.include_router(stop_router(db))
    with pytest.raises(ConfigurationError, match="asks nobody who they are"):
        protect(managed(db, base, False))


@pytest.mark.parametrize("excluded", ["/gates/c*", "/gates/c1", "/swarm/stop?", "/swarm/[s]tops"])
def test_a_path_that_is_left_out_of_the_authorization_is_read_by_nobody(
    db: SqliteDb, excluded: str
) -> None:
    waiting(books_of(db), "c1")
    base = FastAPI()
    base.include_router(gate_router(db, allow_unauthenticated=True))
    base.include_router(stop_router(db, allow_unauthenticated=True))
    authorization = Authorization(excluded_route_paths=[excluded], **KEYS)
    try:
        app = of(protect(managed(db, base, authorization)))
    except ConfigurationError as error:
        assert "excluded" in str(error)  # noqa: PT017 - either is good
        return
    assert app.ask("GET", "/gates/c1", None).status_code == 401
    assert app.ask("GET", "/swarm/stops", None).status_code == 401


def test_a_router_that_comes_after_asks_by_itself(db: SqliteDb) -> None:
    app = protect(managed(db, FastAPI(), Authorization(**KEYS)))
    app.include_router(stop_router(db))
    body = {"swarm": "Release", **REASON}
    for bearer, status in ((None, 401), (token([]), 403), (token(["swarm:stop"]), 200)):
        assert of(app).ask("POST", "/swarm/stop", bearer, json=body).status_code == status


def test_a_revoked_service_account_is_nobody(served: Served) -> None:
    given = {"name": "robot", "scopes": [{"scope": "dashboard:read"}]}
    made = served.as_role("admin", "POST", "/service-accounts", json=given).json()
    assert served.ask("GET", "/swarm/stops", made["token"]).status_code == 200
    gone = served.as_role("admin", "DELETE", f"/service-accounts/{made['id']}")
    assert gone.is_success, gone.text
    assert served.ask("GET", "/swarm/stops", made["token"]).status_code == 401
