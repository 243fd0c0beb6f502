"""`govern`: binds models, protects tools, installs hooks, and refuses what it can't govern."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from agno.agent import Agent
from agno.agent.followup import FollowupConfig
from agno.agent.remote import RemoteAgent
from agno.guardrails import PIIDetectionGuardrail, PromptInjectionGuardrail
from agno.learn import LearningMachine
from agno.memory import MemoryManager
from agno.models.fallback import FallbackConfig
from agno.models.openai import OpenAIChat
from agno.registry import Registry
from agno.run.base import RunStatus
from agno.team import Team
from agno.team.mode import TeamMode
from agno.tools import Toolkit
from agno.tools.function import Function

from agno_portkey import Contract, Gate, Plan, PortkeyModel, govern, registry_of
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.gates import is_protected
from agno_portkey.hooks import ContractHook, GateHook
from agno_portkey.hooks.watch import WatchHook
from agno_portkey.policy import Policy
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell

LOCAL = "http://127.0.0.1:1/v1"


@pytest.fixture
def llm() -> PortkeyModel:
    return PortkeyModel(base_url=LOCAL)


@pytest.fixture
def team(llm: PortkeyModel) -> Team:
    return release_team(llm, Release())


def governed(team: Team, **options: Any) -> Team:
    return govern(team, **{"runner": "Runner", "gate": Gate(), **options})


def test_it_returns_the_team_with_a_model_of_its_own_for_each(team: Team) -> None:
    model = team.model
    assert governed(team) is team
    models = [team.model, *(member.model for member in team.members)]
    assert len({id(m) for m in models}) == 5
    assert len({m.provider for m in models}) == 5
    assert {m.seat.part for m in models} == {"leader", "planner", "critic", "judge", "runner"}
    assert {m.seat.swarm for m in models} == {"Release"}
    assert model.seat is None
    assert team.members[3].model.provider == "agno-portkey:Release/Runner"


def test_hooks_stand_where_nothing_changes_what_they_see(team: Team) -> None:
    def before(run_input: Any) -> None: ...

    def after(run_output: Any) -> None: ...

    judge = team.members[2]
    judge.pre_hooks, judge.post_hooks = [before], [after]
    judge._hooks_normalised = True
    governed(team)
    assert judge.pre_hooks[0] is before
    assert isinstance(judge.pre_hooks[-1], GateHook)
    assert isinstance(judge.post_hooks[0], ContractHook)
    assert judge.post_hooks[1] is after
    assert judge.post_hooks[2] is judge.pre_hooks[-1]
    assert judge._hooks_normalised is False


def test_the_runner_may_be_named_by_itself_its_name_or_its_id(llm: PortkeyModel) -> None:
    for name in ("agent", "Runner", "runner"):
        team = release_team(llm, Release())
        runner = team.members[3] if name == "agent" else name
        assert governed(team, runner=runner).members[3].model.seat.part == "runner"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runner": "Planner"}, "runner: 'Planner' is the planner; name the member that does"),
        ({"runner": "Judge"}, "runner: 'Judge' is the judge; name the member that does"),
        ({"runner": "Nobody"}, "runner: 'Nobody' is not a member of the team (Planner, Critic"),
        ({"runner": Agent(name="Other")}, "is not a member of the team"),
        ({"runner": 3}, "runner: an Agent or its name, not int"),
        ({"runner": None}, "runner: a gate needs a Runner; name the member"),
        ({"gate": None}, "gate: a Runner needs a gate; add gate=Gate()"),
        ({"gate": [Gate(), Gate()]}, "two gates are named 'gate'"),
        ({"gate": "strict"}, "gate: a Gate, not str"),
        ({"gate": 8}, "gate: a Gate or several, not int"),
        ({"guards": 8}, "guards: a list of guardrails, not int"),
        ({"tags": {"a": {"b": 1}}}, "tags['a']"),
        ({"tags": "cc-42"}, "tags: a mapping"),
    ],
)
def test_wrong_arguments_are_refused_by_name_and_nothing_is_changed(
    team: Team, options: dict[str, Any], said: str
) -> None:
    before = team.model
    with pytest.raises(ConfigurationError) as refused:
        governed(team, **options)
    assert said in str(refused.value)
    assert team.model is before
    assert team.pre_hooks is None


def test_a_guard_that_is_none_is_refused(team: Team) -> None:
    with pytest.raises(
        ConfigurationError, match="guards: a Guard, or an Agno BaseGuardrail, not 'mask'"
    ):
        governed(team, guards=["mask"])


def test_guards_are_given_to_every_model(team: Team) -> None:
    guards = [PIIDetectionGuardrail(), PromptInjectionGuardrail()]
    governed(team, guards=guards)
    for owner in (team, *team.members):
        assert [guard.guardrail for guard in owner.model.guards] == guards


def test_neither_agent_nor_team_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a Workflow or a factory of them, not str"):
        govern("team")  # type: ignore[type-var]


def test_a_lone_agent_is_bound_and_tagged_but_has_no_gate(llm: PortkeyModel) -> None:
    agent = govern(Agent(name="A", model=llm), tags={"cost_center": "cc-1"})
    assert agent.model.tags == {"cost_center": "cc-1"}
    assert [type(hook) for hook in agent.pre_hooks] == [WatchHook]
    contracts = [Contract(Plan, input=Plan)]
    handed = govern(Agent(name="C", model=llm, output_schema=Plan), contracts=contracts)
    plain = govern(Agent(name="D", model=llm, output_schema=Plan, use_json_mode=True))
    # What a run is handed comes before what a hook makes of it.
    for each in (handed, plain):
        assert [type(hook) for hook in each.pre_hooks] == [ContractHook, WatchHook]
    with pytest.raises(ConfigurationError, match="only a Team can have a gated Runner"):
        govern(Agent(name="B", model=llm), runner="B", gate=Gate())


def test_governing_again_changes_nothing_or_is_refused(team: Team) -> None:
    governed(team)
    models = [m.model for m in team.members]
    assert governed(team) is team
    assert [m.model for m in team.members] == models
    assert len(team.members[0].post_hooks) == 2


OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "gate": ({"gate": Gate(min_score=9)}, "gate"),
    "runner": ({"runner": "Judge"}, "runner"),
    "tags": ({"tags": {"a": "b"}}, "tags"),
    "guards": ({"guards": [PIIDetectionGuardrail()]}, "guards"),
    "observers": ({"observers": [print]}, "observers"),
    "allow": ({"allow": ["x"]}, "allow"),
    "mode": (
        {"policy": Policy(contracts="observe", tags={"mode": "off"})},
        "contracts mode, tags mode",
    ),
    "database": ({"policy": Policy(stop={"database": "a.db"})}, "stop database"),
    "two": ({"tags": {"a": "b"}, "observers": [print]}, "tags, observers"),
}


@pytest.mark.parametrize("other", OTHER)
def test_governing_again_in_another_way_names_what_differs(other: str, team: Team) -> None:
    given, said = OTHER[other]
    governed(team)
    message = rf"Release is governed already, in another way \(with another {said}\): build"
    with pytest.raises(ConfigurationError, match=message):
        governed(team, **given)


@pytest.mark.parametrize("mode", ["broadcast", "flag"])
def test_broadcast_with_a_runner_is_refused(llm: PortkeyModel, mode: str) -> None:
    option = {"mode": "broadcast"} if mode == "broadcast" else {"delegate_to_all_members": True}
    with pytest.raises(ConfigurationError, match="broadcasts"):
        governed(release_team(llm, Release(), **option))


def test_every_ungoverned_model_is_listed(team: Team) -> None:
    foreign = OpenAIChat(id="gpt", api_key="k")
    planner, critic, judge, runner = team.members
    planner.model = foreign
    critic.parser_model = foreign
    judge.memory_manager = MemoryManager(model=foreign)
    runner.reasoning_agent = Agent(model=foreign)
    runner.followups = FollowupConfig(model=foreign)
    planner.learning = LearningMachine(model=foreign)
    with pytest.raises(UngovernedPathError) as refused:
        governed(team)
    for path in (
        "Planner.model is agno's OpenAIChat: give a PortkeyModel",
        "Critic.parser_model is agno's OpenAIChat: give a PortkeyModel",
        "Judge.memory_manager.model is agno's OpenAIChat: give a PortkeyModel",
        "Runner.reasoning_agent.model is agno's OpenAIChat: give a PortkeyModel",
        "Runner.followups.model is agno's OpenAIChat: give a PortkeyModel",
        "Planner.learning.model is agno's OpenAIChat: give a PortkeyModel",
    ):
        assert path in str(refused.value)


def test_a_hook_that_is_a_class_is_listed(team: Team) -> None:
    team.members[0].pre_hooks = [ContractHook]
    with pytest.raises(
        UngovernedPathError,
        match=r"Planner\.pre_hooks\[0\] is the class ContractHook, which never runs: make one",
    ):
        governed(team)


@pytest.mark.parametrize(("index", "missing"), [(0, "Plan"), (2, "Judgement")])
def test_a_gate_that_could_never_pass_is_refused(team: Team, index: int, missing: str) -> None:
    team.members[index].output_schema = None
    with pytest.raises(ConfigurationError, match=f"no member has output_schema={missing},"):
        governed(team)


def test_a_critic_is_optional(team: Team) -> None:
    del team.members[1]
    governed(team)
    assert team.model.seat.charter.has_critic is False


def test_fallback_models_are_bound_or_refused(llm: PortkeyModel) -> None:
    good = Agent(name="A", model=llm, fallback_models=[PortkeyModel("b", base_url=LOCAL)])
    govern(good)
    assert good.fallback_config.on_error[0].seat.role == "A"
    bad = Agent(name="B", model=llm, fallback_models=[OpenAIChat(id="x", api_key="k")])
    with pytest.raises(
        UngovernedPathError, match=r"B\.fallback_config\.on_error\[0\] is agno's OpenAIChat"
    ):
        govern(bad)


def test_auxiliary_models_are_bound_beside_the_runners(llm: PortkeyModel) -> None:
    team = release_team(llm, Release())
    runner = team.members[3]
    runner.parser_model = PortkeyModel("p", base_url=LOCAL)
    runner.memory_manager = MemoryManager(model=PortkeyModel("m", base_url=LOCAL))
    runner.reasoning_model = PortkeyModel("r", base_url=LOCAL)
    runner.followups = FollowupConfig(model=PortkeyModel("f", base_url=LOCAL))
    governed(team)
    assert runner.parser_model.seat.part == "aide"
    assert runner.memory_manager.model.seat.part == "aide"
    assert runner.reasoning_model.seat.part == "aide"
    assert runner.followups.model.seat.part == "aide"


def test_what_two_agents_share_speaks_for_each_of_them(llm: PortkeyModel) -> None:
    team = release_team(llm, Release())
    planner, _, _, runner = team.members
    config = FallbackConfig(on_error=[PortkeyModel("b", base_url=LOCAL)])
    manager = MemoryManager(model=PortkeyModel("m", base_url=LOCAL))
    for member in (planner, runner):
        member.fallback_config, member.memory_manager = config, manager
    governed(team)
    assert planner.fallback_config.on_error[0].provider == "agno-portkey:Release/Planner"
    assert runner.fallback_config.on_error[0].provider == "agno-portkey:Release/Runner"
    assert planner.memory_manager.model.seat.part == "member"
    assert runner.memory_manager.model.seat.part == "aide"


@pytest.mark.parametrize(
    ("slot", "mode", "said"),
    [
        ("reasoning_model", "coordinate", "Release.reasoning_model thinks aloud"),
        ("output_model", "tasks", "Release.output_model speaks after every turn"),
        ("output_model", "coordinate", None),
    ],
)
def test_a_leader_whose_words_can_not_be_held_is_refused(
    llm: PortkeyModel, slot: str, mode: str, said: str | None
) -> None:
    team = release_team(llm, Release(), mode=mode)
    setattr(team, slot, llm)
    if said is None:
        assert governed(team) is team
    else:
        with pytest.raises(UngovernedPathError, match=said):
            governed(team)


def test_a_team_that_is_put_into_another_mode_is_declined(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    team = governed(release_team(portkey_model, Release()))
    team.mode = TeamMode.tasks
    out = team.run(REQUEST)
    assert out.status == RunStatus.error
    assert "Release is in another mode" in str(out.content)
    assert portkey_provider.calls == []


def test_a_member_of_another_governed_team_is_refused(team: Team, llm: PortkeyModel) -> None:
    governed(team)
    other = release_team(llm, Release(), name="Other")
    other.members[3] = team.members[3]
    with pytest.raises(ConfigurationError, match="Runner is governed in another team"):
        governed(other)


def test_a_runner_that_learns_is_refused(team: Team) -> None:
    team.members[3].learning = True
    with pytest.raises(UngovernedPathError, match=r"Runner\.learning"):
        governed(team)


def test_what_is_made_at_run_time_or_runs_elsewhere_is_refused(llm: PortkeyModel) -> None:
    with pytest.raises(UngovernedPathError, match=r"T\.members is made at run time"):
        govern(Team(name="T", members=list, model=llm))
    with pytest.raises(UngovernedPathError, match=r"A\.model is not set"):
        govern(Agent(name="A"))
    with pytest.raises(UngovernedPathError, match=r"T\.model is not set"):
        govern(Team(name="T", members=[]))
    team = release_team(llm, Release())
    team.members[0].tools = list
    with pytest.raises(UngovernedPathError, match=r"Planner\.tools is made at run time"):
        governed(team)
    team = release_team(llm, Release())
    team.members[3].tools = [Toolkit(name="mcp")]
    with pytest.raises(UngovernedPathError, match="Runner holds mcp, whose functions"):
        governed(team)


def test_an_inner_team_is_held_to_the_same(llm: PortkeyModel) -> None:
    for members, said in (
        (list, r"Inner\.members is made at run time"),
        (
            [RemoteAgent(base_url="http://127.0.0.1:1", agent_id="far")],
            r"Inner\.members\[0\] is agno's RemoteAgent: it runs elsewhere",
        ),
    ):
        inner = Team(name="Inner", members=[], model=llm)
        outer = Team(name="Outer", members=[inner], model=llm)
        inner.members = members
        with pytest.raises(UngovernedPathError, match=said):
            govern(outer)


def test_a_runner_that_is_not_one_agent_is_refused(llm: PortkeyModel) -> None:
    team = release_team(llm, Release())
    team.members.append(Agent(id="second", name="Runner", model=llm))
    with pytest.raises(ConfigurationError, match="'Runner' names 2 members"):
        governed(team)
    inner = Team(name="Runner", members=[], model=llm)
    with pytest.raises(ConfigurationError, match="'Runner' is a team"):
        governed(Team(name="Outer", members=[inner], model=llm))


def test_tools_that_run_elsewhere_can_not_be_the_runners(llm: PortkeyModel) -> None:
    team = release_team(llm, Release())
    outside = Function(name="outside", external_execution=True)
    team.members[3].tools = [{"type": "web_search"}, outside]
    with pytest.raises(UngovernedPathError, match="Runner holds outside, which runs elsewhere"):
        governed(team)


def test_a_governed_model_can_not_be_pickled(team: Team) -> None:
    governed(team)
    with pytest.raises(ConfigurationError, match="is governed and can't be pickled"):
        pickle.dumps(team.members[3].model)


def test_a_member_without_a_model_gets_the_teams_bound_to_itself(llm: PortkeyModel) -> None:
    team = release_team(llm, Release())
    team.members[0].model = None
    governed(team)
    assert team.members[0].model.seat.role == "Planner"


def test_the_runners_tools_are_protected_whoever_holds_them(llm: PortkeyModel) -> None:
    release = Release()

    def deploy(version: str) -> str:
        """Another function of the same name."""
        return version

    def harmless() -> str:
        """Looks only."""
        return ""

    kit = Toolkit(name="kit", tools=[release.run_tests])
    shared = Function.from_callable(release.deploy, name="ship")
    team = release_team(llm, release)
    planner, critic, judge, runner = team.members
    runner.tools = [release.deploy, kit]
    planner.tools, critic.tools, judge.tools = [deploy, harmless], [shared], [kit]
    team.tools = [{"type": "web_search"}, release.deploy]
    governed(team)
    assert all(is_protected(f) for f in kit.functions.values())
    assert is_protected(shared)
    assert is_protected(planner.tools[0])
    assert planner.tools[1] is harmless
    assert team.tools[0] == {"type": "web_search"}
    assert is_protected(team.tools[1])
    assert is_protected(runner.tools[0])


def test_an_approval_on_a_bare_function_is_kept(llm: PortkeyModel) -> None:
    from agno.approval import approval

    @approval
    def deploy(version: str) -> str:
        """Deploy."""
        return version

    team = release_team(llm, Release())
    team.members[3].tools = [deploy]
    governed(team)
    tool = team.members[3].tools[0]
    assert tool.requires_confirmation
    assert tool.approval_type == "required"


def test_nested_teams_carry_the_name_of_their_own_swarm(llm: PortkeyModel) -> None:
    inner = release_team(llm, Release(), name="Inner")
    outer = Team(name="Outer", members=[inner], model=llm)
    governed(outer)
    assert outer.model.seat.swarm == "Outer"
    assert inner.model.seat.swarm == "Inner"
    assert inner.members[0].model.seat.swarm == "Inner"


def test_the_registry_holds_each_bound_model_and_the_protected_tools(team: Team) -> None:
    with pytest.raises(ConfigurationError, match="is not governed"):
        registry_of(team)
    governed(team)
    registry = registry_of(team)
    assert isinstance(registry, Registry)
    assert len(registry.models) == 5
    runner = team.members[3].model
    assert registry.get_model(runner.id, provider=runner.provider, name=runner.name) is runner
    assert {tool.name for tool in registry.tools} == {"run_tests", "deploy"}


def test_one_model_may_serve_two_governed_teams(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    one, two = Release(), Release()
    teams = [governed(release_team(portkey_model, r), gate=Gate()) for r in (one, two)]
    assert [t.run(REQUEST).status for t in teams] == [RunStatus.completed] * 2
    assert one.done == two.done
    assert len(one.done) == 2
