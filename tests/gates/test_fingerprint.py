"""The fingerprint of a team: which part of it a change is told in, and what is no part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.compression.manager import CompressionManager
from agno.guardrails import PIIDetectionGuardrail
from agno.learn import LearningMachine
from agno.memory import MemoryManager
from agno.models.fallback import FallbackConfig
from agno.session.summary import SessionSummaryManager
from agno.team import Team
from fingerprint_scene import (
    BEFORE,
    Called,
    Out,
    Vectors,
    a_team,
    changed_digest,
    deploy,
    differs,
    fits,
    knowledge,
    model,
    runner,
    setting,
)
from pydantic import BaseModel

from agno_portkey import Gate
from agno_portkey.contracts import Contract, Repair
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.guardrails import SecretsGuardrail
from agno_portkey.run_facts import Fingerprint


class OtherVectors(Vectors):
    pass


def changed(change: Callable[[Team], object]) -> set[str]:
    """The parts that are other than before, once `change` was made."""
    team = a_team()
    change(team)
    return differs(fingerprint_of(team, (Gate(),)))


class Other(BaseModel):
    text: int


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
