"""How an answer that does not fit is asked for again: with its errors, within bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agno.metrics import MessageMetrics
from agno.models.message import Message
from pydantic import Field

from agno_portkey.calls import Call
from agno_portkey.contracts.schemas import Problem, Schema
from agno_portkey.errors import ContractError, GatewayError
from agno_portkey.routing.config.parts import Part, Text
from agno_portkey.routing.config.parts import Seconds as Positive

__all__ = ["Attempt", "Ladder", "Repair"]

_MAX_PROBLEMS = 8
_MAX_VALUE = 200
# What a model is shown of its own broken answer: enough to mend it, and no bill for a flood.
_MAX_ANSWER = 20_000


class Repair(Part):
    """How far an answer that does not fit is mended before it is refused.

    `reasks` is how often the model is asked again, with the errors of its last answer. `stronger`
    is asked once after that: a target of the model's route, by name, or without a route another
    model of the same provider, by id. `seconds`, `tokens` and `cost` (US dollars, where the
    provider reports them) bound all attempts at one answer, tool calls between them or not: beyond
    them nobody is asked again. What a request under way may take is for `Recovery` to say.
    """

    reasks: int = Field(default=2, ge=0, le=10, strict=True)
    stronger: Text | None = None
    seconds: Positive = 120.0
    tokens: int | None = Field(default=None, gt=0, strict=True)
    cost: Positive | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer that did not fit: its text, what was wrong with it, and what it took.

    `failure` is the error of a call that gave no answer; `who` names the model, target and arm
    that answered.
    """

    text: str
    problems: tuple[Problem, ...]
    usage: MessageMetrics = field(default_factory=MessageMetrics)
    who: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None

    def told(self) -> dict[str, Any]:
        """The attempt as evidence."""
        return {
            "problems": [self.failure] if self.failure else [*map(str, self.problems)],
            "characters": len(self.text),
            "tokens": self.usage.total_tokens,
            "cost": self.usage.cost,
            "model": self.who.get("model"),
        }


class Ladder:
    """The attempts at one answer, and whether there is to be another."""

    def __init__(self, repair: Repair, schema: Schema) -> None:
        self.schema = schema
        self._repair = repair
        self._began = time.monotonic()
        self._guidance: list[Message] = []
        self._error: ContractError | None = None
        self._rung = "reask"
        self.attempts: list[Attempt] = []

    @property
    def usage(self) -> MessageMetrics:
        """What the attempts that failed took."""
        return sum((attempt.usage for attempt in self.attempts), MessageMetrics())

    @property
    def rung(self) -> str:
        """The rung that the next answer comes from: `reask` or `stronger`."""
        return self._rung

    def again(self, call: Call, failed: Attempt, error: Exception) -> Call | None:
        """The call that asks for the answer again; none where that is no use, or out of bounds."""
        self.attempts.append(failed)
        if isinstance(error, ContractError):
            self._error = error
        if not failed.problems and failed.failure is None:
            return None
        if self._rung == "stronger" or self._is_spent():
            return None
        if failed.failure is None:
            self._guidance = _guidance(self.schema, failed)
        asked = call.with_messages([*call.messages, *self._guidance])
        # Who can't be reached now is not asked again: all that helps there has been done.
        if len(self.attempts) <= self._repair.reasks and not isinstance(error, GatewayError):
            return asked
        self._rung = "stronger"
        stronger = self._repair.stronger
        return None if stronger is None else replace(asked, target=stronger)

    def ended(self, last: Exception) -> Exception:
        """The error that says what was wrong with the last answer, with every attempt on it.

        `last` itself where there was none: a call that broke off has nothing to say of contracts.
        """
        if (error := self._error) is None:
            return last
        evidence = {**error.verdict.evidence, "attempts": [one.told() for one in self.attempts]}
        said = error.message
        if len(self.attempts) > 1:
            said = f"{said} (after {len(self.attempts)} attempts)"
        return ContractError(replace(error.verdict, evidence=evidence), said)

    def _is_spent(self) -> bool:
        bounds, usage = self._repair, self.usage
        return (
            time.monotonic() - self._began >= bounds.seconds
            or (bounds.tokens is not None and usage.total_tokens >= bounds.tokens)
            or (bounds.cost is not None and (usage.cost or 0.0) >= bounds.cost)
        )


def _guidance(schema: Schema, failed: Attempt) -> list[Message]:
    """What the model is told of its answer: each error with its path and the value there."""
    lines = [
        f"- {_lowered(problem)}{_given(problem)}" for problem in failed.problems[:_MAX_PROBLEMS]
    ]
    if len(failed.problems) > _MAX_PROBLEMS:
        lines.append(f"- and {len(failed.problems) - _MAX_PROBLEMS} more")
    told = "\n".join(lines)
    # In words that nobody takes for a name: guards look at this as well.
    asked = (
        f"This is not valid JSON of the schema {schema.name}:\n{told}\n"
        "Please reply with the whole JSON, corrected, and nothing else."
    )
    said = _shortened(failed.text)
    before = [Message(role="assistant", content=_sendable(said))] if said.strip() else []
    return [*before, Message(role="user", content=_sendable(asked))]


def _sendable(text: str) -> str:
    """`text` with lone surrogates written out: no request can hold them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _lowered(problem: Problem) -> str:
    said = problem.message
    if said[1:2].islower():
        said = said[0].lower() + said[1:]
    return str(replace(problem, message=said))


def _shortened(text: str) -> str:
    if len(text) <= _MAX_ANSWER:
        return text
    half = _MAX_ANSWER // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


def _given(problem: Problem) -> str:
    if not problem.path:
        return ""
    try:
        value = json.dumps(problem.value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""
    return f" (you gave {value if len(value) <= _MAX_VALUE else value[:_MAX_VALUE] + '...'})"
