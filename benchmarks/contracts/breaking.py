"""Ways in which models break a reply, by class; each gives a text, or nothing where it can't."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

__all__ = ["BREAKS", "Break"]

Broken = str | None


@dataclass(frozen=True)
class Break:
    """One way: its class, whether all that was meant is still there, and what does it."""

    kind: str
    name: str
    lossless: bool
    apply: Callable[[dict[str, Any], type[BaseModel], random.Random], Broken]


def _dumps(value: Any, rng: random.Random) -> str:
    return json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))


BREAKS: list[Break] = []


def _break(kind: str, lossless: bool = True) -> Callable[[Any], Any]:
    def added(function: Any) -> Any:
        BREAKS.append(Break(kind, function.__name__, lossless, function))
        return function

    return added


# Strings and what stands between them

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^"]+')


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _outside(text: str, pattern: str) -> list[re.Match[str]]:
    """The matches of `pattern` that begin outside of strings."""
    inside = [m.span() for m in re.finditer(r'"(?:[^"\\]|\\.)*"', text)]
    return [
        m
        for m in re.finditer(pattern, text)
        if not any(a < m.start() < b or a == m.start() for a, b in inside)
    ]


def _cut_in(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


@_break("fence")
def fenced(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"```json\n{_dumps(value, rng)}\n```"


@_break("fence")
def fenced_in_prose(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"Sure! Here it is:\n\n```json\n{_dumps(value, rng)}\n```\nAnything else?"


@_break("fence")
def fence_left_open(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"```\n{_dumps(value, rng)}"


@_break("comma")
def trailing_comma(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = _dumps(value, rng)
    found = _outside(text, r"(?<=[^\s{\[,])\s*[}\]]")
    return _cut_in(text, m := rng.choice(found), "," + m.group()) if found else None


@_break("comma")
def missing_comma(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = _dumps(value, rng)
    found = _outside(text, r",(?=\s)")
    return _cut_in(text, rng.choice(found), "") if found else None


@_break("comma")
def double_comma(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = _dumps(value, rng)
    found = _outside(text, r",")
    return _cut_in(text, rng.choice(found), ",,") if found else None


@_break("quote")
def python_repr(value: Any, schema: Any, rng: random.Random) -> Broken:
    return repr(value)


@_break("quote")
def keys_without_quotes(value: Any, schema: Any, rng: random.Random) -> Broken:
    return re.sub(r'"([A-Za-z_]\w*)"(?=:)', r"\1", _dumps(value, rng))


@_break("quote")
def curly_quotes(value: Any, schema: Any, rng: random.Random) -> Broken:
    if re.search("[“”]", json.dumps(value, ensure_ascii=False)):
        return None
    return re.sub(r'"((?:[^"\\]|\\.)*)"', r"“\1”", _dumps(value, rng))


@_break("quote")
def inner_quotes(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = json.dumps(value, ensure_ascii=False)
    return text.replace('\\"', '"') if '\\"' in text else None


@_break("quote")
def raw_newlines(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = json.dumps(value, ensure_ascii=False)
    broken = re.sub(r"(?<!\\)\\n", "\n", text)
    return broken if broken != text else None


@_break("quote")
def lost_quote(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = _dumps(value, rng)
    keys = [*re.finditer(r'"(\w+)":', text)]
    if not keys:
        return None
    m = rng.choice(keys)
    return text[: m.start()] + f'{m.group(1)}":' + text[m.end() :]


# Values


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from _leaves(item, (*path, key))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    made = copy.deepcopy(value)
    at = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = new
    return made


def _changed(
    value: Any, rng: random.Random, wanted: Callable[[Any], bool], new: Callable[[Any], Any]
) -> Any | None:
    found = [(p, v) for p, v in _leaves(value) if p and wanted(v)]
    if not found:
        return None
    path, old = rng.choice(found)
    return _with(value, path, new(old))


def _refused(value: Any, schema: type[BaseModel]) -> bool:
    """Whether Pydantic alone does not take it: what it takes needs no rescue."""
    try:
        schema.model_validate(value)
    except ValueError:
        return True
    return False


def _reads(value: Any, schema: type[BaseModel]) -> Any:
    return schema.model_validate(value).model_dump()


def _value_break(
    value: Any,
    schema: type[BaseModel],
    rng: random.Random,
    wanted: Callable[[Any], bool],
    new: Callable[[Any], Any],
) -> Broken:
    for _ in range(5):
        made = _changed(value, rng, wanted, new)
        if made is not None and _refused(made, schema):
            return _dumps(made, rng)
    return None


@_break("type")
def number_in_quotes(value: Any, schema: Any, rng: random.Random) -> Broken:
    made = _changed(value, rng, lambda v: type(v) in (int, float), str)
    if made is None or (
        not _refused(made, schema) and _reads(made, schema) != _reads(value, schema)
    ):
        return None
    return _dumps(made, rng)


@_break("type")
def text_of_digits_as_number(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _value_break(value, schema, rng, lambda v: isinstance(v, str) and v.isdigit(), int)


@_break("type")
def lone_object(value: Any, schema: Any, rng: random.Random) -> Broken:
    one = lambda v: isinstance(v, list) and len(v) == 1 and isinstance(v[0], dict)  # noqa: E731
    return _value_break(value, schema, rng, one, lambda v: v[0])


@_break("type")
def lone_number(value: Any, schema: Any, rng: random.Random) -> Broken:
    one = lambda v: isinstance(v, list) and len(v) == 1 and type(v[0]) in (int, float)  # noqa: E731
    return _value_break(value, schema, rng, one, lambda v: v[0])


@_break("type")
def json_in_a_text(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _value_break(
        value, schema, rng, lambda v: isinstance(v, dict | list) and bool(v), json.dumps
    )


@_break("type", lossless=False)
def words_for_a_number(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _value_break(
        value, schema, rng, lambda v: type(v) in (int, float), lambda v: f"about {v}"
    )


def _is_choice(v: Any) -> bool:
    from benchmarks.contracts.schemas import CHOICES

    return isinstance(v, str) and any(v in choices for choices in CHOICES)


@_break("enum")
def case_of_a_choice(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _value_break(
        value, schema, rng, _is_choice, lambda v: v.title() if v.islower() else v.lower()
    )


@_break("enum")
def blanks_round_a_choice(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _value_break(value, schema, rng, _is_choice, lambda v: f" {v} ".replace("_", " "))


@_break("enum", lossless=False)
def typing_slip_in_a_choice(value: Any, schema: Any, rng: random.Random) -> Broken:
    def slip(v: str) -> str:
        at = rng.randrange(1, len(v))
        return v[:at] + v[at + 1 :] if len(v) > 4 else v + "x"

    return _value_break(value, schema, rng, lambda v: _is_choice(v) and len(v) > 4, slip)


@_break("enum", lossless=False)
def another_choice(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _value_break(value, schema, rng, _is_choice, lambda v: "something else")


# Keys


def _rekeyed(value: Any, rng: random.Random, new: Callable[[str], str]) -> Any | None:
    found = [(p, v) for p, v in _leaves(value) if isinstance(v, dict) and v]
    path, old = rng.choice(found)
    key = rng.choice([*old])
    name = new(key)
    if name in old or name == key:
        return None
    made = {name if k == key else k: v for k, v in old.items()}
    return made if not path else _with(value, path, made)


def _key_break(value: Any, schema: Any, rng: random.Random, new: Callable[[str], str]) -> Broken:
    for _ in range(5):
        made = _rekeyed(value, rng, new)
        if made is not None:
            return _dumps(made, rng)
    return None


@_break("key")
def camel_case_key(value: Any, schema: Any, rng: random.Random) -> Broken:
    camel = lambda k: re.sub(r"_(\w)", lambda m: m.group(1).upper(), k)  # noqa: E731
    return _key_break(value, schema, rng, camel)


@_break("key")
def title_case_key(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _key_break(value, schema, rng, lambda k: k.replace("_", " ").title())


@_break("key")
def typing_slip_in_a_key(value: Any, schema: Any, rng: random.Random) -> Broken:
    def slip(k: str) -> str:
        at = rng.randrange(1, len(k))
        return k[:at] + k[at + 1 :] if len(k) > 4 else k

    return _key_break(value, schema, rng, slip)


@_break("missing", lossless=False)
def required_key_is_missing(value: Any, schema: Any, rng: random.Random) -> Broken:
    found = [(p, v) for p, v in _leaves(value) if isinstance(v, dict) and v]
    path, old = rng.choice(found)
    gone = rng.choice([*old])
    made = {k: v for k, v in old.items() if k != gone}
    made = made if not path else _with(value, path, made)
    return _dumps(made, rng) if _refused(made, schema) else None


@_break("extra", lossless=False)
def unknown_key(value: Any, schema: Any, rng: random.Random) -> Broken:
    found = [(p, v) for p, v in _leaves(value) if isinstance(v, dict)]
    path, old = rng.choice(found)
    made = {**old, "confidence_note": "fairly sure"}
    made = made if not path else _with(value, path, made)
    return _dumps(made, rng) if _refused(made, schema) else None


@_break("truncated", lossless=False)
def cut_somewhere(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = _dumps(value, rng)
    return text[: rng.randrange(1, len(text))]


@_break("truncated", lossless=False)
def cut_before_the_last_brackets(value: Any, schema: Any, rng: random.Random) -> Broken:
    text = json.dumps(value, ensure_ascii=False)
    end = len(text.rstrip("}]"))
    return text[: rng.randrange(end, len(text))]


# Around it


@_break("prose")
def prose_before(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"Here is what you asked for ({rng.choice(WHAT)}):\n{_dumps(value, rng)}"


@_break("prose")
def prose_round(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"I thought about {{scope}} and [1].\n{_dumps(value, rng)}\n\nLet me know, it's fine."


@_break("prose")
def prose_after(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"{_dumps(value, rng)}\nNote: {rng.choice(WHAT)}."


@_break("prose")
def thoughts_before(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f'<think>Maybe {{"a": 1}}? No.</think>\n{_dumps(value, rng)}'


@_break("prose")
def prose_that_quotes_another(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f'The input was {{"request": "n/a", "nr": 3}}. The answer:\n{_dumps(value, rng)}'


WHAT = ("see below", "no changes needed", "it's all there", "as of 2 May", "a 'short' one")


@_break("two objects")
def the_same_twice(value: Any, schema: Any, rng: random.Random) -> Broken:
    return f"{_dumps(value, rng)}\n{_dumps(value, rng)}"


@_break("two objects", lossless=False)
def a_draft_and_another(value: Any, schema: Any, rng: random.Random) -> Broken:
    draft = _changed(value, rng, lambda v: type(v) in (int, str), lambda v: v * 2 if v else 1)
    if draft is None or draft == value:
        return None
    order = [draft, value] if rng.random() < 0.5 else [value, draft]
    return "\nOr:\n".join(_dumps(one, rng) for one in order)


@_break("wrapper")
def wrapped(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _dumps({rng.choice(["result", "data", "answer", schema.__name__]): value}, rng)


@_break("wrapper")
def list_of_one(value: Any, schema: Any, rng: random.Random) -> Broken:
    return _dumps([value], rng)
