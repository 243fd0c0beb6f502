"""Off, observe, enforce: each part in each mode, as the policy or the environment says it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from agno.team import Team
from agno.tools.function import Function, FunctionCall
from four_forms import FORMS, play
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey import Event, Gate, PortkeyModel, govern
from agno_portkey.calls import Call
from agno_portkey.contracts import Critique, Decision, Judgement, Plan
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import ConfigurationError, GateClosed, RunDeclined, ToolRefused
from agno_portkey.gates import Charter, Declined, Seat, guard_call, interlock, protect
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.hooks import ContractHook, GateHook
from agno_portkey.hooks.base import Moment
from agno_portkey.modes import PARTS, Mode, check_mode, mode_now, variable_of
from agno_portkey.policy import Policy, terms_of
from agno_portkey.runs import Station
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, Release, release_team, tell

SOURCES = ("policy", "environment")
LIE = "Release 2.1 is live, I saw to it."
STEPS = [("run_tests", {"suite": "smoke"}), ("deploy", {"version": "2.1", "target": "staging"})]


@pytest.fixture(autouse=True)
def _no_modes_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in PARTS:
        monkeypatch.delenv(variable_of(part), raising=False)


@dataclass
class Stage:
    """A released team under a policy, and all that was told of it."""

    team: Team
    release: Release
    provider: EmbeddedProvider
    events: list[Event] = field(default_factory=list)

    def run(self, form: str = "run") -> tuple[RunStatus, Any]:
        return ended(self.team, form)

    def told(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def refused(self) -> list[Event]:
        return [e for e in self.told("gate", "tool") if e.verdict and not e.verdict.passed]

    @property
    def runner_calls(self) -> list[Request]:
        return [r for r in self.provider.calls if "You are the Runner" in r.system]


def ended(team: Team, form: str) -> tuple[RunStatus, Any]:
    """How a team's run ends; of a stream, its last word on it."""
    if form == "run":
        output = team.run(REQUEST)
    elif form == "arun":
        output = asyncio.run(team.arun(REQUEST))
    else:
        events = (
            asyncio.run(_astream(team)) if form == "astream" else [*team.run(REQUEST, **STREAMED)]
        )
        last = events[-1]
        failed = isinstance(last, TeamRunErrorEvent)
        return (RunStatus.error if failed else last.status), last.content
    return output.status, output.content


STREAMED = {"stream": True, "stream_events": True, "yield_run_output": True}


async def _astream(team: Team) -> list[Any]:
    return [event async for event in team.arun(REQUEST, **STREAMED)]


def in_mode(
    part: str, mode: Mode, source: str, monkeypatch: pytest.MonkeyPatch, **policy: Any
) -> Policy:
    """A policy in which `part` has `mode`, or which the environment brings into it."""
    own: Mode = mode if source == "policy" else "off" if mode == "enforce" else "enforce"
    if source == "environment":
        monkeypatch.setenv(variable_of(part), mode)
    return Policy(**{part: {**policy, "mode": own}})


def staged(
    model: PortkeyModel,
    provider: EmbeddedProvider,
    policy: Policy,
    *,
    runner: Callable[[Request], Any] | None = None,
    judge: Judgement | None = None,
    plan: Plan = FLAWED,
) -> Stage:
    """The story's team; `runner` and `judge` say what these two do, whatever they are shown."""
    if judge is not None:
        provider.when(lambda request: request.schema_name == "Critique", Critique())
        provider.when(lambda request: request.schema_name == "Judgement", judge)
    if runner is not None:
        provider.when("You are the Runner", runner)
    tell(provider, plans=[plan], last_word=LIE)
    release = Release()
    stage = Stage(release_team(model, release), release, provider)
    govern(stage.team, policy=policy, observers=[stage.events.append])
    return stage


def doing(*calls: tuple[str, dict[str, str]]) -> Callable[[Request], Any]:
    """A Runner that makes these calls, one after the other, and reports."""

    def do(request: Request) -> Any:
        at = len(request.tool_results)
        return Reply(tool_calls=(ToolCall(*calls[at]),)) if at < len(calls) else "Done."

    return do


ROGUE = ("deploy", {"version": "2.1", "target": "production"})
GATE = {"runner": "Runner", "min_score": 8}


# The modes themselves


