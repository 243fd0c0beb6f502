"""The fingerprint of a team: what changes it, what does not, and that it is the same elsewhere."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from re import Pattern
from re import compile as pattern
from typing import Any

import pytest
from agno.agent import Agent
from agno.guardrails import BaseGuardrail, PIIDetectionGuardrail
from agno.models.fallback import FallbackConfig
from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function
from pydantic import BaseModel

from agno_portkey import Gate, PortkeyModel
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.gates.checks import Check, JudgementCheck, all_of
from agno_portkey.gates.sampling import Sampling
from agno_portkey.guardrails import PIIGuardrail, SecretsGuardrail, guard
from agno_portkey.run_facts import Fingerprint
from agno_portkey.testing.story import Release, release_team


def model(**given: Any) -> PortkeyModel:
    return PortkeyModel(**{"base_url": "http://127.0.0.1:1/v1", "api_key": "k", **given})


def a_team(**given: Any) -> Team:
    return release_team(model(**given), Release())


def runner(team: Team) -> Agent:
    last: Agent = team.members[-1]
    return last


BEFORE = fingerprint_of(a_team(), (Gate(),))


def changed(change: Callable[[Team], object]) -> set[str]:
    """The parts that are other than before, once `change` was made."""
    team = a_team()
    change(team)
    return differs(fingerprint_of(team, (Gate(),)))


def differs(now: Fingerprint, before: Fingerprint = BEFORE) -> set[str]:
    names = {*now.parts, *before.parts}
    parts = {name for name in names if now.parts.get(name) != before.parts.get(name)}
    assert (now.digest != before.digest) is bool(parts)
    return parts


class Out(BaseModel):
    text: str


class Other(BaseModel):
    text: int


def deploy(version: str) -> str:
    """Deploy a version."""
    return f"{version} is out"


def other_deploy(version: str) -> str:
    """Deploy a version."""
    return f"{version} is really out"


other_deploy.__qualname__ = other_deploy.__name__ = "deploy"


class Called:
    """A tool that can be called and not hashed."""

    __hash__ = None  # type: ignore[assignment]
    __name__ = "called"

    def __call__(self, version: str) -> str:
        return version


def setting(**values: Any) -> Callable[[Team], None]:
    def change(team: Team) -> None:
        for name, value in values.items():
            setattr(runner(team), name, value)

    return change


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (setting(model=model(id="gpt-4.1")), "Runner.model"),
        (setting(model=model(temperature=0.5)), "Runner.model"),
        (setting(model=model(request_params={"seed": 1})), "Runner.model"),
        (setting(model=model(system_prompt="Be quick.")), "Runner.model"),
        (setting(instructions="Be quick."), "Runner.prompt"),
        (setting(instructions=["One.", "Two."]), "Runner.prompt"),
        (setting(instructions=lambda agent: "Be quick."), "Runner.prompt"),
        (setting(description="A runner"), "Runner.prompt"),
        (setting(system_message="You run."), "Runner.prompt"),
        (setting(additional_input=["So it was done before."]), "Runner.prompt"),
        (setting(markdown=True), "Runner.prompt"),
        (setting(tool_choice="none"), "Runner.prompt"),
        (setting(tools=[deploy]), "Runner.tools"),
        (setting(tools=lambda agent: [deploy]), "Runner.tools"),
        (setting(tools=[Called()]), "Runner.tools"),
        (setting(tools=[{"type": "web_search"}]), "Runner.tools"),
        (setting(tools=None), "Runner.tools"),
        (setting(tool_hooks=[deploy]), "Runner.tools"),
        (setting(output_schema=Out), "Runner.schema"),
        (setting(output_schema={"type": "object"}), "Runner.schema"),
        (setting(output_model=model(id="gpt-4.1")), "Runner.output_model"),
        (setting(reasoning_model=model()), "Runner.reasoning_model"),
        (setting(fallback_config=FallbackConfig(on_error=[model()])), "Runner.fallback"),
        (lambda team: setattr(team, "instructions", "Hurry."), "Release.prompt"),
        (lambda team: setattr(team, "mode", "route"), "Release.prompt"),
        (lambda team: setattr(team, "model", model(id="gpt-4.1")), "Release.model"),
    ],
)
def test_what_shapes_answers_changes_its_part_alone(change: Any, part: str) -> None:
    assert changed(change) == {part}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (deploy, other_deploy),
        (functools.partial(deploy, version="1"), functools.partial(deploy, version="2")),
        (Function(name="a", entrypoint=deploy), Function(name="a", entrypoint=other_deploy)),
        (Function(name="a", entrypoint=deploy), Function(name="b", entrypoint=deploy)),
        (Function(name="a"), Function(name="a", description="of a")),
        (Toolkit(tools=[deploy]), Toolkit(tools=[other_deploy])),
        (Called(), deploy),
    ],
)
def test_tools_are_told_apart_by_what_they_do(one: Any, two: Any) -> None:
    told = [changed_digest(setting(tools=[each])) for each in (one, two)]
    assert told[0] != told[1]
    assert told[0] == changed_digest(setting(tools=[one]))


def changed_digest(change: Callable[[Team], object]) -> str:
    team = a_team()
    change(team)
    return fingerprint_of(team).digest


def made_of(source: str, **names: Any) -> Any:
    """A function that has no source to be read."""
    space: dict[str, Any] = {**names}
    exec(source, space)
    return space["tool"]


@pytest.mark.parametrize(
    "source",
    [
        "def tool(x): return 'b'",
        "def tool(x): return x in {'a', 'c'}",
        "def tool(x): return other(x)",
        "def tool(x): return lambda: 'a'",
        "def tool(x): return lambda: 'b'",
    ],
)
def test_a_function_without_a_source_is_told_by_its_instructions(source: str) -> None:
    first = changed_digest(setting(tools=[made_of("def tool(x): return 'a'")]))
    assert changed_digest(setting(tools=[made_of(source)])) != first
    twice = {changed_digest(setting(tools=[made_of(source)])) for _ in range(2)}
    assert len(twice) == 1


def test_the_order_of_tools_does_not_matter() -> None:
    one, two = [deploy, Release().run_tests], [Release().run_tests, deploy]
    assert changed_digest(setting(tools=one)) == changed_digest(setting(tools=two))


def test_two_of_one_name_both_count() -> None:
    team = a_team()
    team.members.append(Agent(name="Runner", model=model(), instructions="Be slow."))
    both = fingerprint_of(team, (Gate(),))
    assert differs(both) == {"Runner 2.model", "Runner 2.prompt"}
    runner(team).instructions = "Be quick."
    assert differs(fingerprint_of(team, (Gate(),)), both) == {"Runner 2.prompt"}


# Not what is elsewhere


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "http://127.0.0.1:2/v1"},
        {"api_key": "another"},
        {"portkey_api_key": "another"},
        {"custom_host": "http://127.0.0.1:3/v1"},
        {"tags": {"team": "b"}},
        {"name": "another"},
        {"observers": [print]},
        {"extra_headers": {"x-key": "secret"}},
        {"request_params": {}},
    ],
    ids=lambda given: next(iter(given)),
)
def test_where_a_call_goes_and_with_which_key_does_not(given: Any) -> None:
    assert fingerprint_of(a_team(**given), (Gate(),)) == BEFORE


def test_a_model_of_another_kind_is_known_by_its_class_and_id() -> None:
    class Bare:
        id = "bare"

    class Barer:
        id = "bare"

    one, two = (changed(setting(model=each)) for each in (Bare(), Barer()))
    assert one == two == {"Runner.model"}
    assert changed_digest(setting(model=Bare())) != changed_digest(setting(model=Barer()))


# The policy


@dataclass(frozen=True, kw_only=True)
class Own(Check):
    limit: float = 1.0

    def decide(self, case: Any) -> Any:
        return self.verdict()


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
        Gate(sampling=Sampling()),
        Gate(checks=(Own(),)),
        OwnGate(),
    ],
    ids=["name", "min_score", "ordered", "approval", "sampling", "checks", "class"],
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


class Mine(BaseGuardrail):
    """A guardrail of the user's, with a setting and a state."""

    def __init__(self, words: list[str], limit: int = 3, kind: Any = None, within: Any = None):
        self.words, self._limit, self.kind, self.within = words, limit, kind, within
        self.calls = 0

    def check(self, run_input: Any) -> None:
        self.calls += 1

    async def async_check(self, run_input: Any) -> None:
        self.calls += 1


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


