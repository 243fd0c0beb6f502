"""F2 over all personal data as `presidio-evaluator` computes it, without installing it.

Follows `SpanEvaluator(...).calculate_score_on_df(level="pii")` of presidio-evaluator 0.3.2 (MIT):
spans become tags of tokens, adjacent ones are merged over words that do not matter, and an
annotated span counts as found if the predicted ones that overlap it reach an intersection over
union of `threshold`. The published figures are .618 for the default analyzer (threshold .9) and
.845 for its own tuned one, with a transformer (threshold .7).
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# From presidio_evaluator/evaluation/skipwords.py, MIT (c) Microsoft.
_SKIPPED = """
>> >>> >>>> >>>>> >>>>>> 's street st. st de rue via and a the or do as of day address country
state city zip po apt unit corner p.o. box suite mr. mrs. miss year years y/o month months old
morning noon afternoon night evening this first last week weeks weekend days age ago inc inc.
ltd
"""


@lru_cache(maxsize=1)
def skip_words() -> frozenset[str]:
    from spacy.lang.en.stop_words import STOP_WORDS

    blank = ["", " ", *("\n" * n for n in range(1, 5)), *("\t" * n for n in range(1, 5))]
    return frozenset(
        [*string.punctuation, *string.whitespace, *blank, *_SKIPPED.split(), *STOP_WORDS]
    )


@dataclass
class Run:
    """Tokens that belong together; offsets are of the words that matter."""

    first: int
    last: int
    begin: int
    end: int


def _tags(tokens: Sequence[Any], spans: Iterable[tuple[int, int]]) -> list[bool]:
    """Which tokens begin inside a span, or hold one."""
    tags = []
    for token in tokens:
        stop = token.idx + len(token.text)
        tags.append(
            any(
                start <= token.idx < end
                or (token.idx <= start <= stop and token.idx <= end <= stop)
                for start, end in spans
            )
        )
    return tags


def _runs(tokens: Sequence[Any], tags: Sequence[bool]) -> list[Run]:
    skip, runs, place = skip_words(), [], 0
    while place < len(tokens):
        if not tags[place]:
            place += 1
            continue
        first = place
        while place < len(tokens) and tags[place]:
            place += 1
        kept = [token for token in tokens[first:place] if token.text.lower() not in skip]
        if kept:
            end = max(token.idx + len(token.text) for token in kept)
            runs.append(Run(first, place, kept[0].idx, end))
    merged: list[Run] = []
    for run in runs:
        if merged and all(
            token.text.lower().strip() in skip for token in tokens[merged[-1].last : run.first]
        ):
            last = merged[-1]
            merged[-1] = Run(last.first, run.last, last.begin, max(last.end, run.end))
        else:
            merged.append(run)
    return merged


def _ratio(true: Run, found: Sequence[Run]) -> float:
    if len(found) == 1:
        both = min(true.end, found[0].end) - max(true.begin, found[0].begin)
        return both / (max(true.end, found[0].end) - min(true.begin, found[0].begin))
    # The original is off by one between the first and the others; so is this.
    chars = set(range(true.begin, true.end + 1))
    covered = set(range(found[0].begin, found[0].end + 1))
    for run in found[1:]:
        covered.update(range(run.begin - 1, run.end))
    return len(chars & covered) / len(chars | covered)


def score(
    texts: Iterable[tuple[Sequence[Any], Sequence[tuple[int, int]], Sequence[tuple[int, int]]]],
    threshold: float = 0.7,
    wrong: list[tuple[str, int, int, int]] | None = None,
) -> tuple[float, float, float]:
    """F2, precision and recall over (tokens, true spans, predicted spans) of each text."""
    hits = predicted = annotated = 0
    for number, (tokens, true, found) in enumerate(texts):
        wanted, got = _runs(tokens, _tags(tokens, true)), _runs(tokens, _tags(tokens, found))
        met: set[int] = set()
        for run in wanted:
            over = [
                at
                for at, other in enumerate(got)
                if min(run.end, other.end) > max(run.begin, other.begin)
            ]
            met.update(over)
            hit = bool(over) and _ratio(run, [got[at] for at in over]) >= threshold
            annotated, hits, predicted = annotated + 1, hits + hit, predicted + bool(over)
            if wrong is not None and not hit:
                wrong.append(("missed", number, run.begin, run.end))
        alone = [run for at, run in enumerate(got) if at not in met]
        predicted += len(alone)
        if wrong is not None:
            wrong += [("false", number, run.begin, run.end) for run in alone]
    precision, recall = hits / predicted, hits / annotated
    return 5 * precision * recall / (4 * precision + recall), precision, recall
