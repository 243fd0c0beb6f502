"""The history of gates: every decision, kept in Agno's own table of evaluations, and compared."""

from agno_portkey.gates.history.record import Decided, Scored
from agno_portkey.gates.history.report import Report, report, reports
from agno_portkey.gates.history.series import Span, shifts, spans
from agno_portkey.gates.history.store import History

__all__ = [
    "Decided",
    "History",
    "Report",
    "Scored",
    "Span",
    "report",
    "reports",
    "shifts",
    "spans",
]
