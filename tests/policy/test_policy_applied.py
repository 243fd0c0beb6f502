"""What becomes of a policy, by itself and beside arguments."""

from __future__ import annotations

import copy
from typing import Any

import policy_guards
import pytest
from agno.agent import Agent
from agno.guardrails import PIIDetectionGuardrail
from policy_texts import WHOLE

from agno_portkey import Gate
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import AgnoGuard
from agno_portkey.modes import Modes
from agno_portkey.policy import Policy, terms_of


def test_what_is_kept_of_a_gate_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATES", "sqlite:///gates.db")
    monkeypatch.setenv("KEY", "a key")
    text = "gate: {database: '${GATES}', clearance_keys: ['${KEY}']}"
    terms = terms_of(Policy.from_yaml(text))
    assert (terms.gate_database, terms.clearance_keys) == ("sqlite:///gates.db", ("a key",))
    assert (terms_of(Policy()).gate_database, terms_of(Policy()).clearance_keys) == (None, ())


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
