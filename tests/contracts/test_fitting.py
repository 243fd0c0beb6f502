"""A value is coerced towards its schema only where nothing is lost; each coercion is recorded."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from agno_portkey.contracts.coercion import coerced
from agno_portkey.contracts.rescue import rescue
from agno_portkey.contracts.schemas import Misfit, Schema
from agno_portkey.errors import ConfigurationError


class Level(StrEnum):
    LOW = "low"
    VERY_HIGH = "very_high"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    count: int
    level: Level = Level.LOW


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    title: str
    parts: list[Part] = []
    tags: list[str] = []
    weight: float | None = None
    sure: bool = True
    way: Literal["air", "sea"] = "air"
    first: Part | None = None
    sizes: tuple[int, int] | None = None
    either: int | str = 0
    nothing: None = None


class Open(BaseModel):
    """Keys that it does not know are ignored."""

    summary: str
    remark_text: str = "none"


ORDER = Schema(Order)
PART = {"name": "a", "count": 1}


@pytest.mark.parametrize(
    ("given_part", "meant", "kinds"),
    [
        ({"parts": {"name": "a", "count": 1}}, {"parts": [PART]}, ["one for a list"]),
        ({"parts": [{"name": "a", "count": "1"}]}, {"parts": [PART]}, ["type"]),
        ({"parts": json.dumps([PART])}, {"parts": [PART]}, ["JSON in a text"]),
        ({"parts": [[PART]]}, {"parts": [PART]}, ["list of one"]),
        ({"tags": "one"}, {"tags": ["one"]}, ["one for a list"]),
        ({"tags": [7]}, {"tags": ["7"]}, ["number as text"]),
        ({"weight": "0.50"}, {"weight": 0.5}, ["type"]),
        ({"weight": " 12 "}, {"weight": 12.0}, ["type"]),
        ({"weight": "null"}, {"weight": None}, ["type"]),
        ({"weight": [2.5]}, {"weight": 2.5}, ["list of one"]),
        ({"sure": "False"}, {"sure": False}, ["type"]),
        ({"way": "SEA"}, {"way": "sea"}, ["choice"]),
        ({"way": ["sea"]}, {"way": "sea"}, ["list of one"]),
        (
            {"first": {**PART, "level": "Very High"}},
            {"first": {**PART, "level": "very_high"}},
            ["choice"],
        ),
        ({"first": json.dumps(PART)}, {"first": PART}, ["JSON in a text"]),
        ({"first": {"Name": "a", "cont": 1}}, {"first": PART}, ["key", "key"]),
        ({"sizes": ["1", 2]}, {"sizes": [1, 2]}, ["type"]),
        ({"Weight": 2.0}, {"weight": 2.0}, ["key"]),
        ({"either": "7"}, {"either": "7"}, []),
        ({"nothing": "none"}, {"nothing": None}, ["type"]),
    ],
)
def test_what_is_plain_is_coerced(
    given_part: dict[str, Any], meant: dict[str, Any], kinds: list[str]
) -> None:
    found = rescue(json.dumps({"title": "t", **given_part}), ORDER)
    assert found.value == Order.model_validate_json(json.dumps({"title": "t", **meant}))
    assert [change.kind for change in found.changes] == kinds
    assert found.rung == ("coercion" if kinds else "given")


@pytest.mark.parametrize(
    "value",
    [
        {"title": "t", "weight": "1,000"},
        {"title": "t", "weight": "12 kg"},
        {"title": "t", "weight": "nan"},
        {"title": "t", "parts": [{"name": "a", "count": 1.5}]},
        {"title": "t", "parts": [{"name": "a", "count": True}]},
        {"title": "t", "sure": "yes"},
        {"title": "t", "sure": 1},
        {"title": "t", "tags": "one, two"},
        {"title": "t", "tags": "one and two"},
        {"title": "t", "tags": ""},
        {"title": "t", "tags": None},
        {"title": 1.50},
        {"title": True},
        {"title": ["a", "b"]},
        {"title": "t", "way": "see"},
        {"title": "t", "way": "train"},
        {"title": "t", "first": [PART, PART]},
        {"title": "t", "first": "{"},
        {"title": "t", "another": 1},
        {"title": "t", "wieght": 2.0},
        {"title": "t", "Title": "u"},
        {"titel": "t", "titl": "u"},
        {"tile": "t", "way": 3},
        {"result": {"name": "t"}},
        {"result": {"way": "sea"}},
        {"title": None},
        {},
    ],
)
def test_what_loses_or_invents_is_not(value: dict[str, Any]) -> None:
    with pytest.raises(Misfit):
        rescue(json.dumps(value), ORDER)


def test_the_problems_that_are_left_are_told_and_no_others() -> None:
    value = {"title": 7, "sure": "maybe", "parts": {"name": "a"}}
    with pytest.raises(Misfit) as caught:
        rescue(json.dumps(value), ORDER)
    assert [problem.path for problem in caught.value.problems] == [("parts",), ("sure",)]


@pytest.mark.parametrize("key", ["remarkText", "Remark Text", "remark-text", "remarktext"])
def test_a_key_in_another_case_is_not_dropped_unseen(key: str) -> None:
    found = rescue(json.dumps({"summary": "s", key: "r"}), Schema(Open))
    assert found.value == Open(summary="s", remark_text="r")


@pytest.mark.parametrize("wrapper", ["order", "result", "Order"])
def test_an_object_is_taken_out_of_its_wrapper(wrapper: str) -> None:
    found = rescue(json.dumps({wrapper: {"title": "t"}}), ORDER)
    assert found.value == Order(title="t")
    assert [change.kind for change in found.changes] == ["wrapper"]


def test_a_choice_within_one_letter_of_another_is_not_mended() -> None:
    class Effect(BaseModel):
        of: Literal["effective", "none"]

    with pytest.raises(Misfit):
        rescue('{"of": "defective"}', Schema(Effect))


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Order.model_fields, "name", "count", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_value_is_fitted_or_refused(value: Any) -> None:
    made, _ = coerced(value, ORDER)
    json.dumps(made)


ORDERS = st.builds(
    Order,
    title=st.text(max_size=5),
    parts=st.lists(
        st.builds(Part, name=st.text(), count=st.integers(0, 9), level=st.sampled_from(Level)),
        max_size=2,
    ),
    tags=st.lists(st.text(max_size=5), max_size=2),
    weight=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    sure=st.booleans(),
    either=st.integers() | st.text(max_size=3),
)


@given(ORDERS)
def test_what_fits_is_left_alone(order: Order) -> None:
    data = order.model_dump(mode="json")
    made, changes = coerced(data, ORDER)
    assert (made, changes) == (data, ())


# Schemas that are mappings

DICT = {
    "title": "Ticket",
    "type": "object",
    "properties": {
        "id": {"type": ["integer", "null"]},
        "state": {"enum": ["open", "closed", 3]},
        "next": {"$ref": "#"},
        "kind": {"oneOf": [{"const": "bug"}, {"const": "wish"}]},
    },
    "required": ["id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ({"id": "7"}, {"id": 7}),
        ({"id": "null"}, {"id": None}),
        ({"id": 1, "state": "Open"}, {"id": 1, "state": "open"}),
        ({"id": 1, "state": "3"}, {"id": 1, "state": 3}),
        ({"id": 1, "next": {"ID": 2}}, {"id": 1, "next": {"id": 2}}),
        ({"id": 1, "kind": "Bug"}, {"id": 1, "kind": "bug"}),
    ],
)
def test_a_schema_may_be_a_mapping(value: dict[str, Any], meant: dict[str, Any]) -> None:
    assert rescue(json.dumps(value), Schema(DICT)).value == meant


@pytest.mark.parametrize("value", [{}, {"id": "x"}, {"id": 1, "state": "ajar"}, {"id": 1, "x": 1}])
def test_a_mapping_refuses_too(value: dict[str, Any]) -> None:
    with pytest.raises(Misfit):
        rescue(json.dumps(value), Schema(DICT))


def test_a_schema_that_is_none_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no JSON schema"):
        Schema({"type": "objekt"})


def test_no_schema_is_fetched() -> None:
    schema = Schema({"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}})
    with pytest.raises(Misfit, match="can't be applied"):
        rescue('{"a": 1}', schema)


def test_a_validator_that_raises_anything_is_a_misfit() -> None:
    class Odd(BaseModel):
        a: int = Field(ge=0)

        def model_post_init(self, context: Any) -> None:
            raise LookupError("none of yours")

    with pytest.raises(Misfit, match="a validator failed: LookupError"):
        rescue('{"a": 1}', Schema(Odd))


def test_a_schema_that_is_nested_without_end_comes_to_an_end() -> None:
    schema = Schema({"properties": {"next": {"$ref": "#"}, "id": {"type": "integer"}}})
    value: dict[str, Any] = {"id": "1"}
    for _ in range(120):
        value = {"next": value}
    made, changes = coerced(value, schema)
    assert changes == ()
    assert made == value


@pytest.mark.parametrize("reference", ["#/$defs/none", "other.json", "#/properties/a/type/x"])
def test_a_reference_that_leads_nowhere_says_nothing_of_a_value(reference: str) -> None:
    schema = Schema({"properties": {"a": {"type": "string"}, "b": {"$ref": reference}}})
    assert coerced({"b": "7"}, schema) == ({"b": "7"}, ())


def test_references_in_a_circle_come_to_an_end() -> None:
    schema = Schema({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})
    assert schema.resolved({"$ref": "#/$defs/a"}) == {}
    assert schema.resolved(True) == {}


def test_the_keys_of_a_part_are_those_of_all_its_alternatives() -> None:
    schema = Schema({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}, {}]})
    assert schema.keys_at(()) == {"a", "b"}
    assert schema.keys_at(("c",)) == frozenset()


def test_alternatives_within_themselves_come_to_an_end() -> None:
    looped = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert Schema(looped).keys_at(()) == frozenset()


def test_a_key_of_an_open_object_is_renamed_only_where_another_is_due() -> None:
    schema = Schema(
        {
            "properties": {"title": {"type": "string"}, "notes": {"type": "string"}},
            "required": ["title"],
            "additionalProperties": {"type": "string"},
        }
    )
    made, changes = coerced({"titel": "a", "note": "b"}, schema)
    assert made == {"title": "a", "note": "b"}
    assert [change.kind for change in changes] == ["key"]


@pytest.mark.parametrize(
    ("given_value", "meant"),
    [
        (7, "7"),
        (["7"], "7"),
        (["8"], ["8"]),
        (8, 8),
        ({"a": 1}, {"a": 1}),
        ("ab", "ab"),
    ],
)
def test_a_choice_of_a_mapping(given_value: Any, meant: Any) -> None:
    schema = Schema({"properties": {"a": {"enum": ["7", "x"]}}})
    assert coerced({"a": given_value}, schema)[0] == {"a": meant}


def test_a_text_that_is_json_of_another_kind_stays_a_text() -> None:
    schema = Schema({"properties": {"a": {"type": "array"}, "b": {"type": "object"}}})
    value = {"a": '{"x": 1}', "b": "[1]"}
    assert coerced(value, schema) == (value, ())


def test_what_fits_one_alternative_is_looked_into() -> None:
    inner = {"properties": {"Remark": {"type": "string"}}, "type": "object"}
    schema = Schema({"properties": {"a": {"anyOf": [inner, {"type": "null"}]}}})
    made, changes = coerced({"a": {"remark": "x"}}, schema)
    assert made == {"a": {"Remark": "x"}}
    assert [change.path for change in changes] == [("a", "Remark")]


def test_a_text_that_no_json_can_hold_is_a_misfit() -> None:
    with pytest.raises(Misfit):
        rescue(r'{"title": "\ud800"}', ORDER)
