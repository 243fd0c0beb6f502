"""`agno-portkey gate`: open gates, tokens, suites and calibration from the command line."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.cli.objects import named
from agno_portkey.contracts import Judgement, Plan, Step, digest
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.gates import Case, SuiteCheck
from agno_portkey.gates.clearance import Clearances, Grant, new_id, new_key
from agno_portkey.gates.history import History
from agno_portkey.testing import EmbeddedProvider

NOW = datetime.now(UTC)
PLAN = Plan(
    goal="Ship 2.1",
    steps=(Step(action="Deploy it", tool="deploy", inputs={"version": "2.1"}),),  # type: ignore[arg-type]
)


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


def left(db: str, **given: Any) -> Grant:
    """A plan that waits for a person."""
    grant = Grant(
        **{
            "id": new_id(),
            "gate": "release",
            "swarm": "Release",
            "tenant": None,
            "session_id": "s1",
            "user_id": None,
            "plan": PLAN,
            "plan_digest": digest(PLAN),
            "fingerprint": "sha256:f1",
            "issued_at": NOW,
            "expires_at": NOW + timedelta(hours=1),
            "state": "waiting",
            **given,
        }
    )
    Clearances(db).put(grant)
    return grant


def gate(*arguments: str, code: int = 0, **environment: str) -> str:
    ended = CliRunner().invoke(app, ["gate", *arguments], env=environment, terminal_width=300)
    assert ended.exit_code == code, ended.output
    return ended.output


def test_what_waits_is_listed_with_what_to_do(db: str) -> None:
    assert f"there is no file {db}" in gate("waiting", "--db", db, code=1)
    assert not Path(db).exists()
    Clearances(db).put(gone := left(db))
    Clearances(db).revoke(gone.id, by="ann")
    assert "No plan waits" in gate("waiting", "--db", db)
    passed = left(db)
    bad = left(db, passed=False, reason="its score is 3", swarm="Other")
    said = gate("waiting", "--db", db)
    lines = [line.strip() for line in said.splitlines()]
    assert f"to approve   agno-portkey gate approve {passed.id} --db {db}" in lines
    override = f"agno-portkey gate approve {bad.id} --db {db} --override --reason '...'"
    assert f"to override  {override}" in lines
    for grant in (passed, bad):
        command = f"agno-portkey gate revoke {grant.id} --db {db} --reason '...'"
        assert f"to refuse    {command}" in lines
    assert "The gate has passed it: it runs once a person approves it." in said
    when = f"{passed.issued_at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"left {when}, asked by nobody named in session s1" in " ".join(said.split())
    assert "1. Deploy it [deploy(version='2.1')]" in said
    assert "The gate has refused it: its score is 3" in said
    assert passed.id not in gate("waiting", "--db", db, "--swarm", "Other")
    [only] = json.loads(gate("waiting", "--db", db, "--json", "--swarm", "Other"))
    assert (only["id"], only["passed"], only["plan"]["goal"]) == (bad.id, False, "Ship 2.1")


def test_a_plan_is_approved_and_taken_back(db: str) -> None:
    grant = left(db)
    assert "is granted until" in gate(
        "approve", grant.id, "--db", db, "--by", "ann", "--hours", "9"
    )
    kept = Clearances(db).get(grant.id)
    assert (kept.state, kept.approved_by) == ("granted", "ann")
    assert kept.expires_at > NOW + timedelta(hours=8)
    assert "is revoked" in gate("revoke", grant.id, "--db", db, "--reason", "wrong")
    assert Clearances(db).get(grant.id).state == "revoked"
    assert [each.passed for each in History(db).series()] == [True, False]


def test_an_override_says_that_it_is_one(db: str) -> None:
    grant = left(db, passed=False, reason="its score is 3")
    for reason in ([], ["--reason", "hotfix"]):
        said = gate("approve", grant.id, "--db", db, *reason, code=1)
        assert "give --override and a --reason" in said
    for empty in ([], ["--reason", " "]):
        said = gate("approve", grant.id, "--db", db, "--override", *empty, code=1)
        assert "give --reason: why this plan runs though the gate has refused it" in said
    assert Clearances(db).get(grant.id).state == "waiting"
    gate("approve", grant.id, "--db", db, "--override", "--reason", "hotfix")
    assert Clearances(db).get(grant.id).state == "granted"


@pytest.mark.parametrize("command", ["waiting", "approve", "revoke", "export"])
def test_without_a_database_nothing_is_done(command: str) -> None:
    arguments = [] if command == "waiting" else ["some-id"]
    key = {"AGNO_PORTKEY_CLEARANCE_KEY": "k", "AGNO_PORTKEY_DATABASE_URL": ""}
    assert "the team's database is needed" in gate(command, *arguments, code=1, **key)


def test_a_clearance_goes_to_another_machine(db: str) -> None:
    grant = left(db, state="granted")
    said = gate("export", grant.id, "--db", db, code=1, AGNO_PORTKEY_CLEARANCE_KEY="")
    assert "agno-portkey gate key" in said
    pair = dict(line.split("=", 1) for line in gate("key").split())
    token = gate("export", grant.id, "--db", db, **pair).strip()
    [*told] = json.loads(gate("verify", token, **pair)).items()
    assert dict(told)["plan_digest"] == digest(PLAN)
    assert json.loads(gate("verify", token, "--swarm", "Release", **pair))["id"] == grant.id
    assert "is for the team Release" in gate("verify", token, "--swarm", "X", code=1, **pair)
    assert "other models" in gate("verify", token, "--fingerprint", "sha256:x", code=1, **pair)
    other = {"AGNO_PORTKEY_CLEARANCE_PUBLIC_KEY": new_key().public}
    assert "none of the public keys" in gate("verify", token, code=1, **other)
    head, _, mark = token.split(".")
    forged = f"{head}.{b64encode(b'{}').decode().rstrip('=')}.{mark}"
    assert "its signature does not hold" in gate("verify", forged, code=1, **pair)
    assert "set it to the public key" in gate(
        "verify", token, code=1, AGNO_PORTKEY_CLEARANCE_PUBLIC_KEY=""
    )
    assert "is no clearance" in gate("verify", "no token", code=1, **pair)


# Suites

SUITE = """
import os
from agno.agent import Agent
from agno.eval.suite import Case
from agno.scorer import CodeScorer
from agno_portkey import PortkeyModel

