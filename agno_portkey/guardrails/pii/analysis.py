"""`Analyzer`: where personal data stands in a text."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_portkey.errors import AgnoPortkeyError, AnalysisFailed, ConfigurationError
from agno_portkey.guardrails.pii.nlp import Asked, Model, check_model, model_for, require_extra
from agno_portkey.guardrails.pii.noise import LABELS, sound
from agno_portkey.guardrails.pii.reading import for_ner, read
from agno_portkey.guardrails.pii.recognition import DEFAULT, check_types, detectors, own
from agno_portkey.guardrails.pii.spans import Span, checked, widest
from agno_portkey.guardrails.pii.words import TEAM
from agno_portkey.guardrails.secrets.views import encoded

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer
    from spacy.tokens import Doc

__all__ = ["Analyzer"]

# Characters that a language model is given at once, and how many of them it had before: what
# stands at the border of two blocks is seen whole in one of them.
BLOCK = 50_000
OVERLAP = 200
# What of a result of a recogniser is believed, unless it says otherwise.
THRESHOLD = 0.4
# What a language model finds.
_NAMED = frozenset(LABELS.values())


class Analyzer:
    """Finds personal data in texts; one for each tenant, its language models are shared.

    `entities`: the types to look for (None: `recognition.DEFAULT`), besides those of recognizers
    and lists of your own. `languages`: a text is searched with the model of each. `models`: the
    model of a language by name, in place of the best one. `recognizers`: a file or mapping in
    Presidio's format; `deny_list`: words that are always found. `cache`: how many texts are
    remembered, by hash. `seconds`: how long one text may take.

    Raises, when it is made, MissingExtraError without the extra `pii`, and ModelMissing if
    `entities` names PERSON or LOCATION and no model is installed; else a missing one is a warning.
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
        self.languages = _languages(languages)
        self.own = own(recognizers, deny_list, self.languages)
        self.entities = _checked(DEFAULT if entities is None else entities)
        check_types(self.entities, self.own)
        self._asked = entities is not None and not {"PERSON", "LOCATION"}.isdisjoint(self.entities)
        self.detectors = detectors(self.entities)
        self._named = _names(models, self.languages)
        self._models: list[Asked] | None = None
        self._lock = threading.Lock()
        self._cached, self._cache = cache, _Cache(cache)
        self._seconds = _positive(seconds)
        self._check_installed()

    def _check_installed(self) -> None:
        """Say at once what the first text would find missing; nothing is loaded."""
        require_extra("phonenumbers", *(("spacy",) if self._reads else ()))
        names = not _NAMED.isdisjoint(self.entities)
        for language in self.languages if self._reads else ():
            name = self._named.get(language)
            check_model(language, needed=self._asked, name=name, names=names)

    @property
    def _reads(self) -> bool:
        """Whether a language model is asked: for names, or the words around what is found."""
        return bool(self.own) or not _NAMED.isdisjoint(self.entities)

    def warm(self) -> Analyzer:
        """Load all that the first text would have to wait for."""
        self._find("Warm")
        return self

    @property
    def models(self) -> list[Asked]:
        """The language models, loaded now if they are not yet."""
        with self._lock:
            if self._models is None:
                self._models = [
                    model_for(language, needed=self._asked, name=self._named.get(language))
                    for language in (self.languages if self._reads else ())
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
            raise AnalysisFailed(
                f"a text could not be searched ({type(error).__name__})"
            ) from error
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
            self._left(late)
            found += detector.find(plain)
        for start, end, said in encoded(plain):
            self._left(late)
            # Who reads the text may read this as well.
            told = (one for detector in self.detectors for one in detector.find(said))
            found += (Span(start, end, one.type, one.score) for one in told)
        for model in self.models:
            found += self._by_model(model, plain, late)
        found = [one for one in found if not _is_role(one, plain)]
        kept = widest(checked(found, plain), plain)
        return kept if plain is text else tuple(reading.back(span) for span in kept)

    def _left(self, late: float) -> float:
        """The seconds until `late`; AnalysisFailed if there are none."""
        left = late - time.monotonic()
        if left <= 0:
            raise AnalysisFailed(f"a text takes more than {self._seconds:g} s")
        return left

    def _by_model(self, model: Asked, text: str, late: float) -> list[Span]:
        """What a language model finds, and the recognisers that are given its words."""
        mine = [one for one in self.own if one.supported_language == model.language]
        found: list[Span] = []
        if (not model.blank or mine) and any(char.isalpha() for char in text):
            for begin, part in _blocks(for_ner(text)):
                left = self._left(late)

                def body(
                    read_by: Model, doc: Doc, whole: str = text[begin : begin + len(part)]
                ) -> list[Span]:
                    return self._read(read_by, doc, whole, mine)

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


def _is_role(one: Span, text: str) -> bool:
    """Whether it is a role of a team by itself, which prompts and reasons are full of.

    What a list of the user's holds is certain, and stays.
    """
    return one.type == "PERSON" and one.score < 1 and text[one.start : one.end].lower() in TEAM


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
    """`text` in blocks that overlap, cut after a line or at white space."""
    blocks, place = [], 0
    while len(text) - place > BLOCK:
        half, end = place + BLOCK // 2, place + BLOCK
        cut = text.rfind("\n", half, end) + 1 or text.rfind(" ", half, end) + 1 or end
        blocks.append((place, text[place:cut]))
        place = text.find(" ", cut - OVERLAP, cut) + 1 or cut - OVERLAP
    blocks.append((place, text[place:]))
    return blocks


def _checked(entities: Iterable[str]) -> frozenset[str]:
    if isinstance(entities, str) or not isinstance(entities, Iterable):
        raise ConfigurationError(f"entities: a list of types, not {entities!r}")
    wanted = [*entities]
    if not all(isinstance(one, str) and one for one in wanted):
        raise ConfigurationError(f"entities: a list of types, not {entities!r}")
    return frozenset(wanted)


def _languages(languages: Sequence[str]) -> tuple[str, ...]:
    given = isinstance(languages, Iterable) and not isinstance(languages, str) and [*languages]
    if not given or not all(isinstance(one, str) and one for one in given):
        raise ConfigurationError(f"languages: a list such as ['en'], not {languages!r}")
    return tuple(dict.fromkeys(given))


def _names(models: Mapping[str, str] | None, languages: Sequence[str]) -> dict[str, str]:
    """The models that were named, by language."""
    if models is not None and not isinstance(models, Mapping):
        raise ConfigurationError(
            f"models: languages with the name of a model, as {{'en': 'en_core_web_lg'}}, "
            f"not {models!r}"
        )
    for language, name in (models or {}).items():
        if language not in languages:
            raise ConfigurationError(
                f"models: {language!r} is none of the languages ({', '.join(languages)})"
            )
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"models: {language}: the name of a model, not {name!r}")
    return dict(models or {})


def _positive(seconds: float) -> float:
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds < math.inf:
        raise ConfigurationError(f"seconds: a number above 0, not {seconds!r}")
    return seconds
