"""Protected tools: they run only in the Runner's cleared run, as the plan's next open step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from agno.tools.function import Function, FunctionCall
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.calls import IO
from agno_portkey.contracts import Plan, Step
from agno_portkey.errors import ToolRefused
from agno_portkey.gates import Charter, Gate, is_protected, original, protect
from agno_portkey.gates.matching import same_value, step_matches
from agno_portkey.verdict import Event

PLAN = Plan(
    goal="ship",
    steps=(
        Step(action="test", tool="check", inputs={"suite": "smoke"}),
        Step(action="think"),
        Step(action="ship", tool="deploy", inputs={"target": "staging"}),
    ),
)


class Done:
    """Tools of every kind, with a record of what was really executed."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def check(self, suite: str) -> str:
        self.calls.append(("check", suite))
        return "ok"

    def deploy(self, target: str = "staging", *, note: str = "") -> str:
        self.calls.append(("deploy", target, note))
        return "shipped"

    async def adeploy(self, target: str) -> str:
        self.calls.append(("deploy", target))
        return "shipped"

    def stream(self, target: str) -> Iterator[str]:
        self.calls.append(("deploy", target))
        yield "ship"
        yield "ped"

    async def astream(self, target: str) -> AsyncIterator[str]:
        self.calls.append(("deploy", target))
        yield "shipped"


class Stage:
    """A charter with one cleared run, whose Runner's run id is `runner`."""

    def __init__(self, plan: Plan = PLAN, *, ordered: bool = True, cleared: bool = True) -> None:
        self.events: list[Event] = []
        self.done = Done()
        self.charter = Charter(
            Gate(ordered=ordered),
            tools=frozenset({"check", "deploy"}),
            observers=[self.events.append],
        )
        self.run = self.charter.runs.open("team", "T")
        self.charter.runs.join("runner", self.run, "runner", "Runner")
        self.charter.runs.join("planner", self.run, "planner", "Planner")
        self.run.propose(plan)
        if cleared:
            self.run.clear("runner")

    def call(self, name: str, *, by: str | None = "runner", tool: Any = None, **args: Any) -> Any:
        function = Function.from_callable(tool or getattr(self.done, name), name=name)
        entrypoint = protect(function, self.charter).entrypoint
        context = None if by is None else SimpleNamespace(run_id=by)
        return entrypoint(_agno_run_context=context, **args)


def test_the_cleared_steps_run_in_their_order() -> None:
    stage = Stage()
    assert stage.call("check", suite="smoke") == "ok"
    assert stage.call("deploy", target="staging") == "shipped"
    assert [call[0] for call in stage.done.calls] == ["check", "deploy"]
    assert stage.run.steps.missing(stage.charter.tools) == ()
    assert [e.data["step"] for e in stage.events if e.kind == "tool"] == [1, 3]


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (None, "not part of a governed team run"),
        ("unknown", "not part of a governed team run"),
        ("planner", "not part of a governed team run"),
        ("team", "not part of a governed team run"),
    ],
)
def test_only_the_cleared_run_of_the_runner_may_call(by: str | None, said: str) -> None:
    stage = Stage()
    with pytest.raises(ToolRefused, match=said):
        stage.call("check", by=by, suite="smoke")
    assert stage.done.calls == []


def test_nothing_runs_before_the_gate_or_after_the_runner_has_finished() -> None:
    closed = Stage(cleared=False)
    with pytest.raises(ToolRefused, match="has not cleared"):
        closed.call("check", suite="smoke")
    spent = Stage()
    spent.run.spent = True
    with pytest.raises(ToolRefused, match="used up"):
        spent.call("check", suite="smoke")
    assert closed.done.calls == spent.done.calls == []


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("check", {"suite": "smokf"}, "suite='smoke', and the call suite='smokf'"),
        ("check", {}, "the input suite, which the call leaves out"),
        ("deploy", {"target": "staging"}, "step 1 of the cleared plan comes first"),
        ("deploy", {"target": "production"}, "target='staging'"),
        ("other", {"suite": "smoke"}, "no step that calls other"),
    ],
)
def test_a_call_that_is_not_the_next_step_is_refused(
    name: str, args: dict[str, str], said: str
) -> None:
    stage = Stage()
    with pytest.raises(ToolRefused, match="refused") as refused:
        stage.call(name, tool=stage.done.check if name == "other" else None, **args)
    assert said in str(refused.value)
    assert stage.done.calls == []
    assert stage.events[-1].verdict is not None