# The same elsewhere


def told() -> dict[str, str]:
    team = a_team()
    runner(team).tools = [deploy, made_of("def tool(x): return x in {'a', 'b', 'c'}"), Called()]
    team.members[0].additional_input = [{"a": {"x", "y", "z"}}]
    gate = Gate(checks=(Own(),), sampling=Sampling())
    found = fingerprint_of(team, (gate,), [Mine(["a"]), SecretsGuardrail(), PIIGuardrail()])
    return {"": found.digest, **found.parts}


def test_it_is_the_same_in_each_process() -> None:
    here = Path(__file__)
    code = f"import sys, json; sys.path.insert(0, {str(here.parent)!r}); import {here.stem} as t; "
    ends = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "AGNO_TELEMETRY": "false"}
        command = [sys.executable, "-c", code + "print(json.dumps(t.told()))"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        ends.append(json.loads(done.stdout.splitlines()[-1]))
    assert ends[0] == ends[1] == told()


def test_a_copy_has_the_same() -> None:
    assert fingerprint_of(copy.deepcopy(a_team()), (Gate(),)) == BEFORE
    assert fingerprint_of(a_team(), [Gate()]) == BEFORE


def test_what_it_takes_is_told() -> None:
    team, count = a_team(), 50
    began = time.perf_counter()
    for _ in range(count):
        fingerprint_of(team, (Gate(),))
    took = (time.perf_counter() - began) / count * 1000
    print(f"a fingerprint of a team of five takes {took:.2f} ms")
