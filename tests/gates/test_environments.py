"""What is of one environment is refused in another; production refuses what is for trying out."""

from __future__ import annotations

import json
import os
import sqlite3
import string
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from clearance_scene import HOUR, NOW, PLAN, a_grant, an_asking
from four_forms import FORMS, play
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.contracts import digest
from agno_portkey.environments import (
    ALLOWS_VARIABLE,
    CAPTURE_VARIABLE,
    RELAXATIONS,
    VARIABLE,
    called,
    check_environment,
    check_production,
    current,
    is_allowed,
)
from agno_portkey.errors import ClearanceRefused, ConfigurationError, WrongEnvironment
from agno_portkey.gates import Charter
from agno_portkey.gates.approving import approve
from agno_portkey.gates.books import books_of
from agno_portkey.gates.clearance import Clearances, export, new_key, verify
from agno_portkey.hooks import GateHook
from agno_portkey.modes import mode_now
from agno_portkey.policy import Policy
from agno_portkey.runs import CLEARANCE_KEY
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, REQUEST, Release, release_team, tell

SLUG = "openai-{}-search-2026q4"
# Of another environment than the one that the process is of, or of none.
FOREIGN = [("dev", "prod"), ("prod", "dev"), ("staging", "prod"), (None, "prod"), ("prod", None)]


def be(patch: pytest.MonkeyPatch, environment: str | None) -> None:
    if environment is None:
        patch.delenv(VARIABLE, raising=False)
    else:
        patch.setenv(VARIABLE, environment)


# Names


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("prod", "prod"),
        ("Production", "prod"),
        (" PROD ", "prod"),
        ("stage", "staging"),
        ("development", "dev"),
        ("testing", "test"),
        ("qa-7", "qa-7"),
    ],
)
def test_an_environment_is_called_as_keys_call_it(
    said: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, said)
    assert called(said) == name
    assert current() == name


def test_a_blank_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "  ")
    assert current() is None
    check_environment(None, "a key")


NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12)


