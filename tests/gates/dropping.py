"""Ways in which a team run drops what it was cleared for."""

from __future__ import annotations

from admission_scene import Desk

from agno_portkey.testing.story import SOUND

__all__ = ["begun_anew", "ended_early", "superseded"]

_OTHER = SOUND.model_copy(update={"goal": "Do not deploy"})


def superseded(one: Desk) -> None:
    planner = one.charter.runs.join("planner", one.run, "planner", "Planner")
    one.charter.planned(planner, _OTHER)


def ended_early(one: Desk) -> None:
    assert one.charter.finish(one.runner, "team-r")


def begun_anew(one: Desk) -> None:
    one.charter.open("team", "Release")
