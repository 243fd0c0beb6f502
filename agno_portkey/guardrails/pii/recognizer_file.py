"""What of recognisers in Presidio's own format is wrong: which of them, which key, what is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from agno_portkey.errors import ConfigurationError

__all__ = ["check_document"]

_OF_A_PATTERN = ("name", "regex", "score")
_NONE_OF_THAT_NAME = "Presidio has no recogniser of that name"


def check_document(document: Mapping[str, Any], where: str = "") -> None:
    """ConfigurationError that names the recogniser and the key, where one is wrong.

    `where`: the file, as it stands in front of that. Presidio passes over keys, and names of
    its own, that it does not know.
    """
    from presidio_analyzer.input_validation.yaml_recognizer_models import RecognizerRegistryConfig

    for why in _unknown(document, RecognizerRegistryConfig.model_fields):
        raise ConfigurationError(f"recognizers: {where}{why}")
    if not document["recognizers"]:
        raise ConfigurationError(f"recognizers: {where}there is none in the list")
    for place, one in enumerate(document["recognizers"], start=1):
        alone = {**document, "recognizers": [one]}
        if wrong := [*_wrong(one)] or [*_said_by_presidio(alone)]:
            name = one.get("name") if isinstance(one, Mapping) else one
            named = f" ({name!r})" if name else ""
            raise ConfigurationError(
                f"recognizers: {where}number {place}{named}: {'; '.join(wrong)}"
            )


def _wrong(one: Any) -> Iterator[str]:
    """What is wrong with a recogniser, in our words."""
    if isinstance(one, Mapping):
        if not isinstance(one.get("name"), str) or not one["name"]:
            yield "name: a recogniser needs one"
            return
        yield from _unknown_keys(one)
        for place, pattern in enumerate(_list_of(one, "patterns")):
            for why in _wrong_pattern(pattern):
                yield f"patterns[{place}]{why}"
        for word in _list_of(one, "deny_list"):
            if not isinstance(word, str) or not word:
                yield f"deny_list: words are due, none empty, not {word!r}"
    elif not isinstance(one, str):
        yield f"a mapping, or the name of one of Presidio's, is due, not {one!r}"
    elif not _is_presidios(one):
        yield _NONE_OF_THAT_NAME


def _list_of(one: Mapping[str, Any], key: str) -> list[Any]:
    held = one.get(key)
    return held if isinstance(held, list) else []


def _wrong_pattern(pattern: Any) -> Iterator[str]:
    import regex  # type: ignore[import-untyped]

    if not isinstance(pattern, Mapping):
        yield f": a mapping of {', '.join(_OF_A_PATTERN)} is due, not {pattern!r}"
        return
    for why in _unknown(pattern, _OF_A_PATTERN):
        yield f".{why}"
    for key in _OF_A_PATTERN:
        if key not in pattern:
            yield f".{key}: is missing"
    score, expression = pattern.get("score"), pattern.get("regex")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        yield f".score: a number from 0 to 1 is due, not {score!r}"
    if not isinstance(expression, str) or not expression:
        yield f".regex: a text is due, not {expression!r}"
        return
    try:
        regex.compile(expression)
    except regex.error as error:
        yield f".regex: {expression!r} is no pattern: {error}"


def _unknown_keys(one: Mapping[str, Any]) -> Iterator[str]:
    from presidio_analyzer.input_validation import yaml_recognizer_models as models

    name = one.get("class_name") or one["name"]
    own = "patterns" in one or "deny_list" in one or not _is_presidios(name)
    if one.get("type", "custom" if own else "predefined") == "predefined":
        model: Any = models.CONFIG_MODEL_MAP.get(name, models.PredefinedRecognizerConfig)
        if not _is_presidios(name):
            yield _NONE_OF_THAT_NAME
    else:
        model = models.CustomRecognizerConfig
    if model.model_config.get("extra") != "allow":
        yield from _unknown(one, model.model_fields)
    if model is models.CustomRecognizerConfig and not (one.get("patterns") or one.get("deny_list")):
        yield "patterns or a deny_list is due (Presidio has none of that name)"


def _is_presidios(name: Any) -> bool:
    from presidio_analyzer.recognizer_registry import recognizers_loader_utils as loading

    try:
        loading.RecognizerListLoader.get_existing_recognizer_cls(name)
    except loading.PredefinedRecognizerNotFoundError:
        return False
    return True


def _unknown(given: Mapping[Any, Any], known: Iterable[str]) -> Iterator[str]:
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), [*known], n=1)
            said = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
            yield f"{key}: there is no such key; {said}"


def _said_by_presidio(document: dict[str, Any]) -> Iterator[str]:
    """What Presidio refuses, by the key that it names."""
    from presidio_analyzer.input_validation import ConfigurationValidator
    from pydantic import ValidationError

    try:
        ConfigurationValidator.validate_recognizer_registry_configuration(document)
    except ValueError as error:
        if not isinstance(cause := error.__cause__, ValidationError):
            yield str(error)
            return
        for each in cause.errors():
            place = ".".join(str(part) for part in each["loc"] if part != "recognizers")
            said = each["msg"].removeprefix("Value error, ")
            yield f"{place}: {said}" if place else said