def test_a_step_runs_once() -> None:
    stage = Stage()
    stage.call("check", suite="smoke")
    with pytest.raises(ToolRefused, match="done or under way"):
        stage.call("check", suite="smoke")
    assert len(stage.done.calls) == 1


def test_a_plan_put_forward_in_between_takes_the_leave_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    ask = stage.charter.arequire_clearance

    async def swap(run_id: str | None, io: IO) -> Any:
        leave = await ask(run_id, io)
        stage.run.propose(Plan(goal="another", steps=PLAN.steps))
        return leave

    monkeypatch.setattr(stage.charter, "arequire_clearance", swap)
    with pytest.raises(ToolRefused, match="another plan was put forward"):
        stage.call("check", suite="smoke")
    assert stage.done.calls == []


def test_a_step_that_failed_may_be_tried_again() -> None:
    stage = Stage()
    fails = iter([True, False])

    def check(suite: str) -> str:
        if next(fails):
            raise OSError("the test machine is down")
        return "ok"

    with pytest.raises(OSError, match="down"):
        stage.call("check", tool=check, suite="smoke")
    assert stage.run.steps.failed == {"check": "check raised OSError: the test machine is down"}
    with pytest.raises(ToolRefused, match="step 1 of the cleared plan comes first"):
        stage.call("deploy", target="staging")
    assert stage.call("check", tool=check, suite="smoke") == "ok"


def test_an_unordered_gate_lets_a_later_step_go_first() -> None:
    stage = Stage(ordered=False)
    assert stage.call("deploy", target="staging") == "shipped"


def test_defaults_count_as_given_and_unnamed_inputs_are_free() -> None:
    stage = Stage()
    stage.call("check", suite="smoke")
    assert stage.call("deploy", note="anything") == "shipped"
    assert stage.done.calls[-1] == ("deploy", "staging", "anything")


def test_what_a_call_gives_by_its_place_counts_as_given() -> None:
    stage = Stage()
    stage.call("check", suite="smoke")
    function = protect(Function.from_callable(stage.done.deploy), stage.charter)
    entrypoint: Any = function.entrypoint
    context = SimpleNamespace(run_id="runner")
    with pytest.raises(ToolRefused, match="target='staging', and the call target='production'"):
        entrypoint("production", _agno_run_context=context)
    assert entrypoint("staging", _agno_run_context=context) == "shipped"


@pytest.mark.parametrize("kind", ["adeploy", "astream"])
def test_a_plain_function_that_returns_an_awaitable_is_refused(kind: str) -> None:
    plan = Plan(goal="g", steps=(Step(action="s", tool="deploy"),))
    stage = Stage(plan)

    def deploy(target: str) -> Any:
        return getattr(stage.done, kind)(target)

    with pytest.raises(ToolRefused, match="has to be an `async def`"):
        stage.call("deploy", tool=deploy, target="x")
    assert stage.run.steps.done == stage.run.steps.taken == set()
    assert stage.done.calls == []


def test_a_generator_that_breaks_off_has_not_done_its_step() -> None:
    def deploy(target: str) -> Iterator[str]:
        yield "half"
        raise OSError("gone")

    plan = Plan(goal="g", steps=(Step(action="s", tool="deploy"),))
    stage = Stage(plan)
    pieces = stage.call("deploy", tool=deploy, target="x")
    assert next(pieces) == "half"
    assert stage.run.steps.done == set()
    with pytest.raises(OSError, match="gone"):
        next(pieces)
    assert stage.run.steps.done == stage.run.steps.taken == set()


@pytest.mark.parametrize("kind", ["adeploy", "stream", "astream"])
@pytest.mark.parametrize("by", ["runner", "planner"])
def test_every_kind_of_function_is_guarded(kind: str, by: str) -> None:
    plan = Plan(goal="g", steps=(Step(action="s", tool="deploy", inputs={"target": "x"}),))
    stage = Stage(plan)

    def run() -> Any:
        result = stage.call("deploy", by=by, tool=getattr(stage.done, kind), target="x")
        if kind == "adeploy":
            return asyncio.run(result)
        if kind == "stream":
            return "".join(result)

        async def collect() -> str:
            return "".join([piece async for piece in result])

        return asyncio.run(collect())

    if by == "runner":
        assert run() == "shipped"
        assert stage.run.steps.done == {1}
    else:
        with pytest.raises(ToolRefused):
            run()
        assert stage.done.calls == []


