"""Analyzers, which take seconds to load, once for all tests of a process."""

from __future__ import annotations

import pytest

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.recognition import ALL


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """An analyzer as it comes."""
    return Analyzer().warm()


@pytest.fixture(scope="session")
def analyzer_of_all() -> Analyzer:
    """An analyzer of all types that are known."""
    return Analyzer(ALL).warm()
