"""An AgentOS with every router of ours, and tokens of all kinds to ask it with."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import jwt
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.authz import Authorization
from agno.os.middleware import JWTMiddleware
from agno.os.settings import AgnoAPISettings
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fastapi import FastAPI

from agno_portkey import Event, PortkeyModel
from agno_portkey.hooks import AuditHook
from agno_portkey.security.access import protect, scopes_of
from agno_portkey.serving import audit_router, gate_router, keys_router, stop_router
from agno_portkey.stopping import StopSwitch
from agno_portkey.telemetry.audit import AuditLog

SECURITY_KEY = "the key of the OS"
AUDIT_KEY = b"k" * 32
# Seconds. Some are signed when tests are collected, and a run of all of them takes a while.
LASTS = 6 * 3600


@lru_cache
def pair(number: int = 0) -> tuple[str, str]:
    """A private and a public key, in PEM; another `number` is another pair."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def token(scopes: Any, *, key: str | None = None, **claims: Any) -> str:
    """A token that is good, but for the `claims` that are changed; None takes one away."""
    now = int(time.time())
    said = {"sub": "eve", "aud": "os", "iat": now, "exp": now + LASTS, "scopes": scopes, **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key or pair()[0], algorithm="RS256")


def by_hand(scopes: Iterable[str], alg: str, secret: bytes = b"") -> str:
    """A token of another algorithm than the key's, which no library would sign."""
    claims = {"sub": "eve", "aud": "os", "exp": int(time.time()) + LASTS, "scopes": [*scopes]}
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": alg, "typ": "JWT"}, claims)
    )
    text = head + b"." + body
    sealed = hmac.new(secret, text, hashlib.sha256).digest() if secret else b""
    return (text + b"." + base64.urlsafe_b64encode(sealed).rstrip(b"=")).decode()


def bad_tokens(scopes: Sequence[str], audience: str = "os") -> dict[str, str | None]:
    """Tokens of these scopes that nobody is to get in with, by what is wrong with them."""
    now = int(time.time())
    aud = {"aud": audience}
    return {
        "none": None,
        "empty": "",
        "no token": "abc.def.ghi",
        "forged": token(scopes, key=pair(1)[0], **aud),
        "expired": token(scopes, exp=now - 3600, **aud),
        "wrong audience": token(scopes, aud="another"),
        "no audience": token(scopes, aud=None),
        "not valid yet": token(scopes, nbf=now + LASTS - 60, **aud),
        "alg none": by_hand(scopes, "none"),
        "alg None": by_hand(scopes, "None"),
        "public key as secret": by_hand(scopes, "HS256", pair()[1].encode()),
        "reserved": token(scopes, sub="sa:ci", **aud),
        "service account": "agno_pat_" + "x" * 40,
        "security key": SECURITY_KEY,
    }


class Keys:
    """Keys that are rotated at once; `fails` is raised in place of that."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []
        self.fails: BaseException | None = None

    def status(self) -> list[dict[str, Any]]:
        return [{"key": "openai-prod-search", "stage": "idle"}]

    def rotate(self, name: str, *, by: str, reason: str) -> dict[str, Any]:
        return self._done("rotate", name, by, reason)

    def revoke(self, name: str, *, by: str, reason: str, now: bool) -> dict[str, Any]:
        return self._done("revoke now" if now else "revoke", name, by, reason)

    def _done(self, *what: str) -> dict[str, Any]:
        if self.fails is not None:
            raise self.fails
        self.done.append(what)
        return {"key": what[1]}


class Served:
    """An app, and what has been heard of it. `key`: it has a security key, and no tokens.

    `recorded`: what is heard goes to the audit log. `light`: AgentOS' middleware asks for tokens,
    in an app that has our routes alone.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bool = False,
        protected: bool = True,
        light: bool = False,
        recorded: bool = True,
        **options: Any,
    ) -> None:
        self.heard: list[Event] = []
        self.keys = Keys()
        self.log = path / "audit.jsonl"
        self.audit = AuditHook(AuditLog(self.log, key=AUDIT_KEY))
        self.db = SqliteDb(id="main", db_file=str(path / "agno.db"))
        self.switch = StopSwitch(self.db)
        self.audit(Event("start"))
        observers = [self.heard.append, *([self.audit] if recorded else [])]
        base = FastAPI()
        for router in (
            gate_router(self.db, observers=observers),
            stop_router(self.switch, observers=observers),
            audit_router(self.log, key=AUDIT_KEY, observers=observers),
            keys_router(self.keys, observers=observers, **options),
        ):
            base.include_router(router)
        if light:
            options = {"verification_keys": [pair()[1]], "audience": "os", "verify_audience": True}
            base.add_middleware(JWTMiddleware, authorization=True, **options)
            self.app = base
            return
        authorization = Authorization(
            verification_keys=[pair()[1]], algorithm="RS256", audience="os", verify_audience=True
        )
        os = AgentOS(
            id="os",
            agents=[Agent(id="desk", model=PortkeyModel(base_url="http://127.0.0.1:9"))],
            db=self.db,
            base_app=base,
            authorization=False if key else authorization,
            settings=AgnoAPISettings(os_security_key=SECURITY_KEY if key else None),
            telemetry=False,
        )
        app = os.get_app()
        self.app = protect(app, observers=observers) if protected else app

    def ask(self, method: str, path: str, bearer: str | None, **options: Any) -> httpx.Response:
        [answer] = self.ask_all([(method, path, bearer)], **options)
        return answer

    def ask_all(
        self, asked: Iterable[tuple[str, str, str | None]], **options: Any
    ) -> list[httpx.Response]:
        """The answers to requests, one after the other."""

        async def ask() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
                answers = []
                for method, path, bearer in asked:
                    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
                    given = {"headers": headers, **options}
                    answers.append(await client.request(method, path, **given))
                return answers

        return asyncio.run(ask())

    def as_role(self, role: str, method: str, path: str, **options: Any) -> httpx.Response:
        return self.ask(method, path, token(scopes_of(role)), **options)


def detail(answer: httpx.Response) -> Mapping[str, Any]:
    said: Mapping[str, Any] = answer.json()["detail"]
    return said
