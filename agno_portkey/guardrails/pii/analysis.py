"""`Analyzer`: where personal data stands in a text."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_portkey.errors import AgnoPortkeyError, AnalysisFailed, ConfigurationError
from agno_portkey.guardrails.pii.nlp import Model, model_for
from agno_portkey.guardrails.pii.noise import LABELS, sound
from agno_portkey.guardrails.pii.reading import for_ner, read
from agno_portkey.guardrails.pii.recognition import DEFAULT, detectors, own
from agno_portkey.guardrails.pii.spans import Span, widest

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer
    from spacy.tokens import Doc

__all__ = ["Analyzer"]

# Characters that a language model is given at once.
BLOCK = 50_000
# What of a result of a recogniser is believed, unless it says otherwise.
THRESHOLD = 0.4


class Analyzer:
    """Finds personal data in texts; one for each tenant, its language models are shared.

    `entities`: the types to look for (None: `recognition.DEFAULT`). `languages`: a text is
    searched with the model of each. `models`: the model of a language by name, in place of the
    best one. `recognizers`: a file or mapping in Presidio's format; `deny_list`: words that are
    always found. `cache`: how many texts are remembered, by hash. `seconds`: how long one text
    may take.

    Raises MissingExtraError without the extra `pii`, and ModelMissing if `entities` names PERSON
    or LOCATION and no model is installed.
    """

    def __init__(
        self,
        entities: Iterable[str] | None = None,
        *,
        languages: Sequence[str] = ("en",),
        models: Mapping[str, str] | None = None,
        recognizers: str | Path | Mapping[str, Any] | None = None,
        deny_list: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        cache: int = 4096,
        seconds: float = 60.0,
    ) -> None:
        self.entities = _checked(DEFAULT if entities is None else entities)
        self.languages = _languages(languages)
        self._asked = entities is not None and not {"PERSON", "LOCATION"}.isdisjoint(self.entities)
        self.detectors = detectors(self.entities)
        self.own = own(recognizers, deny_list, self.languages)
        self._named = dict(models or {})
        self._models: list[Model] | None = None
        self._lock = threading.Lock()
        self._cached, self._cache = cache, _Cache(cache)
        self._seconds = seconds

    def warm(self) -> Analyzer:
        """Load all that the first text would have to wait for."""
        self._find("Warm")
        return self

    @property
    def models(self) -> list[Model]:
        """The language models, loaded now if they are not yet."""
        with self._lock:
            if self._models is None:
                wanted = not frozenset(LABELS.values()).isdisjoint(self.entities) or self.own
                self._models = [
                    model_for(language, needed=self._asked, name=self._named.get(language))
                    for language in (self.languages if wanted else ())
                ]
            return self._models

    def spans(self, text: str) -> tuple[Span, ...]:
        """Where personal data stands in `text`, in order, no two overlapping.

        AnalysisFailed if any part of it could not be looked at.
        """
        key = _key(text)
        if (known := self._cache.get(key)) is not None:
            return known
        try:
            found = self._find(text)
        except AgnoPortkeyError:
            raise
        except (Exception, SystemExit) as error:
            raise AnalysisFailed(f"a text could not be searched: {error!r}") from error
        self._cache.put(key, found)
        return found

    def knows(self, text: str) -> bool:
        """Whether `spans` has the answer for `text` at hand."""
        return self._cache.get(_key(text)) is not None

    def forget(self) -> None:
        """Remember no text any more: the next ones are searched anew."""
        self._cache = _Cache(self._cached)

    def _find(self, text: str) -> tuple[Span, ...]:
        reading = read(text)
        plain, late = reading.text, time.monotonic() + self._seconds
        found: list[Span] = []
        for detector in self.detectors:
            found += detector.find(plain)
        for model in self.models:
            found += self._by_model(model, plain, late)
        kept = widest(found, plain)
        return tuple(reading.back(span) for span in kept) if reading.places else kept

    def _by_model(self, model: Model, text: str, late: float) -> list[Span]:
        """What a language model finds, and the recognisers that are given its words."""
        mine = [one for one in self.own if one.supported_language == model.language]
        found: list[Span] = []
        if (not model.blank or mine) and any(char.isalpha() for char in text):
            for begin, part in _blocks(for_ner(text)):
                left = late - time.monotonic()
                if left <= 0:
                    raise AnalysisFailed(f"a text takes more than {self._seconds:g} s")

                def body(doc: Doc, whole: str = text[begin : begin + len(part)]) -> list[Span]:
                    return self._read(model, doc, whole, mine)

                found += [
                    Span(span.start + begin, span.end + begin, span.type, span.score)
                    for span in model.ask(part, body, left)
                ]
        return found

    def _read(self, model: Model, doc: Doc, text: str, mine: list[EntityRecognizer]) -> list[Span]:
        named = [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents]
        found = [span for span in sound(text, named) if span.type in self.entities]
        if mine:
            from agno_portkey.guardrails.pii.foreign import recognized

            found += recognized(mine, model, doc, text, THRESHOLD)
        return found


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _Cache:
    """The spans of the texts that were asked about last, by a hash: no text is kept."""

    def __init__(self, size: int) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ConfigurationError(f"cache: a number of texts, not {size!r}")
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()

    def get(self, key: bytes) -> tuple[Span, ...] | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: bytes, spans: tuple[Span, ...]) -> None:
        with self._lock:
            self._kept[key] = spans
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


def _blocks(text: str) -> list[tuple[int, str]]:
    """`text` in blocks, cut after a line or at white space."""
    blocks, place = [], 0
    while len(text) - place > BLOCK:
        end = place + BLOCK
        cut = text.rfind("\n", place + BLOCK // 2, end) + 1 or text.rfind(" ", place, end) + 1
        cut = cut or end
        blocks.append((place, text[place:cut]))
        place = cut
    blocks.append((place, text[place:]))
    return blocks


def _checked(entities: Iterable[str]) -> frozenset[str]:
    if isinstance(entities, str):
        raise ConfigurationError(f"entities: a list of types, not {entities!r}")
    wanted = frozenset(entities)
    if not all(isinstance(one, str) and one for one in wanted):
        raise ConfigurationError(f"entities: a list of types, not {entities!r}")
    return wanted


def _languages(languages: Sequence[str]) -> tuple[str, ...]:
    if isinstance(languages, str) or not languages:
        raise ConfigurationError(f"languages: a list such as ['en'], not {languages!r}")
    return tuple(dict.fromkeys(languages))
