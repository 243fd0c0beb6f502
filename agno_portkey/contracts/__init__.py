"""Structured outputs: the roles' schemas, contracts, and what holds an output to them."""

from agno_portkey.contracts.check import schema_of, validate, wanted
from agno_portkey.contracts.contract import (
    Contract,
    Rule,
    check_contracts,
    contract_for,
    input_held,
    output_held,
)
from agno_portkey.contracts.figures import ContractFigures, Figures
from agno_portkey.contracts.known import Known, Noted
from agno_portkey.contracts.layer import Keeping, contract_layer, tell_broken
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
from agno_portkey.contracts.schemas import Problem, Schema

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
    "Keeping",
    "Known",
    "Noted",
    "Partial",
    "Plan",
    "Problem",
    "Repair",
    "Revision",
    "Risk",
    "Rule",
    "Schema",
    "Severity",
    "Step",
    "StepInput",
    "canonical",
    "check_contracts",
    "contract_for",
    "contract_layer",
    "digest",
    "input_held",
    "output_held",
    "partial_of",
    "schema_of",
    "tell_broken",
    "validate",
    "wanted",
]
