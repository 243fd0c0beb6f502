"""Runs Agno guardrails inside the model, on every message of every call.

A pre-hook sees the run's input alone; here a guardrail sees the system prompt, the history,
tool results and arguments too, whether a hook ran or not.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from agno.exceptions import InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail
from agno.models.message import Message
from agno.run.agent import RunInput

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.errors import InputBlocked
from agno_portkey.verdict import Verdict

__all__ = ["guard_layer"]

Check: TypeAlias = Callable[[str], Awaitable[str]]


def guard_layer(guards: Sequence[BaseGuardrail]) -> Layer:
    """The layer that passes each message through `guards`, in order.

    A guardrail that rewrites its input rewrites what is sent, and nothing else; one that raises
    anything at all blocks the call.
    """

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        messages = [await _checked(message, guards, io) for message in call.messages]
        async for delta in inner(call.with_messages(messages)):
            yield delta

    return layer


async def _checked(message: Message, guards: Sequence[BaseGuardrail], io: IO) -> Message:
    """`message` as the guards let it pass; the message itself if they change nothing."""

    async def check(text: str) -> str:
        return await _passed(text, guards, io)

    changed: dict[str, Any] = {}
    for name in ("content", "compressed_content", "tool_calls"):
        held = getattr(message, name)
        let_pass = await (_checked_calls if name == "tool_calls" else _checked_content)(held, check)
        if let_pass != held:
            changed[name] = let_pass
    return message.model_copy(update=changed) if changed else message


async def _checked_content(content: Any, check: Check) -> Any:
    """Text, or a list of parts, some of which are text; other parts can't be read."""
    if isinstance(content, str):
        return await check(content) if content else content
    if isinstance(content, list):
        return [await _checked_part(part, check) for part in content]
    return content


async def _checked_part(part: Any, check: Check) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": await check(part["text"])}
    return await check(part) if isinstance(part, str) else part


async def _checked_calls(calls: Any, check: Check) -> Any:
    """Tool calls with their arguments checked; an earlier turn may have put anything there."""
    if not calls:
        return calls
    checked = []
    for asked in calls:
        function = asked.get("function") if isinstance(asked, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if function is not None and isinstance(arguments, str) and arguments:
            function = {**function, "arguments": _as_json(await check(arguments), arguments)}
            asked = {**asked, "function": function}
        checked.append(asked)
    return checked


def _as_json(checked: str, arguments: str) -> str:
    # A rewritten number is no JSON any more, and some providers parse what they are sent.
    if checked == arguments or _is_json(checked):
        return checked
    return json.dumps({"arguments": checked})


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


async def _passed(text: str, guards: Sequence[BaseGuardrail], io: IO) -> str:
    """`text` as the guards leave it; one that raises anything at all blocks."""
    checked = RunInput(input_content=text)
    for guard in guards:
        try:
            await io.check(guard, checked)
        except (InputCheckError, OutputCheckError):
            raise
        except Exception as error:
            name = type(guard).__name__
            raise InputBlocked(
                Verdict(False, name, (f"{name} failed: {type(error).__name__}: {error}",))
            ) from error
    return checked.input_content_string()
