"""What the embedded provider answers when nothing is scripted: an echo, or a fitting value."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.testing.faults import Answer, error_answer
from agno_portkey.testing.replies import Reply, embeddings
from agno_portkey.testing.requests import Request, refused

__all__ = ["default_reply", "embedded", "moderated", "sample"]

_DIMENSIONS = 384


def embedded(request: Request) -> Answer:
    """The vectors of the texts that were sent."""
    if error := refused(request, "input"):
        return error
    dimensions = request.body.get("dimensions", _DIMENSIONS)
    if not isinstance(dimensions, int) or dimensions < 1:
        return error_answer(400, "'dimensions' must be 1 or more.", param="dimensions")
    texts = request.body["input"]
    if isinstance(texts, str) or isinstance(texts[0], int):
        texts = [texts]
    # Tokens are as good as words.
    words = [text if isinstance(text, str) else " ".join(map(str, text)) for text in texts]
    base64 = request.body.get("encoding_format") == "base64"
    return embeddings(words, model=request.model or "", dimensions=dimensions, base64=base64)


_HARMS = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def moderated(request: Request, harmful: Mapping[str, Mapping[str, object]]) -> Answer:
    """The scores of the text that was sent; of 0.5 on, a category is flagged."""
    if error := refused(request, "input"):
        return error
    text = str(request.body["input"])
    scores: dict[str, object] = dict.fromkeys(_HARMS, 0.0)
    for words, given in harmful.items():
        scores |= given if words in text else {}
    flags = {name: isinstance(s, int | float) and s >= 0.5 for name, s in scores.items()}
    result = {"flagged": any(flags.values()), "categories": flags, "category_scores": scores}
    return Answer.of_json({"id": "modr-1", "model": request.model, "results": [result]})


class _Endless(ConfigurationError):
    """A schema that requires itself; no value fits it."""


_FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def default_reply(request: Request) -> Reply:
    """A value that fits the asked schema, else the user's words."""
    wanted = request.response_format or {}
    match wanted.get("type"):
        case "json_schema":
            return Reply(json.dumps(sample(wanted["json_schema"].get("schema") or {})))
        case "json_object":
            return Reply.of({"said": request.last_user})
    return Reply(f"You said: {request.last_user}")


def sample(schema: Mapping[str, Any]) -> object:
    """A small value that fits the JSON schema, its optional properties included.

    `pattern`, `not` and `uniqueItems` are not looked at. Raises `ConfigurationError` for a
    schema that requires itself.
    """
    return _value(schema, schema, ())


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], within: tuple[str, ...]) -> object:
    if ref := schema.get("$ref"):
        if ref in within:
            raise _Endless(f"response_format: {ref} requires itself")
        return _value(_resolved(ref, root), root, (*within, ref))
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _first_possible(options, root, within)
    if "allOf" in schema:
        return _value(_merged(schema, root), root, within)
    return _typed(_kind(schema), schema, root, within)


def _typed(
    kind: object, schema: Mapping[str, Any], root: Mapping[str, Any], within: tuple[str, ...]
) -> object:
    match kind:
        case "object":
            return _object(schema, root, within)
        case "array":
            return _array(schema, root, within)
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean" | "null":
            return False if kind == "boolean" else None
    return _text(schema)


def _kind(schema: Mapping[str, Any]) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        return kind[0]
    return kind or ("object" if "properties" in schema else "string")


def _resolved(ref: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for name in ref.removeprefix("#").split("/")[1:]:
        found = found[name.replace("~1", "/").replace("~0", "~")]
    return dict(found)


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        whole = _resolved(part["$ref"], root) if "$ref" in part else part
        properties = {**merged.get("properties", {}), **whole.get("properties", {})}
        required = [*merged.get("required", []), *whole.get("required", [])]
        merged |= whole
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def _first_possible(
    options: Sequence[Mapping[str, Any]], root: Mapping[str, Any], within: tuple[str, ...]
) -> object:
    for option in options[:-1]:
        with contextlib.suppress(_Endless):
            return _value(option, root, within)
    return _value(options[-1], root, within)


def _object(
    schema: Mapping[str, Any], root: Mapping[str, Any], within: tuple[str, ...]
) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, inner in schema.get("properties", {}).items():
        try:
            made[name] = _value(inner, root, within)
        except _Endless:
            if name in schema.get("required", []):
                raise
    extra = schema.get("additionalProperties")
    for number in range(schema.get("minProperties", 0) - len(made)):
        made[f"key{number}"] = _value(extra if isinstance(extra, dict) else {}, root, within)
    return made


def _array(
    schema: Mapping[str, Any], root: Mapping[str, Any], within: tuple[str, ...]
) -> list[object]:
    placed = schema.get("prefixItems", [])
    made = [_value(inner, root, within) for inner in placed]
    missing = schema.get("minItems", 0) - len(made)
    return made + [_value(schema.get("items", {}), root, within) for _ in range(missing)]


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    grid = schema.get("multipleOf") or (1 if whole else None)
    nearby = [0, low, high, (low + high) / 2, low + 1, high - 1]
    if grid:
        steps = [bound / grid for bound in (low, high) if math.isfinite(bound)]
        nearby = [
            0,
            *(grid * (math.floor(step) + offset) for step in steps for offset in (0, 1, -1)),
        ]
    fitting = [number for number in nearby if math.isfinite(number) and _fits(number, schema)]
    number = fitting[0] if fitting else 0
    return int(number) if whole else number


def _fits(number: float, schema: Mapping[str, Any]) -> bool:
    return bool(
        schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < number
        and number < schema.get("exclusiveMaximum", math.inf)
    )


def _text(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "text").ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]
