"""What an analyzer looks for: our detectors, and recognisers in Presidio's own YAML format."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_portkey.documents import parse, read_text
from agno_portkey.errors import AnalysisFailed, ConfigurationError, MissingExtraError
from agno_portkey.guardrails.pii.attributes import (
    AgeDetector,
    CompanyDetector,
    DateDetector,
    TitleDetector,
)
from agno_portkey.guardrails.pii.contacts import (
    EmailDetector,
    IpDetector,
    PhoneDetector,
    UrlDetector,
)
from agno_portkey.guardrails.pii.cues import CueDetector
from agno_portkey.guardrails.pii.detector import Detector
from agno_portkey.guardrails.pii.fields import BirthDetector, ColumnDetector, FieldDetector
from agno_portkey.guardrails.pii.names import NameDetector
from agno_portkey.guardrails.pii.nlp import quiet
from agno_portkey.guardrails.pii.numbers import (
    CardDetector,
    IbanDetector,
    IdDetector,
    ItinDetector,
    SsnDetector,
)
from agno_portkey.guardrails.pii.places import (
    AddressDetector,
    CountryDetector,
    PeopleDetector,
    PlaceCueDetector,
    SmallAddressDetector,
    StateDetector,
    ZipDetector,
)
from agno_portkey.guardrails.pii.spans import Span

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

__all__ = ["ALL", "DEFAULT", "check_types", "detectors", "own", "presidio", "run_patterns"]

# What is looked for if nothing else is said. The rest is personal data in some texts only, and
# finding it would redact much that is none.
DEFAULT = (
    "PERSON",
    "LOCATION",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "US_SSN",
    "US_ITIN",
    "US_PASSPORT",
    "US_DRIVER_LICENSE",
    "IP_ADDRESS",
    "DATE_OF_BIRTH",
)
ALL = (*DEFAULT, "ORGANIZATION", "NRP", "DATE_TIME", "AGE", "TITLE", "URL")
# Seconds that one pattern of a file may take over one text.
_PATIENCE = 2.0


def check_types(entities: frozenset[str], own: Sequence[EntityRecognizer]) -> None:
    """Refuse types that nothing looks for, with the nearest that something does; and none at all.

    `own`: the recognisers of one's own.
    """
    known = frozenset(ALL).union(*(one.supported_entities for one in own))
    for one in sorted(entities - known):
        near = get_close_matches(one.upper(), sorted(known), n=3)
        said = f"near it: {', '.join(near)}" if near else f"known: {', '.join(sorted(known))}"
        raise ConfigurationError(
            f"entities: nothing finds {one!r}; {said}; a type of your own needs recognizers or a "
            "deny_list"
        )
    if not entities and not own:
        raise ConfigurationError(
            "entities: none at all would be looked for; leave it out for the usual ones"
        )


def detectors(entities: Iterable[str]) -> list[Detector]:
    """Our detectors of these types; the language model finds the rest."""
    wanted = frozenset(entities)
    every: list[Detector] = [
        CardDetector(),
        IbanDetector(),
        SsnDetector(),
        ItinDetector(),
        IdDetector("US_PASSPORT", "passport", r"[A-Za-z]?\d{8,9}"),
        IdDetector(
            "US_DRIVER_LICENSE", r"driver(?:['\u2019]?s)?[ _]licen[sc]e|licen[sc]e plate|\bDL"
        ),
        EmailDetector(),
        PhoneDetector(),
        IpDetector(),
        AddressDetector(),
        SmallAddressDetector(),
        StateDetector(),
        ZipDetector(),
        CountryDetector(),
        PeopleDetector(),
        PlaceCueDetector(),
        *(FieldDetector(kind) for kind in ("PERSON", "LOCATION")),
        *(ColumnDetector(kind) for kind in ("PERSON", "LOCATION", "DATE_OF_BIRTH")),
        BirthDetector(),
        CompanyDetector(),
        CueDetector(),
        NameDetector(),
        AgeDetector(),
        TitleDetector(),
        DateDetector(),
        UrlDetector(),
    ]
    return [detector for detector in every if detector.type in wanted]


def presidio() -> Any:
    """Presidio, kept from the network, or MissingExtraError."""
    # Its e-mail and link recognisers fetch a list of domains at their first use.
    os.environ.setdefault("TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS", "")
    try:
        with quiet():
            import presidio_analyzer
    except ImportError as error:
        raise MissingExtraError(
            'recognisers of your own need Presidio: pip install "agno-portkey[pii]"'
        ) from error
    return presidio_analyzer


def own(
    source: str | Path | Mapping[str, Any] | None,
    deny_list: Sequence[str] | Mapping[str, Sequence[str]] | None,
    languages: Sequence[str],
) -> list[EntityRecognizer]:
    """The recognisers of a YAML file or mapping in Presidio's format, and of deny lists.

    A deny list is of type `DENIED`, or a mapping from types to words. ConfigurationError tells
    what of either is wrong.
    """
    found: list[EntityRecognizer] = []
    if source is not None:
        where = "" if isinstance(source, Mapping) else f"{source}: "
        found += _from_document(_document(source), languages, where)
    if deny_list:
        found += _from_deny_list(deny_list, languages)
    return found


def _document(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(source, Mapping):
        document: Any = dict(source)
    else:
        try:
            document = parse(read_text(Path(source)))
        except (ConfigurationError, TypeError) as error:
            why = str(error).removeprefix(f"{source}: can't be read ")
            raise ConfigurationError(f"recognizers: {source} can't be read: {why}") from None
    if not isinstance(document, dict) or not isinstance(document.get("recognizers"), list):
        raise ConfigurationError("recognizers: a mapping with a list `recognizers` is needed")
    return document


def _from_document(
    document: dict[str, Any], languages: Sequence[str], where: str
) -> list[EntityRecognizer]:
    module = presidio()
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

    from agno_portkey.guardrails.pii.recognizer_file import check_document

    settings = {"supported_languages": [*languages], "global_regex_flags": 26, **document}
    with quiet():
        check_document(settings, where)
        try:
            registry = RecognizerRegistryProvider(
                registry_configuration=settings
            ).create_recognizer_registry()
        except (Exception, SystemExit) as error:
            raise ConfigurationError(f"recognizers: {where}{error}") from error
    kinds = module.predefined_recognizers.SpacyRecognizer
    return [one for one in registry.recognizers if not isinstance(one, kinds)]


def _from_deny_list(
    deny_list: Sequence[str] | Mapping[str, Sequence[str]], languages: Sequence[str]
) -> list[EntityRecognizer]:
    module = presidio()
    lists = deny_list if isinstance(deny_list, Mapping) else {"DENIED": deny_list}
    found = []
    for kind, words in lists.items():
        if not isinstance(kind, str) or not kind:
            raise ConfigurationError(f"deny_list: the name of a type is needed, not {kind!r}")
        several = isinstance(words, Collection) and not isinstance(words, str)
        if not several or not all(isinstance(word, str) and word for word in words):
            raise ConfigurationError(f"deny_list: {kind}: a list of words is needed, none empty")
        for language in languages if words else ():
            found.append(
                module.PatternRecognizer(
                    supported_entity=kind,
                    deny_list=sorted(words, key=len, reverse=True),
                    supported_language=language,
                    name=f"deny_list_{kind}",
                )
            )
    return found


def run_patterns(recognizer: Any, text: str) -> list[Span]:
    """What a pattern recogniser finds, as its own `analyze` would, in bounded time.

    Presidio skips a pattern that takes too long; here it raises AnalysisFailed, since nobody has
    then looked.
    """
    import regex  # type: ignore[import-untyped]

    kind, flags = recognizer.supported_entities[0], recognizer.global_regex_flags
    found = []
    for pattern in recognizer.patterns:
        if not pattern.compiled_regex or pattern.compiled_with_flags != flags:
            pattern.compiled_with_flags = flags
            pattern.compiled_regex = regex.compile(pattern.regex, flags=flags)
        try:
            for match in pattern.compiled_regex.finditer(text, timeout=_PATIENCE):
                score = _score(recognizer, match[0], pattern.score)
                if match[0] and score > 0:
                    found.append(Span(match.start(), match.end(), kind, score))
        except TimeoutError:
            raise AnalysisFailed(
                f"the pattern {pattern.name!r} of {recognizer.name} takes more than "
                f"{_PATIENCE:g} s over a text: make it simpler"
            ) from None
    return found


def _score(recognizer: Any, found: str, score: float) -> float:
    valid = recognizer.validate_result(found)
    if valid is not None:
        score = 1.0 if valid else 0.0
    return 0.0 if recognizer.invalidate_result(found) else float(score)