model = PortkeyModel(base_url=os.environ["PROVIDER"], api_key="k")
agent = Agent(name="Worker", model=model, telemetry=False)
said = iter([True, False] * 20)
CASES = [Case(name="good", input="Hi", agent=agent, scorer=CodeScorer(lambda run, _: True))]
BAD = [*CASES, Case(name="bad", input="Hi", agent=agent, scorer=CodeScorer(lambda run, _: False))]
ODD = [*CASES, Case(name="odd", input="Hi", agent=agent, scorer=CodeScorer(lambda *_: next(said)))]
SUITE, EMPTY = ["CASES"], []
TWO = [*CASES, Case(name="other", input="Hi", agent=Agent(name="Other", model=model),
                    scorer=CodeScorer(lambda run, _: True))]
"""


@pytest.fixture
def suite(
    tmp_path: Path, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("PROVIDER", portkey_provider.url)
    file = tmp_path / "evals_of_mine.py"
    file.write_text(SUITE, "utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("name", "code", "failures", "errors"),
    [("CASES", 0, 0, 0), ("BAD", 1, 1, 0), ("ODD", 2, 0, 1)],
)
def test_a_suite_ends_with_the_code_of_its_outcome(
    suite: str, tmp_path: Path, name: str, code: int, failures: int, errors: int
) -> None:
    report = tmp_path / "report.xml"
    arguments = ["check", f"{suite}:{name}", "--samples", "6", "--junit", str(report)]
    outcome = ("PASS", "FAIL", "UNDERPOWERED")[code]
    assert outcome in gate(*arguments, code=code)
    told = ElementTree.parse(report).getroot()
    assert (told.get("failures"), told.get("errors")) == (str(failures), str(errors))
    assert [len(told.findall(f"*/{kind}")) for kind in ("failure", "error")] == [failures, errors]
    assert next(each.get("name") for each in told) == "good"
    read = json.loads(gate("check", f"{suite}:{name}", "--json", "--samples", "6", code=code))
    assert read["outcome"] == outcome.lower()


def test_a_result_is_kept_for_a_suite_check(suite: str, db: str) -> None:
    assert "Recorded as release: pass" in gate("check", suite, "--record", "release", "--db", db)
    [case] = named(suite, "CASES")
    asks = SuiteCheck(suite="release", database=db)
    for known, passes in ((fingerprint_of(case.agent).digest, True), ("sha256:other", False)):
        asked = Case(None, None, None, None, fingerprint=known)
        assert asks.decide(asked).passed is passes
    said = gate("check", f"{suite}:TWO", "--record", "release", "--db", db, code=3)
    assert "the cases are of 2 agents and teams" in said
    said = gate("check", suite, "--record", "r", code=3, AGNO_PORTKEY_DATABASE_URL="")
    assert "--record needs a database" in said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nowhere.at:all", "can't import nowhere.at"),
        ("{suite}:NONE", "there is no NONE in"),
        ("{suite}:model", "a list of agno.eval.suite.Case, one at least"),
        ("{suite}:SUITE", "a list of agno.eval.suite.Case, and no str"),
        ("{suite}:EMPTY", "a list of agno.eval.suite.Case, one at least"),
    ],
)
@pytest.mark.parametrize("record", [[], ["--record", "release"]])
def test_what_is_no_suite_is_said(
    suite: str, db: str, spec: str, said: str, record: list[str]
) -> None:
    assert said in gate("check", spec.format(suite=suite), *record, "--db", db, code=3)


# Calibration

TEAM = """
import os
from agno.agent import Agent
from agno.team import Team
from agno_portkey import Gate, Judgement, Plan, PortkeyModel, govern

