"""What we think the gateway chooses is what it chooses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey.routing.config.conditions import branch_of
from agno_portkey.routing.config.emit import emit
from agno_portkey.routing.config.query import Query, metadata, param, path
from agno_portkey.routing.config.routes import Conditional, Target, When
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

TEXTS = st.sampled_from(["gold", "silver", "7", "7.5", "-1", "true", "", "70b"])
NUMBERS = st.sampled_from([0, 7, 7.5, -1, 1e3])
TAGS = st.dictionaries(st.sampled_from(["tier", "age"]), TEXTS)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.5, 1]),
        "stream": st.just(False),
        "user": TEXTS,
        "max_tokens": st.sampled_from([7, 100]),
    },
)


def _queries() -> st.SearchStrategy[Query]:
    tag = st.sampled_from(["tier", "age"]).map(metadata)
    number = st.sampled_from(["temperature", "max_tokens"]).map(param)
    single = st.one_of(
        st.builds(lambda a, b: a == b, tag, TEXTS),
        st.builds(lambda a, b: a != b, tag, TEXTS),
        st.builds(lambda a, b: a.in_(b), tag, st.lists(TEXTS, min_size=1)),
        st.builds(lambda a, b: a.not_in(b), tag, st.lists(TEXTS, min_size=1)),
        st.builds(lambda a, b: a > b, tag | number, NUMBERS),
        st.builds(lambda a, b: a <= b, tag | number, NUMBERS),
        st.builds(lambda a, b: a == b, number, NUMBERS),
        st.builds(lambda a: a.matches("^(go|7|undef)"), tag),
        st.builds(lambda a: a == True, st.just(param("stream"))),  # noqa: E712
        st.just(path().matches("chat")),
    )
    return st.recursive(
        single,
        lambda inner: (
            st.builds(lambda a, b: a & b, inner, inner)
            | st.builds(lambda a, b: a | b, inner, inner)
        ),
        max_leaves=4,
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(query=_queries(), tags=TAGS, params=PARAMS)
def test_the_branch_is_the_gateways(
    query: Query,
    tags: dict[str, str],
    params: dict[str, Any],
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    here = {"provider": "openai", "api_key": "k", "custom_host": portkey_provider.url}
    route = Conditional(
        conditions=[When(query=query, then="yes")],
        default="no",
        targets=[Target(name=name, model=name, **here) for name in ("no", "yes")],
    )
    emitted = emit(route)
    assert emitted is not None
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **params}
    answer = httpx.post(
        f"{portkey_gateway.url}/chat/completions",
        json=body,
        headers={"x-portkey-config": emitted.header, "x-portkey-metadata": json.dumps(tags)},
    )
    assert answer.status_code == 200
    index = branch_of(route, metadata=tags, params=body)
    assert index is not None
    assert portkey_provider.calls[-1].model == route.targets[index].name


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"metadata.tier": "gold", "metadata.age": "7"}, 1),
        ({"metadata.tier": "gold", "metadata.age": "8"}, 0),
        ({"metadata.tier": {"$in": ["gold"]}}, 1),
        ({"metadata.tier": {"$regex": "(?<name>x)"}}, None),
    ],
)
def test_plain_forms_of_a_config_are_read_too(query: dict[str, Any], index: int | None) -> None:
    targets = [Target(name=name, model=name) for name in ("no", "yes")]
    route = Conditional(
        conditions=[When(query=query, then="yes")],
        default="no",
        targets=targets,
    )
    assert branch_of(route, metadata={"tier": "gold", "age": "7"}, params={}) == index


def test_without_a_default_there_may_be_no_branch() -> None:
    route = Conditional(
        conditions=[When(query=metadata("a") == "1", then="yes")], targets=[Target(name="yes")]
    )
    assert branch_of(route, metadata={}, params={}) is None
