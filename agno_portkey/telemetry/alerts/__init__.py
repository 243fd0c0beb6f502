"""Alerts on degradation: rules for Prometheus, and a form for those without it."""

from agno_portkey.telemetry.alerts.embedded import Alerts
from agno_portkey.telemetry.alerts.rules import rules
from agno_portkey.telemetry.alerts.thresholds import (
    CacheHits,
    Circuits,
    DayBudget,
    Errors,
    FirstToken,
    GatePasses,
    Gone,
    Latency,
    Spending,
    Thresholds,
)

__all__ = [
    "Alerts",
    "CacheHits",
    "Circuits",
    "DayBudget",
    "Errors",
    "FirstToken",
    "GatePasses",
    "Gone",
    "Latency",
    "Spending",
    "Thresholds",
    "rules",
]
