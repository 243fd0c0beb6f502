"""Names that are no names: in filters and keys, in both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from board_spans import agno_db, call, put, run
from postgres_server import PostgresServer
from test_dashboard_routes import PANEL, RANGE, ask, plain

RUNS = "/portkey/api/runs"
HOSTILE = [
    "'; DROP TABLE agno_portkey_points; --",
    "' OR '1'='1",
    "%",
    "_",
    "\\",
    "\\x00",
    '{"$ne": null}',
    "%%s%(x)s:x",
    "\ufffd\u202e\n",
    "😀" * 255,
]


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    url = f"sqlite:///{tmp_path / 'agno.db'}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    with agno_db(url) as found:
        put(found, run(), call())
        yield found


def test_no_name_is_more_than_a_name(db: Any) -> None:
    app = plain(db)
    before = ask(app, PANEL, RANGE).json()["groups"]
    assert before
    for name in HOSTILE:
        for filtered in ("swarm", "role", "environment"):
            told = ask(app, PANEL, {**RANGE, filtered: name})
            assert told.status_code == 200, told.text
            assert told.json()["groups"] == []
        for keyed in ("key", "of"):
            told = ask(app, RUNS, {**RANGE, "panel": "latency", keyed: name})
            assert told.status_code == 200, told.text
            assert told.json()["runs"] == []
    assert ask(app, PANEL, RANGE).json()["groups"] == before


@pytest.mark.parametrize("name", ["\x00", "a\x00", "\x00' OR 1=1", "a\n\x00"])
def test_a_name_that_no_database_can_hold_is_refused(db: Any, name: str) -> None:
    app = plain(db)
    for filtered in ("swarm", "role", "environment"):
        assert ask(app, PANEL, {**RANGE, filtered: name}).status_code == 422
    for keyed in ("key", "of"):
        assert ask(app, RUNS, {**RANGE, "panel": "usage", keyed: name}).status_code == 422
