"""One small story that needs no account: a release, planned badly first, and who ships it.

The demo tells it and the tests run it. The team is an ordinary Agno team; `tell` scripts the
embedded provider so that every role answers as a model of that role might.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.team import Team

from agno_portkey.contracts import Critique, Decision, Issue, Judgement, Plan, Severity, Step
from agno_portkey.testing.provider import EmbeddedProvider, Request
from agno_portkey.testing.replies import Completion, Reply, ToolCall

__all__ = ["FLAWED", "REQUEST", "SOUND", "Release", "release_team", "script_of", "tell"]

REQUEST = "Ship release 2.1 to staging."

FLAWED = Plan(
    goal="Ship release 2.1",
    steps=(
        Step(
            action="Deploy 2.1 to every user at once",
            tool="deploy",
            inputs={"version": "2.1", "target": "production"},  # type: ignore[arg-type]
            expected="2.1 answers",
        ),
    ),
)
SOUND = Plan(
    goal="Ship release 2.1 to staging",
    steps=(
        Step(
            action="Run the smoke tests",
            tool="run_tests",
            inputs={"suite": "smoke"},  # type: ignore[arg-type]
            expected="all pass",
        ),
        Step(
            action="Deploy 2.1 to staging",
            tool="deploy",
            inputs={"version": "2.1", "target": "staging"},  # type: ignore[arg-type]
            expected="staging answers with 2.1",
        ),
    ),
)

_ORDER = ("planner", "critic", "judge", "runner")


class Release:
    """What the Runner's tools do, and a record of what they really did."""

    def __init__(self) -> None:
        self.done: list[tuple[str, dict[str, str]]] = []

    def run_tests(self, suite: str) -> str:
        """Run a test suite.

        Args:
            suite: The name of the suite.
        """
        self.done.append(("run_tests", {"suite": suite}))
        return f"{suite}: 42 passed"

    def deploy(self, version: str, target: str) -> str:
        """Deploy a version to an environment.

        Args:
            version: The version to deploy.
            target: The environment: staging or production.
        """
        self.done.append(("deploy", {"version": version, "target": target}))
        return f"{version} is live on {target}"


def release_team(model: Model, release: Release, **options: Any) -> Team:
    """The team of the story: Planner, Critic, Judge and Runner under a leader; not yet governed.

    `options` go to Agno's `Team`.
    """
    planner = Agent(
        name="Planner",
        role="Writes the plan",
        model=model,
        output_schema=Plan,
        instructions=(
            "You are the Planner. Write a plan of few steps. The Runner has two tools: "
            "run_tests(suite) and deploy(version, target). Name the tool of each step and its "
            "inputs. Take up every reason for which an earlier plan was refused."
        ),
    )
    critic = Agent(
        name="Critic",
        role="Finds what is wrong with the plan",
        model=model,
        output_schema=Critique,
        instructions=(
            "You are the Critic. Name what is wrong with the plan; an issue that forbids running "
            "it is blocking. Deploying untested, or to production, is blocking."
        ),
    )
    judge = Agent(
        name="Judge",
        role="Decides whether the plan may run",
        model=model,
        output_schema=Judgement,
        instructions="You are the Judge. Approve a plan that is safe and complete; score it 0-10.",
    )
    runner = Agent(
        name="Runner",
        role="Carries the plan out",
        model=model,
        tools=[release.run_tests, release.deploy],
        instructions="You are the Runner. Do the plan's steps in order with your tools.",
    )
    return Team(
        **{
            "name": "Release",
            "members": [planner, critic, judge, runner],
            "model": model,
            "instructions": (
                "Ask the Planner for a plan, then the Critic, then the Judge, then the Runner. "
                "If the Runner is refused, hand the reasons to the Planner and go round again."
            ),
            **options,
        }
    )


def tell(
    provider: EmbeddedProvider,
    *,
    plans: Sequence[Plan] = (FLAWED, SOUND),
    last_word: str = "Release 2.1 is live on staging.",
) -> None:
    """Script `provider` as the team's models: one plan a round, sound judges, a faithful Runner."""
    for applies, answer in _rules(plans, last_word):
        provider.when(applies, answer)


