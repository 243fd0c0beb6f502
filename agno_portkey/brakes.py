"""By which names each role is stopped: all teams that it is in, at any depth, and the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agno.team import Team
from agno.tools.function import Function

from agno_portkey.gates import Seat
from agno_portkey.modes import Mode
from agno_portkey.reach import Hidden
from agno_portkey.stopping import Brake, LateSwitch, StopSwitch, stoppable
from agno_portkey.verdict import Observer
from agno_portkey.walk import Owner, name_of, walk

__all__ = ["Brakes", "brake_tools"]


class Brakes:
    """Gives each seat its brake; those of one governance are joined by others together.

    `whole` is the name of what is governed: a team's or a workflow's.
    """

    def __init__(
        self,
        switch: StopSwitch | LateSwitch | None,
        whole: str | None,
        *,
        mode: Mode,
        observers: Iterable[Observer],
    ) -> None:
        self._switch, self._whole = switch, whole
        self._mode: Mode = mode
        self._observers = tuple(observers)
        self._joined: list[Brake] = []
        self._teams: dict[int, tuple[str, ...]] = {}

    def learn(self, owners: Iterable[Owner], holder: Owner | None = None) -> None:
        """Note the teams of `owners` and of all below them; `holder` reaches them otherwise.

        They are known until `forget`, since they are by the ids of owners that are all there.
        """
        above = self._above(holder)
        for owner in owners:
            team = (name_of(owner),) if isinstance(owner, Team) else ()
            for member, _ in walk(owner, None):
                self._teams[id(member)] = (*self._teams.get(id(member), ()), *team, *above)

    def learn_hidden(self, hidden: Iterable[Hidden]) -> None:
        """The same of those that are no members, each reached by its holder."""
        for each in hidden:
            self.learn([each.owner], each.holder)

    def forget(self) -> None:
        self._teams = {}

    def on(self, seat: Seat, owner: Owner | None) -> Seat:
        """`seat` of `owner`, or of what it holds, with the brake of all its teams.

        An agent that is in no team is its own swarm.
        """
        names = (seat.swarm or seat.role, *self._above(owner), self._whole)
        swarms = tuple(dict.fromkeys(name for name in names if name))
        return replace(seat, brake=self._brake(swarms, seat.role, self._joined))

    def join(self, owner: Owner) -> None:
        """Have `owner`, which is governed already, and all it reaches stop with the whole too."""
        if self._switch is not None and (brake := _brake_of(owner)) is not None:
            brake.joined.append(self._brake((self._whole or "",), None, []))

    def _brake(self, swarms: tuple[str, ...], role: str | None, joined: list[Brake]) -> Brake:
        return Brake(self._switch, swarms, role, self._mode, self._observers, joined)

    def _above(self, owner: Owner | None) -> tuple[str, ...]:
        if (known := self._teams.get(id(owner))) is not None:
            return known
        # One that was governed before, or a copy of it.
        brake = _brake_of(owner)
        return () if brake is None else brake.swarms


def _brake_of(owner: Owner | None) -> Brake | None:
    seat = getattr(getattr(owner, "model", None), "seat", None)
    return seat.brake if isinstance(seat, Seat) else None


def brake_tools(functions: Iterable[Function], owner: Owner) -> None:
    """Put the brake of a governed owner into tools, which then ask it whoever runs them."""
    if (brake := _brake_of(owner)) is not None:
        for function in functions:
            stoppable(brake, function)
