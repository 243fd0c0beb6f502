"""Agents and teams that ask their watch where the host calls a model and runs no pre-hook."""

from __future__ import annotations

from typing import Any, cast

from agno.agent import Agent

from agno_portkey.errors import InputBlocked
from agno_portkey.hooks.gate import GateHook
from agno_portkey.hooks.unheard import held_back
from agno_portkey.hooks.watch import WatchHook
from agno_portkey.reach.providers import per_class
from agno_portkey.run_facts import outermost_run
from agno_portkey.verdict import Verdict
from agno_portkey.walk import Owner

__all__ = ["Watched", "watched_kind"]


class Watched:
    """What `govern` puts before the class of an agent or team; the host's copies keep the class.

    One that was changed after it was governed raises `InputBlocked` here, where a run would end
    with status ERROR: there is no run yet that could.
    """

    def arun(self, *args: Any, **options: Any) -> Any:
        if not options.get("background"):
            host: Any = super()
            return host.arun(*args, **options)
        # The host stores it before any pre-hook.
        return held_back(self._unchanged().arun(*args, **options), cast("Owner", self))

    def continue_run(self, *args: Any, **options: Any) -> Any:
        _know(*args, **options)
        return self._unchanged().continue_run(*args, **options)

    def acontinue_run(self, *args: Any, **options: Any) -> Any:
        _know(*args, **options)
        return self._unchanged().acontinue_run(*args, **options)

    def generate_session_name(self, *args: Any, **options: Any) -> Any:
        return self._unchanged().generate_session_name(*args, **options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # By the class that can be imported: this one is made.
        reduced: Any = super().__reduce_ex__(max(2, protocol))
        return (_made_again, (type(self).__bases__[1],), *reduced[2:])

    def _unchanged(self) -> Any:
        """The host's own methods, where nothing was changed."""
        if (reason := _changed(self)) is not None:
            raise InputBlocked(Verdict(False, "govern", (reason,)))
        return super()


class _WatchedAgent(Watched):
    """A watched agent: it can be told to compact its history, which a team can't."""

    def compact(self, *args: Any, **options: Any) -> Any:
        return self._unchanged().compact(*args, **options)

    def acompact(self, *args: Any, **options: Any) -> Any:
        return self._unchanged().acompact(*args, **options)


@per_class
def watched_kind(kind: type[Any]) -> type[Any]:
    """A class like `kind`, an agent's or team's, that watches; it can be put in its place."""
    if issubclass(kind, Watched):
        return kind
    before = _WatchedAgent if issubclass(kind, Agent) else Watched
    named = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (before, kind), named)


def _made_again(kind: type[Any]) -> Any:
    return object.__new__(watched_kind(kind))


def _know(run_response: Any = None, **_: Any) -> None:
    """Have it known whose a run is before those below it are gone on with, which ask first."""
    outermost_run(run_response)


def _changed(owner: Any) -> str | None:
    """What of `owner` was changed since; its gate, if it has one, asks the watch as well."""
    hooks = [getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ()]
    gates = [hook.late for hook in hooks if isinstance(hook, GateHook)]
    watches = [hook.changed for hook in hooks if isinstance(hook, WatchHook)]
    name = owner.name or owner.id
    asked = [*gates, *watches]
    said = asked[0](owner) if asked else f"{name} has lost its hooks"
    return None if said is None else f"{name} was changed after it was governed: {said}"