def script_of(
    *, plans: Sequence[Plan] = (SOUND,), last_word: str = "Release 2.1 is live on staging."
) -> Callable[[Request], dict[str, Any]]:
    """The same script without a server: from a request to the JSON of its chat completion."""
    rules = _rules(plans, last_word)
    serials = itertools.count(1)

    def answer(request: Request) -> dict[str, Any]:
        said: Any = f"You said: {request.last_user}"
        for applies, answered in rules:
            if applies(request):
                said = answered(request) if callable(answered) else answered[0]
                break
        completion = Completion(Reply.of(said), request.model or "", "", next(serials))
        body: dict[str, Any] = json.loads(b"".join(completion.whole().parts))
        return body

    return answer


def _rules(plans: Sequence[Plan], last_word: str) -> list[tuple[Callable[[Request], bool], Any]]:
    return [
        (lambda request: request.schema_name == "Plan", list(plans)),
        (lambda request: request.schema_name == "Critique", _criticise),
        (lambda request: request.schema_name == "Judgement", _judge),
        (lambda request: "You are the Runner" in request.system, _run),
        (_is_leader, _lead(last_word)),
    ]


def _is_leader(request: Request) -> bool:
    return "delegate_task_to_member" in request.tools


def _lead(last_word: str) -> Callable[[Request], Reply]:
    """A leader that goes through the members in order, and round again when refused.

    What only a person can let pass it leaves to them.
    """

    def lead(request: Request) -> Reply:
        asked = _asked(request)
        if not asked:
            return _delegate("planner", "Plan: ship release 2.1.")
        if asked[-1] != "runner":
            return _delegate(_ORDER[_ORDER.index(asked[-1]) + 1], "Your turn. I say it is fine.")
        answer = request.tool_results[-1]
        if "a person has to approve" in answer:
            return Reply("The plan is ready; a person has to approve it.")
        if "may not run" in answer or "Refused by the gate" in answer:
            return _delegate("planner", f"Plan again. {answer}")
        return Reply(last_word)

    return lead


def _delegate(member: str, task: str) -> Reply:
    call = ToolCall("delegate_task_to_member", {"member_id": member, "task": task})
    return Reply(tool_calls=(call,))


def _asked(request: Request) -> list[str]:
    """The members that the leader has asked in this run, in order."""
    names: list[str] = []
    for message in request.messages:
        if message.get("role") == "user":
            names = []
        for call in message.get("tool_calls") or ():
            names.append(json.loads(call["function"]["arguments"])["member_id"])
    return names


def _plan_in(request: Request) -> dict[str, Any] | None:
    found = re.search(r"```json\n(.*?)\n```", request.last_user, re.DOTALL)
    if found is None:
        return None
    plan: dict[str, Any] = json.loads(found.group(1))
    return plan


def _faults(plan: dict[str, Any] | None) -> list[str]:
    if plan is None:
        return ["there is no plan to look at"]
    tools = [step["tool"] for step in plan["steps"]]
    faults = []
    if "run_tests" not in tools:
        faults.append("nothing is tested before it is deployed")
    if "production" in json.dumps(plan):
        faults.append("it deploys to production, and staging was asked for")
    return faults


def _criticise(request: Request) -> Critique:
    faults = _faults(_plan_in(request))
    issues = tuple(Issue(severity=Severity.BLOCKING, description=fault, step=1) for fault in faults)
    return Critique(summary="Not safe." if faults else "Looks right.", issues=issues)


def _judge(request: Request) -> Judgement:
    faults = _faults(_plan_in(request))
    if faults:
        return Judgement(decision=Decision.REJECT, score=3, reasons=tuple(faults))
    return Judgement(decision=Decision.APPROVE, score=9, reasons=("tested, then deployed",))


def _run(request: Request) -> Reply:
    """The next step of the plan that the Runner was handed, or its report."""
    plan = _plan_in(request)
    steps = [step for step in (plan or {"steps": []})["steps"] if step["tool"]]
    at = len(request.tool_results)
    if at < len(steps):
        inputs = {given["name"]: given["value"] for given in steps[at]["inputs"]}
        return Reply(tool_calls=(ToolCall(steps[at]["tool"], inputs),))
    return Reply("Done: " + "; ".join(request.tool_results))
