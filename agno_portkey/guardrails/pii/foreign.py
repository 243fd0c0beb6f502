"""Presidio's recognisers, given the words of a document, and their results as spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agno_portkey.guardrails.pii.recognition import presidio, run_patterns
from agno_portkey.guardrails.pii.spans import Span

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer, RecognizerResult
    from spacy.tokens import Doc

    from agno_portkey.guardrails.pii.nlp import Model

__all__ = ["recognized"]


def recognized(
    recognizers: Sequence[EntityRecognizer], model: Model, doc: Doc, text: str, threshold: float
) -> list[Span]:
    """What `recognizers` find in `text`, as an engine of Presidio would report it."""
    module = presidio()
    found: list[Span] = []
    weighed: list[tuple[EntityRecognizer, Span]] = []
    artifacts: Any = None
    for recognizer in recognizers:
        if type(recognizer).analyze is module.PatternRecognizer.analyze:
            spans = run_patterns(recognizer, text)
        else:
            artifacts = artifacts or _artifacts(model, doc)
            spans = [
                Span(one.start, one.end, one.entity_type, one.score)
                for one in recognizer.analyze(text, recognizer.supported_entities, artifacts) or ()
            ]
        weighed += [(recognizer, span) for span in spans]
    if any(recognizer.context for recognizer, _ in weighed):
        weighed = _enhanced(weighed, artifacts or _artifacts(model, doc), text)
    for recognizer, span in weighed:
        limits = recognizer.score_thresholds
        limit = limits.get(span.type, limits.get("default", threshold))
        if span.score >= limit:
            found.append(span)
    return found


def _artifacts(model: Model, doc: Doc) -> Any:
    from presidio_analyzer.nlp_engine import NlpArtifacts

    doc = model.add_forms(doc)
    return NlpArtifacts(
        entities=[],
        tokens=doc,
        tokens_indices=[token.idx for token in doc],
        lemmas=[token.lemma_ or token.text for token in doc],
        nlp_engine=_engine(model),
        language=model.language,
        scores=[],
    )


def _engine(model: Model) -> Any:
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine = SpacyNlpEngine(models=[{"lang_code": model.language, "model_name": model.name}])
    vars(engine)["nlp"] = {model.language: model.nlp}
    return engine


def _enhanced(
    weighed: list[tuple[EntityRecognizer, Span]], artifacts: Any, text: str
) -> list[tuple[EntityRecognizer, Span]]:
    """The results with their scores raised where the words around them say so."""
    module = presidio()
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer

    results = [_result(module, recognizer, span) for recognizer, span in weighed]
    recognizers = [recognizer for recognizer, _ in weighed]
    raised = LemmaContextAwareEnhancer().enhance_using_context(
        text, results, artifacts, recognizers
    )
    return [
        (recognizer, Span(one.start, one.end, one.entity_type, one.score))
        for recognizer, one in zip(recognizers, raised, strict=True)
    ]


def _result(module: Any, recognizer: Any, span: Span) -> RecognizerResult:
    found: RecognizerResult = module.RecognizerResult(
        entity_type=span.type,
        start=span.start,
        end=span.end,
        score=span.score,
        analysis_explanation=module.AnalysisExplanation(recognizer.name, span.score),
        recognition_metadata={
            module.RecognizerResult.RECOGNIZER_NAME_KEY: recognizer.name,
            module.RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
        },
    )
    return found
