"""The ledger: what each request took, for whom, and budgets over it."""

from agno_portkey.telemetry.ledger.budget import Budget, BudgetAllowance
from agno_portkey.telemetry.ledger.entry import Entry
from agno_portkey.telemetry.ledger.ledger import Ledger
from agno_portkey.telemetry.ledger.prices import Price, Prices, dollars
from agno_portkey.telemetry.ledger.store import BY, Sum, Total

__all__ = [
    "BY",
    "Budget",
    "BudgetAllowance",
    "Entry",
    "Ledger",
    "Price",
    "Prices",
    "Sum",
    "Total",
    "dollars",
]
