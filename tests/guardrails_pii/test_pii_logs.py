"""`govern` has handlers log no personal data that its form tells, and no secret."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from agno.agent import Agent

from agno_portkey import govern
from agno_portkey.guardrails import PIIGuardrail, SecretsGuardrail
from agno_portkey.guardrails.pii import Analyzer
from agno_portkey.model import PortkeyModel

MAIL, KEY = "ann.lee@corp.internal", "sk-proj-abcdefghijklmnopqrstuvwxyz123456"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    text = io.StringIO()
    handler, logger = logging.StreamHandler(text), logging.getLogger("a.program")
    others = {h: [*h.filters] for h in _handlers()}
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)
    for other, filters in others.items():
        other.filters[:] = filters


def _handlers() -> list[Any]:
    known = [*logging.root.manager.loggerDict.values(), logging.root]
    found = [h for logger in known for h in getattr(logger, "handlers", ())]
    return [*found, logging.lastResort]


@pytest.mark.parametrize("guard", ["pii", "secrets", "none"])
def test_what_is_logged(
    guard: str, analyzer: Analyzer, portkey_model: PortkeyModel, logged: io.StringIO
) -> None:
    agent = Agent(name="A", model=portkey_model)
    for _ in range(2):
        match guard:
            case "pii":
                govern(agent, pii=PIIGuardrail("mask", analyzer=analyzer))
            case "secrets":
                govern(agent, guards=[SecretsGuardrail()])
            case _:
                govern(agent)
        agent = Agent(name="B", model=portkey_model)
    logging.getLogger("a.program").warning("to %s by %s", MAIL, KEY)
    said = logged.getvalue()
    assert (MAIL in said) == (guard != "pii")
    assert (KEY in said) == (guard == "none")
    handler = logging.getLogger("a.program").handlers[-1]
    assert len(handler.filters) <= 2
