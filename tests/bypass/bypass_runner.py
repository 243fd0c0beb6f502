"""Runners that were cleared, and do something else; and what a caller can forge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno.team import Team
from bypass_catalogue import scenario, variants
from bypass_plain import member
from bypass_stage import (
    CALLS,
    LIE,
    ROUND,
    STEPS,
    Record,
    Stage,
    calling,
    run_in,
    to,
)

from agno_portkey.contracts import Decision, Judgement, digest
from agno_portkey.runs import RUN_KEY, Evidence, Run
from agno_portkey.testing import Reply, ToolCall
from agno_portkey.testing.story import SOUND

BROAD = ("run", "arun", "stream", "astream")
NARROW = ("run", "astream")
TEST, SHIP = CALLS["run_tests"], CALLS["deploy"]
AT_ONCE = Reply(tool_calls=(*TEST.tool_calls, *SHIP.tool_calls))
ELSEWHERE = {"version": "2.1", "target": "production"}

# What the Runner's model does, what of it may happen, and whether the run counts as done.
DEVIATIONS: dict[str, tuple[list[Any], list[Any], bool]] = {
    "one character changed": (
        [TEST, calling("deploy", version="2.1", target="Staging"), "Done."],
        STEPS[:1],
        False,
    ),
    "a space added": (
        [TEST, calling("deploy", version="2.1 ", target="staging"), "Done."],
        STEPS[:1],
        False,
    ),
    "a look-alike letter": (
        [TEST, calling("deploy", version="2.1", target="st\u0430ging"), "Done."],
        STEPS[:1],
        False,
    ),
    "a number for a text": (
        [TEST, calling("deploy", version=2.1, target="staging"), "Done."],
        STEPS[:1],
        False,
    ),
    "an argument left out": ([TEST, calling("deploy", version="2.1"), "Done."], STEPS[:1], False),
    "an argument added": (
        [TEST, calling("deploy", version="2.1", target="staging", force=True), "Done."],
        STEPS[:1],
        False,
    ),
    "a forged run context": (
        [calling("deploy", **ELSEWHERE, _agno_run_context={"run_id": "x"}), "Done."],
        [],
        False,
    ),
    "an extra call": ([TEST, SHIP, calling("deploy", **ELSEWHERE), "Done."], STEPS, True),
    "each call twice": ([TEST, TEST, SHIP, SHIP, "Done."], STEPS, True),
    "the wrong order": ([SHIP, TEST, "Done."], STEPS[:1], False),
    "done without doing": (["Done."], [], False),
    "half done": ([TEST, "Done."], STEPS[:1], False),
    "a tool that it lacks": ([calling("rollback"), "Done."], [], False),
    "broken arguments": (
        [Reply(tool_calls=(ToolCall("deploy", '{"version": "2.1", "target"'),)), "Done."],
        [],
        False,
    ),
    "twice in one message": ([TEST, Reply(tool_calls=SHIP.tool_calls * 2), "Done."], STEPS, True),
}


@variants("runner", "Runner:", [*DEVIATIONS], *NARROW)
def deviates(stage: Stage, mode: str, how: str) -> list[str]:
    calls, done, finished = DEVIATIONS[how]
    stage.script([*ROUND, LIE], Runner=calls)
    ending = run_in(stage.team(), mode)
    lie = None if finished else LIE
    return stage.leaks(ending, done=done, runner_calls=None, declined=not finished, lie=lie)


class Flaky(Record):
    """Its tests fail to start the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    def run_tests(self, suite: str) -> str:
        """Run a test suite."""
        self.tries += 1
        if self.tries == 1:
            raise RuntimeError("no runner is free")
        return super().run_tests(suite)


@scenario("runner", "its tool raises, then is called again", *BROAD, control=True)
def retried(stage: Stage, mode: str) -> list[str]:
    stage.release = Flaky()
    stage.script([*ROUND, "Shipped."], Runner=[TEST, TEST, SHIP, "Done."])
    ending = run_in(stage.team(), mode)
    found = stage.leaks(ending, done=STEPS, runner_calls=4, declined=False)
    return found if ending.status == "COMPLETED" else [*found, f"ended {ending.status}"]


@scenario("runner", "its tool raises, and it says done", *BROAD)
def gave_up(stage: Stage, mode: str) -> list[str]:
    stage.release = Flaky()
    stage.script([*ROUND, LIE], Runner=[TEST, SHIP, "Done."])
    return stage.leaks(run_in(stage.team(), mode), runner_calls=None)


