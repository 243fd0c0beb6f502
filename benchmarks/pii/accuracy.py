"""What is found of the labelled texts, and what is redacted beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.pii.data import STRUCTURED, Labelled
from benchmarks.pii.evaluator import score
from benchmarks.pii.peers import Found, Peer


@dataclass(frozen=True)
class Rates:
    recall: float
    precision: float

    @property
    def f2(self) -> float:
        both = 4 * self.precision + self.recall
        return 5 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True)
class Accuracy:
    """`over`: the share of characters outside every label that were redacted, by all types and
    by the structured ones."""

    name: str
    person: Rates
    structured: Rates
    covered: float
    over: float
    over_structured: float


def accuracy(peer: Peer, texts: Sequence[Labelled]) -> Accuracy:
    found = [peer.find(one.text) for one in texts]
    return Accuracy(
        peer.name,
        rates(texts, found, frozenset(("PERSON",))),
        rates(texts, found, STRUCTURED),
        covered(texts, found),
        over(texts, found, lambda kind: True),
        over(texts, found, STRUCTURED.__contains__),
    )


def rates(texts: Sequence[Labelled], found: Sequence[Found], kinds: frozenset[str]) -> Rates:
    """A span counts as found if one of the same type overlaps it, and the other way round."""
    hits = wanted = right = given = 0
    for one, spans in zip(texts, found, strict=True):
        true = [span for span in one.spans if span[2] in kinds]
        got = [span for span in spans if span[2] in kinds]
        wanted, given = wanted + len(true), given + len(got)
        hits += sum(any(_met(span, other) for other in got) for span in true)
        right += sum(any(_met(span, other) for other in true) for span in got)
    return Rates(hits / wanted if wanted else 0.0, right / given if given else 0.0)


def covered(texts: Sequence[Labelled], found: Sequence[Found]) -> float:
    """The share of labelled spans whose letters and digits are all redacted, as whatever type."""
    whole = count = 0
    for one, spans in zip(texts, found, strict=True):
        chars = _chars(spans)
        for start, end, _ in one.spans:
            count += 1
            whole += all(at in chars for at in range(start, end) if one.text[at].isalnum())
    return whole / count


def over(texts: Sequence[Labelled], found: Sequence[Found], kept: Callable[[str], bool]) -> float:
    extra = free = 0
    for one, spans in zip(texts, found, strict=True):
        labelled = _chars(one.spans)
        extra += len(_chars([span for span in spans if kept(span[2])]) - labelled)
        free += len(one.text) - len(labelled)
    return extra / free


def as_evaluator(peer: Peer, texts: Sequence[Labelled], threshold: float) -> float:
    """F2 over all types, as presidio-evaluator computes it."""
    import spacy

    words = spacy.blank("en")
    return score(
        (
            (
                words(one.text),
                [(start, end) for start, end, _ in one.spans],
                [(start, end) for start, end, _ in peer.find(one.text)],
            )
            for one in texts
        ),
        threshold,
    )[0]


def _met(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] == other[2]


def _chars(spans: Sequence[tuple[int, int, str]]) -> set[int]:
    chars: set[int] = set()
    for start, end, _ in spans:
        chars.update(range(start, end))
    return chars
