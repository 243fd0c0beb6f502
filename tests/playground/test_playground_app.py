"""The app: AgentOS as it is, governed, with our routes beside its own; left as it was found."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.os.auth import create_dev_token
from agno.os.authz import Authorization
from agno.os.event_streams import get_event_stream
from agno.run.cancel import get_cancellation_manager
from fastapi import FastAPI
from playing import playing, serving
from run_asked import asked, begin, client, resume, said_in

from agno_portkey import Gate, PortkeyModel, govern, playground, verdict
from agno_portkey.errors import ConfigurationError
from agno_portkey.govern import is_governed
from agno_portkey.policy import Policy
from agno_portkey.security.access import scopes_of
from agno_portkey.telemetry.setting_up import is_set_up
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

SECRET = "a secret of the tests that is long enough for HS256"
OURS = {
    "/audit",
    "/audit/verify",
    "/gates",
    "/gates/history",
    "/gates/{id}",
    "/gates/{id}/approve",
    "/gates/{id}/revoke",
    "/keys",
    "/keys/{name}/revoke",
    "/keys/{name}/rotate",
    "/portkey/api/filters",
    "/portkey/api/me",
    "/portkey/api/panels/{panel}",
    "/portkey/api/runs",
    "/portkey/api/runs/{trace_id}",
    "/swarm/resume",
    "/swarm/stop",
    "/swarm/stops",
}


class Keeper:
    """Whoever keeps keys, of whom nothing is asked here."""

    def status(self) -> list[Any]:
        return []

    def rotate(self, name: str, *, by: str, reason: str) -> dict[str, Any]:
        return {}

    def revoke(self, name: str, *, by: str, reason: str, now: bool) -> dict[str, Any]:
        return {}


@pytest.fixture
def provider() -> Iterator[EmbeddedProvider]:
    with EmbeddedProvider() as provider:
        tell(provider)
        yield provider


def a_team(provider: EmbeddedProvider, path: Path, **options: Any) -> Any:
    model = PortkeyModel(base_url=provider.url, api_key="x")
    db = SqliteDb(id="main", db_file=str(path / "agno.db"))
    return release_team(model, Release(), **{"id": "release", "db": db, **options})


def routes(app: FastAPI) -> set[tuple[str, str]]:
    with warnings.catch_warnings():
        # The host names two of its operations alike.
        warnings.simplefilter("ignore", UserWarning)
        paths = app.openapi()["paths"]
    return {(method.upper(), path) for path, held in paths.items() for method in held}


def token(*scopes: str, **claims: Any) -> str:
    return create_dev_token(
        "ann", secret=SECRET, scopes=[*scopes], audience="os", extra_claims=claims
    )


def authorized() -> Authorization:
    return Authorization(verification_keys=[SECRET], algorithm="HS256", audience="os")


def test_the_hosts_own_routes_are_all_there_and_ours_beside_them(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    team = a_team(provider, tmp_path)
    bare = AgentOS(teams=[team], db=team.db, telemetry=False).get_app()
    app = playground.app(
        a_team(provider, tmp_path),
        runner="Runner",
        gate=Gate(),
        audit=tmp_path / "audit.jsonl",
        keys=Keeper(),
    )
    added = routes(app) - routes(bare)
    assert routes(bare) <= routes(app)
    assert {path for _, path in added} == OURS


def timeless(said: dict[str, Any]) -> Any:
    """What is said, but for how long it took."""
    content = said.get("content")
    return re.sub(r"in \d+\.\d+s", "in time", content) if isinstance(content, str) else content


def spoken(said: list[dict[str, Any]]) -> list[Any]:
    """The events of a stream without what differs from run to run."""
    return [
        (each["event"], each.get("agent_name"), each.get("content_type"), timeless(each))
        for each in said
        if "event" in each and each.get("source") != "agno_portkey"
    ]


def test_a_client_of_the_host_gets_the_same_answers(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    """Governed the same, served by AgentOS alone and by ours: runs, streams, sessions."""
    told: list[Any] = []
    for name, make in (
        ("bare", lambda team: AgentOS(teams=[team], telemetry=False).get_app()),
        ("ours", lambda team: playground.app(team)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        with EmbeddedProvider() as own:
            tell(own)
            team = govern(a_team(own, folder), runner="Runner", gate=Gate(min_score=8))
            with serving(make(team)) as url, client(url) as http:
                form = {"message": REQUEST, "session_id": "s"}
                plain = http.post("/teams/release/runs", data={**form, "stream": "false"})
                with http.stream(
                    "POST", "/teams/release/runs", data={**form, "stream": "true"}
                ) as response:
                    live = spoken([*said_in(response)])
                behind = spoken(resume(http, begin(http, REQUEST)))
                sessions = http.get("/sessions", params={"type": "team"}).json()
                runs = http.get("/sessions/s/runs", params={"type": "team"}).json()
                told.append(
                    (
                        *(plain.status_code, plain.json()["status"], plain.json()["content"]),
                        *(live, [each for each in behind if "HookStarted" not in each[0]]),
                        [each["session_id"] for each in sessions["data"]],
                        [run["status"] for run in runs],
                    )
                )
    for bare, ours in zip(*told, strict=True):
        assert bare == ours
    assert told[1][1] == "COMPLETED"


def test_what_is_not_governed_is_and_what_is_stays_as_it_is(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    team = a_team(provider, tmp_path)
    policy = Policy.from_yaml("gate: {name: release, runner: Runner, min_score: 8}\n")
    done = govern(a_team(provider, tmp_path, id="other", name="Other"))
    agent = Agent(id="lone", model=PortkeyModel(base_url=provider.url, api_key="x"))
    playground.app([team, done], policy=policy)
    playground.app([team, agent])
    assert is_governed(team)
    assert is_governed(agent)
    assert not is_governed(object())


@pytest.mark.parametrize(
    ("served", "said"),
    [("a text", "not str"), ([], "not list"), ([object()], "not object"), (None, "not NoneType")],
)
def test_what_can_not_be_served_is_refused(served: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        playground.app(served)


def test_what_is_governed_is_not_governed_in_a_second_way(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    team = govern(a_team(provider, tmp_path))
    with pytest.raises(ConfigurationError, match="runner and gate: all of it is governed already"):
        playground.app(team, runner="Runner", gate=Gate())
    assert is_governed(team)


def test_a_runner_is_of_one(provider: EmbeddedProvider, tmp_path: Path) -> None:
    both = [a_team(provider, tmp_path), a_team(provider, tmp_path, id="two", name="Two")]
    with pytest.raises(ConfigurationError, match="one team"):
        playground.app(both, runner="Runner", gate=Gate())
    assert not any(map(is_governed, both))


@pytest.mark.parametrize("db", [None, InMemoryDb()])
def test_without_a_database_it_is_refused(provider: EmbeddedProvider, db: Any) -> None:
    model = PortkeyModel(base_url=provider.url, api_key="x")
    with pytest.raises(ConfigurationError, match="database"):
        playground.app(Agent(model=model), db=db)


@pytest.mark.parametrize("option", ["teams", "agents", "workflows", "event_stream"])
def test_what_is_said_otherwise_is_no_option(
    provider: EmbeddedProvider, tmp_path: Path, option: str
) -> None:
    with pytest.raises(ConfigurationError, match=option):
        playground.app(a_team(provider, tmp_path), **{option: []})


def test_the_process_is_left_as_it_was(provider: EmbeddedProvider, tmp_path: Path) -> None:
    before = get_event_stream(), get_cancellation_manager(), verdict._everywhere
    app = playground.app(a_team(provider, tmp_path))
    for _ in range(2):
        with asked(app):
            assert is_set_up()
            assert get_event_stream() is not before[0]
            assert len(verdict._everywhere) > len(before[2])
        assert not is_set_up()
        assert (get_event_stream(), get_cancellation_manager(), verdict._everywhere) == before


def test_telemetry_that_is_set_up_is_left_to_who_did(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    from agno_portkey.telemetry import setup

    with setup():
        with asked(playground.app(a_team(provider, tmp_path))):
            assert is_set_up()
        assert is_set_up()
    with asked(playground.app(a_team(provider, tmp_path), telemetry=False)):
        assert not is_set_up()


def test_an_app_of_the_callers_own_keeps_its_routes_and_its_start(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    from contextlib import asynccontextmanager

    began: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        began.append("own")
        yield

    base = FastAPI(lifespan=lifespan)
    base.get("/own")(lambda: {"own": True})
    with asked(playground.app(a_team(provider, tmp_path), base_app=base)) as http:
        assert http.get("/own").json() == {"own": True}
        assert http.get("/portkey/api/me").status_code == 200
    assert began == ["own"]


def test_who_may_what(provider: EmbeddedProvider, tmp_path: Path) -> None:
    app = playground.app(a_team(provider, tmp_path), authorization=authorized(), id="os")
    with asked(app) as http:
        assert http.get("/portkey/api/me").status_code == 401
        assert http.get("/portkey/chat").status_code == 200

        def may(*scopes: str, **claims: Any) -> set[str]:
            given = {"Authorization": f"Bearer {token(*scopes, **claims)}"}
            answer = http.get("/portkey/api/me", headers=given)
            assert answer.status_code == 200
            told = answer.json()
            assert (told["name"], told["known"], told["authorization"]) == ("ann", True, True)
            return {scope for scope, allowed in told["may"].items() if allowed}

        assert may() == set()
        assert may(*scopes_of("approver"), "teams:run") == {
            *("gates:read", "gates:approve", "dashboard:read", "teams:run"),
        }
        of_tenant = may(*scopes_of("approver"), "swarm:stop", "audit:read", tenant="acme")
        assert of_tenant == {"gates:read", "gates:approve", "audit:read"}
        assert "gates:override" in may(*scopes_of("admin"))


def test_without_an_authorization_everybody_may(provider: EmbeddedProvider, tmp_path: Path) -> None:
    with asked(playground.app(a_team(provider, tmp_path))) as http:
        told = http.get("/portkey/api/me").json()
        stopped = http.post("/swarm/stop", json={"swarm": "Release", "reason": "a test"})
    assert told["may"]
    assert all(told["may"].values())
    assert (told["known"], told["authorization"]) == (False, False)
    assert stopped.status_code == 200


def test_a_page_of_another_site_decides_nothing(provider: EmbeddedProvider, tmp_path: Path) -> None:
    stop = {"swarm": "Release", "reason": "a test"}
    with asked(playground.app(a_team(provider, tmp_path))) as http:
        for origin in ("https://elsewhere.example", "null", "http://127.0.0.1:1"):
            given = {"Origin": origin}
            assert http.post("/swarm/stop", json=stop, headers=given).status_code == 403
            assert http.post("/gates/x/approve", json={}, headers=given).status_code == 403
            assert http.get("/swarm/stops", headers=given).json()["stops"] == []
        own = {"Origin": str(http.base_url).rstrip("/")}
        assert http.post("/swarm/stop", json=stop, headers=own).status_code == 200


def test_with_a_key_of_the_hosts_nobody_may_without_it(
    provider: EmbeddedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_SECURITY_KEY", "the key of the OS")
    with asked(playground.app(a_team(provider, tmp_path))) as http:
        assert http.get("/portkey/api/me").status_code == 401
        stop = {"swarm": "Release", "reason": "a test"}
        assert http.post("/swarm/stop", json=stop).status_code == 401
        given = {"Authorization": "Bearer the key of the OS"}
        assert all(http.get("/portkey/api/me", headers=given).json()["may"].values())


def test_the_scope_of_each_route_is_asked_for(provider: EmbeddedProvider, tmp_path: Path) -> None:
    app = playground.app(a_team(provider, tmp_path), authorization=authorized(), id="os")
    with asked(app) as http:
        given = {"Authorization": f"Bearer {token('gates:read')}"}
        assert http.get("/gates", headers=given).status_code == 200
        reading = {"Authorization": f"Bearer {token('dashboard:read')}"}
        for path in ("filters", "panels/metrics", "runs", "runs/x"):
            assert http.get(f"/portkey/api/{path}").status_code == 401
            assert http.get(f"/portkey/api/{path}", headers=given).status_code == 403
            assert http.get(f"/portkey/api/{path}", headers=reading).status_code not in (401, 403)
        assert http.get("/swarm/stops", headers=given).status_code == 403
        stop = {"swarm": "Release", "reason": "a test"}
        assert http.post("/swarm/stop", json=stop, headers=given).status_code == 403


def test_a_plan_that_waits_is_approved_by_its_route(tmp_path: Path) -> None:
    governed = {"gate": Gate(name="release", min_score=8, approval=True)}
    with playing(tmp_path, governed=governed) as stage, client(stage.url) as http:
        said = resume(http, begin(http, REQUEST))
        waits = next(each for each in said if (each.get("data") or {}).get("waiting"))
        clearance = waits["data"]["clearance"]
        assert clearance in [each["id"] for each in http.get("/gates").json()["gates"]]
        assert stage.release.done == []
        approve = f"/gates/{clearance}/approve"
        assert http.post(approve, json={"reason": "looked at"}).status_code == 200
        resume(http, begin(http, REQUEST))
    assert [name for name, _ in stage.release.done] == ["run_tests", "deploy"]


def test_the_budgets_of_a_policy_are_kept_in_its_database(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    desk = Agent(
        id="desk", name="Desk", model=PortkeyModel(base_url=portkey_provider.url, api_key="x")
    )
    policy = Policy.from_yaml("budgets: [{per: total, limit_tokens: 5}]")
    playground.app(desk, policy=policy, db=str(tmp_path / "agno.db"), telemetry=False)
    assert desk.run("One?").status.value == "COMPLETED"
    [allowance] = desk.model.budgets  # type: ignore[union-attr]
    allowance.ledger.flush()
    refused = desk.run("More?")
    assert refused.status.value == "ERROR"
    assert "budget" in str(refused.content)
