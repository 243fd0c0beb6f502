"""`verdict_of`, `raise_on_block` and `registry_of` of a workflow, its run and its last event."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from agno.db.sqlite import SqliteDb
from agno.team import Team
from agno.workflow import Step, Workflow
from agno.workflow.step import UnresolvableCallableError
from agno.workflow.types import StepInput
from flows import SECRET, agent

from agno_portkey import PortkeyModel, govern, raise_on_block, registry_of, verdict_of
from agno_portkey.contracts import Plan
from agno_portkey.errors import ConfigurationError, InputBlocked, OutputBlocked, StepStopped
from agno_portkey.gates import Gate
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.testing.story import Release, release_team
from agno_portkey.verdict import Verdict
from agno_portkey.workflows.stopped import Stop, from_stop


class Secrets(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a project is named") if SECRET in passage.text else None


def note(step_input: StepInput) -> str:
    return "noted"


@pytest.mark.parametrize("streamed", [False, True])
def test_who_refused_a_step_is_said_of_the_workflow(
    streamed: bool, portkey_model: PortkeyModel
) -> None:
    flow = Workflow(name="Flow", steps=[Step(name="one", agent=agent("One", portkey_model))])
    govern(flow, guards=[Secrets(on="input")])
    options: dict[str, Any] = {"stream": True, "stream_events": True} if streamed else {}
    out: Any = flow.run(f"ask {SECRET}", **options)
    ended = [*out][-1] if streamed else out
    verdict = verdict_of(ended)
    assert verdict is not None
    assert (verdict.source, verdict.reason) == ("Secrets", "a project is named")
    with pytest.raises(InputBlocked, match="a project is named"):
        raise_on_block(ended)


def test_a_step_that_was_stopped_is_in_the_tree_and_keeps_what_it_says() -> None:
    verdict = Verdict(False, "Secrets", ("no",))
    by_guard = from_stop(Stop("one", verdict, "InputBlocked"))
    for kind in (StepStopped, OutputBlocked, UnresolvableCallableError):
        assert isinstance(by_guard, kind)
    assert by_guard.additional_data["error"] == "InputBlocked"
    assert from_stop(Stop("one", verdict)).additional_data["error"] == "StepStopped"
    back = pickle.loads(pickle.dumps(by_guard))
    assert (back.stop, back.verdict, str(back)) == (by_guard.stop, verdict, str(by_guard))


def test_the_registry_of_a_workflow_holds_all_that_its_steps_need(
    tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    gated = govern(release_team(portkey_model, Release()), runner="Runner", gate=Gate())
    crew = Team(name="Crew", model=portkey_model, members=[agent("Hand", portkey_model)])
    alone = agent("Alone", portkey_model, output_schema=Plan)
    steps = [Step(name=o.name, **{k: o}) for k, o in (("team", crew), ("agent", alone))]
    flow = Workflow(name="Flow", db=db, steps=[Step(name="ship", team=gated), *steps, note])
    with pytest.raises(ConfigurationError, match="Flow is not governed"):
        registry_of(flow)
    govern(flow)
    registry = registry_of(flow)
    held = (gated, *gated.members, crew, *crew.members, alone)
    for owner in held:
        model = owner.model
        found = registry.get_model(model.id, provider=model.provider, name=model.name)
        assert found is model, owner.name
    assert len(registry.models) == len(held)
    assert {tool.name for tool in registry.tools} == {"run_tests", "deploy"}
    assert Plan in registry.schemas
    assert registry.functions == [note]
