"""What somebody is asked in the background is not stored before the guards could be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Guard
from agno_portkey.guardrails.at_rest import Kept, keeps_out, was_asked, withheld
from agno_portkey.reach.providers import per_class
from agno_portkey.verdict import Verdict
from agno_portkey.walk import Owner

__all__ = ["held_back", "in_hooks", "in_model", "withholding"]

_WAITING = "_agno_portkey_waiting"
# What of a run may say what was asked, beside its input, while no model has been.
_SAYS: tuple[str, ...] = ("messages", "events", "additional_input", "references")
_SAYS += ("reasoning_content", "reasoning_steps", "reasoning_messages")


def in_model(owner: Owner) -> tuple[Guard, ...]:
    """The guards in the model of `owner`."""
    return getattr(owner.model, "checked_guards", ())


def in_hooks(owner: Owner) -> tuple[Any, ...]:
    """What stands before the runs of `owner`, guards among it."""
    return tuple(getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ())


def withholding(held: Iterable[Any]) -> Iterator[Guard]:
    """The guards in `held` that have a say in what is stored of an input, each one once."""
    seen: set[int] = set()
    for each in held:
        if isinstance(each, Guard) and id(each) not in seen:
            seen.add(id(each))
            if each.looks_at("input") and keeps_out(each):
                yield each


def held_back(begun: Any, owner: Owner) -> Any:
    """`begun`, a run of `owner` in the background, which is written without its input at first.

    The host writes it before it begins, and again when it has its turn. The run itself has its
    input. Raises `InputBlocked`, and nothing is begun, where the run can't be found.
    """
    waiting = _Waiting(in_model(owner), in_hooks(owner), getattr(owner.model, "kept", None))
    if not any(withholding((*waiting.model, *waiting.hooks))):
        return begun
    run = _run_of(begun)
    if not isinstance(run, RunOutput | TeamRunOutput):
        if hasattr(begun, "close"):
            begun.close()  # else it complains that nobody awaited it
        said = "a run in the background would be stored before its guards are asked"
        raise InputBlocked(Verdict(False, "govern", (said,)))
    vars(run)[_WAITING] = waiting
    run.__class__ = _unheard_kind(type(run))
    return begun


def _run_of(begun: Any) -> Any:
    """The output of the run that a coroutine or generator of the host's is about to begin.

    Telemetry has that in hand, in a stream or as the `result` of a coroutine of its own.
    """
    begun = getattr(begun, "__wrapped__", begun)
    frame = getattr(begun, "cr_frame", None) or getattr(begun, "ag_frame", None)
    held = {} if frame is None else frame.f_locals
    return held.get("run_response") or (_run_of(held["result"]) if "result" in held else None)


@dataclass(frozen=True)
class _Waiting:
    """The guards of a run, and how to tell which of them are still to be asked."""

    model: tuple[Guard, ...] = ()
    hooks: tuple[Any, ...] = ()
    kept: Kept | None = None

    def of(self, run: Any) -> list[Guard]:
        # The host gives a run its messages when its model was called, or was about to be.
        begun = bool(run.messages)
        waiting = [] if begun and was_asked(run) else [*self.model]
        if not begun and not (self.kept and self.kept.of(run.run_id)):
            waiting += self.hooks
        return [*withholding(waiting)]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Waiting:
        return self

    def __reduce__(self) -> Any:
        # Who takes a run elsewhere has what it was asked.
        return (_Waiting, ())


class _Unheard:
    """Put before the class of a run's output; what is written of it is its `to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        host: Any = super()
        guards = vars(self)[_WAITING].of(self)
        written: dict[str, Any] = _without_input(self, guards) if guards else host.to_dict()
        return written

    def __reduce_ex__(self, protocol: Any) -> Any:
        # By the class that can be imported: this one is made.
        reduced: Any = super().__reduce_ex__(max(2, protocol))
        return (_made_again, (type(self).__bases__[1],), *reduced[2:])


@per_class
def _unheard_kind(kind: type[Any]) -> type[Any]:
    named = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (_Unheard, kind), named)


def _made_again(kind: type[Any]) -> Any:
    return object.__new__(_unheard_kind(kind))


def _without_input(run: Any, guards: list[Guard]) -> dict[str, Any]:
    stored = copy(run)
    stored.__class__ = type(run).__bases__[1]
    stored.input = type(run.input)(input_content=withheld(*guards))
    for name in _SAYS:
        setattr(stored, name, None)
    written: dict[str, Any] = stored.to_dict()
    return written