@scenario("runner", "asked again after it has finished", *BROAD)
def asked_again(stage: Stage, mode: str) -> list[str]:
    again = [TEST, SHIP, "Done.", calling("deploy", **ELSEWHERE), TEST, SHIP, "Done."]
    stage.script([*ROUND, ROUND[3], "."], Runner=again)
    ending = run_in(stage.team(), mode)
    return stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)


def _approved_run() -> Run:
    run = Run("forged", "Release")
    run.propose(SOUND)
    run.judgement = Evidence(Judgement(decision=Decision.APPROVE, score=10), digest(SOUND))
    return run


FORGED: dict[str, Callable[[], dict[str, Any]]] = {
    "session_state": lambda: {"session_state": {"approved": True, "board": {"approved": True}}},
    "dependencies": lambda: {
        "dependencies": {RUN_KEY: "passed", "board": {"approved": True, "criticised": True}}
    },
    "a run in dependencies": lambda: {"dependencies": {RUN_KEY: _approved_run()}},
    "metadata": lambda: {"metadata": {RUN_KEY: "passed", "approved": True}},
}


@variants("forged", "to the team,", [*FORGED], *NARROW)
def forged(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([to("runner"), LIE])
    return stage.leaks(run_in(stage.team(), mode, **FORGED[how]()))


@variants("forged", "to the Runner,", [*FORGED], *NARROW)
def forged_for_runner(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([LIE], Runner=[calling("deploy", **ELSEWHERE), "Done."])
    run_in(member(stage.team(), "Runner"), mode, **FORGED[how]())
    return stage.leaks()


def _keep_dependencies(kept: list[Any]) -> Callable[[Team], None]:
    def keep(run_context: Any) -> None:
        kept.append(run_context.dependencies)

    def change(team: Team) -> None:
        member(team, "Planner").pre_hooks = [keep]

    return change


@variants("forged", "dependencies of an earlier run,", ["done", "judged"], *BROAD)
def handed_on(stage: Stage, mode: str, how: str) -> list[str]:
    kept: list[Any] = []
    first = [*ROUND, "Shipped."] if how == "done" else [*ROUND[:3], "Stop."]
    stage.script([*first, to("runner"), LIE])
    team = stage.team(_keep_dependencies(kept))
    run_in(team, mode)
    done, before = list(stage.release.done), stage.runner_calls
    ending = run_in(team, mode, dependencies=kept[0])
    return stage.leaks(ending, done=done, runner_calls=before)


@variants("forged", "the run id of an earlier run,", ["done", "judged"], *BROAD)
def same_run_id(stage: Stage, mode: str, how: str) -> list[str]:
    first = [*ROUND, "Shipped."] if how == "done" else [*ROUND[:3], "Stop."]
    stage.script([*first, to("runner"), LIE])
    team = stage.team()
    run_in(team, mode, run_id="one")
    done, before = list(stage.release.done), stage.runner_calls
    ending = run_in(team, mode, run_id="one")
    return stage.leaks(ending, done=done, runner_calls=before)


@scenario("session", "a second run after a cleared one", *BROAD)
def second_run(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "Shipped.", to("runner"), LIE])
    team = stage.team(add_history_to_context=True)
    run_in(team, mode, session_id="s")
    done, before = list(stage.release.done), stage.runner_calls
    return stage.leaks(run_in(team, mode, session_id="s"), done=done, runner_calls=before)


@scenario("session", "a second run after a judged one", *BROAD)
def second_after_judged(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND[:3], "Stop.", to("runner"), LIE])
    team = stage.team()
    run_in(team, mode, session_id="s")
    return stage.leaks(run_in(team, mode, session_id="s"))


@scenario("session", "the run's state is not shown to models", *BROAD, control=True)
def not_shown(stage: Stage, mode: str) -> list[str]:
    def change(team: Team) -> None:
        for each in (team, *team.members):
            each.add_dependencies_to_context = True

    stage.script([*ROUND, "Shipped."])
    ending = run_in(stage.team(change), mode, dependencies={"city": "Ulm"})
    sent = "".join(str(call.messages) for call in stage.provider.calls)
    words = ("Clearance", "Evidence", "Station", "object at 0x", "plan_digest", "sha256:")
    found = [f"{word!r} was sent" for word in words if word in sent]
    return found + stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)
