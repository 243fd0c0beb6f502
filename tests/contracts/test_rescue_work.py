"""The work of coercion grows with the value and the schema, and not with what might be meant."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from agno_portkey.contracts.coercion import coerced
from agno_portkey.contracts.schemas import Schema
from agno_portkey.contracts.strict import same


class One(BaseModel):
    kind: int = 0
    child: One | Other | None = None


class Other(BaseModel):
    kind: int = 0
    child: One | Other | None = None


class Enough(Exception):
    """More calls than there may be."""


def _calls(work: Callable[[], Any], most: int = 1_000_000) -> int:
    count = 0

    def counted(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event == "call"
        if count > most:
            sys.setprofile(None)
            raise Enough

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"kind": "x y"}
    for _ in range(depth):
        value = {"kind": 1, "child": value}
    return value


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_alternatives_in_alternatives_are_looked_at_once(keyword: str) -> None:
    node = {"kind": {"type": "integer"}, "child": {keyword: [{"$ref": "#"}, {"$ref": "#/$defs/b"}]}}
    other = {"type": "object", "properties": node, "required": ["kind"]}
    schema = Schema({"type": "object", "properties": node, "$defs": {"b": other}})
    coerced(_nested(1), schema)
    few = _calls(lambda: coerced(_nested(4), schema))
    # Twice the depth: twice the work, or four times where each part is looked at from each above.
    assert _calls(lambda: coerced(_nested(8), schema)) < 5 * few


def test_models_in_models_are_looked_at_once() -> None:
    schema = Schema(One)
    coerced(_nested(1), schema)
    few = _calls(lambda: coerced(_nested(5), schema))
    assert _calls(lambda: coerced(_nested(10), schema)) < 5 * few
    value = _nested(60)
    assert coerced(value, schema) == (value, ())


def test_many_keys_that_nobody_knows_are_not_compared_with_each_that_is_missing() -> None:
    names = {f"number_of_{place}_parcels": {"type": "integer"} for place in range(2_000)}
    schema = Schema({"type": "object", "properties": names, "required": [*names]})
    value = {f"number_of_{place}_parcls": 1 for place in range(300)}
    coerced({}, schema)
    assert _calls(lambda: coerced(value, schema), most=50_000) < 50_000


def test_the_right_reading_of_alternatives_in_alternatives_is_found() -> None:
    made, changes = coerced({"kind": 1, "child": {"kind": "2", "child": None}}, Schema(One))
    assert made == {"kind": 1, "child": {"kind": 2, "child": None}}
    assert [change.path for change in changes] == [("child", "kind")]


@pytest.mark.parametrize("value", ["null", "x", 7])
def test_lists_of_lists_without_end_are_looked_at_once(value: Any) -> None:
    items = {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}
    listed = {"type": "array", "items": items}
    schema = Schema({"properties": {"of": {"$ref": "#/$defs/a"}}, "$defs": {"a": listed}})
    coerced({}, schema)
    assert _calls(lambda: coerced({"of": value}, schema), most=100_000) < 100_000


def test_a_value_that_takes_too_much_work_stays_as_it_is() -> None:
    schema = Schema({"properties": {"of": {"type": "array", "items": {"type": "integer"}}}})
    few, many = {"of": ["7"] * 1_000}, {"of": ["7"] * 100_000}
    assert coerced(few, schema)[0] == {"of": [7] * 1_000}
    assert coerced(many, schema) == (many, ())


def test_an_alternative_that_leads_nowhere_is_none() -> None:
    schema = Schema({"properties": {"a": {"anyOf": [{"items": {"$ref": "other.json"}}]}}})
    assert coerced({"a": ["7"]}, schema) == ({"a": ["7"]}, ())


def test_one_of_several_alternatives_holds_where_it_is_the_only_one() -> None:
    either = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
    one, two = {"enum": [1]}, {"type": "object", "properties": {"b": either}, "required": ["b"]}
    schema = Schema({"properties": {"a": {"anyOf": [one, two]}}})
    assert coerced({"a": "1"}, schema)[0] == {"a": 1}
    assert coerced({"a": {"b": 7}}, schema) == ({"a": {"b": 7}}, ())
    assert coerced({"a": {"B": 7}}, schema)[0] == {"a": {"b": 7}}


def test_values_that_are_too_deep_to_be_compared_are_not_the_same() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert not same(deep, deep)
