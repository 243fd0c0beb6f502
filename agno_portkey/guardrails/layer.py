"""Runs Agno guardrails inside the model, on every message of every call.

A pre-hook sees the run's input alone; here a guardrail sees the system prompt, the history,
tool results and arguments too, whether a hook ran or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from agno.exceptions import InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail
from agno.models.message import Message
from agno.run.agent import RunInput

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.errors import InputBlocked
from agno_portkey.verdict import Verdict

__all__ = ["guard_layer"]


def guard_layer(guards: Sequence[BaseGuardrail]) -> Layer:
    """The layer that passes each message through `guards`, in order.

    A guardrail that rewrites its input rewrites what is sent, and nothing else; one that raises
    anything at all blocks the call.
    """

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        messages = [await _checked(message, guards, call, io) for message in call.messages]
        async for delta in inner(call.with_messages(messages)):
            yield delta

    return layer


async def _checked(
    message: Message, guards: Sequence[BaseGuardrail], call: Call, io: IO
) -> Message:
    text = message.content
    if not isinstance(text, str) or not text:
        return message
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
    if checked.input_content == text:
        return message
    return message.model_copy(update={"content": checked.input_content})
