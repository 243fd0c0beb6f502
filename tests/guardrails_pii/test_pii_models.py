"""A language without a model, and patterns of others that believe nothing of what they match."""

from __future__ import annotations

import pytest
from presidio_analyzer import Pattern, PatternRecognizer

from agno_portkey.errors import ModelMissing
from agno_portkey.guardrails.pii.nlp import model_for
from agno_portkey.guardrails.pii.recognition import run_patterns


def test_a_language_without_a_model_is_told_with_what_to_install() -> None:
    with pytest.raises(ModelMissing, match="install sv_core_news_sm"):
        model_for("sv", needed=True)


class Checked(PatternRecognizer):
    """Believes even numbers only."""

    def validate_result(self, pattern_text: str) -> bool:
        return int(pattern_text) % 2 == 0


def test_what_a_recognizer_does_not_believe_is_not_found() -> None:
    recognizer = Checked("CODE", patterns=[Pattern("digits", r"\d+", 0.5)])
    found = run_patterns(recognizer, "12 and 13")
    assert [(span.start, span.end, span.score) for span in found] == [(0, 2, 1.0)]
