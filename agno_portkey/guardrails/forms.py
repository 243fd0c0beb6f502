"""The forms in which the host calls a guard: as a hook before or after a run, and round a tool."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, step
from agno_portkey.errors import InputBlocked, OutputBlocked, ToolRefused
from agno_portkey.guardrails.at_rest import Kept, clean, keeps_out, replaced, withheld
from agno_portkey.guardrails.messages import in_value
from agno_portkey.guardrails.passages import Passage, Scene, Side, Source, Take, in_leaves
from agno_portkey.guardrails.refusals import note_refusal
from agno_portkey.guardrails.stage import Stage
from agno_portkey.guardrails.yielded import said, saying
from agno_portkey.hosted import hosted
from agno_portkey.verdict import Verdict

__all__ = ["HookForms", "in_hook", "looked_at", "run_being_started"]


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
            return HookForms.check(self, run_input, run_output, run_context, agent, team)
        scene = _scene("tool", run_context, agent, team)
        tool = _Tool(self, scene, _model(agent, team), function_name or "the tool")
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
    run_input: Any,
    run_output: Any,
    run_context: Any,
    agent: Any,
    team: Any,
) -> None:
    before = run_output is None
    kept: dict[str, str] = {}
    scene = _scene("pre" if before else "post", run_context, agent, team)
    side: Side = "input" if before else "output"
    stage = Stage((guard,), io, scene, side, _observers(agent, team), kept.__setitem__)
    try:
        if before:
            held = run_input.input_content
            run_input.input_content = await looked_at(stage, held, "user")
            if kept:
                clean(run_being_started(), kept)
        else:
            said = run_output.content, run_output.reasoning_content
            said = await looked_at(stage, said, "assistant", read=_in_answer)
            run_output.content, run_output.reasoning_content = said
            clean(run_output, kept)
    except BaseException as error:
        if not isinstance(error, Exception) and keeps_out(guard):
            # It was cancelled before it could tell.
            kept |= dict.fromkeys(_texts(run_input, run_output), withheld(guard))
        refusal = _as_refusal(guard, side, error)
        try:
            _take_back(run_input, run_output, kept, refusal)
        except Exception:  # which the host would pass over, and go on with the run
            logging.getLogger("agno_portkey").exception("what is kept of a run can't be cleaned")
        if refusal is error:
            raise
        raise refusal from error


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
    clean(run_output, kept)


def _as_refusal(guard: Any, side: Side, error: BaseException) -> BaseException:
    if isinstance(error, InputCheckError | OutputCheckError) or not isinstance(error, Exception):
        return error
    reason = f"{guard.name} can't tell: {error}"
    kind = InputBlocked if side == "input" else OutputBlocked
    return kind(Verdict(False, guard.name, (reason,)))


def _in_answer(said: tuple[Any, Any], take: Take, source: Source) -> tuple[Any, Any]:
    """The texts of a run's content and of its reasoning."""
    content, reasoning = said
    return in_value(content, take, source), in_value(reasoning, take, "reasoning")


async def looked_at(
    stage: Stage, value: Any, source: Source, *, leaves: bool = False, read: Any = in_value
) -> Any:
    """`value` as the guards of `stage` let it go on; the very value if they change nothing."""
    passages: list[Passage] = []
    read = in_leaves if leaves else read

    def collect(text: str, source: Source, path: str) -> str:
        passages.append(Passage(text, source, stage.side, path, "", stage.scene))
        return text

    read(value, collect, source)
    texts = await stage.inspect(passages) if passages else None
    return value if texts is None else read(value, putting(texts), source)


def putting(texts: list[str]) -> Take:
    """A `Take` that puts `texts` in the places from which they were collected, in order."""
    back = iter(texts)
    return lambda text, source, path: next(back)


class _Tool:
    """A guard round one call of a tool."""

    def __init__(self, guard: Any, scene: Scene, model: Any, name: str) -> None:
        self._guard = guard
        self._scene = scene
        self._model = model
        self._name = name

    def call(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        io = SyncIO()
        result = function(**step(self._into(io, function, arguments)))
        if inspect.isgenerator(result):
            return self._held(io, result)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise ToolRefused(f"{self._name} gives its result later: it can't be checked")
        return step(self._out(io, result))

    async def acall(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        io = AsyncIO()
        result = await function(**await self._into(io, function, arguments))
        while inspect.isawaitable(result):  # a plain function's, which the host awaits later
            result = await result
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            return self._aheld(io, result)
        return await self._out(io, result)

    def _held(self, io: IO, result: Iterator[Any]) -> Iterator[Any]:
        """What a tool yields, none of it before its verdict."""
        yield from step(self._pieces(io, [*result]))

    async def _aheld(self, io: IO, result: Any) -> AsyncIterator[Any]:
        if inspect.isasyncgen(result):
            async with Owned(result) as pieces:
                items = [item async for item in pieces]
        else:
            items = [*result]
        for item in await self._pieces(io, items):
            yield item

    async def _pieces(self, io: IO, items: list[Any]) -> list[Any]:
        text = said(items)
        found = await self._out(io, text)
        return items if found is text else saying(items, found, {text: found})

    async def _into(
        self, io: IO, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments as they may go on, in the host's own record of the call too."""
        call = _free(_free(function, "inner_func"), "self")
        # The host calls the tool with what its record holds, whatever the hooks hand on.
        held = getattr(call, "arguments", None)
        held = arguments if held is None else held
        found: dict[str, Any] = await self._asked(io, held, "input", "tool_call")
        if found is not held:
            if call is None and str(getattr(function, "__module__", "")).startswith("agno."):
                raise ToolRefused(f"{self._name} can't be given arguments that a guard rewrote")
            held.clear()
            held.update(found)
        return found

    async def _out(self, io: IO, result: Any) -> Any:
        return await self._asked(io, result, "output", "tool")

    async def _asked(self, io: IO, value: Any, side: Side, source: Source) -> Any:
        kept: dict[str, str] = {}
        observers = getattr(self._model, "observers", ())
        stage = Stage((self._guard,), io, self._scene, side, observers, kept.__setitem__)
        try:
            return await looked_at(stage, value, source, leaves=True)
        except Exception as error:
            # The run goes on, and the model reads why.
            what = "was refused" if side == "input" else "gave a result that was refused"
            said = error if isinstance(error, InputCheckError | OutputCheckError) else None
            reason = str(said or f"{self._guard.name} can't tell: {error}")
            raise ToolRefused(f"{self._name} {what}: {reason}") from error
        finally:
            # A model of ours has it out of all that is stored of the run.
            if isinstance(known := getattr(self._model, "kept", None), Kept):
                known.note(self._scene.run_id, kept)


def _free(function: Any, name: str) -> Any:
    """What `function` holds as its free variable `name`; None if it has none."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    return function.__closure__[names.index(name)].cell_contents if name in names else None


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


def _observers(agent: Any, team: Any) -> Any:
    return getattr(_model(agent, team), "observers", ())


def _model(agent: Any, team: Any) -> Any:
    return getattr(team if team is not None else agent, "model", None)
