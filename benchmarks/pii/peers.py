"""What is measured: ours, and what others have, each as a function from a text to its spans."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""

Found = list[tuple[int, int, str]]


@dataclass(frozen=True)
class Peer:
    name: str
    find: Callable[[str], Found]


def ours(
    model: str | None = None, *, every: bool = False, cache: int = 4096, name: str | None = None
) -> Peer:
    """Ours with the best installed model or `model`; with `every`, all types it knows."""
    from agno_portkey.guardrails.pii.analysis import Analyzer
    from agno_portkey.guardrails.pii.recognition import ALL

    analyzer = Analyzer(
        ALL if every else None, models={"en": model} if model else None, cache=cache
    ).warm()
    label = (
        name or f"agno-portkey{', all types' if every else ''}, {_size(analyzer.models[0].name)}"
    )
    return Peer(
        label, lambda text: [(one.start, one.end, one.type) for one in analyzer.spans(text)]
    )


def presidio(model: str | None = None) -> Peer:
    """Presidio as it comes, with the same spaCy model in full."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Loaded(SpacyNlpEngine):
        def load(self) -> None:
            """Nothing: the model is there."""

    nlp = load_full(model)
    engine = Loaded(models=[{"lang_code": "en", "model_name": "loaded"}])
    engine.nlp = {"en": nlp}
    analyzer = AnalyzerEngine(nlp_engine=engine)
    return Peer(
        f"Presidio default, {_size(nlp.meta['name'])}",
        lambda text: [
            (one.start, one.end, one.entity_type) for one in analyzer.analyze(text, "en")
        ],
    )


def load_full(model: str | None) -> Any:
    """A whole spaCy model, by name or the one that ours would take."""
    import importlib

    import spacy

    from agno_portkey.guardrails.pii.nlp import model_for

    name = model or model_for("en", needed=True).source
    package = importlib.import_module(name)
    return spacy.load(package.model_path() if hasattr(package, "model_path") else name)


def agno() -> Peer:
    """Agno's own guardrail, which masks by four patterns."""
    from agno.guardrails import PIIDetectionGuardrail

    patterns = PIIDetectionGuardrail().pii_patterns
    names = {
        "Email": "EMAIL_ADDRESS",
        "Phone": "PHONE_NUMBER",
        "Credit Card": "CREDIT_CARD",
        "SSN": "US_SSN",
    }

    def find(text: str) -> Found:
        return [
            (match.start(), match.end(), names.get(kind, kind))
            for kind, pattern in patterns.items()
            for match in pattern.finditer(text)
        ]

    return Peer("Agno", find)


def scrubadub() -> Peer:
    import scrubadub as package

    names = {
        "email": "EMAIL_ADDRESS",
        "phone": "PHONE_NUMBER",
        "credit_card": "CREDIT_CARD",
        "social_security_number": "US_SSN",
        "name": "PERSON",
        "url": "URL",
    }
    scrubber = package.Scrubber()

    def find(text: str) -> Found:
        return [
            (filth.beg, filth.end, names.get(filth.type, filth.type.upper()))
            for filth in scrubber.iter_filth(text)
        ]

    return Peer("scrubadub", find)


def pii_anon() -> Peer:
    import pii_anon as package

    names = {"PERSON_NAME": "PERSON", "IBAN": "IBAN_CODE", "SSN": "US_SSN"}
    engine = package.PIIOrchestrator("benchmark")
    profile = package.ProcessingProfileSpec("benchmark", use_external_competitors=False)
    whole = package.SegmentationPlan(enabled=False)

    def find(text: str) -> Found:
        findings = engine.detect_findings(
            {"text": text}, profile=profile, segmentation=whole, scope="benchmark", token_version=1
        )[0]
        return [
            (one.span_start, one.span_end, names.get(one.entity_type, one.entity_type))
            for one in findings
        ]

    return Peer("pii-anon", find)


def installed(*makers: Callable[[], Peer]) -> tuple[list[Peer], list[str]]:
    """The peers whose packages are there and work, and the names of the others with the reason."""
    there, missing = [], []
    for make in makers:
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                peer = make()
                peer.find("Mail bob@example.com")
            there.append(peer)
        except (Exception, SystemExit) as error:
            missing.append(f"{make.__name__}: {type(error).__name__}: {error}")
    return there, missing


def _size(name: str) -> str:
    return next((part for part in ("lg", "md", "sm") if f"_{part}" in name), name)
