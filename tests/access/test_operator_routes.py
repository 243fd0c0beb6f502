"""Stops, keys and the audit log over HTTP: what they do, what they refuse, what they tell."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from served_access import Served, detail, token

from agno_portkey.errors import ConfigurationError, RotationFailed, RotationUnderWay
from agno_portkey.security.access import scopes_of
from agno_portkey.serving import keys_router
from agno_portkey.verdict import Event, tell

NAME = "openai-prod-search"
ODD = ["a\x00b", "a\x1b[2K", "x" * 2001, 7, ["x"], "\ud800"]


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path, light=True, wait=30.0)


def operations(served: Served) -> list[dict[str, Any]]:
    return [dict(event.data) for event in served.heard if event.kind == "operation"]


# Stops


def test_a_swarm_is_stopped_and_goes_on(served: Served) -> None:
    body = {"swarm": "Release", "reason": "wrong prices"}
    told = served.as_role("operator", "POST", "/swarm/stop", json=body).json()
    stop = told["stop"]
    assert (stop["swarm"], stop["by"], stop["reason"]) == ("Release", "eve", "wrong prices")
    # Nobody has asked for it: it may be mistyped.
    assert told["known"] is False
    assert served.switch.check("Release") is not None
    assert served.as_role("viewer", "GET", "/swarm/stops").json()["stops"] == [stop]
    body = {"swarm": "release", "reason": "mended"}
    told = served.as_role("operator", "POST", "/swarm/resume", json=body).json()
    assert told == {"lifted": [stop], "still": None}
    assert served.switch.check("Release") is None
    [resumed] = served.switch.resumed().values()
    assert (resumed.swarm, resumed.by, resumed.reason) == ("Release", "eve", "mended")
    assert operations(served) == [
        {"by": "eve", "decision": "stop", "target": "Release"},
        {"by": "eve", "decision": "resume", "target": "release"},
    ]
    [resumed, stopped] = served.as_role("auditor", "GET", "/audit?kind=operation").json()["records"]
    assert (stopped["record"]["swarm"], resumed["record"]["data"]["by"]) == ("Release", "eve")


def test_all_swarms_stop_together(served: Served) -> None:
    every, one = ({"swarm": name, "reason": "because"} for name in ("*", "Release"))
    assert served.as_role("operator", "POST", "/swarm/stop", json=every).json()["known"] is True
    served.as_role("operator", "POST", "/swarm/stop", json=one)
    still = served.as_role("operator", "POST", "/swarm/resume", json=one).json()["still"]
    assert still["swarm"] == "*"


def test_what_is_not_stopped_is_said(served: Served) -> None:
    body = {"swarm": "Relase", "reason": "because"}
    told = served.as_role("operator", "POST", "/swarm/resume", json=body)
    assert (told.status_code, detail(told)["error"]) == (404, "not_stopped")
    assert operations(served) == []


@pytest.mark.parametrize("reason", [None, "", " \n"])
def test_a_stop_needs_a_reason_and_going_on_does_not(served: Served, reason: str | None) -> None:
    body = {"swarm": "Release", "reason": reason}
    told = served.as_role("operator", "POST", "/swarm/stop", json=body)
    assert (told.status_code, detail(told)["error"]) == (422, "no_reason")
    assert served.switch.stopped() == {}
    served.switch.stop("Release")
    told = served.as_role("operator", "POST", "/swarm/resume", json=body)
    assert [stop["swarm"] for stop in told.json()["lifted"]] == ["Release"]
    assert operations(served) == [{"by": "eve", "decision": "resume", "target": "Release"}]
    [resumed] = served.switch.resumed().values()
    assert (resumed.by, resumed.reason) == ("eve", None)


@pytest.mark.parametrize("path", ["/swarm/stop", "/swarm/resume"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"reason": "because"}, "name"),
        ({"swarm": "x" * 256, "reason": "because"}, "name"),
        ({"swarm": "a\nb", "reason": "because"}, "name"),
        ({"swarm": "Release", "reason": "because", "by": "root"}, "unknown_fields"),
        *(({"swarm": "Release", "reason": odd}, None) for odd in ODD),
        *(({"swarm": odd, "reason": "because"}, None) for odd in ODD),
    ],
)
def test_what_can_not_be_meant_stops_nothing(
    served: Served, path: str, body: dict[str, Any], error: str | None
) -> None:
    # No client would send half a surrogate pair but so.
    content = json.dumps(body).encode()
    told = served.as_role("operator", "POST", path, content=content)
    assert told.status_code == 422
    assert error is None or detail(told)["error"] == error
    assert served.switch.stopped() == {}


def test_large_bodies_and_no_json_are_refused(served: Served) -> None:
    bearer = token(scopes_of("operator"))
    for body, status in ((b"x" * 20_000, 413), (b"{", 422), (b"[" * 9_000, 422)):
        assert served.ask("POST", "/swarm/stop", bearer, content=body).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/swarm/stops", "viewer"),
        ("POST", "/swarm/stop", "operator"),
        ("POST", "/swarm/resume", "operator"),
        ("GET", "/keys", "key_admin"),
        ("POST", f"/keys/{NAME}/rotate", "key_admin"),
        ("POST", f"/keys/{NAME}/revoke", "key_admin"),
        ("GET", "/audit/verify", "auditor"),
    ],
)
def test_what_all_tenants_share_is_for_none_of_them(
    served: Served, method: str, path: str, role: str
) -> None:
    told = served.ask(method, path, token(scopes_of(role), tenant="acme"))
    assert (told.status_code, detail(told)["error"]) == (403, "of_all_tenants")
    admin = served.ask(method, path, token(scopes_of("admin"), tenant="acme"))
    assert admin.status_code in (200, 422)


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/swarm/stops", "viewer"),
        ("POST", "/swarm/stop", "operator"),
        ("POST", "/swarm/resume", "operator"),
    ],
)
def test_a_broken_database_is_told_without_its_words(
    served: Served, tmp_path: Path, method: str, path: str, role: str
) -> None:
    (tmp_path / "agno.db").write_bytes(b"no database at all" * 100)
    content = b'{"swarm": "Release", "reason": "because"}' if method == "POST" else None
    told = served.as_role(role, method, path, content=content)
    assert (told.status_code, detail(told)["error"]) == (503, "database")
    assert "agno.db" not in told.text
    assert "not a database" not in told.text


# Keys


def test_keys_are_shown_rotated_and_revoked(served: Served) -> None:
    told = served.as_role("key_admin", "GET", "/keys").json()
    assert told == {"keys": [{"key": NAME, "stage": "idle"}], "under_way": []}
    body = {"reason": "a laptop is gone"}
    for path in (f"/keys/{NAME}/rotate", f"/keys/{NAME}/revoke", f"/keys/{NAME}/revoke?now=true"):
        assert served.as_role("key_admin", "POST", path, json=body).json() == {"key": NAME}
    assert served.keys.done == [
        ("rotate", NAME, "eve", "a laptop is gone"),
        ("revoke", NAME, "eve", "a laptop is gone"),
        ("revoke now", NAME, "eve", "a laptop is gone"),
    ]
    assert [each["decision"] for each in operations(served)] == ["rotate", "revoke", "revoke"]


def test_a_key_that_is_not_there_or_without_a_reason(served: Served) -> None:
    told = served.as_role("key_admin", "POST", "/keys/nobody/rotate", json={"reason": "x"})
    assert (told.status_code, detail(told)["error"]) == (404, "unknown")
    told = served.as_role("key_admin", "POST", f"/keys/{NAME}/rotate")
    assert (told.status_code, detail(told)["error"]) == (422, "no_reason")
    assert served.keys.done == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RotationUnderWay(NAME, "what", "keys", "do"), 409),
        (RotationFailed(NAME, "what", "keys", "do"), 502),
        (ConfigurationError("/srv/keys/journal can't be written: sk-secret"), 503),
        (OSError(5, "sk-secret"), 503),
        (ValueError("sk-secret"), 500),
    ],
)
def test_a_rotation_that_fails_is_told_and_frees_the_key(
    served: Served, error: Exception, status: int
) -> None:
    served.keys.fails = error
    body = {"reason": "because"}
    told = served.as_role("key_admin", "POST", f"/keys/{NAME}/rotate", json=body)
    assert told.status_code == status
    assert "sk-secret" not in told.text
    assert [each["decision"] for each in operations(served)] == ["rotate failed"]
    served.keys.fails = None
    assert served.as_role("key_admin", "POST", f"/keys/{NAME}/rotate", json=body).is_success


def test_it_is_one_rotation_at_a_time(tmp_path: Path) -> None:
    served, may_end = Served(tmp_path, light=True, wait=0.01), threading.Event()
    begun: list[str] = []

    def rotate(name: str, *, by: str, reason: str) -> dict[str, Any]:
        begun.append(by)
        may_end.wait(60)
        return {"key": name}

    served.keys.rotate = rotate  # type: ignore[method-assign]
    body, path = {"reason": "because"}, f"/keys/{NAME}/rotate"
    told = served.as_role("key_admin", "POST", path, json=body)
    assert (told.status_code, told.json()) == (202, {"key": NAME, "state": "under way"})
    assert served.as_role("key_admin", "GET", "/keys").json()["under_way"] == [NAME]
    told = served.as_role("key_admin", "POST", path, json=body)
    assert (told.status_code, detail(told)["error"]) == (409, "under_way")
    may_end.set()
    while served.as_role("key_admin", "GET", "/keys").json()["under_way"]:
        pass
    assert begun == ["eve"]
    assert [each["decision"] for each in operations(served)] == ["rotate"]


def test_a_server_without_threads_frees_the_key(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        if thread.name == "agno-portkey-keys":
            raise RuntimeError("can't start new thread")
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    body, path = {"reason": "because"}, f"/keys/{NAME}/rotate"
    told = served.as_role("key_admin", "POST", path, json=body)
    assert (told.status_code, detail(told)["error"]) == (503, "busy")
    monkeypatch.undo()
    assert served.as_role("key_admin", "POST", path, json=body).is_success


def test_what_rotates_nothing_is_refused() -> None:
    for source in (object(), [], [object()], "keys"):
        with pytest.raises(ConfigurationError, match="a KeyKeeper, a Rotation"):
            keys_router(source)


# The audit log


def written(served: Served, *events: Event) -> None:
    for event in events:
        tell([served.audit], event)


def lines_of(served: Served, query: str, **claims: Any) -> list[Any]:
    bearer = token(scopes_of("auditor"), **claims)
    records = served.ask("GET", f"/audit?{query}", bearer).json()["records"]
    return [each["line"] for each in records]


def test_pages_go_down_from_the_newest(served: Served) -> None:
    written(served, *(Event("gate", role=f"r{number}") for number in range(9)))
    seen, before = [], ""
    while True:
        told = served.as_role("auditor", "GET", f"/audit?limit=4{before}").json()
        seen += [each["line"] for each in told["records"]]
        assert all(each["sound"] for each in told["records"])
        if told["next"] is None:
            break
        before = f"&before={told['next']}"
    assert seen == [*range(10, 0, -1)]


def test_records_are_chosen_by_what_they_are_of(served: Served) -> None:
    written(
        served,
        Event("gate", role="Judge", swarm="Release", run_id="r1"),
        Event("call", role="Judge", swarm="Other"),
        Event("approval", data={"by": "ann"}),
    )
    assert lines_of(served, "kind=gate") == [2]
    assert lines_of(served, "role=Judge") == [3, 2]
    assert lines_of(served, "role=Judge&swarm=Other") == [3]
    assert lines_of(served, "run_id=r1") == [2]
    assert lines_of(served, "by=ann") == [4]
    assert lines_of(served, "since=2100-01-01T00:00:00Z") == []
    assert lines_of(served, "until=2020-01-01T00:00:00Z") == []
    assert lines_of(served, "before=0") == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "before=-1", "kind=" + "x" * 256, "since=may", "path=/etc"]
)
def test_questions_that_can_not_be_meant_are_refused(served: Served, query: str) -> None:
    assert served.as_role("auditor", "GET", f"/audit?{query}").status_code == 422


def test_a_tenant_sees_what_is_its_own(served: Served) -> None:
    written(
        served,
        Event("call", data={"tags": {"tenant": "acme"}}),
        Event("call", data={"tags": {"tenant": "globex"}}),
    )
    assert lines_of(served, "kind=call", tenant="acme") == [2]
    assert lines_of(served, "kind=call") == []
    told = served.as_role("admin", "GET", "/audit?kind=call").json()["records"]
    assert [each["line"] for each in told] == [3, 2]


def test_a_changed_line_is_told(served: Served) -> None:
    written(served, Event("gate", role="Judge"), Event("gate", role="Judge"))
    assert served.as_role("auditor", "GET", "/audit/verify").json()["ok"] is True
    whole = served.log.read_bytes().splitlines(keepends=True)
    whole[1] = whole[1].replace(b"Judge", b"Fudge")
    whole[2] = whole[2].replace(b'"seq":2', b'"seq": 2')
    served.log.write_bytes(b"".join(whole))
    told = served.as_role("admin", "GET", "/audit").json()["records"]
    assert [(each["line"], each["sound"]) for each in told] == [
        (None, False),
        (2, False),
        (1, True),
    ]
    # Whose a line was that nobody can read, nobody knows.
    assert lines_of(served, "") == [2, 1]
    report = served.as_role("auditor", "GET", "/audit/verify").json()
    assert (report["ok"], report["wrong"]) == (False, 2)
    assert str(served.log) not in str(report)


@pytest.mark.parametrize("time", ["yesterday", "2026-11-28T12:00:00"])
def test_a_line_of_no_time_hides_no_other(served: Served, time: str) -> None:
    """Who has written it is to be found out, whenever they say that it was."""
    written(served, Event("gate", role="Judge"), Event("gate", role="Judge"))
    whole = served.log.read_bytes().splitlines(keepends=True)
    whole[0] = re.sub(rb'"ts":"[^"]+"', f'"ts":"{time}"'.encode(), whole[0])
    served.log.write_bytes(b"".join(whole))
    for query in ("", "?since=2026-01-01T00:00:00Z", "?until=2099-01-01T00:00:00Z"):
        told = served.as_role("auditor", "GET", f"/audit{query}").json()["records"]
        assert [(each["line"], each["sound"]) for each in told] == [
            (3, True),
            (2, True),
            (1, False),
        ]


def test_a_log_that_can_not_be_read(served: Served) -> None:
    served.log.unlink()
    assert served.as_role("auditor", "GET", "/audit").json() == {"records": [], "next": None}
    served.log.mkdir()
    for path in ("/audit", "/audit/verify"):
        told = served.as_role("auditor", "GET", path)
        assert told.status_code == 503
        assert str(served.log) not in told.text
