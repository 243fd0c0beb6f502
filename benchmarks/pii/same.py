"""Whether the shortcuts change what is found: ours beside a plain engine with our recognisers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.engine import plain_engine
from agno_portkey.guardrails.pii.recognition import ALL
from agno_portkey.guardrails.pii.spans import Span, widest
from benchmarks.pii.data import agent_chats, synth
from benchmarks.pii.peers import load_full

OWN = {
    "recognizers": [
        {
            "name": "Employee numbers",
            "supported_entity": "EMPLOYEE",
            "patterns": [{"name": "digits", "regex": r"\b\d{4,6}\b", "score": 0.2}],
            "supported_languages": [
                {"language": "en", "context": ["employee", "order", "zip", "address", "card"]}
            ],
            "type": "custom",
        }
    ]
}


def texts() -> list[str]:
    labelled = [*synth("all"), *agent_chats("tune"), *agent_chats("unseen")]
    return [one.text for one in labelled]


def compare(
    model: str | None = None, some: Sequence[str] | None = None
) -> Iterator[tuple[str, int, int, int]]:
    """For each kind of analyzer: its name, how many texts, how many differ with the same parts of
    the model, and with all of them."""
    models = {"en": model} if model else None
    kinds: dict[str, dict[str, Any]] = {
        "default types": {},
        "all types": {"entities": ALL},
        "own recognisers with context, deny list": {
            "recognizers": OWN,
            "deny_list": ["Oak Street", "refund"],
        },
    }
    full = load_full(model)
    for name, settings in kinds.items():
        analyzer = Analyzer(models=models, **settings)
        asked = list(texts() if some is None else some)
        # The context of a recogniser is looked for among base forms, which only all parts give.
        plain = None if "recognizers" in settings else plain_engine(analyzer)
        whole = plain_engine(analyzer, full)
        counts = [0, 0]
        for text in asked:
            ours = _bare(analyzer.spans(text))
            for at, engine in enumerate((plain or whole, whole)):
                results = engine.analyze(text, analyzer.languages[0])
                spans = [Span(one.start, one.end, one.entity_type, one.score) for one in results]
                counts[at] += ours != _bare(widest(spans, text))
        yield name, len(asked), counts[0], counts[1]


def _bare(spans: Sequence[Span]) -> list[tuple[int, int, str]]:
    return [(one.start, one.end, one.type) for one in spans]
