"""Who answered how much of a run, in the run's own metrics, where the host names one model only."""

from __future__ import annotations

import threading
from dataclasses import fields
from typing import Any

from agno.metrics import BaseMetrics, ModelMetrics

__all__ = ["Shares"]

_COUNTS = tuple(field.name for field in fields(BaseMetrics))
_TOKENS = ("input_tokens", "output_tokens", "total_tokens")
# Of runs whose end never came.
_RUNS = 1_000


class Shares:
    """What each model that answered has used, by run; thread-safe.

    The host adds a call's tokens under the id of the model that it asked, whoever answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[str, list[tuple[str, str, Any]]] = {}

    def note(self, run_id: str, model: str, provider: str, usage: Any) -> None:
        """`model` of `provider` has answered a call of the run."""
        with self._lock:
            while run_id not in self._noted and len(self._noted) >= _RUNS:
                del self._noted[next(iter(self._noted))]
            self._noted.setdefault(run_id, []).append((model, provider, usage))

    def settle(self, asked: Any, run: Any) -> None:
        """Put what was noted of `run` under the names of who answered, in place of `asked`."""
        with self._lock:
            noted = self._noted.pop(getattr(run, "run_id", None) or "", [])
        details = getattr(getattr(run, "metrics", None), "details", None) or {}
        kind = getattr(asked.model_type, "value", asked.model_type)
        entries: list[Any] = details.get(kind) or []
        ours = _entry(entries, asked.id, asked.get_provider())
        if ours is None or not noted or _renamed(ours, entries, noted):
            return
        for model, provider, usage in noted:
            share = ModelMetrics(id=model, provider=provider, **_counts(usage))
            _take(ours, share)
            theirs = _entry([each for each in entries if each is not ours], model, provider)
            if theirs is not None:
                theirs.accumulate(share)
            else:
                entries.append(share)
        if not any(_counts(ours).values()):
            entries.remove(ours)


def _renamed(ours: Any, entries: list[Any], noted: list[tuple[str, str, Any]]) -> bool:
    """Whether all of `ours` was used by one other model, which it is named after then."""
    (model, provider, _), *others = noted
    if any((m, p) != (model, provider) for m, p, _ in others):
        return False
    for name in _TOKENS:
        if getattr(ours, name) != sum([getattr(usage, name, None) or 0 for *_, usage in noted]):
            return False
    if any(e is not ours and (e.id, e.provider) == (model, provider) for e in entries):
        return False
    ours.id, ours.provider = model, provider
    return True


def _entry(entries: list[Any], model: str, provider: str) -> Any:
    return next((e for e in entries if (e.id, e.provider) == (model, provider)), None)


def _counts(usage: Any) -> dict[str, Any]:
    return {name: getattr(usage, name, None) or (None if name == "cost" else 0) for name in _COUNTS}


def _take(whole: Any, share: Any) -> None:
    for name in _COUNTS:
        left = (getattr(whole, name) or 0) - (getattr(share, name) or 0)
        setattr(whole, name, (left or None) if name == "cost" else max(0, left))
