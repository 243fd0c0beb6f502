"""`govern(audit=...)`: one argument, and whoever is governed is on record, or does not run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.agent.factory import AgentFactory
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.hooks import AuditHook, TagHook
from agno_portkey.telemetry.audit import AuditLog, verify
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

KEY = b"k" * 32
ROLES = ["Release", "Planner", "Critic", "Judge", "Runner"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def runs(file: Path) -> Counter[tuple[str, str]]:
    """How many starts and ends of whom are on record."""
    return Counter(
        (each["kind"], each["name"]) for each in records(file) if each["kind"] in ("start", "end")
    )


@pytest.mark.parametrize("stream", [False, True])
def test_all_of_a_gated_team_is_on_record(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider, stream: bool
) -> None:
    tell(portkey_provider)
    team = govern(release_team(portkey_model, Release()), runner="Runner", gate=Gate(), audit=file)
    run = [*team.run(REQUEST, stream=True, yield_run_output=True)][-1] if stream else None
    run = run or team.run(REQUEST)
    assert run.status == RunStatus.completed
    told = runs(file)
    assert {name for _, name in told} == set(ROLES)
    # The Runner was refused once, before it had an answer; that end is told with its team's.
    assert all(told["start", name] == told["end", name] >= 1 for name in ROLES)
    heard = Counter(each["kind"] for each in records(file))
    assert heard["gate"] == 2
    assert heard["tool"] == 2
    assert heard["call"] == len(portkey_provider.calls)


def test_a_log_that_is_sealed_is_taken_as_it_is(file: Path, portkey_model: PortkeyModel) -> None:
    log = AuditLog(file, key=KEY)
    govern(Agent(name="Desk", model=portkey_model), audit=log).run("Hi")
    report = verify(file, key=KEY)
    assert report.ok
    assert {"start", "call", "end"} <= {*report.kinds}


def test_a_run_that_can_not_be_recorded_asks_nobody(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    desk = govern(Agent(name="Desk", model=portkey_model), audit=folder / "audit.jsonl")
    folder.rmdir()
    run = desk.run("Hi")
    assert run.status == RunStatus.error
    assert "audit record can't be written" in str(run.content)
    assert portkey_provider.calls == []


def test_whoever_a_tool_holds_is_on_record(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    helper = Agent(name="Helper", model=portkey_model)

    def ask() -> str:
        """Ask the helper."""
        return str(helper.run("And?").content)

    portkey_provider.when(
        lambda request: "ask" in request.tools and not request.tool_results,
        Reply(tool_calls=(ToolCall("ask", {}),)),
    )
    desk = govern(Agent(name="Desk", model=portkey_model, tools=[ask]), audit=file)
    assert desk.run("Hi").status == RunStatus.completed
    assert runs(file) == Counter(
        {(kind, name): 1 for kind in ("start", "end") for name in ("Desk", "Helper")}
    )


def test_a_workflow_and_what_a_factory_makes_are_on_record(
    file: Path, tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    flow = Workflow(name="Flow", steps=[Step("one", agent=Agent(name="One", model=portkey_model))])
    govern(flow, audit=file).run("Hi")
    assert runs(file) == Counter({("start", "One"): 1, ("end", "One"): 1})
    assert Counter(each["kind"] for each in records(file))["call"] == 1
    other = tmp_path / "other.jsonl"
    factory = AgentFactory(
        id="made",
        db=InMemoryDb(),
        factory=lambda context: Agent(name="Made", model=portkey_model),
    )
    made = govern(factory, audit=other).factory(None)  # type: ignore[arg-type]
    assert isinstance(made, Agent)
    made.run("Hi")
    assert runs(other) == Counter({("start", "Made"): 1, ("end", "Made"): 1})


def test_a_hook_that_is_there_already_hears_of_each_thing_once(
    file: Path, portkey_model: PortkeyModel
) -> None:
    audit = AuditHook(file)
    desk = Agent(name="Desk", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    govern(desk, audit=audit, observers=[audit]).run("Hi")
    kinds = Counter(each["kind"] for each in records(file))
    assert (kinds["start"], kinds["call"], kinds["end"]) == (1, 1, 1)


def test_an_observer_of_a_model_hears_of_each_thing_once(
    file: Path, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(file)
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k", observers=[audit])
    govern(Agent(name="Desk", model=model), audit=audit).run("Hi")
    kinds = Counter(each["kind"] for each in records(file))
    assert (kinds["start"], kinds["call"], kinds["end"]) == (1, 1, 1)


def test_it_hears_first_but_for_tags_and_last_but_for_the_gate(
    file: Path, portkey_model: PortkeyModel
) -> None:
    def first(run_input: Any) -> None: ...

    def last(run_output: Any) -> None: ...

    team = release_team(portkey_model, Release())
    team.pre_hooks, team.post_hooks = [TagHook(cost_center="cc-1"), first], [last]
    govern(team, runner="Runner", gate=Gate(), audit=file)
    before = [type(getattr(hook, "__self__", hook)).__name__ for hook in team.pre_hooks]
    after = [type(getattr(hook, "__self__", hook)).__name__ for hook in team.post_hooks]
    assert before[:3] == ["TagHook", "AuditHook", "function"]
    assert after[-3:] == ["function", "AuditHook", "GateHook"]


def test_governing_again_with_the_same_changes_nothing_and_with_another_is_refused(
    file: Path, tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    desk = govern(Agent(name="Desk", model=portkey_model), audit=file)
    held = [*desk.pre_hooks]
    assert govern(desk, audit=file) is desk
    assert desk.pre_hooks == held
    for other in (None, tmp_path / "other.jsonl", AuditHook(file)):
        with pytest.raises(ConfigurationError, match="with another audit"):
            govern(desk, audit=other)


@pytest.mark.parametrize("wrong", [7, "no/such/folder/audit.jsonl", ["audit.jsonl"]])
def test_what_is_no_audit_is_refused_by_its_name(portkey_model: PortkeyModel, wrong: Any) -> None:
    desk = Agent(name="Desk", model=portkey_model)
    with pytest.raises(
        ConfigurationError,
        match=r"^audit: (an AuditHook, .* AuditLog, .* not (int|list)|the folder)",
    ):
        govern(desk, audit=wrong)
    assert not desk.pre_hooks


def test_each_member_of_an_inner_team_is_on_record(file: Path, portkey_model: PortkeyModel) -> None:
    deep = Agent(name="Deep", model=portkey_model)
    inner = Team(name="Inner", members=[deep], model=portkey_model)
    team = govern(Team(name="Outer", members=[inner], model=portkey_model), audit=file)
    assert all(
        any(isinstance(getattr(hook, "__self__", hook), AuditHook) for hook in each.pre_hooks or ())
        for each in [team, inner, deep]
    )


@pytest.mark.parametrize("slot", ["pre_hooks", "post_hooks"])
def test_who_has_lost_the_audit_asks_nobody(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider, slot: str
) -> None:
    member = Agent(name="Member", model=portkey_model)
    crew = govern(Team(name="Crew", members=[member], model=portkey_model), audit=file)
    for owner in (member, crew):
        kept = getattr(owner, slot)
        setattr(owner, slot, [h for h in kept if not isinstance(_of(h), AuditHook)])
        run = crew.run("Hi")
        assert run.status == RunStatus.error
        assert f"{owner.name} has lost its audit" in str(run.content)
        setattr(owner, slot, kept)
    assert portkey_provider.calls == []
    assert crew.run("Hi").status == RunStatus.completed


def test_who_is_governed_already_in_a_workflow_has_to_have_an_audit(
    file: Path, portkey_model: PortkeyModel
) -> None:
    def flow(**options: Any) -> Workflow:
        member = Agent(name="Member", model=portkey_model)
        crew = govern(Team(name="Crew", members=[member], model=portkey_model), **options)
        return Workflow(name="Flow", steps=[Step("one", team=crew)])

    with pytest.raises(ConfigurationError, match=r"^audit: Crew is governed already"):
        govern(flow(), audit=file)
    assert govern(flow()).run("Hi").status == RunStatus.completed
    assert govern(flow(audit=file), audit=file).run("Hi").status == RunStatus.completed
    assert runs(file)["end", "Crew"] == 1


def _of(hook: Any) -> Any:
    return getattr(hook, "__self__", hook)
