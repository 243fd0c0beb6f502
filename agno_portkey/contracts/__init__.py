"""Structured outputs: the roles' schemas, and the check that holds an output to its schema."""

from agno_portkey.contracts.check import schema_of, validate
from agno_portkey.contracts.layer import contract_layer, tell_broken
from agno_portkey.contracts.roles import (
    Critique,
    Decision,
    Issue,
    Judgement,
    Plan,
    Severity,
    Step,
    StepInput,
    canonical,
    digest,
)

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
    "contract_layer",
    "digest",
    "schema_of",
    "tell_broken",
    "validate",
]
