"""A route that can't be meant is refused when it is built, by the path of what is wrong."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from any_routes import routes
from hypothesis import given, settings
from pydantic import SecretStr, ValidationError

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.parts import (
    CircuitBreakerConfig,
    GatewayCache,
    GatewayCheck,
    Guardrail,
    Retry,
    Timeout,
)
from agno_portkey.routing.config.query import metadata
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Single,
    Target,
    When,
    children,
)

OPENAI = Target(provider="openai", api_key="${KEY}", model="m", name="a")
GOLD = metadata("tier") == "gold"


def loose(cls: type[Any], **fields: Any) -> Any:
    """An instance from fields that a type checker would not pass."""
    return cls(**fields)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "unknown field": (lambda: loose(Target, provder="x"), r"^Target\.provder: no such field"),
    "deep": (
        lambda: loose(Fallback, targets=[{"mode": "single", "target": {"api_ky": "x"}}]),
        r"^Fallback\.targets\[0\]\.target\.api_ky: no such field; check its spelling$",
    ),
    "no targets": (lambda: Fallback(targets=[]), r"^Fallback\.targets: at least one is needed$"),
    "targets left out": (lambda: loose(Fallback), r"^Fallback\.targets: required$"),
    "no mapping": (lambda: loose(Single, target=3), r"^Single\.target: a mapping is due here$"),
    "mode": (
        lambda: loose(Single, target={"mode": "best"}),
        r"^Single\.target: mode: single, fallback, loadbalance or conditional; a target has none$",
    ),
    "negative weight": (lambda: Target(weight=-1), r"^Target\.weight: .* greater than or equal"),
    "no weight": (
        lambda: LoadBalance(targets=[Target(weight=0), Target(weight=0)]),
        r"^LoadBalance\.targets: the weights are all 0",
    ),
    "doubled name": (
        lambda: Fallback(targets=[OPENAI, OPENAI]),
        r"^Fallback\.targets: two targets are named 'a'",
    ),
    "unknown then": (
        lambda: Conditional(conditions=[When(query=GOLD, then="x")], targets=[OPENAI]),
        r"^Conditional\.conditions\[0\]\.then: no target is named 'x' \(targets: a\)$",
    ),
    "unknown default": (
        lambda: loose(
            Conditional,
            conditions=[{"query": {"metadata.t": "x"}, "then": "a"}],
            default="b",
            targets=[Target()],
        ),
        r"then: no .*\(targets: none has a name\); Conditional\.default: no target is named 'b'",
    ),
    "query": (
        lambda: loose(When, query={"metadata.a.b": 1}, then="a"),
        r"^When\.query: metadata\.a\.b: the gateway looks one level deep only",
    ),
    "timeout": (lambda: Timeout(answer=0), r"^Timeout\.answer: "),
    "timeout of text": (lambda: loose(Timeout, answer="5"), r"^Timeout\.answer: "),
    "endless timeout": (lambda: Timeout(answer=float("inf")), r"^Timeout\.answer: "),
    "attempts": (lambda: Retry(attempts=6), r"^Retry\.attempts: "),
    "status": (lambda: Retry(attempts=1, on_status_codes=[42]), r"on_status_codes\[0\]: "),
    "cache": (lambda: loose(GatewayCache, mode="exact"), r"^GatewayCache\.mode: "),
    "breaker": (lambda: CircuitBreakerConfig(), r"^CircuitBreakerConfig: give failure_threshold"),
    "cooldown": (
        lambda: CircuitBreakerConfig(failure_threshold=1, cooldown_interval=5000),
        r"^CircuitBreakerConfig\.cooldown_interval: ",
    ),
    "host": (
        lambda: Target(custom_host="ftp://x"),
        r"^Target\.custom_host: 'ftp://x' is not a URL of",
    ),
    "loop": (
        lambda: Target(forward_headers=["X-Portkey-Forward-Headers"]),
        r"^Target\.forward_headers: the gateway refuses",
    ),
    "ids beside guardrails": (
        lambda: Target(input_guardrails=["pg-1", Guardrail(checks=[GatewayCheck(id="x")])]),
        r"^Target\.input_guardrails: the gateway takes either ids or guardrails",
    ),
    "reserved parameter": (
        lambda: loose(
            Target, output_guardrails=[{"checks": [{"id": "a", "parameters": {"id": "b"}}]}]
        ),
        r"^Target\.output_guardrails\[0\]\.checks\[0\]\.parameters\.id: 'id' is not",
    ),
    "background": (
        lambda: Guardrail(checks=[GatewayCheck(id="x")], background=True),
        r"^Guardrail: a check in the background can't deny",
    ),
    "two models": (
        lambda: Target(model="a", override_params={"model": "b"}),
        r"^Target\.model: it is 'a', but override_params\.model is 'b'",
    ),
    "slug": (lambda: Target(provider="open ai"), r"^Target\.provider: "),
    "no JSON": (lambda: Target(override_params={"x": float("nan")}), r"^Target\.override_params: "),
    "an object": (lambda: Target(override_params={"x": object()}), r"override_params: plain JSON"),
    "overrides of no mapping": (lambda: loose(Target, override_params=1), r"override_params: "),
    "empty key": (lambda: Target(api_key=" "), r"^Target\.api_key: it is empty"),
    "half a reference": (lambda: Target(api_key="x${A}"), r"^Target\.api_key: a reference is the"),
    "no key": (lambda: loose(Target, api_key=5), r"^Target\.api_key: a text is due here$"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_by_its_path(name: str) -> None:
    make, says = REFUSED[name]
    with pytest.raises(ConfigurationError, match=says) as caught:
        make()
    assert not isinstance(caught.value, ValidationError)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        loose(Target, weight=-1, timeout={"answer": 0}, x=1)
    assert [part.partition(":")[0] for part in str(caught.value).split("; ")][:3] == [
        "Target.weight",
        "Target.timeout.answer",
        "Target.x",
    ]


def test_errors_can_be_pickled() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Timeout(answer=0)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


SECRETS = [
    lambda key: Target(api_key=key),
    lambda key: Target(api_key=SecretStr(key)),
    lambda key: Target(virtual_key=key, aws_secret_access_key=key, azure_ad_token=key),
    lambda key: Target(vertex_service_account_json={"private_key": key}),
    lambda key: Fallback(targets=[Target(api_key=key)]),
    lambda key: Guardrail(checks=[GatewayCheck(id="x.y", parameters={"credentials": key})]),
    lambda key: GatewayCheck(id="x", parameters={"headers": {"authorization": key}}),
]


@pytest.mark.parametrize("make", SECRETS)
def test_no_secret_is_shown(make: Callable[[str], object]) -> None:
    part = make("sk-secret")
    assert "sk-secret" not in repr(part)
    assert "sk-secret" not in str(part)
    if isinstance(part, Route):
        assert "sk-secret" not in part.model_dump_json()


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": "sk-secret ${"},
        {"api_key": ["sk-secret"]},
        {"api_key": {"sk": "sk-secret"}},
        {"vertex_service_account_json": ["sk-secret"]},
        {"custom_host": "https://me:sk-secret@host"},
        {"api_key": "sk-secret", "weight": "sk-secret"},
        {"input_guardrails": [{"checks": [{"id": "a", "parameters": "sk-secret"}]}]},
    ],
)
def test_no_secret_is_in_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loose(Fallback, targets=[fields])
    assert "sk-secret" not in str(caught.value)
    assert "sk-secret" not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_a_repr_shows_what_was_given() -> None:
    assert repr(Single(target=OPENAI, weight=2)) == (
        "Single(weight=2.0, target=Target(name='a', provider='openai', "
        "api_key=SecretStr('**********'), model='m'))"
    )


def test_the_model_has_one_place() -> None:
    overrides: dict[str, Any] = {"model": "m", "seed": 1}
    target = Target(provider="openai", override_params=overrides)
    assert target == Target(provider="openai", model="m", override_params={"seed": 1})
    assert target == Target(provider="openai", model="m", override_params=overrides)
    assert overrides == {"model": "m", "seed": 1}


def test_what_was_given_can_change_without_changing_the_route() -> None:
    stop = ["a"]
    target = Target(override_params={"stop": stop})
    stop.append("b")
    assert target.override_params == {"stop": ["a"]}


def test_a_check_without_a_dot_is_one_of_the_gateways_own() -> None:
    assert GatewayCheck(id="contains").id == "default.contains"
    assert GatewayCheck(id="portkey.pii").id == "portkey.pii"


def test_addresses_are_tidied() -> None:
    assert Target(custom_host="http://127.0.0.1:1/v1/").custom_host == "http://127.0.0.1:1/v1"


def test_timeouts_are_taken_over_field_by_field() -> None:
    own = Timeout(answer=1)
    assert own.or_else(None) == own
    assert own.or_else(Timeout(answer=2, first_token=3, between_tokens=4)) == Timeout(
        answer=1, first_token=3, between_tokens=4
    )


def test_parts_are_frozen() -> None:
    with pytest.raises(ValidationError):
        OPENAI.weight = 3


@settings(deadline=None, max_examples=20)
@given(routes())
def test_routes_are_equal_to_their_copies(route: Route) -> None:
    assert copy.deepcopy(route) == route
    assert pickle.loads(pickle.dumps(route)) == route
    assert all(isinstance(each, Route) for each in children(route))
