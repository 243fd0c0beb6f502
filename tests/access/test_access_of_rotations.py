"""Keys that are rotated over HTTP for real: at once where they have leaked, and never quoted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agno.os.middleware import JWTMiddleware
from attacked_apps import KEYS, REASON, of
from fastapi import FastAPI
from served_access import Served, token

from agno_portkey.secrets import FileSecrets
from agno_portkey.security.access import scopes_of
from agno_portkey.security.rotation import ApiKeyMaker, Rotation, admin_client
from agno_portkey.serving import keys_router
from agno_portkey.testing import EmbeddedProvider

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
