"""The forms in which the host calls a guard: as a hook before or after a run, and round a tool."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError

from agno_portkey.calls import IO
from agno_portkey.drivers import SyncIO, step
from agno_portkey.errors import InputBlocked, OutputBlocked, ToolRefused
from agno_portkey.guardrails.at_rest import Kept, clean, earlier_of, keeps_out, replaced, withheld
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.messages import in_value
from agno_portkey.guardrails.passages import Scene, Side, Source, Take
from agno_portkey.guardrails.refusals import note_refusal
from agno_portkey.guardrails.stage import Stage
from agno_portkey.guardrails.tool_form import GuardedTool
from agno_portkey.hosted import hosted
from agno_portkey.verdict import Verdict, failure_told

__all__ = ["HookForms", "in_hook", "run_being_started"]


class HookForms:
    """`check` and calling, for a guard: both run the one body of its `inspect`."""

    # The host passes arguments by parameter name, so every one it has is named here.
    @hosted
    def check(
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
        user_id: Any = None,
    ) -> None:
        """Ask the guard about a run's input, or about its output if there is one."""
        step(in_hook(self, SyncIO(), run_input, run_output, run_context, agent, team))

    @hosted
    def __call__(
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
        user_id: Any = None,
        function_name: str | None = None,
        function_call: Callable[..., Any] | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Any:
        """A tool hook where a tool is given: asks about its arguments, then about its result."""
        if function_call is None:
            if run_input is None and run_output is None:
                # The host would log anything else, and go on.
                name = type(self).__name__
                raise ToolRefused(f"{name} sees no call as a tool's own hook: use tool_hooks")
            return HookForms.check(self, run_input, run_output, run_context, agent, team)
        scene, model = _scene("tool", run_context, agent, team), _model(agent, team)
        tool = GuardedTool(self, scene, model, function_name or "the tool", run_context)
        if inspect.iscoroutinefunction(function_call):
            return tool.acall(function_call, arguments or {})
        return tool.call(function_call, arguments or {})


def run_being_started() -> Any:
    """The output of the run whose pre-hooks are running: the host hands it to no pre-hook.

    It has written the input into an event of that run before it asks the first hook.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name.endswith("execute_pre_hooks"):
            return frame.f_locals.get("run_response")
        frame = frame.f_back
    return None


async def in_hook(
    guard: Any,
    io: IO,
    run_input: Any = None,
    run_output: Any = None,
    run_context: Any = None,
    agent: Any = None,
    team: Any = None,
    session: Any = None,
    user_id: Any = None,
) -> None:
    before = run_output is None
    kept: dict[str, str] = {}
    scene = _scene("pre" if before else "post", run_context, agent, team)
    side: Side = "input" if before else "output"
    model, earlier = _model(agent, team), earlier_of(run_context, run_output)
    observers = getattr(model, "observers", ())
    stage = Stage((guard,), io, scene, side, observers, kept.__setitem__, earlier)
    try:
        if before:
            held = run_input.input_content
            run_input.input_content = await looked_at(stage, held, "user")
            if earlier:
                earlier_of(run_context, run_being_started())
        else:
            said = run_output.content, run_output.reasoning_content
            said = await looked_at(stage, said, "assistant", read=_in_answer)
            run_output.content, run_output.reasoning_content = said
        _have_out(run_output, model, kept)
    except BaseException as error:
        if not isinstance(error, Exception) and keeps_out(guard):
            # It was cancelled before it could tell.
            kept |= dict.fromkeys(_texts(run_input, run_output), withheld(guard))
        refusal = _as_refusal(guard, side, error)
        try:
            _take_back(run_input, run_output, kept, refusal)
            _have_out(run_output, model, kept)
        except Exception:  # which the host would pass over, and go on with the run
            logging.getLogger("agno_portkey").exception("what is kept of a run can't be cleaned")
        if refusal is error:
            raise
        raise refusal from error


def _have_out(run_output: Any, model: Any, kept: dict[str, str]) -> None:
    """Leave nothing in the run that is not to be stored, nor in a workflow that it is a step of.

    The workflow asks a model of ours, by the run's own id: the context of a step's run has another.
    """
    if not kept:
        return
    run = run_being_started() if run_output is None else run_output
    if isinstance(known := getattr(model, "kept", None), Kept):
        known.note(getattr(run, "run_id", None), kept)
    clean(run, kept)


def _texts(run_input: Any, run_output: Any) -> list[str]:
    """The texts that a hook is asked about."""
    found: list[str] = []

    def collect(text: str, source: Source, path: str) -> str:
        found.append(text)
        return text

    if run_output is None:
        in_value(run_input.input_content, collect, "user")
    else:
        _in_answer((run_output.content, run_output.reasoning_content), collect, "assistant")
    return found


def _take_back(
    run_input: Any, run_output: Any, kept: dict[str, str], refusal: BaseException
) -> None:
    """Leave what was refused nowhere, and the verdict on the run's output."""
    if run_output is not None:
        run_output.content = run_output.reasoning_content = None
    else:
        run_output = run_being_started()
        run_input.input_content = replaced(run_input.input_content, kept)
    note_refusal(run_output, refusal)


def _as_refusal(guard: Any, side: Side, error: BaseException) -> BaseException:
    if isinstance(error, InputCheckError | OutputCheckError) or not isinstance(error, Exception):
        return error
    reason = f"{guard.name} can't tell: {failure_told(error)}"
    kind = InputBlocked if side == "input" else OutputBlocked
    return kind(Verdict(False, guard.name, (reason,)))


def _in_answer(said: tuple[Any, Any], take: Take, source: Source) -> tuple[Any, Any]:
    """The texts of a run's content and of its reasoning."""
    content, reasoning = said
    return in_value(content, take, source), in_value(reasoning, take, "reasoning")


def _scene(stage: Any, run_context: Any, agent: Any, team: Any) -> Scene:
    owner = team if team is not None else agent
    name = getattr(owner, "name", None) or getattr(owner, "id", None)
    return Scene(
        stage,
        run_id=getattr(run_context, "run_id", None),
        session_id=getattr(run_context, "session_id", None),
        user_id=getattr(run_context, "user_id", None),
        role=name,
        swarm=name if team is not None else None,
    )


def _model(agent: Any, team: Any) -> Any:
    return getattr(team if team is not None else agent, "model", None)
