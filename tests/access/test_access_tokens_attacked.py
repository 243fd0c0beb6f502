"""Tokens that nobody should have signed, and claims that are none."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from agno.db.sqlite import SqliteDb
from agno.os.authz import Authorization
from attacked_apps import KEYS, REASON, managed, of, waiting
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
)
from fastapi import FastAPI
from served_access import Served, pair, token

from agno_portkey.errors import TokenRefused
from agno_portkey.gates.books import books_of
from agno_portkey.security.access import protect
from agno_portkey.security.access.tokens import holder_of
from agno_portkey.serving import gate_router


def by_hand(claims: dict[str, Any] | str, head: dict[str, Any] | None = None) -> str:
    """A token with a good signature over what no library would put into one."""
    body = claims if isinstance(claims, str) else json.dumps(claims)
    parts = (json.dumps({"alg": "RS256", "typ": "JWT", **(head or {})}), body)
    text = b".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in parts)
    key: Any = load_pem_private_key(pair()[0].encode(), None)
    sealed = base64.urlsafe_b64encode(key.sign(text, padding.PKCS1v15(), SHA256())).rstrip(b"=")
    return (text + b"." + sealed).decode()


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
