"""What a policy takes, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from agno.guardrails import PIIDetectionGuardrail
from hypothesis import given
from hypothesis import strategies as st
from policy_texts import WHOLE
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
from agno_portkey.modes import Modes
from agno_portkey.policy import GatePolicy, GuardUse, Policy, terms_of

NO_WORDS = "policy_guards:NoWords"


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
