"""The fingerprint of a team: what changes it, what does not, and that it is the same elsewhere."""

from __future__ import annotations

import asyncio
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
from agno.compression.manager import CompressionManager
from agno.db.in_memory import InMemoryDb
from agno.guardrails import BaseGuardrail, PIIDetectionGuardrail
from agno.knowledge.knowledge import Knowledge
from agno.learn import LearningMachine
from agno.memory import MemoryManager
from agno.models.fallback import FallbackConfig
from agno.run.base import RunStatus
from agno.session.summary import SessionSummaryManager
from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function
from pydantic import BaseModel

from agno_portkey import Gate, Policy, PortkeyModel, govern
from agno_portkey.contracts import Contract, Plan, Repair
from agno_portkey.fingerprint import fingerprint_known, fingerprint_of
from agno_portkey.gates.checks import Check, JudgementCheck, all_of
from agno_portkey.gates.sampling import Sampling
from agno_portkey.guardrails import PIIGuardrail, SecretsGuardrail, guard
from agno_portkey.run_facts import Fingerprint
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, Release, release_team, tell


def model(**given: Any) -> PortkeyModel:
    return PortkeyModel(**{"base_url": "http://127.0.0.1:1/v1", "api_key": "k", **given})


def a_team(**given: Any) -> Team:
    return release_team(model(**given), Release())


class Vectors:
    """What stands for a vector database: it has a table, and is not asked anything."""

    def __init__(self, table: str) -> None:
        self.table_name = table


class OtherVectors(Vectors):
    pass


def knowledge(table: str, kind: Any = Vectors, **given: Any) -> Knowledge:
    made = Knowledge(**{"name": "a", **given})
    made.vector_db = kind(table)
    return made


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
        (setting(memory_manager=MemoryManager()), "Runner.prompt"),
        (setting(enable_session_summaries=True), "Runner.prompt"),
        (setting(learning=True), "Runner.prompt"),
        (setting(reasoning_agent=Agent(name="Mind", model=model())), "Mind.model"),
        (setting(pre_hooks=[deploy]), "Runner.hooks"),
        (setting(post_hooks=[deploy]), "Runner.hooks"),
        (setting(pre_hooks=[PIIDetectionGuardrail()]), "Runner.hooks"),
        (setting(knowledge=knowledge("plans")), "Runner.knowledge"),
        (setting(knowledge_retriever=deploy), "Runner.knowledge"),
        (setting(input_schema=Out), "Runner.schema"),
        (setting(add_history_to_context=True), "Runner.prompt"),
        (setting(num_history_runs=9), "Runner.prompt"),
        (setting(session_state={"rule": "approve"}), "Runner.prompt"),
        (setting(dependencies={"rule": "approve"}), "Runner.prompt"),
        (setting(add_dependencies_to_context=True), "Runner.prompt"),
        (setting(system_message_role="user"), "Runner.prompt"),
        (setting(use_json_mode=True), "Runner.prompt"),
        (lambda team: setattr(team, "share_member_interactions", True), "Release.prompt"),
        (lambda team: setattr(team, "instructions", "Hurry."), "Release.prompt"),
        (lambda team: setattr(team, "mode", "route"), "Release.prompt"),
        (lambda team: setattr(team, "model", model(id="gpt-4.1")), "Release.model"),
    ],
)
def test_what_shapes_answers_changes_its_part_alone(change: Any, part: str) -> None:
    # Whoever is new has a prompt as well.
    assert changed(change) - {"Mind.prompt"} == {part}


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


def acting(**how: Any) -> Any:
    """A tool that is run in another way than by itself."""
    return Function(name="a", entrypoint=deploy, **how)


class Watcher:
    """A hook that is a method."""

    def watch(self, run_output: Any) -> None:
        return None


class OtherWatcher(Watcher):
    pass


@pytest.mark.parametrize(
    "how",
    [
        {"requires_confirmation": True},
        {"requires_user_input": True, "user_input_fields": ["version"]},
        {"external_execution": True},
        {"requires_confirmation": True, "approval_type": "required"},
        {"stop_after_tool_call": True},
        {"instructions": "Use it.", "add_instructions": True},
        {"pre_hook": deploy},
        {"post_hook": deploy},
        {"post_hook": other_deploy},
        {"tool_hooks": [deploy]},
        {"tool_hooks": [deploy, other_deploy]},
        {"tool_hooks": [other_deploy, deploy]},
    ],
)
def test_how_a_tool_is_run_is_part_of_it(how: dict[str, Any]) -> None:
    ways = [{}, {"pre_hook": other_deploy}, {"requires_confirmation": True}]
    told = [changed_digest(setting(tools=[acting(**each)])) for each in ways if each != how]
    assert changed_digest(setting(tools=[acting(**how)])) not in told
    part = differs(*(_of_runner(acting(**each)) for each in (how, {})))
    assert part == {"Runner.tools"}


def _of_runner(tool: Function) -> Fingerprint:
    team = a_team()
    runner(team).tools = [tool]
    return fingerprint_of(team)


def test_hooks_are_told_apart_by_what_they_do_and_whose_they_are() -> None:
    hooks = [
        [deploy],
        [other_deploy],
        [deploy, other_deploy],
        [other_deploy, deploy],
        [Watcher().watch],
        [OtherWatcher().watch],
        [Mine(["a"])],
        [Mine(["b"])],
        [PIIGuardrail()],
        [PIIDetectionGuardrail(mask_pii=True)],
        [PIIDetectionGuardrail()],
    ]
    for place in ("pre_hooks", "post_hooks", "tool_hooks"):
        told = [changed_digest(setting(**{place: each, "tools": [deploy]})) for each in hooks]
        assert len(set(told)) == len(told)
        assert told == [changed_digest(setting(**{place: e, "tools": [deploy]})) for e in hooks]