@pytest.mark.parametrize("part", PARTS)
def test_a_variable_wins_over_the_policy_while_the_process_runs(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mode_now(part, "observe") == "observe"
    monkeypatch.setenv(f"AGNO_PORTKEY_{part.upper()}_MODE", " Off ")
    assert mode_now(part, "enforce") == "off"
    monkeypatch.setenv(variable_of(part), "")
    assert mode_now(part, "observe") == "observe"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_variable_that_says_anything_else_is_enforce(said: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable_of("gate"), said)
        known = said.strip().lower()
        expected = known if known in ("off", "observe", "enforce") else "enforce"
        assert mode_now("gate", "off") == expected


def test_an_argument_that_is_no_mode_is_refused() -> None:
    for make in (
        lambda: check_mode("watch"),
        lambda: Charter(Gate(), mode="on"),  # type: ignore[arg-type]
        lambda: GateHook(Gate(), runner="R", mode="on"),  # type: ignore[arg-type]
        lambda: ContractHook(mode="on"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match="one of off, observe, enforce"):
            make()


# The gate: a team that lies


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_an_enforced_gate_declines_a_lying_team(
    form: str,
    source: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = in_mode("gate", "enforce", source, monkeypatch, **{**GATE, "max_rounds": 1})
    stage = staged(portkey_model, portkey_provider, policy, runner=doing(ROGUE))
    status, content = stage.run(form)
    assert status == RunStatus.error
    assert isinstance(content, Declined) or "declined" in str(content)
    assert (stage.release.done, stage.runner_calls) == ([], [])
    assert len(stage.told("declined")) == 1
    assert {e.data["mode"] for e in stage.told("gate", "declined", "plan")} == {"enforce"}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_an_observed_gate_lets_a_lying_team_run_and_tells_the_verdict(
    form: str,
    source: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = in_mode("gate", "observe", source, monkeypatch, **GATE)
    stage = staged(portkey_model, portkey_provider, policy, runner=doing(ROGUE))
    assert stage.run(form) == (RunStatus.completed, LIE)
    assert stage.release.done == [ROGUE]
    assert "Your turn. I say it is fine." in stage.runner_calls[0].last_user
    assert "exactly" not in stage.runner_calls[0].last_user

    refused, tool, end = stage.refused()
    assert refused.role == "Runner"
    assert "the Judge says reject: there is no plan to look at" in refused.verdict.reasons
    assert refused.verdict.score == 3
    assert tool.verdict.reasons == ("the gate has not cleared this run of the Runner",)
    assert end.data == {"would": "decline", "mode": "observe"}
    assert set(refused.verdict.reasons) <= set(end.verdict.reasons)
    assert stage.told("declined") == []
    assert len(stage.told("plan", "critique", "judgement")) == 3
    assert {e.data["mode"] for e in stage.told("gate", "plan", "judgement")} == {"observe"}
    assert "Release: observed, not refused: the Critic holds a blocking issue" in caplog.text


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_a_gate_that_is_off_is_not_there(
    form: str,
    source: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = in_mode("gate", "off", source, monkeypatch, **GATE)
    stage = staged(portkey_model, portkey_provider, policy, runner=doing(ROGUE))
    assert stage.run(form) == (RunStatus.completed, LIE)
    assert stage.release.done == [ROGUE]
    assert {event.kind for event in stage.events} == {"call", "attempt"}
    assert "observed" not in caplog.text


@pytest.mark.parametrize("form", FORMS)
def test_what_would_have_passed_is_told_as_passed(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    stage = staged(
        portkey_model,
        portkey_provider,
        Policy(gate={**GATE, "mode": "observe"}),
        runner=doing(*STEPS),
        judge=Judgement(decision=Decision.APPROVE, score=9),
        plan=SOUND,
    )
    assert stage.run(form) == (RunStatus.completed, LIE)
    [gate] = stage.told("gate")
    assert (gate.verdict.passed, gate.verdict.score, gate.data["mode"]) == (True, 9, "observe")
    assert [e.data["step"] for e in stage.told("tool")] == [1, 2]
    assert stage.refused() == []


def test_what_an_observed_runner_does_beside_its_plan_is_told(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    stage = staged(
        portkey_model,
        portkey_provider,
        Policy(gate={**GATE, "mode": "observe"}),
        runner=doing(STEPS[0], ROGUE),
        judge=Judgement(decision=Decision.APPROVE, score=9),
        plan=SOUND,
    )
    assert stage.run() == (RunStatus.completed, LIE)
    assert stage.release.done == [STEPS[0], ROGUE]
    tool, end = stage.refused()
    assert "step 2 of the cleared plan has target='staging'" in tool.verdict.reason
    assert "the Runner ended without doing step 2 (deploy)" in end.verdict.reason
    assert end.data["would"] == "decline"


def test_a_change_of_the_variable_counts_from_the_next_run_on(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = Policy(gate={**GATE, "max_rounds": 1})
    stage = staged(portkey_model, portkey_provider, policy, runner=doing(ROGUE))
    ends = []
    for mode in (None, "observe", "enforce", "off", "obsreve"):
        if mode is not None:
            monkeypatch.setenv(variable_of("gate"), mode)
        ends.append((stage.run()[0] == RunStatus.completed, len(stage.release.done)))
    assert ends == [(False, 0), (True, 1), (False, 1), (True, 2), (False, 2)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("began", "then", "completes"),
    [
        ("enforce", "off", False),
        ("enforce", "observe", False),
        ("observe", "enforce", True),
        ("off", "enforce", True),
    ],
)
def test_a_run_keeps_the_mode_in_which_it_began(
    form: str,
    began: Mode,
    then: Mode,
    completes: bool,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = Policy(gate={**GATE, "max_rounds": 1, "mode": began})
    stage = staged(portkey_model, portkey_provider, policy, runner=doing(ROGUE))

    def switch(event: Event) -> None:
        if event.kind == "call" and event.role == "Planner":
            monkeypatch.setenv(variable_of("gate"), then)

    for owner in (stage.team, *stage.team.members):
        owner.model.observers = (*owner.model.observers, switch)
    assert (stage.run(form)[0] == RunStatus.completed) is completes
    assert stage.release.done == ([ROGUE] if completes else [])
    if began == "off":
        assert {event.kind for event in stage.events} == {"call", "attempt"}


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_run_has_an_end_in_every_mode(
    mode: Mode, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    policy = Policy(gate={**GATE, "mode": mode})
    yes = Judgement(decision=Decision.APPROVE, score=9)
    stage = staged(
        portkey_model, portkey_provider, policy, runner=doing(*STEPS), judge=yes, plan=SOUND
    )
    output = stage.team.run(REQUEST)
    assert output.status == RunStatus.completed
    run = stage.team.model.seat.charter.runs.find(output.run_id).run
    assert (run.ended, run.mode) == (True, mode)


# The gate: what belongs to no known run


@pytest.mark.parametrize("hooks", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_runner_that_its_team_did_not_ask(
    mode: Mode,
    form: str,
    hooks: bool,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = Policy(gate=GATE)
    stage = staged(portkey_model, portkey_provider, policy, runner=doing(ROGUE))
    monkeypatch.setenv(variable_of("gate"), mode)
    runner = stage.team.members[3]
    if not hooks:
        runner.pre_hooks = runner.post_hooks = None
    run = play(runner, form)
    told = [event.verdict.reason for event in stage.told("gate")]
    if mode == "enforce":
        assert run.status == RunStatus.error
        assert (stage.release.done, stage.runner_calls) == ([], [])
    else:
        assert (run.status, run.content) == (RunStatus.completed, "Done.")
        assert stage.release.done == [ROGUE]
    assert bool(told) is (mode != "off")
    if mode == "observe":
        first = "the Runner was not asked by" if hooks else "this Runner is not part of a governed"
        assert told[0].startswith(first)
        assert {event.data["mode"] for event in stage.told("gate")} == {"observe"}


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_team_without_its_hooks(
    mode: Mode, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    stage = staged(
        portkey_model, portkey_provider, Policy(gate={**GATE, "mode": mode}), runner=doing(ROGUE)
    )
    for owner in (stage.team, *stage.team.members):
        owner.pre_hooks = owner.post_hooks = None
    status, _ = stage.run()
    told = [e for e in stage.events if e.verdict and "hooks did not run" in e.verdict.reason]
    if mode == "enforce":
        assert (status, stage.release.done) == (RunStatus.error, [])
        assert told[0].kind == "declined"
        return
    assert (status, stage.release.done) == (RunStatus.completed, [ROGUE])
    assert bool(told) is (mode == "observe")
    assert {e.kind for e in told if e.data.get("would") == "decline"} <= {"gate"}


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_protected_tool_that_is_called_by_itself(mode: Mode) -> None:
    events: list[Event] = []
    done: list[str] = []

    def ship(version: str) -> str:
        done.append(version)
        return "shipped"

    charter = Charter(Gate(), tools=frozenset({"ship"}), observers=[events.append], mode=mode)
    function = protect(Function.from_callable(ship), charter)
    if mode == "enforce":
        with pytest.raises(ToolRefused):
            function.entrypoint(version="2.1")
        assert done == []
    else:
        assert function.entrypoint(version="2.1") == "shipped"
        assert done == ["2.1"]
    assert bool(events) is (mode != "off")


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
@pytest.mark.parametrize("part", ["runner", "aide", "leader"])
def test_an_auxiliary_call_goes_by_the_present_mode(part: str, mode: Mode) -> None:
    events: list[Event] = []
    charter = Charter(Gate(), observers=[events.append], mode=mode)
    charter.open("team", "Team").mode = "enforce"
    seat = Seat(part, "R", "Team", charter, holds=part == "leader")  # type: ignore[arg-type]
    call = Call([], SimpleNamespace())  # type: ignore[arg-type]

    async def below(call: Call) -> Any:
        yield SimpleNamespace(content="said", tool_calls=None)

    def said() -> list[str]:
        lock = interlock(seat)
        return [delta.content for delta in drive(lock(call, SyncIO(), below))]

    if mode == "enforce" and part != "leader":
        with pytest.raises(GateClosed):
            said()
    else:
        assert said() == ["said"]
        assert events == []


def test_who_has_no_lock_of_its_own_is_not_told_of(portkey_model: PortkeyModel) -> None:
    events: list[Event] = []
    charter = Charter(Gate(), observers=[events.append], mode="observe")
    call = Call([], SimpleNamespace(), run_response=SimpleNamespace(run_id="r"))  # type: ignore[arg-type]

    async def below(call: Call) -> Any:
        yield SimpleNamespace(content="said")

    for part, told in (("aide", 0), ("member", 0), ("runner", 1), ("leader", 2)):
        lock = interlock(Seat(part, "R", "Team", charter, holds=True))  # type: ignore[arg-type]
        assert [delta.content for delta in drive(lock(call, SyncIO(), below))] == ["said"]
        assert len(events) == told


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_leaders_own_word_that_a_task_is_done(mode: Mode) -> None:
    charter = Charter(Gate(), mode=mode)
    charter.open("team", "Team")
    seat = Seat("leader", "Team", "Team", charter, holds=True)
    function = Function.from_callable(lambda: "done")
    function.name, function.show_result = "mark_all_complete", True
    function._run_context = SimpleNamespace(run_id="team")
    guard_call(seat, FunctionCall(function=function, arguments={}))
    if mode == "enforce":
        with pytest.raises(ToolRefused):
            function.entrypoint()
    else:
        assert function.entrypoint() == "done"
    assert function.show_result is (mode != "enforce")


# The gate: hooks by hand


def by_hand(team: Team, hook: GateHook) -> Team:
    for owner in (team, *team.members):
        owner.pre_hooks, owner.post_hooks = [hook], [hook]
    return team


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_team_that_was_changed(
    mode: Mode, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, last_word=LIE)
    events: list[Event] = []
    charter = Charter(Gate(), swarm="Release", observers=[events.append], mode=mode)
    asked: list[Any] = []
    hook = GateHook(charter, runner="Runner", late=lambda team: asked.append(team) or "it was")
    team = by_hand(release_team(portkey_model, Release()), hook)
    status, content = ended(team, form)
    changed = [e for e in events if e.verdict and "the team was changed" in e.verdict.reason]
    if mode == "enforce":
        assert status == RunStatus.error
        assert portkey_provider.calls == []
        assert changed[0].kind == "declined"
        return
    assert (status, content) == (RunStatus.completed, LIE)
    if mode == "observe":
        assert changed[0].kind == "gate"
        assert changed[0].data == {"would": "decline", "mode": "observe"}
        # What comes after is observed as ever.
        assert [event.kind for event in events].count("judgement") == 1
    else:
        assert (events, asked) == ([], [])


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_step_of_a_workflow(mode: Mode) -> None:
    events: list[Event] = []
    hook = GateHook(Charter(Gate(), observers=[events.append], mode=mode), runner="Runner")
    context = SimpleNamespace(run_id="w", workflow_id="w", dependencies=None)
    moment = Moment(SimpleNamespace(), None, context, SimpleNamespace(name="T"), True, None)
    if mode == "enforce":
        with pytest.raises(GateClosed, match="can't be a workflow's step"):
            hook.before(moment)
    else:
        hook.before(moment)
    assert hook.charter.runs.find("w") is None
    assert [event.kind for event in events] == ([] if mode == "off" else ["gate"])


def test_a_gate_that_breaks_while_it_is_observed_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing")

    observed = Charter(Gate(), mode="observe")
    assert observed.held(None, broken) is None
    assert "the gate could not be observed" in caplog.text
    assert Charter(Gate(), mode="off").held(None, broken) is None
    with pytest.raises(RuntimeError):
        Charter(Gate()).held(None, broken)
    assert observed.held(None, lambda: 3) == 3
    assert Charter(Gate(), mode="off").held(None, lambda: 3) is None


def test_the_run_of_a_member_is_held_as_its_teams(monkeypatch: pytest.MonkeyPatch) -> None:
    charter = Charter(Gate())
    run = charter.open("team", "Team")
    charter.runs.join("member", run, "member", "M")
    monkeypatch.setenv(variable_of("gate"), "off")
    assert charter.enforces("team")
    assert charter.enforces("member")
    assert not charter.enforces("another")
    assert charter.mode_of(None) == "off"
    assert isinstance(charter.refusal(Station(run, "member", "M"), "no"), GateClosed)
    assert isinstance(charter.decline(run), RunDeclined)


# Contracts


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_broken_structured_output(
    mode: Mode,
    form: str,
    source: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    portkey_provider.when(lambda request: True, "I would rather not plan.")
    events: list[Event] = []
    agent = Agent(name="Planner", model=portkey_model, output_schema=Plan)
    policy = in_mode("contracts", mode, source, monkeypatch)
    govern(agent, policy=policy, observers=[events.append])
    run = play(agent, form)
    told = [event for event in events if event.kind == "contract"]
    if mode == "enforce":
        assert run.status == RunStatus.error
        assert "is not a valid Plan" in str(run.content)
        assert run.text_shown == ""
    else:
        assert run.status == RunStatus.completed
        assert run.content == "I would rather not plan."
    stages = {"off": [], "observe": ["model", "post"], "enforce": ["model"]}[mode]
    assert [event.data for event in told] == [{"stage": s, "mode": mode} for s in stages]
    assert {event.role for event in told} <= {"Planner"}
    assert not any(event.verdict.passed for event in told)
    assert ("observed, not refused: Planner's output" in caplog.text) is (mode == "observe")


def test_an_observed_contract_does_not_hold_a_stream(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portkey_provider.when(lambda request: True, "I would rather not plan anything today.")

    def pieces(mode: Mode) -> list[str]:
        monkeypatch.setenv(variable_of("contracts"), mode)
        asked = portkey_model.invoke_stream(
            [Message(role="user", content="Hi")],
            Message(role="assistant"),
            response_format={"type": "json_object"},
        )
        return [delta.content for delta in asked if delta.content]

    assert "".join(pieces("observe")) == "I would rather not plan anything today."
    assert len(pieces("observe")) == len(pieces("off")) > 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe"])
def test_a_whole_structured_output_is_an_object_in_every_mode(
    mode: Mode, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, SOUND)
    events: list[Event] = []
    agent = Agent(name="Planner", model=portkey_model, output_schema=Plan)
    govern(agent, policy=Policy(contracts=mode), observers=[events.append])
    assert play(agent, form).content == SOUND
    assert [event for event in events if event.kind == "contract"] == []


def test_words_beside_a_tool_call_are_no_broken_output(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def look(place: str) -> str:
        """Look somewhere."""
        return f"nothing in {place}"

    first = Reply("Let me look.", tool_calls=(ToolCall("look", {"place": "the shed"}),))
    portkey_provider.when(lambda request: True, [first, "No plan."])
    events: list[Event] = []
    agent = Agent(name="Planner", model=portkey_model, output_schema=Plan, tools=[look])
    govern(agent, policy=Policy(contracts="observe"), observers=[events.append])
    agent.run("Plan")
    told = [event.data["stage"] for event in events if event.kind == "contract"]
    assert told == ["model", "post"]


@pytest.mark.parametrize("mode", ["off", "observe", "enforce", "obsreve"])
def test_the_contract_hook_by_hand(
    mode: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portkey_provider.when(lambda request: True, '{"goal": "none"}')
    monkeypatch.setenv(variable_of("contracts"), mode)
    events: list[Event] = []
    hook = ContractHook(mode="off", observers=[events.append])
    # In JSON mode the model does not know the schema: only the hook does.
    team = Team(name="T", members=[], model=portkey_model, output_schema=Plan, use_json_mode=True)
    team.post_hooks = [hook]
    run = team.run("Plan")
    if mode in ("enforce", "obsreve"):
        assert (run.status, [e.data["mode"] for e in events]) == (RunStatus.error, ["enforce"])
        return
    assert run.status == RunStatus.completed
    assert not isinstance(run.content, Plan)
    assert [(e.role, e.swarm) for e in events] == ([("T", "T")] if mode == "observe" else [])


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_only_an_enforced_hook_makes_an_object_of_a_text(mode: Mode) -> None:
    output = SimpleNamespace(run_id="r", content=SOUND.model_dump_json())
    context = SimpleNamespace(output_schema=Plan)
    hook = ContractHook(mode=mode)
    hook.after(Moment(None, output, context, SimpleNamespace(name="P"), False, None))
    assert isinstance(output.content, Plan) is (mode == "enforce")


# Tags


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_tags_are_sent_unless_they_are_off(
    mode: Mode,
    form: str,
    source: str,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = Agent(name="Clerk", model=PortkeyModel(base_url=portkey_provider.url))
    policy = in_mode("tags", mode, source, monkeypatch, values={"cost_center": "cc-42"})
    events: list[Event] = []
    govern(agent, policy=policy, observers=[events.append])
    play(agent, form)
    headers = portkey_provider.calls[0].headers
    assert headers["x-portkey-trace-id"]
    if mode == "off":
        assert "x-portkey-metadata" not in headers
    else:
        assert json.loads(headers["x-portkey-metadata"])["cost_center"] == "cc-42"
    # Observers know whose call it is, whatever is sent.
    assert {event.role for event in events} == {"Clerk"}


def test_a_model_that_nobody_governs_follows_the_variable(
    portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(name="Clerk", model=PortkeyModel(base_url=portkey_provider.url))
    for mode, sent in (("off", False), ("observe", True), ("none", True)):
        monkeypatch.setenv(variable_of("tags"), mode)
        agent.run("Hi")
        assert ("x-portkey-metadata" in portkey_provider.calls[-1].headers) is sent


def test_an_agent_inside_of_a_tool_is_held_in_the_same_modes(portkey_model: PortkeyModel) -> None:
    helper = Agent(name="Helper", model=portkey_model)

    def ask(question: str) -> str:
        """Ask somebody else."""
        return str(helper.run(question).content)

    policy = Policy(tags={"mode": "off"}, contracts="observe")
    govern(Agent(name="Clerk", model=portkey_model, tools=[ask]), policy=policy)
    assert helper.model.seat.modes == terms_of(policy).modes


# Guards


class NoBirds(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a bird") if "bluebird" in passage.text else None


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_guards_of_a_policy(
    mode: Mode,
    form: str,
    source: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own: Mode = mode if source == "policy" else "off" if mode == "enforce" else "enforce"
    if source == "environment":
        monkeypatch.setenv(variable_of("guards"), mode)
    policy = Policy(guards=[{"use": "test_modes:NoBirds", "mode": own}])
    events: list[Event] = []
    agent = govern(Agent(model=portkey_model), policy=policy, observers=[events.append])
    run = play(agent, form, "a bluebird")
    told = [
        event.data["mode"] for event in events if event.kind == "guard" and not event.verdict.passed
    ]
    assert (run.status == RunStatus.error) is (mode == "enforce")
    assert bool(portkey_provider.calls) is (mode != "enforce")
    assert set(told) == (set() if mode == "off" else {mode})


# Governing with a policy


def test_a_team_is_governed_by_a_file_and_again_by_the_same(
    portkey_model: PortkeyModel, tmp_path: Any
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("gate: {runner: Runner, mode: observe}\ntags: {cost_center: cc-42}\n")
    policy = Policy.from_yaml(file)
    team = govern(release_team(portkey_model, Release()), policy=policy)
    seats = [owner.model.seat for owner in (team, *team.members)]
    assert {seat.charter.mode for seat in seats} == {"observe"}
    assert team.model.tags == {"cost_center": "cc-42"}
    assert govern(team, policy=Policy.from_yaml(file)) is team
    assert govern(team, policy=policy, tags={"cost_center": "cc-42"}) is team
    with pytest.raises(ConfigurationError, match="governed already, in another way"):
        govern(team, policy=Policy(gate={"runner": "Runner"}, tags={"cost_center": "cc-42"}))
    with pytest.raises(ConfigurationError, match=r"^gate: the policy says one"):
        govern(team, policy=policy, gate=Gate(min_score=9))
