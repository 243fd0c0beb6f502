"""A planted secret goes to the gateway and nowhere else; and the search would find it."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from agno_portkey.routing.local import LocalGateway
from benchmarks.security.planted import PLACES, SOURCES, plant, search
from benchmarks.security.sweep import sweep


def test_no_secret_is_in_anything_that_is_written(
    tmp_path: Path, portkey_gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_TELEMETRY", "false")
    swept = sweep(tmp_path, portkey_gateway, os.environ)
    assert swept.leaks == []
    # Each was really sent, and each way to fail was taken.
    assert set(swept.sent) == {(source, place) for source in SOURCES for place in PLACES}
    assert min(swept.sent.values()) >= 8
    assert set(swept.errors) >= {
        "GatewayUnauthorized",
        "GatewayUnreachable",
        "SecretUnavailable",
        "UpstreamFailed",
    }


FORMS = {
    "plain": lambda value: value.encode(),
    "reversed": lambda value: value[::-1].encode(),
    "hex": lambda value: value.encode().hex().encode(),
    "HEX": lambda value: value.encode().hex().upper().encode(),
    "URL": lambda value: quote(value, safe="").encode(),
    "base64": lambda value: base64.b64encode(value.encode()),
    "base64 of a pair": lambda value: base64.b64encode(f"user:{value}".encode()),
    "base64 of a header": lambda value: base64.b64encode(f"Bearer {value}".encode()),
    "urlsafe": lambda value: base64.urlsafe_b64encode(f"ab{value}".encode()),
    "its beginning": lambda value: value[:12].encode(),
    "its end": lambda value: value[-12:].encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_search_finds_what_is_there(form: str, tmp_path: Path) -> None:
    planted = plant(tmp_path / "vault", tmp_path, {})
    for key, value in planted.values.items():
        found, _, _ = search(planted, iter([("here", b"..." + FORMS[form](value) + b"...")]))
        assert {(leak.source, leak.place) for leak in found} == {key}
    nothing, size, _ = search(planted, iter([("here", os.urandom(5000))]))
    assert (nothing, size) == ([], 5000)