def deploy(version: str) -> str:
    return version

llm = PortkeyModel(base_url=os.environ["PROVIDER"], api_key="k")
runner = Agent(name="Runner", model=llm, tools=[deploy])
members = [Agent(name="Planner", model=llm, output_schema=Plan),
           Agent(name="Judge", model=llm, output_schema=Judgement), runner]
team = Team(name="Release", members=members, model=llm)
govern(team, runner=runner, gate=Gate(min_score=7))
bare = Team(name="Bare", members=[], model=llm)
"""


@pytest.fixture
def team(
    tmp_path: Path, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("PROVIDER", portkey_provider.url)
    scores = [6.0, 8.0, 7.0, 9.0, 7.0, 5.0, 8.0]
    said = [Judgement(decision="approve", score=score) for score in scores] * 20
    portkey_provider.when(lambda request: request.schema_name == "Judgement", said)
    file = tmp_path / "team_of_mine.py"
    file.write_text(TEAM, "utf-8")
    return str(file)


def plans(tmp_path: Path, count: int) -> str:
    file = tmp_path / "plans.json"
    made = [Plan(goal=f"Ship {n}", steps=PLAN.steps).model_dump(mode="json") for n in range(count)]
    file.write_text(json.dumps(made), "utf-8")
    return str(file)


def test_a_judge_is_calibrated_on_plans_of_a_file(
    team: str, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    arguments = ["calibrate", team, "--plan", plans(tmp_path, 5), "--repeats", "4"]
    said = gate(*arguments)
    assert "5 plans, 20 judgements" in said
    assert "Proposed: Gate(sampling=Sampling(" in said
    asked = [call for call in portkey_provider.calls if call.schema_name == "Judgement"]
    assert len(asked) == 20
    assert {call.headers["x-portkey-cache-force-refresh"] for call in asked} == {"true"}
    told = json.loads(gate(*arguments, "--json"))
    # Of the team's own gate.
    assert (told["cases"], told["threshold"]) == (5, 7.0)


def test_a_judge_is_calibrated_on_what_its_gate_has_seen(team: str, db: str) -> None:
    for number in range(6):
        plan = Plan(goal=f"Ship {number}", steps=PLAN.steps)
        left(db, plan=plan, plan_digest=digest(plan))
    left(db, swarm="Other")
    assert "6 plans, 24 judgements" in gate("calibrate", team, "--db", db, "--repeats", "4")


def test_what_can_not_be_calibrated_is_said(team: str, tmp_path: Path) -> None:
    few = plans(tmp_path, 4)
    assert "4 plans are too few" in gate("calibrate", team, "--plan", few, code=1)
    assert "a team with a gate is needed" in gate("calibrate", f"{team}:bare", code=1)
    broken = tmp_path / "broken.json"
    broken.write_text("{", "utf-8")
    assert "no plan as JSON" in gate("calibrate", team, "--plan", str(broken), code=1)
    gone = tmp_path / "gone.db"
    assert f"there is no file {gone}" in gate("calibrate", team, "--db", str(gone), code=1)
    assert not gone.exists()
