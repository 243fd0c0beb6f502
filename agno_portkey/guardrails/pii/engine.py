"""The same recognisers in a plain engine of Presidio, for its tools and to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agno_portkey.guardrails.pii.analysis import THRESHOLD, Analyzer
from agno_portkey.guardrails.pii.noise import LABELS, sound
from agno_portkey.guardrails.pii.recognition import presidio
from agno_portkey.guardrails.pii.spans import Span

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer
    from spacy.language import Language

__all__ = ["plain_engine"]


def plain_engine(analyzer: Analyzer, nlp: Language | None = None) -> AnalyzerEngine:
    """An `AnalyzerEngine` with the recognisers of `analyzer`, and none of its shortcuts.

    It has the first language of `analyzer` and its model, or `nlp` in its place. It does not see
    through hidden characters, and has no limit of time.
    """
    module = presidio()
    model = analyzer.models[0]
    engine = _loaded_engine(model.language, nlp if nlp is not None else model.nlp)
    recognizers = [
        _recognizer(detector.find, [detector.type], model.language, type(detector).__name__)
        for detector in analyzer.detectors
    ]
    kinds = sorted(analyzer.entities & frozenset(LABELS.values()))
    if kinds:
        recognizers.append(_recognizer(None, kinds, model.language, "SoundSpacyRecognizer"))
    recognizers += [one for one in analyzer.own if one.supported_language == model.language]
    registry = module.RecognizerRegistry(recognizers, supported_languages=[model.language])
    plain: AnalyzerEngine = module.AnalyzerEngine(
        registry=registry,
        nlp_engine=engine,
        supported_languages=[model.language],
        default_score_threshold=THRESHOLD,
    )
    return plain


def _loaded_engine(language: str, nlp: Language) -> Any:
    """An engine with a model that is loaded already: it has nothing to fetch."""
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    class LoadedEngine(SpacyNlpEngine):
        def load(self) -> None:
            """Nothing: the model is there."""

    ignored = [label for label in nlp.pipe_labels.get("ner", []) if label not in LABELS]
    engine = LoadedEngine(
        models=[{"lang_code": language, "model_name": str(nlp.meta.get("name"))}],
        ner_model_configuration=NerModelConfiguration(
            labels_to_ignore=ignored, model_to_presidio_entity_mapping=dict(LABELS)
        ),
    )
    vars(engine)["nlp"] = {language: nlp}
    return engine


def _recognizer(
    find: Callable[[str], Sequence[Span]] | None, kinds: list[str], language: str, name: str
) -> EntityRecognizer:
    """A recogniser of Presidio that asks `find`, or judges what the model found."""
    module = presidio()

    class Ours(module.EntityRecognizer):  # type: ignore[misc, name-defined]
        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            if find is not None:
                spans = find(text)
            else:
                named = [
                    (one.start_char, one.end_char, one.label_) for one in nlp_artifacts.tokens.ents
                ]
                spans = sound(text, named)
            return [
                module.RecognizerResult(
                    span.type,
                    span.start,
                    span.end,
                    span.score,
                    module.AnalysisExplanation(self.name, span.score),
                    {
                        module.RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
                        module.RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                    },
                )
                for span in spans
                if span.type in entities
            ]

    made: EntityRecognizer = Ours(kinds, name=name, supported_language=language)
    return made
