"""`PromptInjectionGuardrail`: scores what users say and tools return, and blocks or flags it."""

from __future__ import annotations

import math
from typing import Any, Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.findings import Block, Finding, Flag, NoFinding
from agno_portkey.guardrails.injection.model import Model, default_model
from agno_portkey.guardrails.passages import Passage

__all__ = ["PromptInjectionGuardrail"]

Action = Literal["block", "flag"]

_USERS = ("user",)
_TOOLS = ("tool", "citation", "transcript")


class PromptInjectionGuardrail(Guard):
    """Blocks, or flags, what looks like an attempt to change what the model was told to do.

    `action` is for what users say, `tool_action` for what tools return. The latter flags unless
    it is told to block: of pieces of source code about 2% look like an injection to it, of
    documentation about 5%, of scientific abstracts 0.4%, where of what users ask it is under 1%;
    and attacks in such texts are found less often. `threshold` is in 0-1; `model` one of your own,
    see benchmarks/train_injection.py.

    It reads words and not their meaning: an instruction in plain words within a document is
    found less often, and one in another language hardly ever. It is one guard among others, and
    no reason to give a tool more rights.
    """

    name = "PromptInjectionGuardrail"
    on = "input"

    def __init__(
        self,
        *,
        action: Action = "block",
        tool_action: Action = "flag",
        threshold: float | None = None,
        model: Model | None = None,
        **settings: Any,
    ) -> None:
        for name, said in (("action", action), ("tool_action", tool_action)):
            if said not in ("block", "flag"):
                raise ConfigurationError(f"{self.name}.{name}: block or flag, not {said!r}")
        number = not isinstance(threshold, bool) and isinstance(threshold, int | float)
        if threshold is not None and not (number and 0 < threshold < 1):
            raise ConfigurationError(f"{self.name}.threshold: between 0 and 1, not {threshold!r}")
        if model is not None and not callable(getattr(model, "score", None)):
            raise ConfigurationError(
                f"{self.name}.model: needs a `score`, as a Model has; not {type(model).__name__}"
            )
        self._actions: dict[str, Any] = dict.fromkeys(_USERS, action)
        self._actions |= dict.fromkeys(_TOOLS, tool_action)
        self._threshold, self._model = threshold, model
        super().__init__(**settings)

    def warm(self) -> None:
        """Read the model now, rather than with the first text."""
        self._scoring()

    def inspect(self, passage: Passage) -> Finding:
        action = self._actions.get(passage.source)
        if action is None:
            return None
        model = self._scoring()
        odds = model.score(passage.text)
        limit = model.threshold if self._threshold is None else _odds(self._threshold)
        if odds < limit:
            return None
        if math.isnan(odds):
            raise NoFinding("the model gave no score")
        kind = Block if action == "block" else Flag
        return kind("it looks like a prompt injection", score=round(_share(odds), 4))

    def _scoring(self) -> Model:
        return self._model or default_model()


def _odds(share: float) -> float:
    return math.log(share / (1 - share))


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-min(max(odds, -700.0), 700.0)))
