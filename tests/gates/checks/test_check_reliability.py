"""`ReliabilityCheck`: which tools were called, at any depth, or are to be, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from agno.models.message import Message
from agno.models.response import ToolExecution
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput
from check_cases import PLAN, case_of
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import Plan, Step
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.checks.reliability import ReliabilityCheck
from agno_portkey.verdict import Verdict

AT = 1_700_000_000


def call(tool: str, at: int = AT, **rest: Any) -> ToolExecution:
    return ToolExecution(tool_name=tool, created_at=at, **rest)


def ran(*calls: ToolExecution | str, **rest: Any) -> RunOutput:
    tools = [call(each) if isinstance(each, str) else each for each in calls]
    return RunOutput(tools=tools, **rest)


def requested(tool: str, **rest: Any) -> Message:
    function = {"name": tool, "arguments": "{}"}
    made = [{"id": "1", "type": "function", "function": function}]
    return Message(role="assistant", tool_calls=made, **rest)


def decided(*outputs: Any, **settings: Any) -> Verdict:
    return ReliabilityCheck(**settings).decide(case_of(outputs=outputs))


def planned(plan: Plan | None = PLAN, **settings: Any) -> Verdict:
    return ReliabilityCheck(of="plan", **settings).decide(case_of(plan))


# What was called


def test_a_tool_that_was_called_passes_and_others_do_not_matter() -> None:
    verdict = decided(ran("search", "other"), expected=("search",))
    assert (verdict.passed, verdict.score, verdict.source) == (True, 1.0, "reliability")


@pytest.mark.parametrize(
    "output",
    [
        TeamRunOutput(tools=[call("search")]),
        TeamRunOutput(member_responses=[ran("search")]),
        TeamRunOutput(member_responses=[TeamRunOutput(member_responses=[ran(), ran("search")])]),
    ],
    ids=["leader", "member", "member of a member"],
)
def test_leader_and_members_count_at_any_depth(output: TeamRunOutput) -> None:
    assert decided(output, expected=("search",)).passed
    assert not decided(output, forbidden=("search",)).passed


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ((), "search was not called (expected: search): have it called"),
        ((call("search", tool_call_error=True),), "no call of it went well"),
        ((call("search", requires_confirmation=True),), "no call of it went well"),
        ((call("search", external_execution_required=True),), "no call of it went well"),
        (("Search", "search "), "search was not called"),
    ],
)
def test_only_a_clean_call_counts(tools: tuple[Any, ...], said: str) -> None:
    verdict = decided(ran(*tools), expected=("search",))
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert said in verdict.reason


def test_one_that_was_done_again_and_went_well_counts() -> None:
    assert decided(ran(call("search", tool_call_error=True), "search"), expected="search").passed


def test_a_request_that_the_host_refused_is_no_call_but_an_attempt() -> None:
    run = ran(messages=[requested("search")])
    assert "no call of it went well" in decided(run, expected="search").reason
    assert not decided(run, forbidden="search").passed


def test_what_was_asked_for_in_an_earlier_run_is_of_no_account() -> None:
    run = ran(messages=[requested("search", from_history=True), Message(role="user")])
    assert decided(run, forbidden="search").passed
    assert "was not called" in decided(run, expected="search").reason


@pytest.mark.parametrize(
    "attempt",
    [call("drop"), call("drop", tool_call_error=True), call("drop", requires_confirmation=True)],
)
def test_what_is_forbidden_may_not_even_be_tried(attempt: ToolExecution) -> None:
    verdict = decided(ran("search", attempt), expected="search", forbidden=("drop", "wipe"))
    assert verdict.reasons == ("drop was called, and is forbidden",)
    assert verdict.score == pytest.approx(2 / 3)


def test_a_run_that_paused_and_went_on_counts_as_it_is_now() -> None:
    before = ran(call("search", requires_confirmation=True), run_id="r")
    after = ran("search", run_id="r")
    assert decided(before, after, expected="search").passed
    twice = {"expected": ("search", "search"), "ordered": True}
    assert not decided(after, TeamRunOutput(member_responses=[after]), **twice).passed
    assert decided(after, ran("search", run_id="s"), **twice).passed


def test_without_a_recorded_run_nothing_is_known() -> None:
    verdict = decided(forbidden="drop")
    assert not verdict.passed
    assert "nothing tells what was called" in verdict.reason


@pytest.mark.parametrize("junk", [None, {"tools": []}, "run"])
def test_what_is_no_run_refuses(junk: Any) -> None:
    verdict = decided(ran("search"), junk, expected="search")
    assert not verdict.passed
    assert type(junk).__name__ in verdict.reason


# Arguments


@pytest.mark.parametrize(
    ("wanted", "given_", "passes"),
    [
        ({"query": "2.1"}, {"query": "2.1", "deep": True}, True),
        ({"query": "2.1"}, {"query": "2.2"}, False),
        ({"query": "2.1"}, {}, False),
        ({"query": "2.1"}, None, False),
        ({}, None, True),
        ({"deep": True}, {"deep": 1}, False),
        ({"deep": 1}, {"deep": True}, False),
        ({"count": 1}, {"count": 1.0}, True),
        ({"count": 1}, {"count": "1"}, False),
        ({"query": None}, {"query": None}, True),
        ({"hosts": ["a"]}, {"hosts": ["a"]}, True),
        ({"hosts": ["a"]}, {"hosts": ["b"]}, False),
    ],
)
def test_arguments_hold_exactly(wanted: Any, given_: Any, passes: bool) -> None:
    verdict = decided(ran(call("search", tool_args=given_)), arguments={"search": wanted})
    assert verdict.passed is passes
    if not passes:
        expected = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
        assert verdict.reasons == (
            f"no call of search has the arguments that are expected of it ({expected})",
        )


def test_each_of_several_arguments_needs_a_call() -> None:
    calls = [call("add", tool_args={"a": n}) for n in (1, 2)]
    assert decided(ran(*calls), arguments={"add": [{"a": 1}, {"a": 2}]}).passed
    assert not decided(ran(*calls), arguments={"add": [{"a": 1}, {"a": 3}]}).passed


def test_arguments_of_a_call_in_vain_do_not_count() -> None:
    failed = call("add", tool_args={"a": 1}, tool_call_error=True)
    verdict = decided(ran(failed, "add"), expected="add", arguments={"add": {"a": 1}})
    assert not verdict.passed
    assert verdict.score == 0.5


def test_of_a_missing_call_one_reason_is_enough() -> None:
    verdict = decided(ran(), expected="add", arguments={"add": {"a": 1}})
    assert verdict.reasons == ("add was not called (expected: add): have it called",)
    assert verdict.score == 0


# Order


@pytest.mark.parametrize(
    ("names", "passes"),
    [
        (["a", "b"], True),
        (["x", "a", "x", "b", "a"], True),
        (["b", "a"], False),
        (["b", "a", "b"], True),
    ],
)
def test_the_order_is_that_of_the_calls(names: list[str], passes: bool) -> None:
    verdict = decided(ran(*names), expected=("a", "b"), ordered=True)
    assert verdict.passed is passes
    if not passes:
        assert verdict.reasons == ("the calls came in the order b, a; expected was a, b",)
        assert verdict.score == pytest.approx(2 / 3)


def test_of_an_order_with_a_missing_call_one_reason_is_enough() -> None:
    verdict = decided(ran("b"), expected=("a", "b"), ordered=True)
    assert verdict.reasons == ("a was not called (expected: a, b): have it called",)
    assert verdict.score == pytest.approx(1 / 3)


def test_across_members_the_order_is_that_of_time() -> None:
    leader = TeamRunOutput(tools=[call("b", AT + 5)], member_responses=[ran(call("a", AT))])
    assert decided(leader, expected=("a", "b"), ordered=True).passed
    assert not decided(leader, expected=("b", "a"), ordered=True).passed


def test_a_call_in_vain_has_no_place_in_the_order() -> None:
    run = ran(call("a", tool_call_error=True), "b", "a")
    assert not decided(run, expected=("a", "b"), ordered=True).passed


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), min_size=2))
def test_an_order_holds_where_the_calls_contain_it(names: list[str], wanted: list[str]) -> None:
    verdict = decided(ran(*names), expected=tuple(wanted), ordered=True)
    places, start = [], 0
    for name in wanted:
        if name not in names[start:]:
            break
        start = names.index(name, start) + 1
        places.append(start)
    assert verdict.passed is (len(places) == len(wanted))
    assert verdict.score is not None
    assert verdict.passed is (verdict.score == 1)


# The plan


def test_the_tools_of_a_plan_are_those_of_its_steps() -> None:
    assert planned(expected=("search", "deploy"), ordered=True).passed
    assert not planned(expected=("deploy", "search"), ordered=True).passed
    verdict = planned(expected="build", forbidden=("deploy", "drop"))
    assert verdict.reasons == (
        "build is not called by the plan (expected: build): put a step that calls it into the plan",
        "deploy is called by the plan, and is forbidden",
    )
    assert verdict.score == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [
        ({"search": {"query": "2.1", "deep": True}}, True),
        ({"search": {"deep": 1}}, False),
        ({"deploy": {"hosts": ["a", "b"]}}, True),
        ({"deploy": {"hosts": ["a"]}}, False),
        ({"deploy": {"count": True}}, False),
        ({"deploy": {"rollback": False}}, False),
    ],
)
def test_inputs_of_steps_are_compared_as_the_runner_is_held_to_them(
    arguments: Any, passes: bool
) -> None:
    assert planned(arguments=arguments).passed is passes


def test_a_plan_is_judged_by_its_steps_and_not_by_the_run() -> None:
    check = ReliabilityCheck(of="plan", forbidden="drop")
    assert check.decide(case_of(outputs=(ran("drop"),))).passed
    plan = Plan(goal="x", steps=(Step(action="drop it"),))
    assert check.decide(case_of(plan)).passed


def test_without_a_plan_there_is_nothing_to_judge() -> None:
    assert "ask the Planner" in planned(None, forbidden="drop").reason


# Settings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "nothing is expected, and nothing forbidden"),
        ({"expected": ()}, "nothing is expected"),
        ({"expected": ("",)}, "expected: the names of tools"),
        ({"expected": (1,)}, "expected: the names of tools"),
        ({"expected": 1}, "expected: the names of tools"),
        ({"forbidden": None}, "forbidden: the names of tools"),
        ({"expected": "a", "forbidden": "a"}, "a is expected, and forbidden"),
        ({"arguments": {"a": {}}, "forbidden": "a"}, "a is expected, and forbidden"),
        ({"expected": "a", "ordered": True}, "ordered"),
        ({"expected": ("a", "b"), "ordered": 1}, "ordered"),
        ({"expected": "a", "of": "team"}, "of: run or plan"),
        ({"arguments": ["a"]}, "arguments"),
        ({"arguments": {"a": []}}, "arguments"),
        ({"arguments": {"a": ["b"]}}, "arguments"),
        ({"arguments": {"a": "b"}}, "arguments"),
        ({"arguments": {1: {}}}, "arguments"),
    ],
)
def test_what_demands_nothing_or_contradicts_itself_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ReliabilityCheck(**wrong)
