"""Who asked whom: the teams above a run, and the runs that have begun and not been seen to end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agno_portkey.hooks.base import Moment
from agno_portkey.run_facts import LINEAGE_KEY, root_in, rooted

__all__ = ["LINEAGE_KEY", "Begins", "Begun", "Team", "hand_down", "status_of", "teams_above"]

# Runs that failed are never seen to end: how many beginnings are kept, and how deep teams nest.
_KEPT = 10_000
_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Team:
    """A team above a run."""

    run_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has begun: whose it is, the teams above it (outermost first), and when."""

    run_id: str
    name: str
    is_team: bool
    teams: tuple[Team, ...] = ()
    at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.at


def teams_above(moment: Moment) -> tuple[Team, ...]:
    """The teams that asked for this run, outermost first, as far as their hooks said so."""
    metadata = moment.run_context.metadata
    # A caller may have passed anything: what was handed down comes with a run that is known to be.
    said = metadata.get(LINEAGE_KEY) if root_in(metadata) is not None else None
    if not isinstance(said, list):
        return ()
    teams = [
        Team(each["run_id"], each["name"])
        for each in said[:_DEPTH]
        if isinstance(each, Mapping)
        and isinstance(each.get("run_id"), str)
        and isinstance(each.get("name"), str)
    ]
    own = moment.run_context.run_id
    # Another hook of the same run has entered it already.
    return tuple(team for team in teams if team.run_id != own)


def status_of(run_output: Any) -> str | None:
    """The status of a run in lower case; from a database it comes as text, else as an enum."""
    status = getattr(run_output, "status", None)
    status = getattr(status, "value", status)
    return str(status).lower() if status is not None else None


def hand_down(moment: Moment) -> None:
    """Let the members of a team that begins to run know of it, and of the teams above."""
    if not moment.is_team:
        return
    context = moment.run_context
    above = (*teams_above(moment), Team(str(context.run_id), moment.name))
    lineage = [{"run_id": team.run_id, "name": team.name} for team in above]
    root = root_in(context.metadata) or moment.run_id
    # A new mapping: the caller's own may serve other runs too.
    context.metadata = {**(context.metadata or {}), **rooted(root, lineage)}


class Begins:
    """Runs that have begun here; thread-safe, and of a bounded number."""

    def __init__(self) -> None:
        self._lock, self._process = threading.Lock(), os.getpid()
        self._runs: dict[tuple[str, str], Begun] = {}

    def _alone(self) -> threading.Lock:
        if self._process != os.getpid():
            # A thread of the parent may hold it, for good.
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    def begin(self, moment: Moment) -> Begun:
        """Note that a run begins, and let a team's members know of it."""
        context = moment.run_context
        teams = teams_above(moment)
        begun = Begun(str(context.run_id), moment.name, moment.is_team, teams)
        hand_down(moment)
        with self._alone():
            # A workflow's steps share a run id, so the name is part of the key.
            self._runs.pop((begun.run_id, begun.name), None)
            while len(self._runs) >= _KEPT:
                del self._runs[next(iter(self._runs))]
            self._runs[begun.run_id, begun.name] = begun
        return begun

    def end(self, moment: Moment) -> Begun | None:
        """The beginning of the run that ends; None where it was not seen to begin."""
        with self._alone():
            return self._runs.pop((str(moment.run_context.run_id), moment.name), None)

    def unended(self, team: Team, run_output: Any) -> list[tuple[Begun, Any]]:
        """Take out what has begun for a team's run and did not end, with its outputs if known.

        When that run ends, none of it goes on.
        """
        with self._alone():
            found = [begun for begun in self._runs.values() if team in begun.teams]
            for begun in found:
                del self._runs[begun.run_id, begun.name]
        outputs = _outputs_below(run_output)
        return [(begun, outputs.get(begun.run_id)) for begun in found]

    def failed(self, session: Any) -> list[tuple[Begun, Any]]:
        """Take out the runs that `session` knows to have failed, and what they had asked for."""
        if not self._runs:
            return []
        outputs = {
            str(getattr(output, "run_id", None)): output
            for output in getattr(session, "runs", None) or ()
            if status_of(output) in ("error", "cancelled")
        }
        with self._alone():
            found = [begun for begun in self._runs.values() if begun.run_id in outputs]
            for begun in found:
                del self._runs[begun.run_id, begun.name]
        all_of_them = []
        for begun in reversed(found):  # members before their team
            output = outputs[begun.run_id]
            all_of_them += self.unended(Team(begun.run_id, begun.name), output)
            all_of_them.append((begun, output))
        return all_of_them


def _outputs_below(run_output: Any) -> dict[str, Any]:
    """The outputs of a team's members at any depth, by run id; streamed refusals are not there."""
    found: dict[str, Any] = {}
    for output in getattr(run_output, "member_responses", None) or ():
        found[str(getattr(output, "run_id", None))] = output
        found.update(_outputs_below(output))
    return found
