"""What is wrong with a policy is said with its file, its line and the key that is written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from policy_texts import WHOLE

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.policy import Policy, terms_of
from agno_portkey.testing.story import Release, release_team


def test_what_is_wrong_when_it_is_applied_is_named_with_its_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"

    def said(text: str, **given: Any) -> str:
        file.write_text(text)
        with pytest.raises(ConfigurationError) as refused:
            govern(
                release_team(PortkeyModel(base_url="http://127.0.0.1:1"), Release()),
                policy=Policy.from_yaml(file),
                **given,
            )
        return str(refused.value).replace(str(file), "F")

    unset = "set the environment variable UNSET"
    whole = "contracts: enforce\ntags:\n  a: b\n  team: ${UNSET}\n"
    assert said(whole) == f"F:4: policy.tags.team: {unset}"
    assert said("tags:\n  values:\n    team: ${UNSET}") == f"F:3: policy.tags.values.team: {unset}"
    assert said("stop:\n  database: ${UNSET}") == f"F:2: policy.stop.database: {unset}"
    assert said("allow:\n- ${UNSET}") == f"F:2: policy.allow[0]: {unset}"
    assert said("gate:\n  runner: ${UNSET}") == f"F:2: policy.gate.runner: {unset}"
    guard = "guards:\n- use: policy_guards:NoWords\n  words: [a, '${UNSET}']"
    assert said(guard) == f"F:2: policy.guards[0].words[1]: {unset}"
    # What only the team itself can tell, where the policy alone has said it.
    nobody = "'Nobody' is not a member of the team (Planner, Critic, Judge, Runner)"
    assert said("gate:\n  runner: Nobody") == f"F:2: policy.gate.runner: {nobody}"
    idle = "'x' excuses nothing: nothing ungoverned is found there"
    assert said("tags: {}\nallow: [x]") == f"F:2: policy.allow: {idle}"
    assert said("gate: {}", runner="Nobody") == f"runner: {nobody}"
    assert said("gate: {runner: Nobody}", runner="Nobody") == f"runner: {nobody}"
    assert said("tags: {}", allow=["x"]) == f"allow: {idle}"
    # What both say.
    assert "(F:2: policy.tags.a)" in said("tags:\n  a: b", tags={"a": "c"})
    assert "(F:1: policy.gate.runner)" in said("gate: {runner: Runner}", runner="Judge")
    assert "(F:1: policy.gate)" in said("gate: {}", gate=Gate(min_score=1), runner="Runner")


def test_a_policy_that_was_made_in_python_names_its_keys_alone() -> None:
    for tags in ({"team": "${UNSET}"}, {"values": {"team": "${UNSET}"}}):
        with pytest.raises(ConfigurationError, match=r"^policy\.tags\.team: set the"):
            terms_of(Policy(tags=tags))


def test_where_it_was_read_makes_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(WHOLE)
    assert Policy.from_yaml(file) == Policy.from_yaml(WHOLE)
