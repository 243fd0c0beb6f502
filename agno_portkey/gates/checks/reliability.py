"""`ReliabilityCheck`: the tools that had to be called were, as they had to be, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agno.eval.reliability import ReliabilityEval, ReliabilityResult
from agno.models.message import Message
from agno.models.response import ToolExecution
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput

from agno_portkey.contracts import Plan
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check
from agno_portkey.gates.checks.models import NO_PLAN
from agno_portkey.gates.matching import same_value
from agno_portkey.verdict import Verdict

__all__ = ["ReliabilityCheck"]


@dataclass(frozen=True, kw_only=True)
class ReliabilityCheck(Check):
    """Passes a run, or a plan, that calls the tools it has to, and none that it must not.

    `expected` names tools that are called at least once, and `ordered` says that they are in this
    order; `arguments` maps a tool to arguments that one of its calls has, or to several such.
    `forbidden` names tools that are not called, not even in vain or in a run that failed. With
    `of="run"` the calls are those of the leader and the members, at any depth, that went well; with
    `of="plan"` those that the steps of the plan are to make. Its score is the share of these
    demands that are met.
    """

    name: str = "reliability"
    expected: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    ordered: bool = False
    forbidden: tuple[str, ...] = ()
    of: Literal["run", "plan"] = "run"

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in ("expected", "forbidden"):
            object.__setattr__(self, each, _names(getattr(self, each), f"{self.name}.{each}"))
        object.__setattr__(self, "arguments", _specs(self.arguments, f"{self.name}.arguments"))
        if self.of not in ("run", "plan"):
            raise ConfigurationError(f"{self.name}.of: run or plan, not {self.of!r}")
        if not isinstance(self.ordered, bool) or (self.ordered and len(self.expected) < 2):
            raise ConfigurationError(f"{self.name}.ordered: True where `expected` has an order")
        if not self.expected and not self.arguments and not self.forbidden:
            raise ConfigurationError(f"{self.name}: nothing is expected, and nothing forbidden")
        if both := sorted({*self.expected, *self.arguments}.intersection(self.forbidden)):
            raise ConfigurationError(f"{self.name}: {both[0]} is expected, and forbidden")

    def decide(self, case: Case) -> Verdict:
        if self.of == "plan":
            return self.verdict(NO_PLAN) if case.plan is None else self._judged(_planned(case.plan))
        if not case.outputs:
            return self.verdict(
                f"no run of a member is recorded, so nothing tells what was called{self._wanted()}"
            )
        strange = [each for each in case.outputs if not isinstance(each, RunOutput | TeamRunOutput)]
        if strange:
            return self.verdict(f"a run is recorded as {type(strange[0]).__name__}: no run output")
        made = _made(case.outputs)
        return self._judged(replace(made, tried=made.tried | case.tried))

    def _judged(self, calls: _Calls) -> Verdict:
        result = self._evaluated(calls)
        missing = [entry.partition(" (")[0] for entry in result.missing_tool_calls]
        names = [call.tool_name for call in calls.clean]
        tried = [name for name in self.forbidden if name in calls.tried]
        misplaced = self.ordered and not missing and not _in_order(self.expected, names)
        reasons = [
            *(self._missing(name, calls) for name in dict.fromkeys(missing)),
            *(self._unlike(name, names.count(name)) for name in result.failed_argument_checks),
            *(f"{name} {self._said()}, and is forbidden" for name in tried),
        ]
        if misplaced:
            reasons.append(
                f"the calls came in the order {', '.join(map(str, names))}; expected was "
                f"{', '.join(self.expected)}"
            )
        demands = [
            *(name not in missing for name in dict.fromkeys(self.expected)),
            *(name in result.passed_argument_checks for name in self.arguments),
            *(name not in tried for name in self.forbidden),
            *[not missing and not misplaced] * self.ordered,
        ]
        return self.verdict(*reasons, score=sum(demands) / len(demands), calls=len(names))

    def _evaluated(self, calls: _Calls) -> ReliabilityResult:
        evaluation = ReliabilityEval(
            agent_response=RunOutput(tools=calls.executions, messages=calls.messages),
            expected_tool_calls=list(self.expected),
            allow_additional_tool_calls=True,
            expected_tool_call_arguments={
                name: [{key: _Value(value) for key, value in spec.items()} for spec in specs]
                for name, specs in self.arguments.items()
            },
            show_spinner=False,
            telemetry=False,
        )
        # Its `run` would take over the standard output of the process for as long as it lasts.
        return evaluation._evaluate(run_id=self.name)

    def _missing(self, name: str, calls: _Calls) -> str:
        if name in calls.tried:
            return (
                f"{name} was called, but no call of it went well, as one has to: have it done again"
            )
        todo = "put a step that calls it into the plan" if self.of == "plan" else "have it called"
        return f"{name} {self._said('not ')}{self._wanted()}: {todo}"

    def _wanted(self) -> str:
        names = dict.fromkeys((*self.expected, *self.arguments))
        return f" (expected: {', '.join(names)})" if names else ""

    def _unlike(self, name: str, calls: int) -> str:
        """The arguments that the calls of a tool have not; theirs may be a model's words."""
        made = f"none of {calls} calls of {name} has" if calls > 1 else f"no call of {name} has"
        sets = (
            ", ".join(f"{key}={given!r}" for key, given in spec.items())
            for spec in self.arguments[name]
        )
        return f"{made} the arguments that are expected of it ({'; and '.join(sets)})"

    def _said(self, negation: str = "") -> str:
        return f"is {negation}called by the plan" if self.of == "plan" else f"was {negation}called"


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of tools in the order in which they were made; `tried` names also those in vain."""

    executions: list[ToolExecution]
    messages: list[Message] = field(default_factory=list)
    tried: frozenset[str] = frozenset()

    @property
    def clean(self) -> list[ToolExecution]:
        return [
            call
            for call in self.executions
            if call.tool_name and not call.tool_call_error and not call.is_paused
        ]


class _Value:
    """An expected value. The host compares by ==, to which 1 is True."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, actual: object) -> bool:
        return same_value(self.value, actual) or same_value(actual, self.value)

    __hash__ = None  # type: ignore[assignment]


