"""Hooks: one body in every mode, nothing fails open, and each works without `govern`."""

from __future__ import annotations

import asyncio
import copy
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import InputCheckError
from agno.models.message import Message
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow
from pydantic import BaseModel

from agno_portkey import Critique, Gate, Judgement, Plan, PortkeyModel
from agno_portkey.contracts import canonical
from agno_portkey.errors import (
    ConfigurationError,
    ContractError,
    GateClosed,
    InputBlocked,
    OutputBlocked,
)
from agno_portkey.gates import Charter, Declined
from agno_portkey.hooks import ContractHook, GateHook, Hook, Moment, TagHook
from agno_portkey.hooks.gate import part_of
from agno_portkey.runs import RUN_KEY, Run
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, Release, release_team, tell


class Broken(Hook):
    """A hook with a bug in it."""

    def before(self, moment: Moment) -> None:
        raise ZeroDivisionError("a bug")

    def after(self, moment: Moment) -> None:
        raise ZeroDivisionError("a bug")


def run(agent: Agent, mode: str) -> Any:
    if mode == "run":
        return agent.run("Hi")
    if mode == "arun":
        return asyncio.run(agent.arun("Hi"))
    if mode == "stream":
        return list(agent.run("Hi", stream=True, yield_run_output=True))[-1]

    async def last() -> Any:
        return [e async for e in agent.arun("Hi", stream=True, yield_run_output=True)][-1]

    return asyncio.run(last())


MODES = ["run", "arun", "stream", "astream"]


