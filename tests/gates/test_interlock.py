"""The locks inside the models, with a stand-in for all that lies below them."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.tools.function import Function, FunctionCall

from agno_portkey.calls import Call
from agno_portkey.contracts import Judgement, Plan, Step
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import ContractError, GateClosed, RunDeclined, ToolRefused
from agno_portkey.gates import Charter, Declined, Gate, Seat, guard_call, interlock, is_protected
from agno_portkey.pipeline import compose
from agno_portkey.verdict import Verdict

PLAN = Plan(goal="a", steps=(Step(action="x", tool="t"),))


class Model:
    """What lies below a lock: says `deltas`, and counts how often it was asked."""

    def __init__(self, *deltas: ModelResponse) -> None:
        self.deltas = deltas or (ModelResponse(content="It is "), ModelResponse(content="done."))
        self.asked = 0

    async def __call__(self, call: Call) -> AsyncIterator[ModelResponse]:
        self.asked += 1
        for delta in self.deltas:
            yield copy.copy(delta)


class Scene:
    def __init__(self, part: str, *, run_id: str = "team", **seat: Any) -> None:
        self.charter = Charter(Gate(max_rounds=2), tools=frozenset({"t"}))
        self.run = self.charter.runs.open("team", "Team")
        self.output = SimpleNamespace(run_id=run_id, content=None, content_type="str")
        self.seat = Seat(part, "Role", "Team", self.charter, **seat)  # type: ignore[arg-type]

    def say(self, model: Model, *messages: Message, auxiliary: bool = False) -> list[ModelResponse]:
        output = None if auxiliary else self.output
        call = Call([*messages], Message(role="assistant"), run_response=output)
        return list(drive(compose([interlock(self.seat)], SyncIO(), model)(call)))

    def clear(self, *, finished: bool = False) -> None:
        station = self.charter.runs.join("runner", self.run, "runner", "Runner")
        self.run.propose(PLAN)
        self.run.show("judge")
        self.run.hear("judge", Judgement(decision="approve", score=9))
        self.charter.admit(station, "runner")
        if finished:
            self.run.steps.done.add(1)
            self.charter.finish(station, "runner")


def text(deltas: list[ModelResponse]) -> str:
    return "".join(delta.content or "" for delta in deltas)


CALLS = ModelResponse(content="I have shipped it.", tool_calls=[{"id": "1"}])


def test_only_some_parts_need_a_lock() -> None:
    charter = Charter(Gate())
    assert interlock(Seat("member", "R", None, charter)) is None
    assert interlock(Seat("leader", "R", None, None)) is None
    assert interlock(Seat("member", "R", None, charter, holds=True)) is not None
    seat = Seat("runner", "R", None, charter)
    assert copy.deepcopy(seat) is seat


def test_the_runner_speaks_only_in_its_cleared_run() -> None:
    scene, model = Scene("runner", run_id="runner"), Model()
    for _ in range(2):
        with pytest.raises(GateClosed):
            scene.say(model)
    assert model.asked == 0
    scene.clear()
    assert text(scene.say(model)) == ""  # its step is not done
    scene.run.steps.done.add(1)
    assert text(scene.say(model)) == "It is done."
    scene.run.spent = True
    with pytest.raises(GateClosed):
        scene.say(model)
    assert model.asked == 2


@pytest.mark.parametrize("part", ["runner", "aide"])
def test_auxiliary_calls_wait_until_some_run_is_cleared(part: str) -> None:
    scene, model = Scene(part), Model()
    with pytest.raises(GateClosed, match="no run of this team is cleared"):
        scene.say(model, auxiliary=True)
    scene.clear()
    assert text(scene.say(model, auxiliary=True)) == "It is done."
    scene.run.ended = True
    with pytest.raises(GateClosed):
        scene.say(model, auxiliary=True)
    assert model.asked == 1


def test_a_leader_that_ends_unsettled_is_declined_and_nothing_is_shown() -> None:
    scene, model = Scene("leader", holds=True), Model()
    shown: list[ModelResponse] = []
    with pytest.raises(RunDeclined, match="there is no plan yet"):
        shown.extend(scene.say(model))
    assert text(shown) == ""
    assert isinstance(scene.output.content, Declined)
    assert scene.output.content_type == "Declined"


def test_a_leaders_tool_calls_pass_and_its_words_wait_for_the_end() -> None:
    scene = Scene("leader", holds=True)
    beside = scene.say(Model(CALLS))
    assert text(beside) == ""
    assert beside[0].tool_calls == CALLS.tool_calls
    scene.clear(finished=True)
    assert text(scene.say(Model())) == "I have shipped it.\n\nIt is done."
    assert text(scene.say(Model())) == "It is done."


def test_in_tasks_mode_a_leaders_text_is_not_its_last_word() -> None:
    scene = Scene("leader", holds=True, ends_on_text=False)
    assert text(scene.say(Model())) == ""
    assert scene.run.held == ["It is done."]


@pytest.mark.parametrize("part", ["leader", "member"])
def test_whoever_speaks_below_the_leader_is_refused_until_it_is_settled(part: str) -> None:
    scene = Scene(part, run_id="inner", holds=True)
    scene.charter.runs.join("inner", scene.run, "member", "Inner")
    with pytest.raises(GateClosed, match="what Role says does not stand"):
        scene.say(Model())
    assert text(scene.say(Model(CALLS))) == ""
    assert scene.run.held == []
    scene.clear(finished=True)
    assert text(scene.say(Model())) == "It is done."


def test_a_sub_team_without_the_runner_speaks_freely() -> None:
    scene = Scene("leader", run_id="inner")
    scene.charter.runs.join("inner", scene.run, "member", "Inner")
    assert text(scene.say(Model())) == "It is done."


def test_a_leader_without_a_run_is_declined_and_a_member_is_let_be() -> None:
    leader = Scene("leader", run_id="unknown", holds=True)
    model = Model()
    with pytest.raises(RunDeclined, match="hooks did not run"):
        leader.say(model)
    assert isinstance(leader.output.content, Declined)
    assert model.asked == 0
    assert text(leader.say(model, auxiliary=True)) == "It is done."
    assert text(Scene("member", run_id="unknown", holds=True).say(model)) == "It is done."


def test_a_barred_run_or_one_out_of_rounds_ends_before_the_model_is_asked() -> None:
    barred, spent, model = Scene("leader", holds=True), Scene("leader", holds=True), Model()
    barred.charter.bar(barred.run, "it broadcasts")
    spent.run.judgements = 2
    for scene in (barred, spent):
        with pytest.raises(RunDeclined):
            scene.say(model)
    assert model.asked == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "Refused by the gate: no test"),
        (None, "Refused by the gate: no test"),
        ("I did it.", "I did it.\n\nRefused by the gate: no test"),
        ("may not run: no test", "may not run: no test"),
    ],
)
def test_the_leader_reads_each_refusal_once(content: str | None, told: str) -> None:
    scene = Scene("leader", holds=True)
    scene.run.note_refusal("no test")
    messages = [
        Message(role="tool", content="older"),
        Message(role="tool", content=content),
        Message(role="user", content="go on"),
    ]
    for _ in range(2):
        scene.say(Model(CALLS), *messages)
    assert [m.content for m in messages] == ["older", told, "go on"]


def test_a_refusal_without_a_tool_result_changes_nothing() -> None:
    scene = Scene("leader", holds=True)
    scene.run.note_refusal("no test")
    message = Message(role="user", content="go")
    scene.say(Model(CALLS), message)
    assert message.content == "go"
    # It is kept for who has a result to read it in.
    result = Message(role="tool", content=None)
    scene.say(Model(CALLS), message, result)
    assert result.content == "Refused by the gate: no test"


@pytest.mark.parametrize("part", ["planner", "critic", "judge"])
def test_a_broken_contract_is_told_to_the_leader_and_at_the_end(part: str) -> None:
    class Broken(Model):
        async def __call__(self, call: Call) -> AsyncIterator[ModelResponse]:
            raise ContractError(Verdict(False, "contract", ("steps: Field required",)))
            yield

    scene = Scene(part, run_id=part)
    scene.charter.runs.join(part, scene.run, part, "Role")  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(ContractError):
            scene.say(Broken())
    assert scene.run.untold == ["steps: Field required"] * 2
    assert scene.charter.decline(scene.run).verdict.reasons[0] == "steps: Field required"
    alone = Scene(part, run_id="unknown")
    with pytest.raises(ContractError):
        alone.say(Broken())
    assert text(alone.say(Model())) == "It is done."


# Tool calls, which the host runs through the model


def tool_call(name: str, run_id: str = "team", **arguments: Any) -> tuple[FunctionCall, list[str]]:
    done: list[str] = []

    def entrypoint(**kwargs: Any) -> str:
        done.append(name)
        return "done"

    function = Function(name=name, entrypoint=entrypoint)
    function._run_context = SimpleNamespace(run_id=run_id, session_state=None)
    return FunctionCall(function=function, arguments=arguments), done


@pytest.mark.parametrize("part", ["planner", "leader", "runner"])
def test_a_bare_tool_of_the_runner_is_guarded_when_it_is_called(part: str) -> None:
    call, done = tool_call("t")
    guard_call(Scene(part).seat, call)
    assert is_protected(call.function)
    with pytest.raises(ToolRefused):
        call.execute()
    assert done == []


def test_other_tools_and_other_seats_are_left_alone() -> None:
    for seat in (Scene("planner").seat, Seat("planner", "P", None, None)):
        call, done = tool_call("other")
        guard_call(seat, call)
        assert call.execute().result == "done"
        assert done == ["other"]


def test_a_tool_is_known_by_what_is_under_it_too() -> None:
    scene = Scene("planner")
    call, _ = tool_call("another name")
    scene.charter.functions = frozenset({id(call.function.entrypoint)})
    guard_call(scene.seat, call)
    assert is_protected(call.function)


@pytest.mark.parametrize("part", ["leader", "member"])
def test_no_tool_speaks_for_a_held_speaker(part: str) -> None:
    scene = Scene(part, holds=True)
    for name, shown in (("lookup", False), ("delegate_task_to_member", True)):
        call, _ = tool_call(name)
        call.function.show_result = True
        guard_call(scene.seat, call)
        assert call.function.show_result is shown
    scene.clear(finished=True)
    call, _ = tool_call("lookup")
    call.function.show_result = True
    guard_call(scene.seat, call)
    assert call.function.show_result


@pytest.mark.parametrize(
    ("name", "arguments", "refused"),
    [
        ("mark_all_complete", {"summary": "all done"}, True),
        ("update_task_status", {"status": "completed"}, True),
        ("update_task_status", {"status": "in_progress", "result": "all done"}, True),
        ("update_task_status", {"status": "failed"}, False),
        ("list_tasks", {}, False),
    ],
)
def test_a_leader_can_not_declare_work_done_before_it_is(
    name: str, arguments: dict[str, str], refused: bool
) -> None:
    scene = Scene("leader", holds=True)
    call, done = tool_call(name, **arguments)
    guard_call(scene.seat, call)
    if refused:
        with pytest.raises(ToolRefused, match="no task is done before the cleared plan"):
            call.execute()
    else:
        call.execute()
    assert bool(done) is not refused
    scene.clear(finished=True)
    call, done = tool_call(name, **arguments)
    guard_call(scene.seat, call)
    call.execute()
    assert done == [name]


def test_nor_can_the_leader_of_an_unknown_run() -> None:
    call, done = tool_call("mark_all_complete", run_id="unknown", summary="done")
    guard_call(Scene("leader", holds=True).seat, call)
    with pytest.raises(ToolRefused):
        call.execute()
    assert done == []
