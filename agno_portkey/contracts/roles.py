"""The three structured outputs a gate works on: `Plan`, `Critique`, `Judgement`.

They are strict: unknown keys are refused, and so are outputs that contradict themselves.
No model is asked for a digest; `digest` computes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = [
    "Critique",
    "Decision",
    "Issue",
    "Judgement",
    "Plan",
    "Severity",
    "Step",
    "StepInput",
    "canonical",
    "digest",
]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Scalar = str | int | float | bool | None


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepInput(_Contract):
    """One argument of a step's tool; a value that is not a scalar is given as JSON text."""

    name: Text
    value: Scalar


class Step(_Contract):
    """One step of a plan. `inputs` that are named bind the call; others are the Runner's choice."""

    action: Text = Field(description="What this step does.")
    tool: Text | None = Field(default=None, description="The tool it calls; null if none.")
    inputs: tuple[StepInput, ...] = Field(
        default=(), description="The arguments of the tool that must hold exactly."
    )
    expected: str = Field(default="", description="How to tell that it worked.")

    @model_validator(mode="before")
    @classmethod
    def _inputs_from_mapping(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("inputs"), Mapping):
            pairs = [{"name": name, "value": value} for name, value in data["inputs"].items()]
            return {**data, "inputs": pairs}
        return data

    @model_validator(mode="after")
    def _inputs_belong_to_a_tool(self) -> Self:
        names = [given.name for given in self.inputs]
        if names and self.tool is None:
            raise ValueError("inputs are given, but no tool to take them")
        if len(set(names)) != len(names):
            raise ValueError("an input is named twice")
        return self


class Plan(_Contract):
    """What is to be done, step by step; the steps run in this order."""

    goal: Text
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class Severity(StrEnum):
    BLOCKING = "blocking"
    MAJOR = "major"
    MINOR = "minor"


class Issue(_Contract):
    """Something wrong with a plan; `step` counts from 1, null if it is about the whole."""

    severity: Severity
    description: Text
    step: Annotated[int, Field(ge=1)] | None = None


class Critique(_Contract):
    """What speaks against a plan."""

    summary: str = ""
    issues: tuple[Issue, ...] = ()

    @property
    def blocking(self) -> tuple[Issue, ...]:
        return tuple(issue for issue in self.issues if issue.severity is Severity.BLOCKING)


class Decision(StrEnum):
    APPROVE = "approve"
    REVISE = "revise"
    REJECT = "reject"


class Judgement(_Contract):
    """The verdict on a plan; `score` is in 0-10."""

    decision: Decision
    score: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
    reasons: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _a_no_has_reasons(self) -> Self:
        if self.decision is not Decision.APPROVE and not self.reasons:
            raise ValueError(f"a judgement that says {self.decision.value} gives its reasons")
        return self


def canonical(model: BaseModel) -> str:
    """The one JSON text of `model` that is shown to members and digested."""
    return json.dumps(
        model.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False
    )


def digest(model: BaseModel) -> str:
    """`sha256:` and the hex digest of the canonical text."""
    text = canonical(model).encode("utf-8", "surrogatepass")
    return "sha256:" + hashlib.sha256(text).hexdigest()