def test_a_guardrail_is_the_same_by_whichever_of_its_methods_the_host_calls_it() -> None:
    mine = Mine(["a"])
    forms = ([mine], [mine.check], [mine.async_check])
    assert len({changed_digest(setting(pre_hooks=form)) for form in forms}) == 1


@pytest.mark.parametrize("kind", ["table", "class", "name"])
def test_knowledge_is_told_by_where_it_is_kept(kind: str) -> None:
    other = {
        "table": knowledge("others"),
        "class": knowledge("plans", OtherVectors),
        "name": knowledge("plans", name="b"),
    }
    told = [changed(setting(knowledge=each)) for each in (knowledge("plans"), other[kind])]
    assert told == [{"Runner.knowledge"}] * 2
    digests = [changed_digest(setting(knowledge=e)) for e in (knowledge("plans"), other[kind])]
    assert len(set(digests)) == 2
    assert digests[0] == changed_digest(setting(knowledge=knowledge("plans")))


@pytest.mark.parametrize(
    ("name", "kind", "prompt"),
    [
        ("memory_manager", MemoryManager, "additional_instructions"),
        ("session_summary_manager", SessionSummaryManager, "session_summary_prompt"),
        ("compression_manager", CompressionManager, "compress_tool_call_instructions"),
        ("learning", LearningMachine, None),
    ],
)
def test_the_models_and_prompts_of_managers_are_part_of_it(
    name: str, kind: Any, prompt: str | None
) -> None:
    given = [{}, {"model": model()}, {"model": model(id="gpt-4.1")}]
    given += [{prompt: "Keep all."}] if prompt is not None else []
    plain, with_its_own, *others = (changed_of(**{name: kind(**each)}) for each in given)
    # The host gives the owner's model to one that has none.
    assert plain == with_its_own
    for other in others:
        assert differs(other, plain) == {f"Runner.{name}"}


def changed_of(**settings: Any) -> Fingerprint:
    team = a_team()
    setting(**settings)(team)
    return fingerprint_of(team, (Gate(),))


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


@pytest.mark.parametrize(
    "given",
    [
        {"role_map": {"system": "user"}},
        {"tool_message_role": "user"},
        {"supports_native_structured_outputs": False},
        {"default_query": {"a": "b"}},
        {"extra_headers": {"x-portkey-config": "pc-other"}},
        {"default_headers": {"x-portkey-config": "pc-other"}},
        {"extra_headers": {"X-Portkey-Virtual-Key": "other"}},
        {"profile": "hosted", "portkey_api_key": "k", "base_url": None, "virtual_key": "other"},
        {"repair": Repair(reasks=0)},
        {"guards": [SecretsGuardrail()]},
        {"contracts": [Contract(Out)]},
    ],
    ids=lambda given: [*given][-1],
)
def test_what_a_call_is_sent_with_is_part_of_its_model(given: dict[str, Any]) -> None:
    before = {**given, **dict.fromkeys([[*given][-1]])}
    before = {name: value for name, value in before.items() if value is not None}
    if "profile" in before:
        before["portkey_provider"] = given["portkey_provider"] = "@a"
        given.pop("base_url", None)
    parts = [fingerprint_of(Agent(name="a", model=model(**each))) for each in (before, given)]
    assert differs(*parts) == {"a.model"}
    # What is sent is never to be read there.
    assert all("other" not in part for part in parts[1].parts.values())


def fits(out: Out) -> None:
    return None


def fits_not(out: Out) -> str:
    return "no"


def test_the_rules_of_a_contract_are_part_of_it() -> None:
    contracts = [
        [],
        [Contract(Out)],
        [Contract(Out, rules=[fits])],
        [Contract(Out, rules=[fits_not])],
        [Contract(Out, rules=[fits], repair=Repair(reasks=0))],
        [Contract(Other)],
        [Contract(input=Out)],
    ]
    told = [fingerprint_of(a_team(contracts=each)).digest for each in contracts]
    assert len(set(told)) == len(told)
    assert told == [fingerprint_of(a_team(contracts=each)).digest for each in contracts]


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


def governed(*, at: str = "Runner", contracts: Any = (), policy: Any = None) -> Fingerprint:
    """The fingerprint of a governed team by which its gate knows it."""
    team = a_team()
    team.members.append(Agent(name="Careless", model=model(), tools=[deploy]))
    govern(team, runner=at, gate=Gate(), contracts=contracts, policy=policy)
    return fingerprint_known(team)


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
    acts = acting(pre_hook=deploy, tool_hooks=[other_deploy], requires_confirmation=True)
    runner(team).tools.append(acts)  # type: ignore[union-attr]
    for member in team.members:
        member.pre_hooks = [Mine(["a"]), Watcher().watch, PIIGuardrail()]
        member.post_hooks = [deploy, functools.partial(deploy, version="1")]
        member.session_state = {"a": {"x", "y", "z"}}
        member.memory_manager = MemoryManager(model=model())
        member.knowledge = knowledge("plans")
    gate = Gate(checks=(Own(),), sampling=Sampling())
    guards = [Mine(["a"]), SecretsGuardrail(), PIIGuardrail()]
    found = fingerprint_of(team, (gate,), guards, runner="Runner")
    return {"": found.digest, **found.parts, "governed": governed().digest}


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