@given(own=NAMES, theirs=NAMES)
def test_what_bears_another_name_is_refused_and_nothing_else(own: str, theirs: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        be(patch, own)
        if called(own) == called(theirs):
            check_environment(theirs, "a key")
        else:
            with pytest.raises(WrongEnvironment, match=f"a key is of {called(theirs)}"):
                check_environment(theirs, "a key")


# Clearances


@pytest.mark.parametrize(("its", "own"), FOREIGN)
def test_a_clearance_is_no_good_in_another_environment(its: str | None, own: str | None) -> None:
    kept = Clearances()
    kept.put(a_grant(id="c1", environment=its))
    with pytest.raises(ClearanceRefused) as refused:
        kept.claim("c1", an_asking(environment=own), NOW)
    assert refused.value.code == "other_environment"
    assert kept.get("c1").state == "granted"
    claimed = kept.claim("c1", an_asking(environment=its), NOW)
    assert claimed.state == "claimed"


@pytest.mark.parametrize(("its", "own"), FOREIGN)
def test_an_exported_clearance_is_no_good_in_another_environment(
    its: str | None, own: str | None
) -> None:
    pair = new_key()
    token = export(a_grant(environment=its), pair.private)
    with pytest.raises(ClearanceRefused) as refused:
        verify(token, pair.public, an_asking(environment=own), now=NOW)
    assert refused.value.code == "other_environment"
    assert verify(token, pair.public, an_asking(environment=its), now=NOW).environment == its


def test_a_token_that_was_used_here_is_not_good_for_a_row_of_another_environment() -> None:
    kept = Clearances()
    kept.put(a_grant(id="c1", environment="dev"))
    with pytest.raises(ClearanceRefused):
        kept.admit(a_grant(id="c1", environment="prod"), an_asking(environment="prod"), NOW)
    assert kept.get("c1").state == "granted"


def test_nobody_approves_what_waits_in_another_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    books = books_of(None)
    now = books.clock()
    grant = a_grant(
        id="c1", environment="prod", state="waiting", issued_at=now, expires_at=now + HOUR
    )
    books.clearances.put(grant)
    be(monkeypatch, "dev")
    with pytest.raises(WrongEnvironment, match="clearance c1 is of prod"):
        approve(books, "c1", by="ann")
    assert books.clearances.get("c1").state == "waiting"
    be(monkeypatch, "production")
    assert approve(books, "c1", by="ann").state == "granted"


def test_a_team_in_dev_does_not_run_on_what_was_approved_in_staging(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be(monkeypatch, "staging")
    tell(portkey_provider)
    release, gate = Release(), Gate(min_score=8, approval=True)
    team = govern(release_team(portkey_model, release), runner="Runner", gate=gate)
    team.run(REQUEST, session_id="s1")
    books = charter_of(team).books
    *_, waits = books.clearances.waiting()
    approve(books, waits.id, by="ann")
    brings = {"session_id": "s1", "metadata": {CLEARANCE_KEY: waits.id}}
    be(monkeypatch, "dev")
    team.run(REQUEST, **brings)
    assert release.done == []
    assert books.clearances.get(waits.id).state == "granted"
    be(monkeypatch, "Staging")
    assert team.run(REQUEST, **brings).status is RunStatus.completed
    assert [tool for tool, _ in release.done] == ["run_tests", "deploy"]


def charter_of(team: Any) -> Charter:
    """What the gate of a governed team keeps."""
    hooks = (getattr(hook, "__self__", None) for hook in team.pre_hooks)
    return next(hook.charter for hook in hooks if isinstance(hook, GateHook))


# Databases


@pytest.mark.parametrize("own", ["dev", None])
def test_a_database_of_production_is_refused_elsewhere(
    own: str | None, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    Clearances(database).put(a_grant(id="c1", environment="prod"))
    be(monkeypatch, own)
    with pytest.raises(WrongEnvironment, match=r"the database .* is of prod"):
        Clearances(database).get("c1")
    with pytest.raises(WrongEnvironment, match=r"the database .* is of prod"):
        Clearances(database).put(a_grant(environment=own))
    be(monkeypatch, "Production")
    assert Clearances(database).get("c1").plan_digest == digest(PLAN)


def test_a_database_of_nobody_is_that_of_who_writes_first(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clearances(database).put(a_grant(id="c1"))
    be(monkeypatch, "dev")
    here = Clearances(database)
    # To look says nothing of whose it is.
    assert here.get("c1").environment is None
    be(monkeypatch, "staging")
    there = Clearances(database)
    there.put(a_grant(environment="staging"))
    be(monkeypatch, "dev")
    with pytest.raises(WrongEnvironment, match="is of staging, and PORTKEY_ENVIRONMENT is dev"):
        here.put(a_grant(environment="dev"))


_FIRST = """
import sys
from clearance_scene import a_grant
from agno_portkey.errors import WrongEnvironment
from agno_portkey.gates.clearance import Clearances
kept = Clearances(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    kept.put(a_grant())
    print("mine")
except WrongEnvironment:
    print("refused")
"""


def test_of_two_environments_that_write_first_at_once_one_gets_the_database(database: str) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _FIRST, database],
            env={**os.environ, VARIABLE: name, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("dev", "prod", "dev", "prod")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[0].strip() for child in children]
    assert sorted(said) == ["mine", "mine", "refused", "refused"]
    assert said[0] == said[2]


def test_nobody_sees_a_database_that_does_not_say_yet_of_whom_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agno.db"
    seen: list[Any] = []

    def looks(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO agno_portkey_environment"):
            with closing(sqlite3.connect(file)) as another:
                seen.append(another.execute("SELECT name FROM sqlite_master").fetchall())

    be(monkeypatch, "dev")
    listen(Engine, "before_cursor_execute", looks)
    try:
        Clearances(f"sqlite:///{file}").put(a_grant(environment="dev"))
    finally:
        remove(Engine, "before_cursor_execute", looks)
    assert seen == [[]]


def test_a_kill_switch_of_another_environment_stops_rather_than_runs(
    tmp_path: Path, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"sqlite:///{tmp_path / 'stops.db'}"
    be(monkeypatch, "prod")
    StopSwitch(address).stop("else", reason="to write first", by="ann")
    be(monkeypatch, "dev")
    agent = Agent(name="Helper", model=portkey_model)
    govern(agent, policy=Policy(stop={"database": address}))  # type: ignore[arg-type]
    ended = agent.run("Hello")
    assert ended.status is RunStatus.error
    assert "stop" in str(ended.content).lower()


# Caches


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_served_that_another_environment_has_kept(
    form: str, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(":memory:")
    policy = CachePolicy(store=cache, scope="public")
    portkey_provider.when(lambda request: True, "All is well.")
    asked = []
    for name in ("dev", "staging", "Staging", None, "dev"):
        be(monkeypatch, name)
        model = PortkeyModel(base_url=portkey_provider.url, api_key="k", cache=policy)
        assert play(Agent(model=model), form).content == "All is well."
        asked.append(len(portkey_provider.calls))
    assert asked == [1, 2, 2, 3, 3]
    cache.close()


# Keys


@pytest.mark.parametrize(
    "given",
    [
        {"portkey_provider": "@" + SLUG.format("dev")},
        {"id": f"@{SLUG.format('dev')}/gpt-4o"},
        {"virtual_key": SLUG.format("dev")},
        {"config": {"strategy": {"mode": "fallback"}, "targets": [
            {"provider": "@" + SLUG.format("prod")}, {"provider": "@" + SLUG.format("dev")}]}},
        {"config": {"virtual_key": SLUG.format("dev")}},
        {"config": {"provider": "openai", "api_key": "k",
            "override_params": {"model": f"@{SLUG.format('dev')}/o3"}}},
    ],
    ids=["provider", "id", "virtual key", "target", "target's key", "target's model"],
)  # fmt: skip
def test_a_key_of_dev_is_refused_in_production(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted: dict[str, Any] = {"portkey_api_key": "k", **given}
    be(monkeypatch, "production")
    with pytest.raises(WrongEnvironment, match=f"the key @?{SLUG.format('dev')}.* is of dev"):
        PortkeyModel(**hosted)
    # Where no environment is named, and in its own, it may be used.
    for own in (None, "dev"):
        be(monkeypatch, own)
        if "prod" not in json.dumps(given):
            PortkeyModel(**hosted)


@pytest.mark.parametrize(
    "given", [{"portkey_provider": "@openai-dev"}, {"id": "@together-ai-dev/llama"}]
)
def test_a_slug_that_ends_in_an_environment_is_of_that(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    with pytest.raises(WrongEnvironment, match="is of dev"):
        PortkeyModel(portkey_api_key="k", **given)
    for own in (None, "dev"):
        be(monkeypatch, own)
        PortkeyModel(portkey_api_key="k", **given)


def test_a_name_that_says_no_environment_is_for_any(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "prod")
    for name in ("@openai", "@dev", "@my-dev-team", "@openai-dev-search"):
        PortkeyModel(portkey_api_key="k", portkey_provider=name)
    PortkeyModel("our-model-dev", portkey_api_key="k")


# Policies


def test_a_policy_of_production_governs_nothing_else(
    tmp_path: Path, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("tags: {team: x}\nenvironment: production\n")
    for own in ("staging", None):
        be(monkeypatch, own)
        with pytest.raises(WrongEnvironment, match=r"policy\.yaml:2: .* this policy is of prod"):
            govern(Agent(model=portkey_model), policy=Policy.from_yaml(file))
    be(monkeypatch, "prod")
    govern(Agent(model=portkey_model), policy=Policy.from_yaml(file))


# Production


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_production_takes_no_gate_that_only_observes(
    mode: Any,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be(monkeypatch, "prod")
    policy = Policy(gate={"runner": "Runner", "min_score": 8, "mode": mode})  # type: ignore[arg-type]
    team = release_team(portkey_model, Release())
    with pytest.raises(WrongEnvironment, match=f"a gate that is to {mode} is not for production"):
        govern(team, policy=policy)
    monkeypatch.setenv(ALLOWS_VARIABLE, "raw-content, observed-gates")
    govern(team, policy=policy)


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_no_variable_loosens_a_gate_in_production(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", mode)
    be(monkeypatch, "staging")
    assert mode_now("gate", "enforce") == mode
    be(monkeypatch, "prod")
    assert mode_now("gate", "enforce") == "enforce"
    assert mode_now("gate", "observe") == "enforce"
    # What else has a mode may still be rolled back by its variable.
    monkeypatch.setenv("AGNO_PORTKEY_CONTRACTS_MODE", mode)
    assert mode_now("contracts", "enforce") == mode
    monkeypatch.setenv(ALLOWS_VARIABLE, "observed-gates")
    assert mode_now("gate", "enforce") == mode


def test_the_runner_does_not_run_in_production_whatever_the_variable_says(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    release = Release()
    team = govern(release_team(portkey_model, release), runner="Runner", gate=Gate(min_score=8))
    be(monkeypatch, "prod")
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", "observe")
    team.run(REQUEST)
    assert release.done == []


def test_production_logs_and_traces_no_messages(
    portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    with pytest.raises(WrongEnvironment, match="Helper: debug_mode"):
        govern(Agent(name="Helper", model=portkey_model, debug_mode=True))
    for said in ("true", "span_only", "SPAN_AND_EVENT"):
        monkeypatch.setenv(CAPTURE_VARIABLE, said)
        with pytest.raises(WrongEnvironment, match=CAPTURE_VARIABLE):
            govern(Agent(name="Helper", model=portkey_model))
    monkeypatch.setenv(CAPTURE_VARIABLE, "no_content")
    govern(Agent(name="Helper", model=portkey_model))
    monkeypatch.setenv(CAPTURE_VARIABLE, "true")
    monkeypatch.setenv(ALLOWS_VARIABLE, "raw-content")
    govern(Agent(name="Loud", model=portkey_model, debug_mode=True))


def test_traces_are_not_set_up_in_production_where_they_would_hold_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agno_portkey import telemetry

    be(monkeypatch, "prod")
    monkeypatch.setenv(CAPTURE_VARIABLE, "true")
    with pytest.raises(WrongEnvironment, match=CAPTURE_VARIABLE):
        telemetry.setup()


def test_production_is_not_told_made_up_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "prod")
    with pytest.raises(WrongEnvironment, match="is not for production"):
        EmbeddedProvider().start()
    monkeypatch.setenv(ALLOWS_VARIABLE, "embedded-provider")
    with EmbeddedProvider() as provider:
        model = PortkeyModel(base_url=provider.url, api_key="k")
        assert model.response([Message(role="user", content="Hello")]).content


def test_what_production_is_to_allow_has_to_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "prod")
    monkeypatch.setenv(ALLOWS_VARIABLE, "observed-gates,everything")
    with pytest.raises(ConfigurationError, match="not 'everything'"):
        is_allowed("observed-gates")


@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_each_relaxation_is_said_by_itself(
    relaxation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    others = [each for each in RELAXATIONS if each != relaxation]
    monkeypatch.setenv(ALLOWS_VARIABLE, ",".join(others))
    with pytest.raises(WrongEnvironment, match=f"{ALLOWS_VARIABLE}={relaxation}"):
        check_production(relaxation, "what is tried out")
    be(monkeypatch, "staging")
    check_production(relaxation, "what is tried out")


def test_a_wrong_clock_does_not_come_before_a_wrong_environment() -> None:
    """Nobody of another environment learns what became of a clearance."""
    kept = Clearances()
    kept.put(a_grant(id="c1", environment="prod"))
    late = NOW + timedelta(days=2)
    with pytest.raises(ClearanceRefused) as refused:
        kept.claim("c1", an_asking(environment="dev"), late)
    assert refused.value.code == "other_environment"
