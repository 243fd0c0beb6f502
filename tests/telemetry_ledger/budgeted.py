"""What the tests of budgets share: answers of a hundred tokens, which cost a dollar."""

from __future__ import annotations

from decimal import Decimal

from agno_portkey.telemetry.ledger import Price, Prices
from agno_portkey.testing import Reply, Usage

# A hundred tokens, which cost a dollar.
HUNDRED = Reply("Hello", usage=Usage(60, 40))
A_CENT_EACH = Prices({"gpt-4o-mini": Price(Decimal(10), Decimal(10))})
