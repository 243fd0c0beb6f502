"""What a policy takes, what it refuses and how it says so, and what it makes of it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import policy_guards
import pytest
from agno.agent import Agent
from agno.guardrails import PIIDetectionGuardrail
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agno_portkey import Gate
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import (
    Adjust,
    BudgetCheck,
    GuardCheck,
    JudgementCheck,
    ReliabilityCheck,
    Sampling,
    SuiteCheck,
    any_of,
)
from agno_portkey.guardrails import AgnoGuard
from agno_portkey.modes import Modes
from agno_portkey.policy import GatePolicy, GuardUse, Policy, terms_of

NO_WORDS = "policy_guards:NoWords"

WHOLE = """
guards:
  - use: policy_guards:NoWords
    words: [bluebird]
    mode: observe
  - policy_guards:NoWords
gate:
  runner: Runner
  mode: observe
  gates:
    - {name: quality, min_score: 8}
    - {name: safety, min_score: 9, max_rounds: 2, ordered: false}
contracts: {mode: observe}
tags:
  values: {cost_center: cc-42, tier: 2, beta: true}
  mode: off
stop: {database: "sqlite:///stops.db", mode: observe}
allow: [Scout.tools*]
"""


def refused(text: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_yaml(text)
    return str(caught.value)


# What it takes


def test_a_whole_policy_is_read() -> None:
    policy = Policy.from_yaml(WHOLE)
    assert policy.gate == GatePolicy(
        runner="Runner",
        mode="observe",
        gates=(
            Gate(name="quality", min_score=8),
            Gate(name="safety", min_score=9, max_rounds=2, ordered=False),
        ),
    )
    first, second = policy.guards
    assert (first.use, first.mode, first.arguments) == (
        NO_WORDS,
        "observe",
        {"words": ["bluebird"]},
    )
    assert (second.use, second.mode, second.arguments) == (NO_WORDS, None, {})
    assert policy.contracts.mode == "observe"
    assert policy.tags.values == {"cost_center": "cc-42", "tier": "2", "beta": "true"}
    assert policy.tags.mode == "off"
    assert policy.stop.mode == "observe"
    assert policy.allow == ("Scout.tools*",)


def test_an_empty_policy_enforces_what_there_is_by_default() -> None:
    policy = Policy.from_yaml("{}")
    assert policy == Policy()
    assert terms_of(policy) == terms_of(None)
    assert terms_of(policy).modes == Modes()
    assert policy.gate is None


PARTS = "environment, guards, pii, gate, contracts, tags, stop, cache, models, budgets, allow"


@pytest.mark.parametrize(
    ("text", "gates"),
    [
        ("gate: {min_score: 8}", (Gate(min_score=8),)),
        ("gate: {name: a, max_rounds: 1}", (Gate(name="a", max_rounds=1),)),
        ("gate: {runner: R}", (Gate(),)),
        ("gate: {}", (Gate(),)),
        ("gate: [{name: a}, {name: b}]", (Gate(name="a"), Gate(name="b"))),
    ],
)
def test_a_gate_has_shorter_forms(text: str, gates: tuple[Gate, ...]) -> None:
    policy = Policy.from_yaml(text)
    assert policy.gate is not None
    assert policy.gate.gates == gates


def test_objects_are_taken_as_they_are() -> None:
    guard, gate = PIIDetectionGuardrail(), Gate(min_score=9)
    policy = Policy(guards=[guard, GuardUse(use=NO_WORDS)], gate=gate, contracts="observe")
    assert policy.guards[0] is guard
    assert policy.gate.gates == (gate,)
    assert Policy(gate=[gate, Gate(name="other")]).gate.gates == (gate, Gate(name="other"))
    assert policy.contracts.mode == "observe"


@pytest.mark.parametrize("text", ["off", "'off'", "false", "{mode: off}", "{mode: 'off'}"])
def test_off_is_off_though_to_yaml_it_is_false(text: str) -> None:
    assert Policy.from_yaml(f"contracts: {text}").contracts.mode == "off"


def test_tags_may_stand_by_themselves_but_a_mode_alone_is_the_parts() -> None:
    assert Policy.from_yaml("tags: {a: 1, mode: x}").tags.values == {"a": "1", "mode": "x"}
    part = Policy.from_yaml("tags: {mode: off}").tags
    assert (dict(part.values), part.mode) == ({}, "off")


def test_it_can_not_be_changed() -> None:
    policy = Policy()
    with pytest.raises(ValidationError):
        policy.allow = ("x",)
    arguments = {"words": ["a"]}
    use = GuardUse(use=NO_WORDS, **arguments)
    arguments["words"].append("b")
    assert use.arguments == {"words": ["a"]}


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(WHOLE)
    assert Policy.from_yaml(file) == Policy.from_yaml(str(file)) == Policy.from_yaml(WHOLE)


def test_secrets_are_not_shown() -> None:
    policy = Policy(
        guards=[{"use": NO_WORDS, "words": ["sk-4711"]}], stop={"database": "postgres://u:pw@h/d"}
    )
    assert "sk-4711" not in repr(policy)
    assert "words" in repr(policy)
    assert "pw@" not in repr(policy)


# What it refuses


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "gats: {}",
            "policy.gats: no such field; it takes environment, guards, pii, gate, contracts, tags, "
            "stop, cache, models, budgets, allow",
        ),
        (
            "gate: {min_scor: 8}",
            "policy.gate.min_scor: no such field; it takes runner, mode, database, "
            "clearance_keys, gates, name, min_score, max_rounds, ordered, checks, sampling, "
            "approval, max_age, adjust",
        ),
        (
            "gate: {gates: [{}], min_score: 8}",
            "policy.gate.min_score: no such field; it takes runner, mode, database, "
            "clearance_keys, gates",
        ),
        (
            "gate: {gates: [{naam: a}]}",
            "policy.gate.gates[0].naam: no such field; it takes name, min_score, max_rounds, "
            "ordered, checks, sampling, approval, max_age, adjust",
        ),
        ("gate: {min_score: 18}", "policy.gate.min_score: from 0 to 10, not 18"),
        (
            "gate: {gates: [{min_score: '8'}]}",
            "policy.gate.gates[0].min_score: a number from 0 to 10, not '8'",
        ),
        (
            "gate: {gates: [3]}",
            "policy.gate.gates[0]: a mapping of name, min_score, max_rounds, ordered, "
            "checks, sampling, approval, max_age, adjust, not 3",
        ),
        (
            "gate: {checks: [{check: budget, cots: 1}]}",
            "policy.gate.checks[0].cots: no such field; it takes name, timeout, cost, tokens, "
            "calls, seconds",
        ),
        (
            "gate: {checks: [{check: budget, cost: -1}]}",
            "policy.gate.checks[0].cost: from 0, not -1",
        ),
        (
            "gate: {checks: [{check: suite}]}",
            "policy.gate.checks[0]: missing 1 required keyword-only argument: 'suite'",
        ),
        (
            "gate: {checks: [{check: accuracy}]}",
            "policy.gate.checks[0]: a mapping with check: one of budget, critique, guards, "
            "judgement, reliability, suite; other checks are given to Gate in Python",
        ),
        ("gate: {checks: budget}", "policy.gate.checks: a list is due here, not 'budget'"),
        ("gate: {sampling: {most: 0}}", "policy.gate.sampling.most: from 1 to 100, not 0"),
        ("gate: {sampling: 3}", "policy.gate.sampling: a Sampling, not 3"),
        ("gate: {adjust: {floor: 2}}", "policy.gate.adjust.floor: from 0.5 to 0.99, not 2"),
        ("gate: {adjust: true}", "policy.gate.adjust: an Adjust, not True"),
        (
            "gate: {adjust: {flor: 1}}",
            "policy.gate.adjust.flor: no such field; it takes auto, floor, least, every, "
            "confidence",
        ),
        ("gate: {approval: 1}", "policy.gate.approval: True or False, not 1"),
        ("gate: {gates: []}", "policy.gate.gates: gate: at least one Gate"),
        ("gate: {gates: {}}", "policy.gate.gates: a list is due here, not {}"),
        ("gate: [{}, {}]", "policy.gate: gate: two gates are named 'gate'"),
        ("gate: 8", "policy.gate: a mapping is due here"),
        ("gate:", "policy.gate: it is empty; leave it out, or write {} for its defaults"),
        ("gate: {runner: ''}", "policy.gate.runner: String should have at least 1 character"),
        (
            "gate: {runner: 'a ${B}'}",
            "policy.gate.runner: a reference is the whole value: ${NAME}, in letters, digits and _",
        ),
        ("gate: {mode: on}", "policy.gate.mode: off, observe or enforce, not True"),
        ("contracts: watch", "policy.contracts: off, observe or enforce, not 'watch'"),
        ("stop: {mode: [off]}", "policy.stop.mode: off, observe or enforce, not [False]"),
        ("stop: {databas: x}", "policy.stop.databas: no such field; it takes database, mode"),
        (
            "tags: {a: {b: 1}}",
            "policy.tags.a: text or a number, not dict (the gateway matches one level only)",
        ),
        ("tags: 3", "policy.tags: a mapping is due here"),
        ("allow: Scout", "policy.allow: a list is due here, not 'Scout'"),
        ("guards: {use: a}", "policy.guards: a list is due here, not {'use': 'a'}"),
        (
            "guards: [3]",
            "policy.guards[0]: a guard, or a mapping with use: package.module:Name, not 3",
        ),
        ("guards: [{mode: off}]", "policy.guards[0].use: required"),
        ("guards: [nothing]", "policy.guards[0]: package.module:Name, not 'nothing'"),
        ("guards: ['a-b:C']", "policy.guards[0]: package.module:Name, not 'a-b:C'"),
        (
            "guards: [{use: 'policy_guards:NoWords', words: .nan}]",
            "policy.guards[0].words: plain JSON is due here: texts as keys, lists, no NaN and no "
            "objects",
        ),
        (
            "guards: ['nowhere.at:all']",
            "policy.guards[0].use: can't import nowhere.at:all (ModuleNotFoundError: No module "
            "named 'nowhere')",
        ),
        (
            "guards: ['policy_guards:NUMBER']",
            "policy.guards[0].use: policy_guards:NUMBER is neither a class nor a function",
        ),
        (
            "[]",
            f"policy: a mapping of {PARTS} is due here",
        ),
        (
            "",
            f"policy: a mapping of {PARTS} is due here",
        ),
        ("3: x", "policy: the key 3 is no text; quote it"),
        ("tags: {a: 1}\ntags: {}", "no YAML in line 1: a key stands twice"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(text: str, said: str, tmp_path: Path) -> None:
    assert refused(text) == said
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    # Without a key there is no line; YAML's own errors name it themselves.
    line = ":1" if re.match(r"policy\.", said) else ""
    assert refused(file) == f"{file}{line}: {said}"


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    file.write_text("contracts: x\nstop: {mode: y}\n")
    said = refused(file)
    assert said == (
        f"{file}:1: policy.contracts: off, observe or enforce, not 'x'; "
        f"{file}:2: policy.stop.mode: off, observe or enforce, not 'y'"
    )


def test_a_file_that_is_not_there_is_named() -> None:
    assert refused("/nowhere/policy.yaml").startswith("can't read the policy in /nowhere/policy")


def test_depth_has_an_end() -> None:
    assert refused("[" * 3000) == "no YAML in line 1: it is nested too deeply, beyond 64 levels"


def test_a_gate_has_checks_and_samples() -> None:
    text = """
        gate:
          runner: R
          database: ${GATES}
          clearance_keys: ['${KEY}']
          checks:
          - {check: budget, cost: 2, tokens: 9000}
          - {check: suite, suite: release, days: 3}
          - {check: reliability, expected: [search], forbidden: [delete]}
          - {check: guards, allow: [moderation]}
          - check: judgement
            name: strict
            min_score: 9
            sampling: {most: 4}
        """
    policy = Policy.from_yaml(text)
    assert policy.gate is not None
    [gate] = policy.gate.gates
    assert gate.checks == (
        BudgetCheck(cost=2, tokens=9000),
        SuiteCheck(suite="release", days=3),
        ReliabilityCheck(expected=("search",), forbidden=("delete",)),
        GuardCheck(allow=("moderation",)),
        JudgementCheck(name="strict", min_score=9, sampling=Sampling(most=4)),
    )
    assert Policy.from_yaml(policy.to_yaml()) == policy
    sampled = Policy.from_yaml("gate: {sampling: {least: 2, most: 8}, approval: true, max_age: 9}")
    assert sampled.gate is not None
    assert sampled.gate.gates == (
        Gate(sampling=Sampling(least=2, most=8), approval=True, max_age=9),
    )
    assert Policy.from_yaml(sampled.to_yaml()) == sampled
    adjusted = Policy.from_yaml("gate: {adjust: {auto: true, floor: 0.9}}")
    assert adjusted.gate is not None
    assert adjusted.gate.gates == (Gate(adjust=Adjust(auto=True, floor=0.9)),)
    assert Policy.from_yaml(adjusted.to_yaml()) == adjusted


def test_what_is_kept_of_a_gate_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATES", "sqlite:///gates.db")
    monkeypatch.setenv("KEY", "a key")
    text = "gate: {database: '${GATES}', clearance_keys: ['${KEY}']}"
    terms = terms_of(Policy.from_yaml(text))
    assert (terms.gate_database, terms.clearance_keys) == ("sqlite:///gates.db", ("a key",))
    assert (terms_of(Policy()).gate_database, terms_of(Policy()).clearance_keys) == (None, ())


# Writing


def test_it_is_written_without_its_defaults() -> None:
    assert Policy().to_yaml() == "{}\n"
    written = Policy(gate={"min_score": 8, "runner": "R"}, contracts="off").to_yaml()
    assert written == (
        "gate:\n  runner: R\n  gates:\n  - min_score: 8\ncontracts:\n  mode: 'off'\n"
    )


class Stricter(Gate):
    pass


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            Policy(guards=[PIIDetectionGuardrail()]),
            r"^policy\.guards\[0\]: a PIIDetectionGuardrail",
        ),
        (
            Policy(gate=Gate(checks=(any_of(GuardCheck()),))),
            r"^policy\.gate\.gates\[0\]\.checks\[0\]: a AnyOf object can't be written",
        ),
        (Policy(gate=Stricter()), r"^policy\.gate\.gates\[0\]: a Stricter object can't be written"),
        (
            Policy(stop={"database": "postgres://u:pw@h/d"}),
            r"^policy\.stop\.database: a password is not written to a file",
        ),
        (Policy(stop={"database": "http://[bad"}), r"^policy\.stop\.database: a password is not"),
    ],
)
def test_what_a_file_can_not_hold_is_refused(policy: Policy, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        policy.to_yaml()


MODES = st.sampled_from(["off", "observe", "enforce"])
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), min_size=1, max_size=20
).filter(lambda text: "${" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
GATES = st.lists(
    st.builds(
        Gate,
        name=TEXTS.filter(str.strip),
        min_score=st.floats(0, 10) | st.integers(0, 10),
        max_rounds=st.integers(1, 9),
        ordered=st.booleans(),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda gate: gate.name,
)
USES = st.builds(
    lambda mode, arguments: GuardUse(**{**arguments, "use": NO_WORDS, "mode": mode}),
    st.none() | MODES,
    st.dictionaries(TEXTS, JSON, max_size=3),
)
ADDRESSES = st.sampled_from(["sqlite:///a.db", "postgres://h/d", "${DATABASE_URL}"])
POLICIES = st.builds(
    Policy,
    guards=st.lists(USES, max_size=3),
    gate=st.none()
    | st.fixed_dictionaries(
        {"gates": GATES}, optional={"runner": TEXTS | st.just("${RUNNER}"), "mode": MODES}
    ),
    contracts=MODES,
    tags=st.fixed_dictionaries(
        {"values": st.dictionaries(TEXTS, TEXTS | st.just("${TAG}"), max_size=3), "mode": MODES}
    ),
    stop=st.fixed_dictionaries({"database": st.none() | ADDRESSES, "mode": MODES}),
    allow=st.lists(TEXTS, max_size=3),
)


@given(POLICIES)
def test_every_policy_comes_back_from_its_yaml(policy: Policy) -> None:
    assert Policy.from_yaml(policy.to_yaml()) == policy


# What becomes of it


def test_guards_are_made_once_with_their_arguments_and_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORD", "redwing")
    policy = Policy.from_yaml(
        "guards: [{use: 'policy_guards:NoWords', words: ['${WORD}', b], mode: observe, name: w}]"
    )
    policy_guards.MADE.clear()
    (guard,) = policy.made_guards
    assert (guard.words, guard.mode, guard.name) == (("redwing", "b"), "observe", "w")
    assert policy.made_guards[0] is guard
    assert policy_guards.MADE == ["NoWords"]
    assert terms_of(policy).guards == (guard,)
    assert copy.copy(policy) == policy


def test_the_mode_of_a_shared_guard_is_not_changed_for_others() -> None:
    (guard,) = Policy(guards=[{"use": "policy_guards:shared", "mode": "off"}]).made_guards
    assert (guard.mode, policy_guards.SHARED.mode) == ("off", "enforce")
    (same,) = Policy(guards=["policy_guards:shared"]).made_guards
    assert same is policy_guards.SHARED


def test_agnos_own_guardrails_have_a_mode_as_well() -> None:
    use = "agno.guardrails:PIIDetectionGuardrail"
    plain, observed = Policy(
        guards=[{"use": use, "mask_pii": True}, {"use": use, "mode": "observe"}]
    ).made_guards
    assert isinstance(plain, PIIDetectionGuardrail)
    assert plain.mask_pii is True
    assert isinstance(observed, AgnoGuard)
    assert observed.mode == "observe"


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("policy_guards:failing", r"can't be made \(RuntimeError: no backend\)"),
        ("policy_guards:no_guard", r"\.use: .* makes a str, and no guardrail"),
    ],
)
def test_a_guard_that_can_not_be_made_is_named(use: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^policy\.guards\[1\].*" + said):
        _ = Policy(guards=["policy_guards:NoWords", use]).made_guards


def test_references_are_read_when_the_policy_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy.from_yaml(
        "gate: {runner: '${RUNNER}'}\n"
        "tags: {team: '${TEAM}'}\n"
        "stop: {database: '${DATABASE}'}\n"
        "allow: ['${PATH_ALLOWED}']\n"
    )
    for name in ("RUNNER", "TEAM", "PATH_ALLOWED", "DATABASE"):
        with pytest.raises(ConfigurationError, match=f"set the environment variable {name}$"):
            terms_of(policy)
        monkeypatch.setenv(name, name.lower())
    terms = terms_of(policy)
    assert (terms.runner, terms.tags, terms.database, terms.allow) == (
        "runner",
        {"team": "team"},
        "database",
        ("path_allowed",),
    )
    monkeypatch.setenv("TEAM", "x" * 200)
    with pytest.raises(ConfigurationError, match=r"^policy\.tags\.team: 200 characters"):
        terms_of(policy)


def test_the_modes_of_all_parts_are_handed_on() -> None:
    assert terms_of(Policy.from_yaml(WHOLE)).modes == Modes("observe", "observe", "off", "observe")


# Arguments beside a policy


def test_guards_tags_and_exceptions_add_up() -> None:
    guard = PIIDetectionGuardrail()
    policy = Policy(guards=["policy_guards:shared"], tags={"a": "1"}, allow=["x"])
    terms = terms_of(policy, guards=[guard], tags={"b": 2, "a": 1}, allow=["y"])
    assert terms.guards == (policy_guards.SHARED, guard)
    assert terms.tags == {"a": "1", "b": "2"}
    assert terms.allow == ("x", "y")


def test_what_only_one_side_says_counts() -> None:
    policy = Policy(gate={"runner": "Runner", "min_score": 8})
    assert terms_of(policy).runner == "Runner"
    assert terms_of(policy).gates == (Gate(min_score=8),)
    assert terms_of(Policy(), runner="R", gate=Gate()).gates == (Gate(),)
    assert terms_of(Policy(gate={}), runner="R").runner == "R"
    agent = Agent(name="Runner", id="r-1")
    assert terms_of(policy, runner=agent, gate=Gate(min_score=8)).runner is agent
    assert terms_of(Policy(gate={"runner": "r-1"}), runner=agent).runner is agent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"gate": Gate(min_score=9)}, "^gate: the policy says one"),
        ({"runner": "Other"}, "^runner: the policy says one"),
        ({"runner": Agent(name="Other")}, "^runner: the policy says one"),
        ({"tags": {"a": "2"}}, r"^tags\['a'\]: the policy says one"),
    ],
)
def test_a_contradiction_is_refused(arguments: dict[str, Any], said: str) -> None:
    policy = Policy(gate={"runner": "Runner", "min_score": 8}, tags={"a": "1"})
    with pytest.raises(ConfigurationError, match=said):
        terms_of(policy, **arguments)


@pytest.mark.parametrize("arguments", [{"guards": 3}, {"allow": "Scout"}, {"allow": 3}])
def test_what_is_no_list_is_refused_by_its_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(arguments))}: a list of "):
        terms_of(Policy(), **arguments)


def test_a_file_name_is_no_policy() -> None:
    with pytest.raises(ConfigurationError, match=r"^policy: a Policy, not str; Policy\.from_yaml"):
        terms_of("policy.yaml")  # type: ignore[arg-type]
