"""The part of a policy that says how much may be spent: read, shown, written and applied."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow.step import Step
from agno.workflow.workflow import Workflow
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agno_portkey import PortkeyModel, govern
from agno_portkey.cli import app
from agno_portkey.errors import ConfigurationError
from agno_portkey.policy import Policy, json_schema
from agno_portkey.telemetry.ledger import Budget, BudgetAllowance, Ledger
from agno_portkey.testing import EmbeddedProvider, Reply, Usage

GUIDE = (Path(__file__).parents[2] / "docs/guide/ledger.md").read_text(encoding="utf-8")
TEXT = """
budgets:
  - {per: run, limit_usd: "0.50"}
  - {per: day, limit_usd: 20, cost_center: "*", unpriced: allow}
  - {per: total, limit_tokens: 5000000, mode: observe}
"""
READ = [
    Budget(per="run", limit_usd="0.50"),
    Budget(per="day", limit_usd=20, cost_center="*", unpriced="allow"),
    Budget(per="total", limit_tokens=5_000_000, mode="observe"),
]


def _agent(name: str = "Writer") -> Agent:
    return Agent(name=name, model=PortkeyModel(base_url="http://127.0.0.1:1/v1"), telemetry=False)


def _held(policy: Policy, **options: Any) -> list[Budget]:
    agent = govern(_agent(), policy=policy, ledger=Ledger(InMemoryDb()), **options)
    return _of(agent.model)


def _of(model: Any) -> list[Budget]:
    assert all(isinstance(each, BudgetAllowance) for each in model.budgets)
    return [each.budget for each in model.budgets]


def test_they_are_installed_with_their_ledger() -> None:
    assert _held(Policy.from_yaml(TEXT)) == READ
    assert _held(Policy()) == []
    more = Budget(per="day", limit_tokens=1)
    assert _held(Policy.from_yaml(TEXT), budgets=[more]) == [*READ, more]
    assert _held(Policy(budgets=READ)) == READ


@pytest.mark.parametrize("kind", ["team", "workflow"])
def test_everyone_has_them(kind: str) -> None:
    member = _agent()
    owner: Any = Team(name="T", model=_agent().model, members=[member])
    if kind == "workflow":
        owner = Workflow(name="F", steps=[Step(name="one", agent=member)])
    govern(owner, policy=Policy.from_yaml(TEXT), ledger=Ledger(InMemoryDb()))
    assert _of(member.model) == READ


def test_what_a_file_says_holds(portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(lambda request: True, Reply("Hello", usage=Usage(60, 40)))
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    agent = Agent(model=model, telemetry=False)
    policy = Policy.from_yaml("budgets: [{per: total, limit_tokens: 150}]")
    govern(agent, policy=policy, ledger=Ledger(InMemoryDb(), timeout=20))
    assert [agent.run("Hi").status for _ in range(3)] == [
        *(RunStatus.completed,) * 2,
        RunStatus.error,
    ]
    assert len(portkey_provider.calls) == 2


def test_without_a_ledger_they_are_refused_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(TEXT, encoding="utf-8")
    policy = Policy.from_yaml(file)
    said = rf"{re.escape(str(file))}:2: policy\.budgets: they need a ledger: give ledger="
    with pytest.raises(ConfigurationError, match=said):
        govern(_agent(), policy=policy)


def test_governed_again_in_the_same_way_nothing_changes() -> None:
    agent, ledger = _agent(), Ledger(InMemoryDb())
    govern(agent, policy=Policy.from_yaml(TEXT), ledger=ledger)
    model = agent.model
    govern(agent, policy=Policy.from_yaml(TEXT), ledger=ledger)
    govern(agent, budgets=READ, ledger=ledger)
    assert agent.model is model
    with pytest.raises(ConfigurationError, match="another budgets"):
        govern(agent, ledger=ledger)


def test_figures_and_names_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
budgets:
  - {per: day, limit_usd: "${DOLLARS}", limit_tokens: "${TOKENS}", cost_center: "${CENTER}"}
"""
    policy = Policy.from_yaml(text)
    with pytest.raises(ConfigurationError, match=r"budgets\[0\]\.limit_usd: set the .* DOLLARS"):
        _held(policy)
    monkeypatch.setenv("DOLLARS", "1.50")
    monkeypatch.setenv("TOKENS", "100")
    monkeypatch.setenv("CENTER", "cc-42")
    expected = Budget(per="day", limit_usd="1.5", limit_tokens=100, cost_center="cc-42")
    assert _held(policy) == [expected]
    for name, said, why in (
        ("DOLLARS", "much", r"budgets\[0\]\.limit_usd: dollars, 0 or more"),
        ("TOKENS", "-1", r"budgets\[0\]\.limit_tokens: a whole number"),
        ("TOKENS", "1.5", r"budgets\[0\]\.limit_tokens: a whole number"),
        ("CENTER", "c" * 129, r"budgets\[0\]\.cost_center: a tag's value"),
    ):
        with monkeypatch.context() as wrong:
            wrong.setenv(name, said)
            with pytest.raises(ConfigurationError, match=why):
                _held(policy)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("budgets: {per: day}", r"policy\.budgets: a list is due here"),
        ("budgets: 5", r"policy\.budgets: a list is due here"),
        ("budgets: [5]", r"policy\.budgets\[0\]: a mapping of per, limit_usd, limit_tokens, "),
        ("budgets: [{limit_usd: 1}]", r"policy\.budgets\[0\]\.per: required"),
        ("budgets: [{per: week, limit_usd: 1}]", r"budgets\[0\]\.per: one of run, day, total"),
        ("budgets: [{per: [day], limit_usd: 1}]", r"budgets\[0\]\.per: one of run, day, total"),
        ("budgets: [{per: day}]", r"policy\.budgets\[0\]: give it limit_usd, limit_tokens"),
        ("budgets: [{per: day, limit: 1}]", r"budgets\[0\]\.limit: no such field; it takes per, "),
        ("budgets: [{per: day, limit_usd: -1}]", r"budgets\[0\]\.limit_usd: dollars, 0 or more"),
        ("budgets: [{per: day, limit_usd: .nan}]", r"budgets\[0\]\.limit_usd: dollars, 0 or"),
        ("budgets: [{per: day, limit_usd: yes}]", r"budgets\[0\]\.limit_usd: dollars, 0 or more"),
        ("budgets: [{per: day, limit_usd: a lot}]", r"budgets\[0\]\.limit_usd: dollars, 0 or"),
        ("budgets: [{per: day, limit_tokens: 1.5}]", r"budgets\[0\]\.limit_tokens: a whole num"),
        ("budgets: [{per: day, limit_tokens: '5'}]", r"budgets\[0\]\.limit_tokens: a whole num"),
        ("budgets: [{per: day, limit_tokens: 1, mode: on}]", r"\[0\]\.mode: off, observe or enf"),
        ("budgets: [{per: day, limit_tokens: 1, unpriced: no}]", r"\[0\]\.unpriced: refuse or a"),
        ("budgets: [{per: day, limit_tokens: 1, cost_center: 5}]", r"cost_center: a tag's value"),
        ("budgets: [{per: day, limit_usd: '$${A}'}]", r"limit_usd: a reference is the whole"),
        ("budgets: [{per: '${PER}', limit_usd: 1}]", r"\[0\]\.per: the value itself, not "),
        ("budgets: [{per: day, limit_usd: 1}, {per: x}]", r"policy\.budgets\[1\]\.per: one of"),
        ("budgets:", r"policy\.budgets: it is empty"),
    ],
)
def test_what_is_no_budget_is_refused_where_it_stands(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Policy.from_yaml(text)


def test_the_line_is_told(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("tags: {a: b}\nbudgets:\n  - per: day\n    limit_usd: -1\n", encoding="utf-8")
    said = rf"{re.escape(str(file))}:4: policy\.budgets\[0\]\.limit_usd: dollars"
    with pytest.raises(ConfigurationError, match=said):
        Policy.from_yaml(file)


@pytest.mark.parametrize("given_", [Budget(per="day", limit_usd=1), 5])
def test_what_is_no_list_of_them_is_refused(given_: Any) -> None:
    with pytest.raises(ConfigurationError, match="budgets: a list of Budget, not "):
        govern(_agent(), ledger=Ledger(InMemoryDb()), budgets=given_)


def test_off_is_off_though_to_yaml_it_is_false() -> None:
    [held] = _held(Policy.from_yaml("budgets: [{per: day, limit_usd: 1, mode: off}]"))
    assert held.mode == "off"


SCHEMA = jsonschema.Draft202012Validator(json_schema())
DOLLARS = st.decimals(0, 1_000_000_000, allow_nan=False, places=9)
BUDGETS = st.builds(
    Budget,
    per=st.sampled_from(["run", "day", "total"]),
    limit_usd=DOLLARS | st.integers(0, 10**9),
    limit_tokens=st.none() | st.integers(0, 10**12),
    cost_center=st.none() | st.sampled_from(["*", "cc-42", "1"]),
    mode=st.sampled_from(["off", "observe", "enforce"]),
    unpriced=st.sampled_from(["refuse", "allow"]),
)


@given(st.lists(BUDGETS, max_size=3))
def test_every_budget_comes_back_from_its_yaml(budgets: list[Budget]) -> None:
    text = Policy(budgets=budgets).to_yaml()
    SCHEMA.validate(yaml.safe_load(text))
    policy = Policy.from_yaml(text)
    assert [each.make(policy.places.at, 0) for each in policy.budgets] == budgets


@pytest.mark.parametrize(
    "wrong",
    ["{per: week, limit_usd: 1}", "{limit_usd: 1}", "{per: day, mode: on}", "{per: day, a: 1}"],
)
def test_the_schema_knows_them(wrong: str) -> None:
    SCHEMA.check_schema(SCHEMA.schema)
    SCHEMA.validate(yaml.safe_load(TEXT))
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(yaml.safe_load(f"budgets: [{wrong}]"))


def test_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    file = tmp_path / "policy.yaml"
    file.write_text(TEXT + "  - {per: day, limit_tokens: 9, cost_center: a}\n", encoding="utf-8")
    shown = CliRunner().invoke(app, ["policy", "check", str(file)])
    assert shown.exit_code == 0
    for said in (
        "0.50 USD per run; govern is to be given their ledger",
        "20 USD per day, each cost center",
        "5000000 tokens in total",
        "9 tokens per day, cost center a",
        "observe",
    ):
        assert said in shown.stdout


def test_the_readmes_are_these() -> None:
    [fence] = [
        each for each in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "budgets:" in each
    ]
    policy = Policy.from_yaml(fence)
    assert [each.make(policy.places.at, 0) for each in policy.budgets] == [
        Budget(per="run", limit_usd="0.50"),
        Budget(per="day", limit_usd=Decimal(20), cost_center="*"),
        Budget(per="day", limit_tokens=5_000_000, mode="observe"),
    ]
