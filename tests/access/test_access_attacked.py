"""Ways round what a server and the commands ask for, each of which has to end at a refusal."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
import typer
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.authz import Authorization
from agno.os.middleware import JWTMiddleware
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from fastapi import FastAPI
from served_access import Served, detail, pair, token
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.cli.access import REFUSED
from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.errors import ConfigurationError, TokenRefused
from agno_portkey.gates.books import Books, books_of
from agno_portkey.gates.clearance import Grant
from agno_portkey.secrets import FileSecrets
from agno_portkey.security.access import ROLES, define_roles, protect, scopes_of
from agno_portkey.security.access.commands import OPTION_SCOPES
from agno_portkey.security.access.tokens import holder_of
from agno_portkey.security.rotation import ApiKeyMaker, Rotation, admin_client
from agno_portkey.serving import gate_router, keys_router, stop_router
from agno_portkey.serving.callers import ROOT
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider

REASON = {"reason": "because"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("attacked"), recorded=False)


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(id="main", db_file=str(tmp_path / "agno.db"))


def waiting(books: Books, id: str, **changed: Any) -> None:
    plan, now = (
        Plan(goal="Ship 2.1", steps=(Step(action="Test it", tool="run_tests"),)),
        books.clock(),
    )
    given: dict[str, Any] = {"tenant": None, "user_id": "ann", "passed": True, **changed}
    grant = Grant(
        id=id,
        gate="release",
        swarm="Release",
        session_id="s1",
        plan=plan,
        plan_digest=digest(plan),
        fingerprint="sha256:f1",
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        state="waiting",
        **given,
    )
    books.clearances.put(grant)


def of(app: FastAPI) -> Served:
    """What asks `app`."""
    served = Served.__new__(Served)
    served.app = app
    return served


def by_hand(claims: dict[str, Any] | str, head: dict[str, Any] | None = None) -> str:
    """A token with a good signature over what no library would put into one."""
    body = claims if isinstance(claims, str) else json.dumps(claims)
    parts = (json.dumps({"alg": "RS256", "typ": "JWT", **(head or {})}), body)
    text = b".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in parts)
    key: Any = load_pem_private_key(pair()[0].encode(), None)
    sealed = base64.urlsafe_b64encode(key.sign(text, padding.PKCS1v15(), SHA256())).rstrip(b"=")
    return (text + b"." + sealed).decode()


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


# Tokens


NOW = int(time.time())
GOOD = {"sub": "eve", "exp": NOW + 600, "scopes": ["swarm:stop"]}
ODD_ENDS = [None, str(NOW + 600), True, [NOW + 600], {"in": 600}, "never", -1, NOW - 1]


@pytest.mark.parametrize("end", ODD_ENDS, ids=range(len(ODD_ENDS)))
def test_a_command_takes_no_end_that_is_no_time(end: Any) -> None:
    with pytest.raises(TokenRefused):
        holder_of(by_hand({**GOOD, "aud": "agno-portkey", "exp": end}), pair()[1])


@pytest.mark.parametrize("end", ["NaN", "Infinity", "-Infinity", "1e400", "1e309"])
def test_an_end_that_is_no_number_is_none(end: str, served: Served) -> None:
    for audience in ("agno-portkey", "os"):
        said = f'{{"sub": "eve", "aud": "{audience}", "scopes": ["keys:read"], "exp": {end}}}'
        with pytest.raises(TokenRefused):
            holder_of(by_hand(said), pair()[1])
        assert served.ask("GET", "/keys", by_hand(said)).status_code == 401


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "rs256"},
        {"alg": ["RS256"]},
        {"alg": "RS256", "kid": "../../etc/passwd"},
        {"alg": "RS256", "kid": ["x"]},
        {"alg": "RS256", "kid": "' or 1=1 --"},
        {"alg": "RS256", "jku": "http://127.0.0.1:9/keys"},
        {"alg": "RS256", "crit": ["exp"]},
        {"alg": "RS256", "b64": False},
    ],
)
def test_a_head_chooses_no_key_and_no_algorithm(head: dict[str, Any], served: Served) -> None:
    claims = {**GOOD, "aud": "os", "scopes": ["keys:read"]}
    foreign = jwt.encode(claims, pair(1)[0], algorithm="RS256").split(".")
    made = base64.urlsafe_b64encode(json.dumps({"typ": "JWT", **head}).encode()).rstrip(b"=")
    bearer = ".".join([made.decode(), *foreign[1:]])
    assert served.ask("GET", "/keys", bearer).status_code == 401


@pytest.mark.parametrize(
    "sub",
    [
        " sa:ci",
        "eve ",
        "\teve",
        "\uff54he gate",
        "the\u00a0gate",
        "eve\u200b",
        "x" * 256,
        7,
        ["eve"],
    ],
)
def test_a_name_that_looks_like_another_decides_nothing(served: Served, sub: Any) -> None:
    bearer = by_hand({**GOOD, "aud": "os", "sub": sub})
    body = {"swarm": "Release", **REASON}
    assert served.ask("POST", "/swarm/stop", bearer, json=body).status_code in (401, 403)
    assert served.switch.stopped() == {}


@pytest.mark.parametrize("tenant", [7, ["acme"], {"acme": 1}, True, "", "ACME", "acme "])
def test_a_tenant_is_named_as_it_is(db: SqliteDb, tenant: Any) -> None:
    books = books_of(db)
    waiting(books, "c1", tenant="acme")
    base = FastAPI()
    base.include_router(gate_router(db))
    app = protect(managed(db, base, Authorization(**KEYS)))
    bearer = token(["gates:read", "gates:approve"], tenant=tenant)
    assert of(app).ask("POST", "/gates/c1/approve", bearer, json=REASON).status_code in (403, 404)
    assert books.clearances.get("c1").state == "waiting"


# Roles that AgentOS keeps


KEYS: dict[str, Any] = {
    "verification_keys": [pair()[1]],
    "audience": "os",
    "verify_audience": True,
}


def managed(db: SqliteDb, base: FastAPI, authorization: Any) -> FastAPI:
    agents = [Agent(id="a")]
    os = AgentOS(
        id="os",
        agents=agents,
        db=db,
        base_app=base,
        authorization=authorization,
        telemetry=False,
    )
    return os.get_app()


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


# Apps


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


# Commands


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose commands ask for tokens, and where a swarm is stopped."""
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", pair()[1])
    monkeypatch.delenv("AGNO_PORTKEY_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    StopSwitch(SqliteDb(db_file=str(tmp_path / "agno.db"))).stop("Release")
    return tmp_path


def stops(*more: str) -> int:
    return CliRunner().invoke(app, ["stops", "--db", "agno.db", *more]).exit_code


def test_a_command_does_for_all_tenants_and_so_for_none(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("acme", "", 7, ["acme"], False):
        bearer = token(["dashboard:read"], aud="agno-portkey", tenant=tenant)
        monkeypatch.setenv("AGNO_PORTKEY_TOKEN", bearer)
        assert stops() == REFUSED, tenant
    for scopes, tenant in ((["dashboard:read"], None), (["agent_os:admin"], "acme")):
        bearer = token(scopes, aud="agno-portkey", tenant=tenant)
        monkeypatch.setenv("AGNO_PORTKEY_TOKEN", bearer)
        assert stops() == 0


def test_help_takes_no_token(locked: Path) -> None:
    for words in ([], ["stop"], ["gate"], ["gate", "approve"], ["keys", "rotate"], ["audit"]):
        told = CliRunner().invoke(app, [*words, "--help"])
        assert told.exit_code == 0, words
        assert "Usage" in told.stdout


def test_what_an_option_opens_is_an_option(locked: Path) -> None:
    group = typer.main.get_group(app)
    for path, option in OPTION_SCOPES:
        command: Any = group
        for word in path.split():
            command = command.commands[word]
        assert option in {each.name for each in command.params}, path
        # Else it would come in past what asks for it.
        assert all(each.envvar is None for each in command.params if each.name == option)


def test_a_key_that_others_can_change_is_none(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_TOKEN", token(["dashboard:read"], aud="agno-portkey"))
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", "key.pem")
    (locked / "key.pem").write_text(pair()[1])
    for mode, code in ((0o644, 0), (0o646, REFUSED), (0o644, 0)):
        (locked / "key.pem").chmod(mode)
        assert stops() == code


def test_a_key_that_can_be_guessed_is_none() -> None:
    small = rsa.generate_private_key(65537, 1024)
    public = small.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigurationError, match="2048"):
        holder_of(token(["swarm:stop"]), public.decode())


# Rotations


NAME = "openai-prod-search"


@contextmanager
def rotating(path: Path, **settings: Any) -> Iterator[tuple[Served, EmbeddedProvider, str]]:
    """An app that rotates one key for real, Portkey's stand-in, and the value that is in use."""
    source = FileSecrets(path / "secrets")
    with EmbeddedProvider() as provider, admin_client("m", base_url=provider.url) as client:
        first = provider.admin.make("api-keys", "old")
        source.write(NAME, first["key"])
        rotation = Rotation(
            NAME,
            maker=ApiKeyMaker(client),
            source=source,
            journal=path / "journal",
            current=str(first["id"]),
            **settings,
        )
        base = FastAPI()
        base.include_router(keys_router(rotation, wait=60.0))
        base.add_middleware(JWTMiddleware, authorization=True, **KEYS)
        yield of(base), provider, str(first["key"])


def test_a_key_that_has_leaked_is_gone_at_once(tmp_path: Path) -> None:
    """It would be good for a quarter of an hour else, as calls under way may hold it."""
    bearer = token(scopes_of("key_admin"))
    with rotating(tmp_path) as (asked, provider, value):
        done = asked.ask("POST", f"/keys/{NAME}/rotate", bearer, json=REASON)
        assert done.status_code == 200, done.text
        assert len(provider.admin.live("api-keys")) == 2
        shown = asked.ask("GET", "/keys", bearer)
        assert [each["name"] for each in shown.json()["keys"][0]["pending"]] != []
        assert shown.json()["under_way"] == []
        gone = asked.ask("POST", f"/keys/{NAME}/revoke?now=true", bearer, json=REASON)
        assert (gone.status_code, gone.json()["pending"]) == (200, [])
        [left] = provider.admin.live("api-keys")
        assert left != "old"
        new = (tmp_path / "secrets" / NAME).read_text().strip()
        for answer in (done, shown, gone):
            assert value not in answer.text
            assert new not in answer.text


def test_what_was_replaced_is_deleted_by_itself(tmp_path: Path) -> None:
    bearer = token(scopes_of("key_admin"))
    with rotating(tmp_path, drain=0.05, settle=0.05) as (asked, provider, _):
        assert asked.ask("POST", f"/keys/{NAME}/rotate", bearer, json=REASON).status_code == 200
        while asked.ask("GET", "/keys", bearer).json()["keys"][0]["pending"]:
            pass
        [left] = provider.admin.live("api-keys")
        assert left.startswith(NAME)


def test_no_other_name_is_rotated(tmp_path: Path) -> None:
    bearer = token(scopes_of("key_admin"))
    with rotating(tmp_path) as (asked, provider, _):
        for other in ("openai-prod-searc", "..", NAME.upper(), f"{NAME} ", "x" * 255, "a\0b"):
            for what in ("rotate", "revoke"):
                path = f"/keys/{quote(other, safe='').replace('.', '%2E')}/{what}"
                assert asked.ask("POST", path, bearer, json=REASON).status_code == 404, other
        path = f"/keys/{'x' * 256}/rotate"
        assert asked.ask("POST", path, bearer, json=REASON).status_code == 422
        assert provider.admin.live("api-keys") == ["old"]


def test_a_rotation_that_fails_quotes_no_key(tmp_path: Path) -> None:
    bearer = token(scopes_of("key_admin"))

    def probe(value: str) -> None:
        raise RuntimeError(f"{value} is refused")

    with rotating(tmp_path, probe=probe, patience=0.0) as (asked, provider, value):
        answer = asked.ask("POST", f"/keys/{NAME}/rotate", bearer, json=REASON)
        assert answer.status_code == 502
        made = [row["key"] for row in provider.admin.rows["api-keys"].values()]
        assert len(made) >= 1
        for each in (*made, value):
            assert each not in answer.text
        assert "old" in provider.admin.live("api-keys")
