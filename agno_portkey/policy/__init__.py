"""`Policy`: what `govern` enforces, and how strictly, as one object that fits into a YAML file."""

from agno_portkey.policy.budgets import BudgetUse
from agno_portkey.policy.document import Policy, json_schema
from agno_portkey.policy.gates import GatePolicy
from agno_portkey.policy.parts import ContractsPolicy, StopPolicy, TagsPolicy
from agno_portkey.policy.personal import PIIPolicy, VaultsPolicy
from agno_portkey.policy.terms import Terms, terms_of
from agno_portkey.policy.uses import GuardUse

__all__ = [
    "BudgetUse",
    "ContractsPolicy",
    "GatePolicy",
    "GuardUse",
    "PIIPolicy",
    "Policy",
    "StopPolicy",
    "TagsPolicy",
    "Terms",
    "VaultsPolicy",
    "json_schema",
    "terms_of",
]
