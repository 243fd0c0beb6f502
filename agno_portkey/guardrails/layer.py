"""Guards inside the model: on all that a call sends, and on all that comes back.

A hook sees a run's input and output alone; here a guard sees the system prompt, the history, tool
results and arguments too, on every call, whether a hook ran or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.drivers import Owned
from agno_portkey.guardrails.asking import Asking
from agno_portkey.guardrails.at_rest import Kept, clean
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.failures import FAILURES
from agno_portkey.guardrails.passages import Unreadable
from agno_portkey.verdict import Observer

__all__ = ["guard_layer"]


def _no_fields(call: Call) -> Mapping[str, Any]:
    return {}


def guard_layer(
    guards: Sequence[Guard],
    *,
    observers: Sequence[Observer] = (),
    role: str | None = None,
    swarm: str | None = None,
    kept: Kept | None = None,
    fields: Callable[[Call], Mapping[str, Any]] = _no_fields,
) -> Layer:
    """The layer that asks `guards` about what is sent and what comes back.

    What they rewrite is sent, or shown, and kept; what they block reaches nobody. `fields` tells
    what a request says beside its messages.
    """
    remembered = kept or Kept()

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        call.guarded.append(True)
        asking = Asking(guards, call, io, observers, role, swarm, remembered, fields)
        if known := remembered.of(call.run_id):
            clean(call.messages, known)
        try:
            onward = await asking.input()
            if not (after := asking.of("output")):
                async with inner(onward) as out:
                    async for delta in out:
                        yield delta
                return
            listen = asking.overhear if asking.observes else asking.output
            async with inner(onward) as answer, Owned(listen(answer, after)) as out:
                async for delta in out:
                    yield delta
        except FAILURES as error:
            if (told := await asking.failure(error)) is not error:
                raise told from None
            raise
        except (InputCheckError, OutputCheckError):
            asking.clean(call.messages)
            raise
        except Unreadable as error:
            asking.forget_unreadable()
            raise asking.unreadable(error) from error
        finally:
            remembered.note(call.run_id, asking.kept)

    return layer
