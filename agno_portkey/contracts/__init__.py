"""Structured outputs: the roles' schemas, contracts, and what holds an output to them."""

from agno_portkey.contracts.check import validate
from agno_portkey.contracts.contract import Contract, Rule
from agno_portkey.contracts.figures import ContractFigures, Figures
from agno_portkey.contracts.known import Known
from agno_portkey.contracts.partial import Partial, partial_of
from agno_portkey.contracts.repair import Repair
from agno_portkey.contracts.roles import (
    Budget,
    Criterion,
    Critique,
    Decision,
    Issue,
    Judgement,
    Plan,
    Revision,
    Risk,
    Severity,
    Step,
    StepInput,
    canonical,
    digest,
)
from agno_portkey.contracts.schemas import Problem

__all__ = [
    "Budget",
    "Contract",
    "ContractFigures",
    "Criterion",
    "Critique",
    "Decision",
    "Figures",
    "Issue",
    "Judgement",
    "Known",
    "Partial",
    "Plan",
    "Problem",
    "Repair",
    "Revision",
    "Risk",
    "Rule",
    "Severity",
    "Step",
    "StepInput",
    "canonical",
    "digest",
    "partial_of",
    "validate",
]