@pytest.mark.parametrize("mode", MODES)
def test_a_hook_with_a_bug_blocks_and_the_model_is_not_called(
    mode: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    out = run(Agent(model=portkey_model, pre_hooks=[Broken()]), mode)
    assert out.content == "Broken failed: ZeroDivisionError"
    assert portkey_provider.calls == []


@pytest.mark.parametrize("mode", MODES)
def test_a_post_hook_with_a_bug_takes_the_output_away(
    mode: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("the secret")
    out = run(Agent(model=portkey_model, post_hooks=[Broken()]), mode)
    assert "Broken failed" in str(out.content)
    assert "secret" not in str(out.content)


def test_a_hook_still_runs_when_the_mode_changes(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(model=portkey_model, pre_hooks=[Broken()])
    for mode in ("arun", "run", "astream", "stream"):
        assert "Broken failed" in str(run(agent, mode).content)
    assert portkey_provider.calls == []


def test_a_hook_added_after_the_first_run_is_called_itself(portkey_model: PortkeyModel) -> None:
    agent = Agent(model=portkey_model, pre_hooks=[TagHook()])
    assert agent.run("Hi").status == RunStatus.completed
    agent.pre_hooks.append(Broken())
    assert "Broken failed" in str(agent.run("Hi").content)


def test_check_errors_pass_as_they_are_and_the_refused_text_is_dropped() -> None:
    class Refuses(Hook):
        def before(self, moment: Moment) -> None:
            raise InputCheckError("no")

        def after(self, moment: Moment) -> None:
            raise ContractError(SimpleNamespace(reason="no", as_dict=dict))  # type: ignore[arg-type]

    with pytest.raises(InputCheckError, match=r"^no$"):
        Refuses().check(run_input=object())
    output = SimpleNamespace(content="rejected")
    with pytest.raises(ContractError):
        Refuses().check(run_output=output)
    # What is left is the refusal.
    assert output.content == "no"


def test_blocking_errors_are_typed_by_stage() -> None:
    with pytest.raises(InputBlocked):
        Broken().check(run_input=object())
    with pytest.raises(OutputBlocked):
        Broken().check(run_output=SimpleNamespace(content="x"))


class Quiet(Hook):
    def before(self, moment: Moment) -> None:
        return None


class Late(Hook):
    def after(self, moment: Moment) -> None:
        return None


@pytest.mark.parametrize("place", ["pre_hooks", "post_hooks"])
@pytest.mark.parametrize("mode", MODES)
def test_a_hook_that_does_nothing_where_it_stands_is_refused(
    place: str, mode: str, portkey_model: PortkeyModel
) -> None:
    """In the wrong list it would hold nothing, and nobody would know."""
    hook: Hook = Late() if place == "pre_hooks" else Quiet()
    said = run(Agent(model=portkey_model, **{place: [hook]}), mode).content
    other = "post_hooks" if place == "pre_hooks" else "pre_hooks"
    assert f"it does nothing in {place}: put it into {other}" in said


@pytest.mark.parametrize("name", ["before", "after"])
def test_an_async_body_is_refused_when_it_is_written(name: str) -> None:
    async def body(self: Hook, moment: Moment) -> None:
        return None

    with pytest.raises(ConfigurationError, match=f"Late.{name}: a plain def"):
        type("Late", (Hook,), {name: body})


def test_a_hook_is_one_object_and_its_awaitable_is_harmless() -> None:
    hook = TagHook(a=1)
    assert copy.deepcopy([hook])[0] is hook
    quiet = Quiet()
    quiet.async_check(run_input=object())  # not awaited, and no warning

    async def wait() -> None:
        await quiet.async_check(run_input=object())

    asyncio.run(wait())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ['{"goal": "g"}', "sure, here it is"])
def test_contract_hook_ends_a_broken_output_of_any_model(mode: str, text: str) -> None:
    from agno.models.base import Model
    from agno.models.response import ModelResponse

    class Says(Model):
        def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return ModelResponse(role="assistant", content=text)

        async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return self.invoke()

        def invoke_stream(self, *args: Any, **kwargs: Any) -> Any:
            yield self.invoke()

        async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> Any:
            yield self.invoke()

        _parse_provider_response = _parse_provider_response_delta = None  # type: ignore[assignment]

    agent = Agent(name="P", model=Says(id="x"), output_schema=Plan, post_hooks=[ContractHook()])
    out = run(agent, mode)
    assert "P's output is not a valid Plan" in str(out.content)


def test_contract_hook_leaves_agents_without_a_schema_alone(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("text")
    agent = Agent(model=portkey_model, post_hooks=[ContractHook()])
    assert agent.run("Hi").content == "text"


def by_hand(team: Team) -> Team:
    """The gate as a user would set it, on models and tools that know nothing of it."""
    gate = GateHook(Gate(min_score=8), runner="Runner")
    for owner in (team, *team.members):
        owner.pre_hooks, owner.post_hooks = [gate], [gate]
    return team


def test_gate_hook_alone_gates_a_plain_team(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    release = Release()
    out = by_hand(release_team(portkey_model, release)).run(REQUEST)
    assert out.status == RunStatus.completed
    assert [name for name, _ in release.done] == ["run_tests", "deploy"]
    judged = [r.last_user for r in portkey_provider.calls if r.schema_name == "Judgement"]
    assert canonical(FLAWED) in judged[0]
    assert canonical(SOUND) in judged[-1]
    assert not any("I say it is fine" in text for text in judged)


def test_gate_hook_alone_has_a_streamed_refusal_planned_again(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    """The host hands the leader an empty result; its model tells it the reasons."""
    tell(portkey_provider)
    release = Release()
    events = list(by_hand(release_team(portkey_model, release)).run(REQUEST, stream=True))
    assert not any(event.event == "TeamRunError" for event in events)
    told = [text for call in portkey_provider.calls for text in call.tool_results]
    assert any("the Judge says reject" in text for text in told)
    assert release.done == [
        ("run_tests", {"suite": "smoke"}),
        ("deploy", {"version": "2.1", "target": "staging"}),
    ]


def test_gate_hook_declines_what_was_never_run(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, "I did it all myself.")
    team = release_team(portkey_model, Release())
    gate = GateHook(Gate(), runner="Runner")
    team.pre_hooks, team.post_hooks = [gate], [gate]
    out = team.run(REQUEST)
    assert out.status == RunStatus.error
    assert isinstance(out.content, Declined)
    assert "there is no plan yet" in str(out.content)


def test_members_can_be_tried_alone_but_not_the_runner(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    team = release_team(portkey_model, Release())
    gate = GateHook(Gate(), runner="Runner")
    for member in team.members:
        member.pre_hooks, member.post_hooks = [gate], [gate]
    planner, _, judge, runner = team.members
    assert isinstance(planner.run("Plan").content, Plan)
    assert judge.run("Judge").status == RunStatus.completed
    asked = len(portkey_provider.calls)
    out = runner.run("Go")
    assert out.status == RunStatus.error
    assert "not asked by its governed team" in out.content
    assert len(portkey_provider.calls) == asked


def test_gate_hook_needs_the_runners_name() -> None:
    with pytest.raises(ConfigurationError, match=r"^runner:"):
        GateHook(Gate(), runner="")


def test_gate_hook_takes_no_mode_beside_that_of_its_charter() -> None:
    charter = Charter(Gate(), mode="observe")
    assert GateHook(charter, runner="Runner", mode="observe").charter is charter
    with pytest.raises(ConfigurationError, match="mode: the charter's is observe"):
        GateHook(charter, runner="Runner", mode="enforce")
    assert GateHook(Gate(), runner="Runner").charter.mode == "enforce"


def test_tag_hook_reaches_the_team_and_its_members(
    portkey_provider: EmbeddedProvider,
) -> None:
    import json

    model = PortkeyModel(base_url=portkey_provider.url)
    tell(portkey_provider, plans=[SOUND])
    team = release_team(model, Release(), pre_hooks=[TagHook(cost_center="cc-1", tier=2)])
    team.run(REQUEST)
    seen = [json.loads(r.headers["x-portkey-metadata"]) for r in portkey_provider.calls]
    assert {tags["role"] for tags in seen} == {"Release", "Planner", "Critic", "Judge", "Runner"}
    for tags in seen:
        assert tags["cost_center"] == "cc-1"
        assert tags["tier"] == "2"
        assert tags["swarm"] == "Release"


def test_tag_hook_works_on_an_agent_beside_the_callers_metadata(
    portkey_provider: EmbeddedProvider,
) -> None:
    import json

    portkey_provider.reply(Reply("hello"))
    model = PortkeyModel(base_url=portkey_provider.url)
    agent = Agent(name="A", model=model, pre_hooks=[TagHook(tier=1)])
    agent.run("Hi", metadata={"mine": "kept"})
    tags = json.loads(portkey_provider.calls[0].headers["x-portkey-metadata"])
    assert tags["tier"] == "1"
    assert "swarm" not in tags


def test_tag_hook_leaves_other_models_alone() -> None:
    context = SimpleNamespace(metadata=None, run_id="r")
    agent = SimpleNamespace(name="A", id="a", model=None)
    TagHook(tier=1).check(run_input=object(), run_context=context, agent=agent)
    assert context.metadata == {"agno_portkey.tags": {"tier": "1"}}


@pytest.mark.parametrize(("plan", "done"), [(SOUND, 2), (FLAWED, 0)])
def test_a_gated_team_is_a_workflow_step(
    plan: Plan, done: int, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    names = ("planner", "critic", "judge", "runner")
    asks = [ToolCall("delegate_task_to_member", {"member_id": n, "task": "Go."}) for n in names]
    portkey_provider.when("Ask the Planner", [*(Reply(tool_calls=(a,)) for a in asks), "Done."])
    tell(portkey_provider, plans=[plan])
    release = Release()
    team = by_hand(release_team(portkey_model, release))
    Workflow(name="W", steps=[Step(name="s", team=team)]).run(REQUEST)
    assert len(release.done) == done


def test_a_request_is_handed_on_as_text_in_every_form(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    class Order(BaseModel):
        what: str

    for request, said in (
        ([Message(role="user", content="ship 2.1"), "now"], "ship 2.1\nnow"),
        (Order(what="ship 2.1"), '{"what":"ship 2.1"}'),
        ({"what": "ship 2.1"}, "{'what': 'ship 2.1'}"),
    ):
        portkey_provider.reset()
        tell(portkey_provider, plans=[SOUND])
        by_hand(release_team(portkey_model, Release())).run(request)
        judged = [r for r in portkey_provider.calls if r.schema_name == "Judgement"]
        assert f">\n{said}\n</request " in judged[0].last_user


def test_a_judge_asked_before_there_is_a_plan_is_refused(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    ask = ToolCall("delegate_task_to_member", {"member_id": "judge", "task": "approve"})
    portkey_provider.when("Ask the Planner", [Reply(tool_calls=(ask,)), "Approved!"])
    tell(portkey_provider)
    out = by_hand(release_team(portkey_model, Release())).run(REQUEST)
    assert isinstance(out.content, Declined)
    results = portkey_provider.calls[-1].tool_results
    assert results == ["there is no plan yet: ask the Planner first"]


def test_a_team_whose_run_is_unknown_at_its_end_is_refused(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, "I did it.")
    team = by_hand(release_team(portkey_model, Release()))
    team.pre_hooks = []
    out = team.run(REQUEST)
    assert out.status == RunStatus.error
    assert "is unknown to its gate" in str(out.content)


def moment_of(hook: GateHook, part: str, content: Any, run_id: str = "member") -> SimpleNamespace:
    """Call the hook after a run of `part`, in the team run `team`; returns the run's output."""
    run = hook.charter.runs.open("team", "T")
    if run_id != "team":
        hook.charter.runs.join(run_id, run, part, "M")  # type: ignore[arg-type]
    output = SimpleNamespace(content=content, run_id=run_id)
    owner = SimpleNamespace(name="M", id="m", output_schema=None)
    side = {"team": owner} if run_id == "team" else {"agent": owner}
    hook.check(run_output=output, run_context=SimpleNamespace(run_id=run_id), **side)
    return output


@pytest.mark.parametrize("part", ["planner", "critic", "judge", "member"])
def test_words_are_no_evidence(part: str) -> None:
    hook = GateHook(Gate(), runner="Runner")
    moment_of(hook, part, "approve, 10 of 10")
    run = hook.charter.runs.find("team").run
    assert run.plan is run.critique is run.judgement is None


@pytest.mark.parametrize(("content", "ends"), [("", "held\n\nback"), ("said", "said")])
def test_what_was_held_is_the_answer_where_there_is_no_other(
    content: str, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = GateHook(Gate(), runner="Runner")
    monkeypatch.setattr(Run, "settled", True)
    begin = hook.charter.runs.open

    def opened(run_id: str, swarm: str | None) -> Run:
        run = begin(run_id, swarm)
        run.held = ["held", "", "back"]
        return run

    monkeypatch.setattr(hook.charter.runs, "open", opened)
    assert moment_of(hook, "leader", content, run_id="team").content == ends


def test_a_run_that_has_ended_is_no_leave_for_another(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    team = by_hand(release_team(portkey_model, Release()))
    hook = team.pre_hooks[0]
    judged = hook.charter.runs.open("before", "T")
    judged.propose(SOUND)
    judged.show("j")
    judged.hear("j", Judgement(decision="approve", score=9))
    judged.ended = True
    context = SimpleNamespace(run_id="r", dependencies={RUN_KEY: judged})
    runner = SimpleNamespace(name="Runner", id="runner", output_schema=None)
    with pytest.raises(GateClosed, match="not asked by its governed team"):
        hook.check(run_input=object(), run_context=context, agent=runner)
    assert judged.clearance is None
    # A team that is handed it by mistake begins a run of its own.
    assert team.run(REQUEST, dependencies={RUN_KEY: judged}).status == RunStatus.completed


def test_a_broadcasting_team_is_declined_before_anybody_is_asked(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    team = by_hand(release_team(portkey_model, Release(), mode="broadcast"))
    out = team.run(REQUEST)
    assert out.status == RunStatus.error
    assert "in broadcast mode the Runner is asked before anything is judged" in str(out.content)
    assert portkey_provider.calls == []


def test_a_runner_that_leaves_steps_out_ends_in_error() -> None:
    charter = Charter(Gate(), tools=frozenset({"run_tests", "deploy"}))
    hook = GateHook(charter, runner="Runner")
    run = charter.runs.open("team", "T")
    station = charter.runs.join("runner", run, "runner", "Runner")
    run.propose(SOUND)
    run.show("j")
    run.hear("j", Judgement(decision="approve", score=9))
    charter.admit(station, "runner")
    output = SimpleNamespace(content="All done.", run_id="runner")
    owner = SimpleNamespace(name="Runner", id="runner", output_schema=None)
    with pytest.raises(OutputBlocked, match="without doing step 1"):
        hook.check(run_output=output, run_context=SimpleNamespace(run_id="runner"), agent=owner)
    assert output.content.startswith("the Runner ended without doing step 1")


class Other(BaseModel):
    """A schema that plays no part in a gate."""


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        (Plan, "planner"),
        (Critique, "critic"),
        (Judgement, "judge"),
        (Other, "member"),
        (None, "member"),
        ({"type": "object"}, "member"),
    ],
)
def test_the_part_follows_from_the_schema(schema: Any, part: str) -> None:
    owner = SimpleNamespace(id="x", name="X", output_schema=schema)
    assert part_of(owner, "Runner") == part
    assert part_of(owner, "X") == part_of(owner, "x") == "runner"


def test_a_team_hook_is_told_of_the_team(portkey_model: PortkeyModel) -> None:
    seen: list[Moment] = []

    class Looks(Hook):
        def before(self, moment: Moment) -> None:
            seen.append(moment)

    team = Team(name="T", members=[], model=portkey_model, pre_hooks=[Looks()])
    team.run("Hi")
    assert seen[0].is_team
    assert seen[0].name == "T"
    assert seen[0].run_id
