"""From a model's words to the one JSON value they hold, or to the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agno_portkey.contracts.proof import Edit, Unproved, proved
from agno_portkey.contracts.schemas import Schema
from agno_portkey.contracts.strict import LENIENT, STRICT, Unclear, same

__all__ = ["Reading", "Unread", "read"]

# What guesses at the structure takes quadratic time on hostile texts; 10,000 characters, a second.
_MAX_GUESSED = 10_000
_MAX_CANDIDATES = 64
# A mark that stands behind a bracket may stand in a text.
_THOUGHTS = re.compile(
    r"\A(?:\s*<think(?:ing)?\b.*?</think(?:ing)?>|[^{\[]*?</think(?:ing)?>)+",
    re.DOTALL | re.IGNORECASE,
)
_THOUGHTS_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_JSON_BLANKS = " \t\n\r"
_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_FENCE = re.compile(r"\A```[\w+-]*[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
# The beginning of an object, as models write it; `{name}` in prose is none.
_OBJECT = re.compile(
    r"""\{\s*(?:\}|(?:
        \\?["'\u201c\u2018`][^"'\u201d\u2019`{}\n]{0,200}\\?["'\u201d\u2019`]?
        |[A-Za-z_][\w-]*"?
    )\s*[:=])""",
    re.VERBOSE,
)
_CURLY = str.maketrans("\u201c\u201d", '""')
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[^"]+|"', re.DOTALL)
_NO_ESCAPE = re.compile(r"(\\\\)|\\(?![\"/bfnrtu])")
_REPEATED_COMMAS = re.compile(r",(?:\s*,)+")
_LAST_COMMA = re.compile(r",(\s*[}\]])")
_PYTHON = re.compile(r"\b(?:True|False|None)\b")
_LITERALS = {"True": "true", "False": "false", "None": "null"}


class Unread(Exception):
    """The words hold no JSON value, or it is not clear which."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A JSON value and what was changed in its text; nothing if the text was just that."""

    value: Any
    edits: tuple[Edit, ...] = ()


def read(text: str, schema: Schema, fits: Callable[[Any], bool]) -> Reading:
    """The value that `text` holds: as it is, out of prose and fences, or repaired.

    `fits` says whether a value is one of `schema`; it decides among several. Raises `Unread`.
    """
    inner, edits = _unwrapped(text)
    value, why = _strict(inner)
    if why is None and _is_scalar(value, schema) and fits(value):
        return Reading(value, tuple(edits))
    if why is None:
        if isinstance(value, str):
            value, why = _strict(value)
            edits.append(Edit("encoded twice"))
        if why is None and isinstance(value, dict | list):
            return Reading(value, tuple(edits))
        raise Unread(why or f"JSON, but a {type(value).__name__} and no object")
    found = _candidates(inner, schema)
    if not found:
        raise Unread("there is no JSON object in it" if inner.strip() else "the answer is empty")
    return _one_of(found, edits, schema, fits)


def _one_of(
    found: list[Reading | Unread], edits: list[Edit], schema: Schema, fits: Callable[[Any], bool]
) -> Reading:
    if unread := [one for one in found if isinstance(one, Unread)]:
        raise unread[0]
    readings = [one for one in found if isinstance(one, Reading)]
    fitting = [one for one in readings if fits(one.value)]
    # What shares no key with the schema is about something else, such as a quoted input.
    known = schema.keys_at(())
    if fitting and known:
        readings = [one for one in readings if one in fitting or known & set(one.value)]
    if not fitting:
        if len(readings) == 1:
            return Reading(readings[0].value, (*edits, *readings[0].edits))
        raise Unread(f"{len(readings)} objects, none of which fits")
    first = fitting[0]
    if not all(same(one.value, first.value) for one in readings):
        raise Unread("several objects: which one is meant is not clear")
    return Reading(first.value, (*edits, *first.edits))


def _unwrapped(text: str) -> tuple[str, list[Edit]]:
    """`text` without thoughts before it and a fence round it."""
    inner = text.strip().strip("\ufeff").strip()
    edits = [] if inner == text.strip(_JSON_BLANKS) else [Edit("blanks")]
    if _strict(inner)[1] is None:
        return inner, edits
    if (thoughts := _THOUGHTS.match(inner)) is not None:
        inner = inner[thoughts.end() :].strip()
        edits.append(Edit("thoughts"))
    if (fence := _FENCE.match(inner)) is not None:
        inner = fence.group(1).strip()
        edits.append(Edit("fence"))
    return inner, edits


def _strict(text: str) -> tuple[Any, str | None]:
    """The JSON value that the whole of `text` is, or why it is none."""
    try:
        return STRICT.decode(text), None
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        return None, str(error)


def _is_scalar(value: Any, schema: Schema) -> bool:
    """Whether `schema` is of one text, number or the like, and `value` is no object or list."""
    kind = schema.resolved(schema.json).get("type")
    return kind in _SCALARS and not isinstance(value, dict | list)


def _candidates(text: str, schema: Schema) -> list[Reading | Unread]:
    """Each object that stands in `text`, behind thoughts, repaired where that can be proved."""
    found: list[Reading | Unread] = []
    at = 0
    for _ in range(_MAX_CANDIDATES):
        begin = _OBJECT.search(text, at)
        start = begin.start() if begin is not None else len(text)
        # Between objects, where it stands in no text of theirs.
        if _THOUGHTS_END.search(text, at, start):
            found.clear()
        if begin is None:
            return found
        one, at = _candidate(text, start, schema)
        found.append(one)
        if isinstance(one, Unread):
            return found
    return [Unread("too many objects")]


def _candidate(text: str, start: int, schema: Schema) -> tuple[Reading | Unread, int]:
    try:
        value, end = STRICT.raw_decode(text, start)
    except RecursionError:
        return Unread("nested too deeply"), start
    except Unclear as error:
        return Unread(str(error)), start
    except ValueError:
        return _repaired(text, start, schema)
    return Reading(value, (Edit("prose"),)), end


def _repaired(text: str, start: int, schema: Schema) -> tuple[Reading | Unread, int]:
    why = "broken JSON that can't be repaired without guessing"
    for value in _proposals(text, start):
        try:
            edits, end = proved(value, text, start, schema.keys_at)
            _require_complete(value, edits, schema)
        except (Unproved, RecursionError) as error:
            why = f"broken JSON: {error}"
        else:
            return Reading(value, tuple(edits)), end
    return Unread(why), len(text)


def _proposals(text: str, start: int) -> Iterator[Any]:
    """What the text may mean, the likeliest first; none is believed without proof."""
    last = text.rfind("}") + 1
    segment = text[start:last] if last > start else text[start:]
    with suppress(ValueError, RecursionError):
        yield LENIENT.raw_decode(_tidied(segment))[0]
    if len(segment) > _MAX_GUESSED:
        return
    # Late: most answers are never repaired.
    import json_repair

    variants = [segment, _REPEATED_COMMAS.sub(",", segment), text[start : start + _MAX_GUESSED]]
    if '"' not in segment:
        variants.append(segment.translate(_CURLY))
    for variant in dict.fromkeys(variants):
        with suppress(RecursionError, ValueError, IndexError, TypeError, AttributeError):
            yield json_repair.loads(variant, skip_json_loads=True)


def _tidied(segment: str) -> str:
    """`segment` with what is plain put right: commas, literals, backslashes that escape nothing."""
    return "".join(
        _NO_ESCAPE.sub(lambda found: found.group(1) or r"\\", token)
        if token.startswith('"')
        else _PYTHON.sub(
            lambda found: _LITERALS[found.group()],
            _LAST_COMMA.sub(r"\1", _REPEATED_COMMAS.sub(",", token.replace("=", ":"))),
        )
        for token in _STRINGS.findall(segment)
    )


def _require_complete(value: Any, edits: list[Edit], schema: Schema) -> None:
    """Refuse a value that was cut off, unless the schema says that no part can be missing."""
    for edit in edits:
        if edit.kind != "cut":
            continue
        part = value
        for step in edit.path:
            part = part[step]
        nodes = schema.nodes_at(edit.path)
        if not nodes or not all(_holds_all(node, part) for node in nodes):
            raise Unproved("it is cut off, and more may have followed")


def _holds_all(node: Any, part: Any) -> bool:
    if isinstance(part, dict):
        known = node.get("properties")
        # Where other keys are kept as well, nobody knows what else was to come.
        closed = node.get("additionalProperties") in (None, False)
        return closed and bool(known) and set(known) <= set(part)
    limit = node.get("maxItems")
    return limit is not None and len(part) >= limit