def test_the_model_sees_the_same_tool_as_before() -> None:
    plain = Function.from_callable(Done().deploy)
    guarded = protect(Function.from_callable(Done().deploy), Charter(Gate()))
    for function in (plain, guarded):
        function.process_entrypoint()
    assert guarded.to_dict() == plain.to_dict()
    assert "_agno_run_context" not in str(guarded.parameters)


def test_a_guarded_tool_is_not_served_from_a_cache_nor_guarded_twice() -> None:
    charter = Charter(Gate())
    function = Function.from_callable(Done().check)
    function.cache_results = True
    protect(function, charter)
    assert is_protected(function)
    assert not function.cache_results
    once = function.entrypoint
    assert protect(function, charter).entrypoint is once
    assert protect(Function(name="empty"), charter).entrypoint is None


def test_a_tool_that_takes_the_host_context_still_gets_it() -> None:
    seen = []

    def deploy(target: str, run_context: Any = None, _agno_run_context: Any = None) -> str:
        seen.append((run_context, _agno_run_context))
        return "ok"

    plan = Plan(goal="g", steps=(Step(action="s", tool="deploy"),))
    stage = Stage(plan)
    function = protect(Function(name="deploy", entrypoint=deploy), stage.charter)
    context = SimpleNamespace(run_id="runner")
    function.entrypoint(target="x", run_context=context, _agno_run_context=context)
    assert seen == [(context, context)]


def test_the_host_calls_a_guarded_tool_with_its_run() -> None:
    stage = Stage()
    function = protect(Function.from_callable(stage.done.check), stage.charter)._per_run_copy()
    function.process_entrypoint()
    for run_id, status in (("planner", "failure"), ("runner", "success")):
        function._run_context = SimpleNamespace(run_id=run_id, session_state=None)
        call = FunctionCall(function=function, arguments={"suite": "smoke"})
        if status == "failure":
            with pytest.raises(ToolRefused):
                call.execute()
        else:
            assert call.execute().status == status
    assert len(stage.done.calls) == 1


def test_the_users_function_is_found_under_every_wrapper() -> None:
    done = Done()
    function = Function.from_callable(done.check)
    function.process_entrypoint()
    assert original(protect(function, Charter(Gate())).entrypoint) is Done.check


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())


@given(scalars, scalars)
def test_values_are_the_same_only_if_they_are_equal_and_of_one_kind(one: Any, other: Any) -> None:
    assert same_value(one, one)
    if same_value(one, other):
        assert one == other
        assert isinstance(one, bool) == isinstance(other, bool)
        assert isinstance(one, str) == isinstance(other, str)


@given(st.text(min_size=1), st.data())
def test_one_changed_character_is_another_value(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    changed = (
        text[:at] + data.draw(st.characters().filter(lambda c: c != text[at])) + text[at + 1 :]
    )
    step = Step(action="a", tool="t", inputs=[{"name": "x", "value": text}])
    assert step_matches(step, {"x": text}) is None
    assert step_matches(step, {"x": changed}) is not None


@pytest.mark.parametrize(
    ("planned", "actual", "same"),
    [
        ("[1, 2]", [1, 2], True),
        ('{"a": 1}', {"a": 1}, True),
        ('{"a": 1}', Step(action="x"), False),
        ("[1, 2]", [2, 1], False),
        ("[1]", [True], False),
        ("[1]", [1.0], False),
        ("[1, 2]", (1, 2), True),
        ("[1]", [object()], False),
        ("1", 1, False),
        ("null", None, False),
        ("not json", ["not json"], False),
        ("[" * 100_000, [], False),
        (1, True, False),
        (1, 1.0, True),
        (0, False, False),
        (None, None, True),
        (None, "", False),
    ],
)
def test_structures_are_compared_as_json_and_kinds_are_not_mixed(
    planned: Any, actual: Any, same: bool
) -> None:
    assert same_value(planned, actual) is same
