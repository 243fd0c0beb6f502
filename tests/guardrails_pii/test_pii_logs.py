"""`govern` has handlers log no personal data that its form tells, and no secret."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from agno.agent import Agent

from agno_portkey import govern
from agno_portkey.guardrails import Passage, PIIGuardrail, Scene, SecretsGuardrail
from agno_portkey.guardrails.pii import Analyzer, Vaults
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


def logged_after(guard: PIIGuardrail, *said: str) -> str:
    """The last of `said` as it is logged when a model was asked the others, each in its session."""
    *asked, record = said
    for number, text in enumerate(asked):
        scene = Scene(session_id=f"s{number}", user_id="ann", stage="model")
        guard.inspect(Passage(text, scene=scene))
    return guard.redacted(record)


@pytest.mark.parametrize("mode", ["block", "mask", "pseudonymize"])
def test_names_that_were_seen_lately_are_not_logged(mode: Any, analyzer: Analyzer) -> None:
    record = "GARCIA of maria is Maria's, not Smith: Maria Garcia"
    told = logged_after(PIIGuardrail(mode, analyzer=analyzer), "I am Maria Garcia", "Hello", record)
    assert told == "<PERSON> of <PERSON> is <PERSON>'s, not Smith: <PERSON>"


def test_of_names_those_of_the_last_sessions_are_known(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    others = ["Hello"] * 49
    assert logged_after(guard, "I am Maria Garcia", *others, "Garcia") == "<PERSON>"
    guard = PIIGuardrail("mask", analyzer=analyzer)
    assert logged_after(guard, "I am Maria Garcia", *others, "Hello", "Garcia") == "Garcia"


@pytest.mark.parametrize("who", ["session", "user", "another session", "another user"])
def test_names_are_forgotten_with_what_is_hidden(who: str, analyzer: Analyzer) -> None:
    vaults = Vaults()
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer, vaults=vaults)
    assert logged_after(guard, "I am Maria Garcia", "Garcia") == "<PERSON>"
    match who:
        case "session":
            vaults.forget("s0")
        case "user":
            vaults.forget_user("ann")
        case "another session":
            vaults.forget("s1")
        case _:
            vaults.forget_user(None)
    assert guard.redacted("Garcia") == ("<PERSON>" if "another" in who else "Garcia")


def test_names_in_what_a_program_defines_are_nobodys(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("mask", analyzer=analyzer)
    guard.inspect(Passage("I am Maria Garcia", "tool_definition", scene=Scene(session_id="s")))
    assert guard.redacted("Garcia") == "Garcia"
