"""The routes of gates in a real AgentOS: who may see what waits, and who may decide on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from agno.os.authz.provider import AuthorizationProvider
from agno.run.base import RunStatus
from agno.workflow import Workflow
from served_gates import HOUR, KEY, Desk

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.contracts import digest
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history import History
from agno_portkey.serving import GATE_SCOPES, gate_router
from agno_portkey.serving.desk import desk_of
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, SOUND, Release, release_team, tell

READ, APPROVE, OVERRIDE = "gates:read", "gates:approve", "gates:override"


@pytest.fixture
def desk(tmp_path: Path, portkey_provider: EmbeddedProvider) -> Desk:
    """A team whose sound plan waits for a person."""
    tell(portkey_provider, plans=[SOUND])
    desk = Desk(tmp_path, portkey_provider)
    assert desk.run().status == RunStatus.error
    return desk


@pytest.fixture
def refused(tmp_path: Path, portkey_provider: EmbeddedProvider) -> Desk:
    """A team whose flawed plan its gate has refused."""
    tell(portkey_provider, plans=[FLAWED])
    desk = Desk(tmp_path, portkey_provider, gate=Gate(min_score=8, max_rounds=2))
    assert desk.run().status == RunStatus.error
    return desk


def open_id(desk: Desk) -> str:
    [gate] = desk.ask("GET", "/gates", READ).json()["gates"]
    return str(gate["id"])


def test_what_waits_is_listed_with_its_plan(desk: Desk) -> None:
    [gate] = desk.ask("GET", "/gates", READ).json()["gates"]
    assert gate["plan"] == SOUND.model_dump(mode="json")
    assert gate["plan_digest"] == digest(SOUND)
    assert (gate["state"], gate["passed"], gate["swarm"]) == ("waiting", True, "Release")
    assert (gate["session_id"], gate["user_id"]) == ("s", "ann")
    assert datetime.fromisoformat(gate["expires_at"]) > datetime.fromisoformat(gate["issued_at"])
    assert desk.ask("GET", f"/gates/{gate['id']}", READ).json() == gate


def test_what_waits_for_a_person_is_not_planned_again(desk: Desk) -> None:
    assert [call.schema_name for call in desk.provider.calls].count("Plan") == 1


def test_an_approved_plan_is_run_when_the_team_goes_on(desk: Desk) -> None:
    told = desk.ask(
        "POST", f"/gates/{open_id(desk)}/approve", APPROVE, json={"reason": "looks right"}
    )
    assert told.status_code == 200, told.text
    assert (told.json()["state"], told.json()["approved_by"]) == ("granted", "eve")
    assert desk.ask("GET", "/gates", READ).json() == {"gates": []}
    assert desk.run(desk.another_team()).status == RunStatus.completed
    assert [tool for tool, _ in desk.release.done] == ["run_tests", "deploy"]


def test_who_approved_is_told_and_written_down(desk: Desk) -> None:
    waits = open_id(desk)
    desk.ask("POST", f"/gates/{waits}/approve", APPROVE, json={"reason": "looks right"})
    [event] = [event for event in desk.heard if event.kind == "approval"]
    assert event.verdict is not None
    assert (event.verdict.passed, event.data["by"], event.data["override"]) == (True, "eve", False)
    assert event.data["clearance"] == waits
    last = History(desk.db).series()[-1]
    assert (last.by, last.passed, last.plan_digest) == ("eve", True, digest(SOUND))
    assert last.reasons == ("approved by eve", "looks right")
    [*_, kept] = desk.ask("GET", "/gates/history", READ).json()["decisions"]
    assert (kept["by"], kept["id"]) == ("eve", last.id)


def test_a_revoked_plan_is_not_run(desk: Desk) -> None:
    waits = open_id(desk)
    desk.ask("POST", f"/gates/{waits}/approve", APPROVE)
    told = desk.ask("POST", f"/gates/{waits}/revoke", APPROVE, json={"reason": "a mistake"})
    assert (told.json()["state"], told.json()["revoked_by"]) == ("revoked", "eve")
    assert desk.run().status == RunStatus.error
    assert desk.release.done == []
    assert [e.verdict.passed for e in desk.heard if e.kind == "approval" and e.verdict] == [
        True,
        False,
    ]
    late = desk.ask("POST", f"/gates/{waits}/approve", APPROVE, json={"reason": "again"})
    assert (late.status_code, late.json()["detail"]["error"]) == (409, "not_waiting")


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/gates", ()),
        ("GET", "/gates", ("agents:read", APPROVE)),
        ("GET", "/gates/history", (APPROVE,)),
        ("GET", "/gates/{id}", (APPROVE,)),
        ("POST", "/gates/{id}/approve", (READ, OVERRIDE)),
        ("POST", "/gates/{id}/revoke", (READ, OVERRIDE)),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_without_the_scope_it_is_refused(
    mapped: bool, method: str, path: str, scopes: tuple[str, ...], desk: Desk
) -> None:
    waits = open_id(desk)
    if mapped:
        desk.app.state.scope_mappings.update(GATE_SCOPES)
    told = desk.ask(method, path.replace("{id}", waits), *scopes)
    assert told.status_code == 403
    assert desk.charter.books.clearances.get(waits).state == "waiting"
    if not mapped:
        assert told.json()["detail"]["error"] == "forbidden"


def test_with_the_mapping_of_agent_os_the_scopes_still_let_in(desk: Desk) -> None:
    desk.app.state.scope_mappings.update(GATE_SCOPES)
    waits = open_id(desk)
    assert desk.ask("GET", "/gates/history", READ).status_code == 200
    assert desk.ask("GET", f"/gates/{waits}", "gates:*:read").status_code == 200
    assert desk.ask("POST", f"/gates/{waits}/approve", "agent_os:admin").status_code == 200


@pytest.mark.parametrize("options", [{"token": False}, {"key": "no.such.token"}, {"key": KEY}])
def test_without_a_token_of_its_own_nobody_gets_in(options: dict[str, Any], desk: Desk) -> None:
    waits = open_id(desk)
    assert desk.ask("GET", "/gates", **options).status_code == 401
    assert desk.ask("POST", f"/gates/{waits}/approve", **options).status_code == 401


def test_a_token_that_names_nobody_decides_nothing(desk: Desk) -> None:
    waits = open_id(desk)
    told = desk.ask("POST", f"/gates/{waits}/approve", APPROVE, sub=None)
    assert told.status_code == 403
    assert desk.charter.books.clearances.get(waits).state == "waiting"


@pytest.mark.parametrize(
    ("scopes", "body", "status", "error"),
    [
        ((APPROVE,), {"reason": "I know better"}, 403, "forbidden"),
        ((APPROVE, OVERRIDE), None, 422, "no_reason"),
        ((APPROVE, OVERRIDE), {"reason": " \n"}, 422, "no_reason"),
    ],
)
def test_what_the_gate_refused_takes_more_to_approve(
    scopes: tuple[str, ...], body: Any, status: int, error: str, refused: Desk
) -> None:
    waits = open_id(refused)
    told = refused.ask("POST", f"/gates/{waits}/approve", *scopes, json=body)
    assert (told.status_code, told.json()["detail"]["error"]) == (status, error)
    assert refused.charter.books.clearances.get(waits).state == "waiting"


def test_what_the_gate_refused_is_run_once_it_is_overridden(refused: Desk) -> None:
    waits = open_id(refused)
    body = {"reason": "production is down"}
    told = refused.ask("POST", f"/gates/{waits}/approve", APPROVE, OVERRIDE, json=body)
    assert told.status_code == 200, told.text
    [event] = [event for event in refused.heard if event.kind == "approval"]
    assert event.data["override"] is True
    last = History(refused.db).series()[-1]
    assert last.reasons == ("approved against the gate by eve", "production is down")
    team = refused.another_team(Gate(min_score=8, max_rounds=2))
    done = refused.run(team, metadata={"agno_portkey.clearance": waits})
    assert done.status == RunStatus.completed
    assert refused.release.done == [("deploy", {"version": "2.1", "target": "production"})]


def test_what_is_of_another_tenant_is_unknown(desk: Desk) -> None:
    ours, theirs = open_id(desk), desk.waiting(tenant="acme").id
    inside = {"tenant": "acme"}
    listed = desk.ask("GET", "/gates", READ, claims=inside).json()["gates"]
    assert [gate["id"] for gate in listed] == [theirs]
    junk = desk.ask("GET", "/gates", READ, claims={"tenant": ["acme"]})
    assert (junk.status_code, junk.json()["detail"]["error"]) == (403, "no_tenant")
    for foreign, claims in ((theirs, None), (ours, inside)):
        asked = [
            desk.ask("GET", f"/gates/{foreign}", READ, claims=claims),
            desk.ask("POST", f"/gates/{foreign}/approve", APPROVE, claims=claims),
            desk.ask(
                "POST", f"/gates/{foreign}/revoke", APPROVE, json={"reason": "x"}, claims=claims
            ),
        ]
        assert [told.status_code for told in asked] == [404] * 3
        unknown = desk.ask("GET", "/gates/none", READ).json()["detail"]["message"]
        assert asked[0].json()["detail"]["message"] == unknown.replace("none", foreign)
    assert desk.ask("POST", f"/gates/{theirs}/approve", APPROVE, claims=inside).status_code == 200
    mine = desk.ask("GET", "/gates/history", READ).json()["decisions"]
    assert {each["tenant"] for each in mine} == {None}
    everything = desk.ask("GET", "/gates/history", "agent_os:admin").json()["decisions"]
    assert {each["tenant"] for each in everything} == {None, "acme"}


def test_where_users_are_kept_apart_each_sees_their_own(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    desk = Desk(tmp_path, portkey_provider, isolated=True)
    desk.run()
    assert desk.ask("GET", "/gates", READ, sub="bob").json() == {"gates": []}
    [own] = desk.ask("GET", "/gates", READ, sub="ann").json()["gates"]
    assert desk.ask("POST", f"/gates/{own['id']}/approve", APPROVE, sub="bob").status_code == 404
    assert desk.ask("GET", "/gates/history", READ, sub="bob").json() == {"decisions": []}
    admin = desk.ask("POST", f"/gates/{own['id']}/approve", "agent_os:admin", sub="root")
    assert admin.json()["approved_by"] == "root"


def test_one_team_does_not_serve_anothers_gates(desk: Desk) -> None:
    other = desk.waiting(swarm="Other")
    assert other.id not in [g["id"] for g in desk.ask("GET", "/gates", READ).json()["gates"]]
    assert desk.ask("GET", f"/gates/{other.id}", READ).status_code == 404


def test_a_database_serves_all_its_gates(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    told: list[Any] = []
    desk = Desk(tmp_path, portkey_provider, by_database=True, observers=[told.append])
    desk.run()
    other = desk.waiting(swarm="Other")
    assert len(desk.ask("GET", "/gates", READ).json()["gates"]) == 2
    assert desk.ask("POST", f"/gates/{other.id}/approve", APPROVE).status_code == 200
    assert [(event.kind, event.swarm) for event in told] == [("approval", "Other")]


def test_with_the_key_of_the_os_everything_may_be_done(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    gate = Gate(min_score=8, max_rounds=2)
    desk = Desk(tmp_path, portkey_provider, gate=gate, jwt=False, key=True)
    desk.run()
    assert desk.ask("GET", "/gates", token=False).status_code == 401
    [left] = desk.ask("GET", "/gates", key=KEY).json()["gates"]
    told = desk.ask("POST", f"/gates/{left['id']}/approve", key=KEY, json={"reason": "must"})
    assert told.json()["approved_by"] == "the OS security key"


def test_without_an_authorization_it_may_only_be_read(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    desk = Desk(tmp_path, portkey_provider, jwt=False)
    desk.run()
    [left] = desk.ask("GET", "/gates", token=False).json()["gates"]
    for act in ("approve", "revoke"):
        # A token that nobody verifies makes no difference.
        for token in (False, True):
            told = desk.ask("POST", f"/gates/{left['id']}/{act}", APPROVE, token=token)
            assert (told.status_code, told.json()["detail"]["error"]) == (401, "unauthenticated")
    assert desk.charter.books.clearances.get(left["id"]).state == "waiting"


def test_an_open_server_may_be_told_to_let_anybody_decide(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    desk = Desk(tmp_path, portkey_provider, jwt=False, allow_unauthenticated=True)
    desk.run()
    [left] = desk.ask("GET", "/gates", token=False).json()["gates"]
    told = desk.ask("POST", f"/gates/{left['id']}/approve", token=False)
    assert told.json()["approved_by"] == "anonymous (no authorization)"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 422, "no_json"),
        (b"\xff", 422, "no_json"),
        (b"[" * 10_000, 422, "no_json"),
        (b'["reason"]', 422, "unknown_fields"),
        (b'{"reason": "x", "by": "mallory"}', 422, "unknown_fields"),
        (b'{"reason": 7}', 422, "no_text"),
        (b'{"reason": "a\\u0000b"}', 422, "reason"),
        (b'{"reason": "' + b"a" * 2_001 + b'"}', 422, "reason"),
        (b'{"reason": "' + b"a" * 20_000 + b'"}', 413, "too_large"),
    ],
)
def test_bad_requests_are_answered_with_what_to_do(
    body: bytes, status: int, error: str, desk: Desk
) -> None:
    waits = open_id(desk)
    told = desk.ask("POST", f"/gates/{waits}/approve", APPROVE, content=body)
    detail = told.json()["detail"]
    assert (told.status_code, detail["error"]) == (status, error)
    assert detail["message"]
    assert desk.charter.books.clearances.get(waits).state == "waiting"


def test_what_has_run_out_can_not_be_approved(desk: Desk) -> None:
    left = desk.charter.books.clearances.get(open_id(desk))
    late = desk.waiting(issued_at=left.issued_at - 2 * HOUR, expires_at=left.issued_at - HOUR)
    told = desk.ask("POST", f"/gates/{late.id}/approve", APPROVE)
    assert (told.status_code, told.json()["detail"]["error"]) == (410, "expired")


def test_an_approval_that_can_not_be_written_down_is_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = open_id(desk)

    def fail(self: History, decided: Any) -> None:
        raise OSError("the disk is full of secrets")

    monkeypatch.setattr(History, "put", fail)
    told = desk.ask("POST", f"/gates/{waits}/approve", APPROVE)
    assert (told.status_code, told.json()["detail"]["error"]) == (503, "database")
    assert "secrets" not in told.text
    assert desk.charter.books.clearances.get(waits).state == "revoked"
    assert [event for event in desk.heard if event.kind == "approval"] == []


def test_a_database_that_is_gone_is_said_to_be(desk: Desk, tmp_path: Path) -> None:
    waits = open_id(desk)
    (tmp_path / "agno.db").unlink()
    for method, path in (("GET", "/gates"), ("POST", f"/gates/{waits}/approve")):
        told = desk.ask(method, path, READ, APPROVE)
        assert (told.status_code, told.json()["detail"]["error"]) == (503, "database"), told.text


def test_the_history_is_filtered_and_summed_up(desk: Desk) -> None:
    desk.run()
    ask = lambda **given: desk.ask("GET", "/gates/history", READ, params=given).json()  # noqa: E731
    all_of_them = ask()["decisions"]
    assert len(all_of_them) >= 2
    assert [each["at"] for each in all_of_them] == sorted(each["at"] for each in all_of_them)
    assert ask(limit=1)["decisions"] == all_of_them[-1:]
    assert ask(outcome="underpowered")["decisions"] == []
    assert ask(gate="another")["decisions"] == []
    assert ask(until=all_of_them[0]["at"])["decisions"] == []
    assert ask(since=all_of_them[1]["at"])["decisions"] == all_of_them[1:]
    [span] = ask(series="true", span=86_400 * 28)["series"]
    assert span["decisions"] == len(all_of_them)
    for wrong in ({"limit": 0}, {"outcome": "x"}, {"since": "2026-01-01T00:00:00"}, {"odd": 1}):
        assert desk.ask("GET", "/gates/history", READ, params=wrong).status_code == 422


@pytest.mark.parametrize("source", [object(), "sqlite://", None])
def test_what_has_no_gate_can_not_be_served(source: Any) -> None:
    with pytest.raises(ConfigurationError):
        gate_router(source)


def test_a_team_without_a_gate_can_not_be_served(portkey_model: Any) -> None:
    from agno.agent import Agent

    with pytest.raises(ConfigurationError, match="has no gate"):
        gate_router(Agent(name="One", model=portkey_model))


def test_the_history_is_looked_through_page_by_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = desk.charter.books
    assert books.history is not None
    [first, *_] = books.history.series()
    theirs = [replace(first, id=f"t{n}", tenant="acme", at=first.at + HOUR) for n in range(2)]
    ours = [replace(first, id=f"o{n}", at=first.at + n * HOUR) for n in (2, 3, 4)]
    books.record([*theirs, *ours])
    monkeypatch.setattr("agno_portkey.serving.desk._PAGE", 3)
    told = desk.ask("GET", "/gates/history", READ, params={"limit": 1000}).json()["decisions"]
    assert [each["id"] for each in told][-4:] == [told[-4]["id"], "o2", "o3", "o4"]
    assert first.id in [each["id"] for each in told]
    assert not {"t0", "t1"} & {each["id"] for each in told}


def test_where_nobody_knows_their_rights_nobody_has_any(desk: Desk) -> None:
    class Broken(AuthorizationProvider):
        def check(self, ctx: Any) -> bool:
            return True

        def accessible_resource_ids(self, ctx: Any) -> set[str]:
            return set()

        def authorize_route(self, ctx: Any, required_scopes: list[str]) -> bool:
            raise OSError("its words")

    desk.app.state.authorization_provider = Broken()
    told = desk.ask("GET", "/gates", READ)
    assert (told.status_code, told.json()["detail"]["error"]) == (503, "unknown_rights")
    assert "its words" not in told.text


def test_a_governed_workflow_is_served_as_a_team_is(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    team: Any = Desk(tmp_path, portkey_provider).team
    model = PortkeyModel(base_url=portkey_provider.url, api_key="the provider's")
    members: Any = release_team(model, Release()).members
    steps = [*members[:3], Gate().step(runner=members[3]), members[3]]
    flow = govern(Workflow(name="Flow", db=team.db, steps=steps))
    assert desk_of(flow, ()).swarm == "Flow"
    assert desk_of(team, ()).swarm == "Release"
