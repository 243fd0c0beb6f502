"""What the tests of cached calls share: stores that misbehave, and a model of one cache."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any


class Always(Random):
    """Draws the least there is: what may be served is."""

    def random(self) -> float:
        return 0.0


class Instead:
    """A store that does as another one, but for what is given by name."""

    def __init__(self, store: Any, **instead: Callable[..., Any]) -> None:
        self._store, self._instead = store, instead

    def __getattr__(self, name: str) -> Any:
        return self._instead.get(name) or getattr(self._store, name)
