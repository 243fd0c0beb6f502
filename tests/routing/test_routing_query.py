"""Conditions: the gateway decides by them as they read, and what it would misread is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from any_routes import conditions
from hypothesis import given, settings

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.emit import emit
from agno_portkey.routing.config.query import Operand, Query, metadata, param, path
from agno_portkey.routing.config.routes import Conditional, Target, When
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

TIER = metadata("tier")
HOLDS: list[tuple[Query, bool]] = [
    (TIER == "gold", True),
    (TIER == "silver", False),
    (TIER != "silver", True),
    (TIER != "gold", False),
    (metadata("absent") != "gold", True),
    (metadata("absent") == "gold", False),
    (metadata("seats") == 12, True),
    (metadata("seats").in_([1, 12]), True),
    (metadata("seats").not_in([1, 12]), False),
    (metadata("absent").not_in(["x"]), True),
    (metadata("trial") == True, True),  # noqa: E712
    (metadata("seats") > 9, True),
    (metadata("seats") > 12, False),
    (metadata("seats") >= 12, True),
    (metadata("seats") < 100.5, True),
    (metadata("seats") <= 11, False),
    (metadata("absent") < 5, False),
    (TIER.matches("^g.ld$"), True),
    (TIER.matches("^silver"), False),
    (metadata("absent").matches("^undefined$"), True),
    (param("model") == "asked", True),
    (param("temperature") <= 0.5, True),
    (param("temperature") == 0.5, True),
    (param("stream") == False, True),  # noqa: E712
    (path() == "/v1/chat/completions", True),
    (path().matches("embeddings"), False),
    ((TIER == "gold") & (metadata("seats") == 12), True),
    ((TIER == "gold") & (metadata("seats") == 1), False),
    ((TIER == "x") | (metadata("seats") == 12), True),
    ((TIER == "x") | (metadata("seats") == 1), False),
    ((metadata("seats") > 9) & (metadata("seats") < 11), False),
    (((TIER == "x") | (TIER == "gold")) & (metadata("seats") == 1), False),
    ((TIER == "gold") & ((metadata("seats") == 1) | (param("model") == "asked")), True),
    (Query.parse({"metadata.tier": "gold", "metadata.seats": {"$gt": 1, "$lt": 12}}), False),
    (Query.parse({"metadata.tier": "gold", "metadata.seats": {"$gt": 1, "$lte": "12"}}), True),
]


@pytest.mark.parametrize(("query", "holds"), HOLDS, ids=lambda each: str(each)[:60])
def test_the_gateway_decides_as_the_query_reads(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider, query: Query, holds: bool
) -> None:
    route = Conditional(
        conditions=[When(query=query, then="yes")],
        default="no",
        custom_host=portkey_provider.url,
        targets=[
            Target(name=name, model=name, provider="openai", api_key="k") for name in ("yes", "no")
        ],
    )
    emitted = emit(route)
    assert emitted is not None
    answer = httpx.post(
        f"{portkey_gateway.url}/chat/completions",
        headers={
            "x-portkey-config": emitted.header,
            "x-portkey-metadata": json.dumps({"tier": "gold", "seats": "12", "trial": "true"}),
        },
        json={
            "model": "asked",
            "temperature": 0.5,
            "stream": False,
            "messages": [{"role": "user", "content": "hi"}],
        },
        trust_env=False,
    )
    assert answer.status_code == 200
    assert [call.model for call in portkey_provider.calls] == ["yes" if holds else "no"]


def _objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [each for item in node for each in _objects(item)]
    if not isinstance(node, dict):
        return []
    return [node, *(each for value in node.values() for each in _objects(value))]


@settings(deadline=None)
@given(conditions())
def test_every_object_of_a_query_has_one_operator(query: Query) -> None:
    assert all(len(each) == 1 for each in _objects(query.as_json()))


@settings(deadline=None)
@given(conditions())
def test_a_query_is_the_same_after_a_round_through_json(query: Query) -> None:
    again = Query.parse(json.loads(json.dumps(query.as_json())))
    assert again == query
    assert hash(again) == hash(query)
    assert Query.parse(query) is query


REFUSED: dict[str, tuple[Any, str]] = {
    "deeper": ({"metadata.a.b": 1}, "one level deep only"),
    "no scope": ({"tier": "gold"}, "metadata.NAME, params.NAME"),
    "no name": ({"metadata.": "gold"}, "metadata.NAME, params.NAME"),
    "beside or": ({"$or": [{"params.a": 1}], "params.b": 2}, "nothing may stand beside it"),
    "beside and": ({"params.b": 2, "$and": [{"params.a": 1}]}, "put it all into one"),
    "exists": ({"metadata.a": {"$exists": True}}, "no \\$exists"),
    "unknown": ({"metadata.a": {"$like": "x"}}, "no operator '\\$like'; there are \\$eq"),
    "regex and more": ({"params.a": {"$regex": "x", "$ne": "y"}}, "ignores what follows \\$regex"),
    "empty": ({}, "always true: use `default`"),
    "empty and": ({"$and": []}, "at least one query"),
    "and of no list": ({"$and": {"params.a": 1}}, "at least one query"),
    "no operator": ({"params.a": {}}, "an operator is missing"),
    "null": ({"params.a": None}, "not NoneType"),
    "a list": ({"params.a": [1]}, "not list"),
    "not finite": ({"params.a": float("inf")}, "not float"),
    "in of text": ({"params.a": {"$in": "abc"}}, "a list of at least one value"),
    "in of none": ({"params.a": {"$nin": []}}, "a list of at least one value"),
    "order of words": ({"params.a": {"$gt": "many"}}, "takes a number, not str"),
    "order of flags": ({"params.a": {"$gt": True}}, "takes a number, not bool"),
    "order of paths": ({"url.pathname": {"$gt": 1}}, "compares numbers; use"),
    "regex of a number": ({"params.a": {"$regex": 1}}, "regular expression as text"),
    "Python's regex": ({"params.a": {"$regex": "(?P<x>a)"}}, r"has no '\(\?P'"),
    "inline flags": ({"params.a": {"$regex": "(?i)a"}}, r"has no '\(\?i\)'"),
    "no mapping": ("metadata.a", "a query is a mapping"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_gateway_would_misread_is_refused(name: str) -> None:
    data, says = REFUSED[name]
    with pytest.raises(ConfigurationError, match=says):
        Query.parse(data)


def test_a_dotted_name_and_a_text_for_a_list_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="without a dot"):
        metadata("a.b")
    with pytest.raises(ConfigurationError, match="a list of values, not the text 'gold'"):
        TIER.in_("gold")


def test_queries_are_no_truth_values_so_that_and_and_or_drop_no_half() -> None:
    with pytest.raises(TypeError, match="join queries with &"):
        bool((TIER == "gold") and (TIER == "silver"))
    with pytest.raises(TypeError, match="compare it"):
        bool(TIER)


def test_queries_show_what_they_are() -> None:
    assert repr(TIER) == "Operand('metadata.tier')"
    assert repr(TIER == "a") == "Query({'metadata.tier': {'$eq': 'a'}})"
    assert isinstance(TIER, Operand)
    assert Query({"params.a": 1}) != Query({"params.a": 2})
    assert Query({"params.a": 1}) != {"params.a": 1}
