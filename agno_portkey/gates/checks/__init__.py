"""The checks of a gate, each a verdict with a score in 0-1."""

from agno_portkey.gates.checks.accuracy import AccuracyCheck
from agno_portkey.gates.checks.base import Check, Outcome, outcome_of
from agno_portkey.gates.checks.budget import BudgetCheck
from agno_portkey.gates.checks.combined import AllOf, AnyOf, Weighted, all_of, any_of, weighted
from agno_portkey.gates.checks.critique import CritiqueCheck
from agno_portkey.gates.checks.guards import GuardCheck
from agno_portkey.gates.checks.judgement import JudgementCheck
from agno_portkey.gates.checks.reliability import ReliabilityCheck
from agno_portkey.gates.checks.scorer import ScorerCheck
from agno_portkey.gates.checks.suite import SuiteCheck, record_suite

__all__ = [
    "AccuracyCheck",
    "AllOf",
    "AnyOf",
    "BudgetCheck",
    "Check",
    "CritiqueCheck",
    "GuardCheck",
    "JudgementCheck",
    "Outcome",
    "ReliabilityCheck",
    "ScorerCheck",
    "SuiteCheck",
    "Weighted",
    "all_of",
    "any_of",
    "outcome_of",
    "record_suite",
    "weighted",
]
