"""A gate that is made in Python takes its Runner, database and keys from a policy."""

from __future__ import annotations

import pytest

from agno_portkey import Gate, Policy, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.policy import terms_of
from agno_portkey.testing.story import Release, release_team

STRICT = Gate(name="release", min_score=9)
KEYS = "gate: {runner: Runner, mode: observe, database: 'sqlite:///g.db', clearance_keys: [a key]}"


def test_a_policy_without_settings_of_a_gate_leaves_them_to_the_argument() -> None:
    terms = terms_of(Policy.from_yaml(KEYS), gate=STRICT)
    assert terms.gates == (STRICT,)
    assert (terms.clearance_keys, terms.gate_database) == (("a key",), "sqlite:///g.db")
    assert (terms.runner, terms.modes.gate) == ("Runner", "observe")
    # By itself it is a gate at its defaults, as before.
    assert terms_of(Policy.from_yaml(KEYS)).gates == (Gate(),)


def test_a_governed_team_verifies_with_the_policys_keys() -> None:
    team = release_team(PortkeyModel(api_key="k"), Release())
    policy = Policy.from_yaml("gate: {clearance_keys: [a key]}")
    govern(team, runner="Runner", gate=STRICT, policy=policy)
    charter = team.model.seat.charter  # type: ignore[union-attr]
    assert (charter.gates, charter.books.keys) == ((STRICT,), ("a key",))


@pytest.mark.parametrize(
    "policy",
    [
        Policy.from_yaml("gate: {min_score: 8, clearance_keys: [a key]}"),
        Policy.from_yaml("gate: {clearance_keys: [a key], gates: [{min_score: 8}]}"),
        Policy(gate=Gate()),
        Policy.from_yaml("gate: {}"),
    ],
)
def test_two_gates_are_refused_and_what_may_stay_is_said(policy: Policy) -> None:
    with pytest.raises(ConfigurationError, match="clearance_keys may stay") as refused:
        terms_of(policy, gate=STRICT)
    assert str(refused.value).startswith("gate: the policy says one")
    assert policy.gate is not None
    assert terms_of(policy, gate=policy.gate.gates).gates == policy.gate.gates
