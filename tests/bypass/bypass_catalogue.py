"""The catalogue that scenarios are entered in: a name, a group, and the ways of running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bypass_stage import Stage

__all__ = ["CATALOGUE", "Scenario", "scenario", "variants"]

Play = Callable[[Stage, str], list[str]]


@dataclass(frozen=True)
class Scenario:
    """One attempt; `play` returns what leaked. A `control` is honest, and has to go through."""

    group: str
    name: str
    mode: str
    play: Play
    control: bool = False

    def __str__(self) -> str:
        return f"{self.group}: {self.name} [{self.mode}]"


CATALOGUE: list[Scenario] = []


def scenario(group: str, name: str, *modes: str, control: bool = False) -> Callable[[Play], Play]:
    """Enter the decorated function once a mode; it takes the stage and the mode."""

    def enter(play: Play) -> Play:
        for mode in modes or ("run",):
            CATALOGUE.append(Scenario(group, name, mode, play, control))
        return play

    return enter


def variants(
    group: str, name: str, each: Sequence[str], *modes: str
) -> Callable[[Callable[[Stage, str, str], list[str]]], Callable[[Stage, str, str], list[str]]]:
    """Enter the decorated function once a variant and mode; it takes stage, mode and variant."""

    def enter(
        play: Callable[[Stage, str, str], list[str]],
    ) -> Callable[[Stage, str, str], list[str]]:
        for variant in each:
            scenario(group, f"{name.rstrip(',')}, {variant}", *modes)(_bound(play, variant))
        return play

    return enter


def _bound(play: Callable[[Stage, str, str], list[str]], variant: str) -> Play:
    return lambda stage, mode: play(stage, mode, variant)
