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
    "Budget",
    "Criterion",
    "Critique",
    "Decision",
    "Issue",
    "Judgement",
    "Plan",
    "Revision",
    "Risk",
    "Severity",
    "Step",
    "StepInput",
    "canonical",
    "digest",
]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Score = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scalar = str | int | float | bool | None

# What JSON leaves as it is within a string, and a reader may take for the end of a line.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepInput(_Contract):
    """One argument of a step's tool; a value that is not a scalar is given as JSON text."""

    name: Text
    value: Scalar


class Risk(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Step(_Contract):
    """One step of a plan. `inputs` that are named bind the call; others are the Runner's choice."""

    action: Text = Field(description="What this step does.")
    tool: Text | None = Field(default=None, description="The tool it calls; null if none.")
    inputs: tuple[StepInput, ...] = Field(
        default=(), description="The arguments of the tool that must hold exactly."
    )
    expected: str = Field(default="", description="How to tell that it worked.")
    risk: Risk = Field(default=Risk.LOW, description="What harm it may do if it goes wrong.")

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


class Budget(_Contract):
    """What a plan may take at most; `cost` is in US dollars."""

    cost: Amount | None = None
    minutes: Amount | None = None
    tool_calls: Annotated[int, Field(ge=0)] | None = None


class Plan(_Contract):
    """What is to be done, step by step; the steps run in this order."""

    goal: Text
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    budget: Budget | None = Field(default=None, description="What it may take; null if unknown.")

    @model_validator(mode="after")
    def _its_steps_are_within_its_budget(self) -> Self:
        calls = sum(step.tool is not None for step in self.steps)
        allowed = self.budget.tool_calls if self.budget is not None else None
        if allowed is not None and calls > allowed:
            raise ValueError(f"the steps call tools {calls} times, and the budget allows {allowed}")
        return self


class Severity(StrEnum):
    BLOCKING = "blocking"
    MAJOR = "major"
    MINOR = "minor"


class Issue(_Contract):
    """Something wrong with a plan; `step` counts from 1, null if it is about the whole."""

    severity: Severity
    description: Text
    step: Annotated[int, Field(ge=1)] | None = None


class Revision(_Contract):
    """A better step in the place of the plan's; `step` counts from 1."""

    step: Annotated[int, Field(ge=1)]
    revised: Step


class Critique(_Contract):
    """What speaks against a plan, what is not known of it, and which steps would be better."""

    summary: str = ""
    issues: tuple[Issue, ...] = ()
    missing_evidence: tuple[Text, ...] = Field(
        default=(), description="What would have to be known to tell."
    )
    revised_steps: tuple[Revision, ...] = ()

    @model_validator(mode="after")
    def _a_step_is_revised_once(self) -> Self:
        steps = [revision.step for revision in self.revised_steps]
        if twice := sorted({step for step in steps if steps.count(step) > 1}):
            raise ValueError(f"step {twice[0]} is revised twice")
        return self

    @property
    def blocking(self) -> tuple[Issue, ...]:
        return tuple(issue for issue in self.issues if issue.severity is Severity.BLOCKING)


class Decision(StrEnum):
    APPROVE = "approve"
    REVISE = "revise"
    REJECT = "reject"


class Criterion(_Contract):
    """The score of one criterion, in 0-10."""

    name: Text
    score: Score
    reason: str = ""


class Judgement(_Contract):
    """The verdict on a plan; scores are in 0-10, `score` is the whole's.

    `conditions` are what an approval, or the next plan, depends on.
    """

    decision: Decision
    score: Score
    criteria: tuple[Criterion, ...] = ()
    reasons: tuple[Text, ...] = ()
    conditions: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _a_no_has_reasons(self) -> Self:
        if self.decision is not Decision.APPROVE and not self.reasons:
            raise ValueError(f"a judgement that says {self.decision.value} gives its reasons")
        return self

    @model_validator(mode="after")
    def _the_score_is_that_of_its_criteria(self) -> Self:
        scores = [criterion.score for criterion in self.criteria]
        names = [criterion.name.casefold() for criterion in self.criteria]
        if len(set(names)) != len(names):
            raise ValueError("a criterion is scored twice")
        if scores and not min(scores) <= self.score <= max(scores):
            low, high = min(scores), max(scores)
            raise ValueError(
                f"score {self.score:g} is not between its criteria's {low:g}, {high:g}"
            )
        return self


def canonical(model: BaseModel) -> str:
    """The one JSON text of `model` that is shown to members and digested: a line for each value."""
    text = json.dumps(
        model.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False
    )
    return text.translate(_LINE_ENDS)


def digest(model: BaseModel) -> str:
    """`sha256:` and the hex digest of the canonical text."""
    text = canonical(model).encode("utf-8", "surrogatepass")
    return "sha256:" + hashlib.sha256(text).hexdigest()
