"""`PIIGuardrail` where what it asks fails, hangs or lies, and where it is of no use: it blocks."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from agno.agent import Agent
from four_forms import FORMS, play

from agno_portkey import verdict_of
from agno_portkey.errors import AnalysisFailed
from agno_portkey.guardrails import Passage, Scene
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.guard import PIIGuardrail
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

MAIL, CARD, NAME = "ann.lee@corp.internal", "4111 1111 1111 1111", "John Smith"
ASKED = f"My name is {NAME}, my e-mail is {MAIL}, charge {CARD}."


class Failing(Analyzer):
    """An analyzer whose backend does as it is told."""

    def __init__(self, does: str) -> None:
        super().__init__()
        self.does, self.gate = does, threading.Event()

    def spans(self, text: str) -> tuple[Span, ...]:
        match self.does:
            case "raises":
                raise OSError(f"no model for {text}")
            case "ends":
                raise SystemExit(1)
            case "hangs":
                self.gate.wait(60)
            case "lies":
                return (Span(5, 9_999, "PERSON", 1.0),)
            case "points back":
                return (Span(-9, -2, "PERSON", 1.0),)
            case "finds nothing":
                return (Span(5, 5, "PERSON", 1.0),)
            case "junk":
                return "nothing"  # type: ignore[return-value]
        return ()


@pytest.mark.parametrize("mode", ["block", "mask", "pseudonymize"])
@pytest.mark.parametrize("does", ["raises", "ends", "hangs", "junk", "lies", "finds nothing"])
@pytest.mark.parametrize("form", ["run", "astream"])
def test_an_analyzer_that_fails_lets_nothing_through(
    form: str,
    does: str,
    mode: Any,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    failing = Failing(does)
    timeout = 0.3 if does == "hangs" else 20
    portkey_model.guards = (PIIGuardrail(mode, analyzer=failing, timeout=timeout),)
    ended = play(Agent(model=portkey_model), form, ASKED)
    failing.gate.set()
    assert ended.status.value == "ERROR"
    assert portkey_provider.requests == []
    assert MAIL not in str(ended.content)


def test_an_answer_is_not_shown_where_the_analyzer_fails(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(f"Write to {MAIL}. " * 3)
    portkey_model.guards = (PIIGuardrail("mask", analyzer=Failing("raises"), on="output"),)
    ended = play(Agent(model=portkey_model), "stream", "Hi")
    assert ended.status.value == "ERROR"
    assert "".join(ended.text_shown) == ""
    verdict = verdict_of(ended.errors[0])
    assert verdict is not None
    assert verdict.source == "PIIGuardrail"


@pytest.mark.parametrize("mode", ["block", "mask"])
@pytest.mark.parametrize("does", ["lies", "points back", "finds nothing", "junk"])
@pytest.mark.parametrize("source", ["assistant", "tool_call"])
def test_an_answer_is_not_passed_on_what_is_no_finding(source: Any, does: str, mode: Any) -> None:
    guard = PIIGuardrail(mode, analyzer=Failing(does))
    with pytest.raises(AnalysisFailed):
        guard.inspect(Passage(ASKED, source, "output", scene=Scene(session_id="s")))


def test_an_answer_that_nobody_waits_for_is_not_read_to_its_end() -> None:
    class Slow(Analyzer):
        asked = 0

        def spans(self, text: str) -> tuple[Span, ...]:
            self.asked += 1
            time.sleep(0.02)
            return ()

    slow = Slow()
    guard = PIIGuardrail("mask", analyzer=slow, timeout=0.05)
    with pytest.raises(AnalysisFailed, match="takes more than"):
        guard.inspect(Passage("line\n" * 200, "assistant", "output"))
    assert slow.asked < 200


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hooks", ["pre_hooks", "post_hooks"])
def test_placeholders_in_a_hook_alone_would_hide_nothing(
    hooks: str,
    form: str,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    portkey_provider.reply("Hello.")
    hooked: dict[str, Any] = {hooks: [guard]}
    ended = play(Agent(model=portkey_model, **hooked), form, ASKED)
    assert ended.status.value == "ERROR"
    assert "give PIIGuardrail as guards=" in str(ended.content)
    if hooks == "pre_hooks":
        assert portkey_provider.requests == []


def test_tools_see_what_the_user_sees(analyzer: Analyzer) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    scene = Scene("tool", session_id="s")
    assert guard.inspect(Passage(ASKED, "tool_call", "input", scene=scene)) is None


def test_it_warms_its_analyzer() -> None:
    analyzer = Failing("works")
    warmed: list[str] = []
    analyzer.warm = lambda: warmed.append("warm") or analyzer  # type: ignore[method-assign, func-returns-value]
    guard = PIIGuardrail(analyzer=analyzer)
    assert guard.warm() is guard
    assert warmed == ["warm"]
