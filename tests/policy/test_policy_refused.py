"""What a policy refuses, and how it says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agno_portkey.errors import ConfigurationError
from agno_portkey.policy import Policy


def refused(text: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_yaml(text)
    return str(caught.value)


PARTS = "environment, guards, pii, gate, contracts, tags, stop, cache, models, budgets, allow"


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
