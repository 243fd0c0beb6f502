"""What is worth telling of a span beside its name, and which one it stands below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agno_portkey.telemetry import names
from agno_portkey.verdict import shown

__all__ = ["facts_of", "placed"]

# In order, and how it reads.
_FACTS = (
    (names.PROVIDER, "{}"),
    (f"{names.OURS}target", "{}"),
    (names.INPUT_TOKENS, "{} in"),
    (names.OUTPUT_TOKENS, "{} out"),
    (names.COST, "${:.6f}"),
    (names.FIRST_TOKEN, "first word {:.3f} s"),
    ("gate.decision", "{}"),
    (f"{names.OURS}decision", "{}"),
    ("gate.score", "score {:g}"),
    (names.ERROR_TYPE, "{}"),
)


def facts_of(attributes: Mapping[str, Any] | None) -> list[str]:
    """What a span's attributes say that is worth a look, each once and in one line."""
    said = attributes or {}
    told = (_fact(form, said[name]) for name, form in _FACTS if said.get(name) is not None)
    return list(dict.fromkeys(shown(each) for each in told))


def placed(spans: Sequence[Any]) -> Iterator[tuple[Any, str | None]]:
    """The spans, each with the id of the one that it stands below, which has come before it.

    None is of what stands at the top. What a parent began comes in the order in which it began.
    """
    ids = {span.span_id for span in spans}
    seen: set[str] = set()
    left = sorted(spans, key=lambda span: span.start_time)
    while left:
        later: list[Any] = []
        for span in left:
            parent = span.parent_span_id
            if parent in ids and parent not in seen:
                later.append(span)
                continue
            above = parent if parent in seen else None
            seen.add(span.span_id)
            yield span, above
        # Where each stands below another there is no first one: any is.
        if len(later) == len(left):
            ids.discard(left[0].parent_span_id)
        left = later


def _fact(form: str, value: Any) -> str:
    try:
        return form.format(value)
    except (TypeError, ValueError):
        # Others write into that table as well.
        return str(value)
