"""What is found in a text: by an analyzer, and by the detectors of one type alone."""

from __future__ import annotations

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.recognition import ALL, detectors
from agno_portkey.guardrails.pii.spans import widest

MAIL = "Mail Anna Becker at anna@corp.internal."
EVERY = {name: detectors([name]) for name in ALL}


def shown(analyzer: Analyzer, text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.type) for span in analyzer.spans(text)]


def found(kind: str, text: str) -> list[str]:
    spans = [span for detector in EVERY[kind] for span in detector.find(text)]
    return [text[span.start : span.end] for span in widest(spans, text)]
