"""The labels of metrics: texts of spans, of which only so many are told apart."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.metrics import Counter

__all__ = ["OTHER", "Labels", "Outcomes"]

# What stands for all values that are not told apart any more.
OTHER = "other"
# Characters: longer is nobody's name.
_LONGEST = 200


class Labels:
    """The labels that an instrument takes from spans, by the names of their attributes.

    Of each label the first `values` different ones are told apart, and of all labels together the
    first `sets`: any that comes after them is "other". So whoever makes up names can make neither
    this process nor Prometheus run out of memory.
    """

    def __init__(self, *names: str, values: int = 50, sets: int = 500) -> None:
        self._most_values, self._most_sets = values, sets
        self._values: dict[str, set[str]] = {name: set() for name in names}
        self._sets: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def of(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        """The labels of a span with `attributes`; what it does not say is left out."""
        said = {name: _text(attributes[name]) for name in self._values if name in attributes}
        with self._lock:
            told = {name: self._known(self._values[name], text) for name, text in said.items()}
            places = tuple(told.get(name, "") for name in self._values)
            if self._has_room(self._sets, places, self._most_sets):
                return told
        return dict.fromkeys(told, OTHER)

    def _known(self, known: set[str], text: str) -> str:
        short = len(text) <= _LONGEST
        return text if short and self._has_room(known, text, self._most_values) else OTHER

    @staticmethod
    def _has_room(known: set[Any], new: Any, most: int) -> bool:
        if new not in known and len(known) < most:
            known.add(new)
        return new in known


class Outcomes:
    """Counts what became of things: one of `known`, under the label `name`.

    Those that have not come about yet stand at 0, as a share of nothing can't be told from one that
    is missing.
    """

    def __init__(self, counter: Counter, labels: Labels, name: str, known: tuple[str, ...]) -> None:
        self._counter, self._labels = counter, labels
        self._name, self._known = name, known
        self._begun: set[tuple[tuple[str, str], ...]] = set()

    def add(self, attributes: Mapping[str, Any], outcome: Any) -> None:
        labels = self._labels.of(attributes)
        if (of := tuple(labels.items())) not in self._begun:
            self._begun.add(of)
            for each in self._known:
                self._counter.add(0, {**labels, self._name: each})
        told = outcome if outcome in self._known else OTHER
        self._counter.add(1, {**labels, self._name: told})


def _text(value: Any) -> str:
    # Half a character would make every scrape fail.
    return str(value).encode("utf-8", "replace").decode("utf-8")