def _planned(plan: Plan) -> _Calls:
    calls = [
        ToolExecution(
            tool_name=step.tool, tool_args={each.name: each.value for each in step.inputs}
        )
        for step in plan.steps
        if step.tool is not None
    ]
    return _Calls(calls, tried=frozenset(str(call.tool_name) for call in calls))


def _made(outputs: Iterable[RunOutput | TeamRunOutput]) -> _Calls:
    runs = [*_runs(outputs)]
    # A run that paused is there again once it went on, with all of its calls.
    latest = {run.run_id or str(id(run)): run for run in runs}.values()
    calls = [call for run in latest for call in run.tools or []]
    # The leader's own lie between those of its members.
    calls.sort(key=lambda call: call.created_at)
    messages = [message for run in latest for message in run.messages or []]
    tried = {call.tool_name for run in runs for call in run.tools or [] if call.tool_name}
    return _Calls(calls, messages, frozenset(tried | {*_requested(messages)}))


def _runs(outputs: Iterable[Any]) -> Iterator[RunOutput | TeamRunOutput]:
    for output in outputs:
        yield output
        yield from _runs(getattr(output, "member_responses", None) or [])


def _requested(messages: Iterable[Message]) -> Iterator[str]:
    """What a model asked for in this run, also where the host refused it and nothing was run."""
    for message in messages:
        for call in () if message.from_history else message.tool_calls or ():
            if name := (call.get("function") or {}).get("name"):
                yield name


def _in_order(expected: Sequence[str], names: Iterable[str | None]) -> bool:
    left = iter(names)
    return all(name in left for name in expected)


def _names(given: object, field: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if isinstance(names, Iterable):
        names = tuple(names)
        if all(isinstance(name, str) and name.strip() for name in names):
            return names
    raise ConfigurationError(f"{field}: the names of tools")


def _specs(given: object, field: str) -> dict[str, tuple[dict[str, Any], ...]]:
    """By tool, each set of arguments that one of its calls has to have."""
    wrong = ConfigurationError(f"{field}: arguments by the names of tools, {{'search': {{...}}}}")
    if not isinstance(given, Mapping):
        raise wrong
    found = {}
    for name, specs in given.items():
        several = (specs,) if isinstance(specs, Mapping) else specs
        if not isinstance(name, str) or not isinstance(several, Sequence) or not several:
            raise wrong
        if not all(isinstance(spec, Mapping) for spec in several):
            raise wrong
        found[name] = tuple(dict(spec) for spec in several)
    return found
