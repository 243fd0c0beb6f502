"""What a run was asked for, and by whom; and whether it is continued with something else.

The host continues a run with the messages that were stored of it, in a list of their own, and puts
a new request at their end; no hook is asked. So what a run begins with, and what the host adds
while it lasts, bears a mark, which is stored along.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agno.models.message import Message

from agno_portkey.calls import Call
from agno_portkey.runs import Run

__all__ = ["ASKED_ANEW", "asked_by_another", "is_asked_anew"]

ASKED_ANEW = (
    "the run was continued with another request, which nobody has planned or judged: ask that in "
    "a run of its own"
)
_MARK = "agno_portkey_asked"
# Who else speaks in a conversation; a request may bear any other name, which its model maps.
_OTHERS = frozenset({"assistant", "model", "tool", "system", "developer"})


def asked_by_another(run: Run, context: Any) -> str | None:
    """What of who asks, the session or the user, is another than that of `run`, if one is.

    `context` is the host's; who gives no name is another than somebody.
    """
    whose = {"session": run.who.session_id, "user": run.who.user_id}
    return next((n for n, its in whose.items() if its != getattr(context, f"{n}_id", None)), None)


def is_asked_anew(run: Run, call: Call) -> bool:
    """Whether `call`, of `run` or one of its members, is asked what it did not begin with."""
    run_id = str(call.run_id)
    with run.lock:
        known = run.conversations.setdefault(run_id, [])
        if run_id in run.begun:
            run.begun.discard(run_id)
        elif not any(each is call.messages for each in known) and not all(
            _MARK in (message.provider_data or {}) for message in _requests(call)
        ):
            return True
        # A fallback model is asked with a list of its own, and the first one then goes on.
        if not any(each is call.messages for each in known):
            known.append(call.messages)
    for message in _requests(call):
        message.provider_data = {**(message.provider_data or {}), _MARK: True}
    return False


def _requests(call: Call) -> Iterator[Message]:
    """What the model is to answer in this run; what earlier ones were asked for is no request."""
    for message in call.messages:
        if message.role not in _OTHERS and not message.from_history and not message.temporary:
            yield message
