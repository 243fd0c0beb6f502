"""Gates, guards and contracts in the fingerprint of a team, and who its Runner is."""

from __future__ import annotations

import asyncio
from enum import Enum
from re import Pattern
from re import compile as pattern
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from agno.guardrails import PIIDetectionGuardrail
from agno.run.base import RunStatus
from agno.team import Team
from fingerprint_scene import BEFORE, Mine, Own, a_team, differs, fits, governed, model

from agno_portkey import Gate, Policy, PortkeyModel, govern
from agno_portkey.contracts import Contract, Plan
from agno_portkey.fingerprint import fingerprint_known, fingerprint_of
from agno_portkey.gates.checks import JudgementCheck, all_of
from agno_portkey.gates.sampling import Sampling
from agno_portkey.guardrails import PIIGuardrail, SecretsGuardrail, guard
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team, tell


class OwnGate(Gate):
    def decide(self, case: Any) -> Any:
        return super().decide(case)


@pytest.mark.parametrize(
    "gate",
    [
        Gate(name="other"),
        Gate(min_score=8),
        Gate(ordered=False),
        Gate(approval=True),
        Gate(max_age=60),
        Gate(max_rounds=9),
        Gate(sampling=Sampling()),
        Gate(checks=(Own(),)),
        OwnGate(),
    ],
    ids=[
        "name",
        "min_score",
        "ordered",
        "approval",
        "max_age",
        "max_rounds",
        "sampling",
        "checks",
        "class",
    ],
)
def test_each_setting_of_a_gate_changes_the_policy(gate: Gate) -> None:
    assert differs(fingerprint_of(a_team(), (gate,))) == {"policy"}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Gate(sampling=Sampling(least=1)), Gate(sampling=Sampling(least=2))),
        (Gate(checks=(Own(),)), Gate(checks=(Own(limit=2.0),))),
        (Gate(checks=(all_of(Own()),)), Gate(checks=(all_of(Own(limit=2.0)),))),
        (Gate(checks=(JudgementCheck(name="a"),)), Gate(checks=(JudgementCheck(name="b"),))),
    ],
)
def test_so_does_each_setting_of_its_checks(one: Gate, two: Gate) -> None:
    told = [fingerprint_of(a_team(), (gate,)) for gate in (one, two)]
    assert differs(*told) == {"policy"}


def test_who_the_runner_is_is_part_of_it() -> None:
    assert governed().parts["runner"] == "Runner"
    assert "runner" in differs(governed(at="Careless"), governed())
    by_hand = [fingerprint_of(a_team(), runner=name) for name in ("Runner", "Judge")]
    assert differs(*by_hand) == {"runner"}
    assert "runner" not in BEFORE.parts


def test_how_strictly_a_policy_holds_is_part_of_it() -> None:
    lenient = Policy.model_validate({"contracts": "observe"})
    assert "modes" in differs(governed(policy=lenient), governed())
    assert governed() == governed()


def test_the_contracts_of_a_policy_are_part_of_its_models() -> None:
    parts = differs(governed(contracts=[Contract(Plan, rules=[fits])]), governed())
    assert {name.partition(".")[2] for name in parts} == {"model"}


def test_a_governed_team_is_the_same_before_and_after_it_has_run(
    portkey_provider: EmbeddedProvider,
) -> None:
    def built() -> Team:
        team = release_team(
            PortkeyModel(base_url=portkey_provider.url, api_key="k"), Release(), db=InMemoryDb()
        )
        for member in team.members:
            member.pre_hooks, member.tool_hooks = [Mine(["a"])], [passes]
            member.session_state, member.add_history_to_context = {"a": 1}, True
        team.members[0].enable_session_summaries = True
        return govern(team, runner="Runner", gate=Gate())

    tell(portkey_provider)
    team = built()
    before = fingerprint_known(team)
    assert team.run(REQUEST, session_id="s").status == RunStatus.completed
    assert differs(fingerprint_known(team), before) == set()
    asyncio.run(team.arun(REQUEST, session_id="s"))
    assert differs(fingerprint_known(team), before) == set()
    assert differs(fingerprint_known(built()), before) == set()


def passes(func: Any, args: dict[str, Any]) -> Any:
    return func(**args)


class Kind(Enum):
    A = 1
    B = 2


class Slotted:
    __slots__ = ()


@guard
def no_x(text: str) -> None:
    return None


@guard
def no_y(text: str) -> str:
    return text


def test_guards_and_what_they_were_made_with_are_part_of_it() -> None:
    guards = [
        [],
        [SecretsGuardrail()],
        [SecretsGuardrail(action="mask")],
        [SecretsGuardrail(allow=["abc"])],
        [PIIGuardrail()],
        [PIIGuardrail("block")],
        [PIIGuardrail(entities=["EMAIL_ADDRESS"])],
        [PIIDetectionGuardrail()],
        [PIIDetectionGuardrail(mask_pii=True)],
        [no_x],
        [no_y],
        [Mine(["a"])],
        [Mine(["b"])],
        [Mine(["a"], limit=4)],
        [Mine(["a"], kind=Kind.A)],
        [Mine(["a"], kind=Kind.B)],
        [Mine(["a"], kind=pattern("a"))],
        [Mine(["a"], kind=pattern("b"))],
        [Mine(["a"], kind={"a": 1})],
        [Mine(["a"], kind=model())],
        [Mine(["a"], within=Slotted())],
        [Mine(["a"], within=Mine(["c"]))],
    ]
    told = [fingerprint_of(a_team(), (), each).digest for each in guards]
    assert len(set(told)) == len(told)
    assert told == [fingerprint_of(a_team(), (), each).digest for each in guards]
    assert isinstance(guards[16][0].kind, Pattern)


def test_the_state_of_a_guard_is_no_part_of_it() -> None:
    mine = Mine(["a"])
    before = fingerprint_of(a_team(), (), [mine])
    mine.calls += 1
    assert fingerprint_of(a_team(), (), [mine]) == before
    assert before == fingerprint_of(a_team(), (), [Mine(["a"])])
