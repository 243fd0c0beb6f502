"""What is sent reaches whom it says and nobody that is closed: through the real gateway, and for
every shape of route."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from any_routes import reachable, routes, shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.emit import Emitted, Leaf, emit, leaves
from agno_portkey.routing.config.parts import (
    CircuitBreakerConfig,
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
)
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault

Sent = tuple[httpx.Response, list[str | None], Leaf | None]
Send = Callable[..., Sent]

GOLD = {"tier": "gold"}


def target(model: str, **fields: Any) -> Target:
    return Target(provider="openai", api_key="k", model=model, **fields)


def sent(route: Route, **options: Any) -> Emitted:
    emitted = emit(route, **options)
    assert emitted is not None
    return emitted


def models(emitted: Emitted) -> list[str | None]:
    return [leaf.model for leaf in emitted.live]


def parsed(emitted: Emitted) -> Any:
    return json.loads(emitted.header)


@pytest.fixture
def send(portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider) -> Send:
    """Sends a chat completion: the answer, which models were asked, and whom the index names."""

    def post(route: Route, *, tags: dict[str, str] | None = None, **options: Any) -> Sent:
        at_provider = route.model_copy(update={"custom_host": portkey_provider.url})
        emitted = sent(at_provider, **options)
        before = len(portkey_provider.calls)
        answer = httpx.post(
            f"{portkey_gateway.url}/chat/completions",
            headers={
                "x-portkey-config": emitted.header,
                "x-portkey-metadata": json.dumps(tags or {}),
            },
            json={"model": "asked", "messages": [{"role": "user", "content": "a red car"}]},
            trust_env=False,
        )
        asked = [call.model for call in portkey_provider.calls[before:]]
        return answer, asked, emitted.leaf(answer.headers.get("x-portkey-last-used-option-index"))

    return post


TWO_DEEP = Fallback(
    targets=[
        target("a"),
        Fallback(targets=[target("b"), Single(target=target("c"))]),
        LoadBalance(targets=[target("d"), target("e", weight=0)]),
        Conditional(
            conditions=[When(query=metadata("tier") == "gold", then="gold")],
            default="rest",
            targets=[target("f", name="gold"), target("g", name="rest")],
        ),
    ]
)
ORDER = "abcdefg"
PATHS = {str(leaf.model): leaf.path for leaf in leaves(TWO_DEEP)}


@pytest.mark.parametrize(
    ("closed", "asked"), [("", "a"), ("a", "b"), ("ab", "c"), ("abc", "d"), ("abcd", "f")]
)
def test_the_gateway_asks_the_first_that_is_live(send: Send, closed: str, asked: str) -> None:
    answer, seen, leaf = send(TWO_DEEP, closed=[PATHS[name] for name in closed], tags=GOLD)
    assert answer.status_code == 200
    assert seen == [asked]
    assert leaf is not None
    assert (leaf.model, leaf.path) == (asked, PATHS[asked])


def test_one_at_a_time_the_gateway_falls_back_on_nobody(
    send: Send, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None)
    answer, seen, leaf = send(TWO_DEEP)
    assert (answer.status_code, seen) == (500, ["a"])
    assert leaf is not None
    assert leaf.model == "a"


def test_all_at_a_time_the_gateway_falls_back_on_whoever_is_live(
    send: Send, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None)
    closed = [PATHS["a"], PATHS["c"]]
    _, seen, leaf = send(TWO_DEEP, closed=closed, one_at_a_time=False, tags=GOLD)
    assert seen == ["b", "d", "f"]
    assert leaf is not None
    assert leaf.model == "f"


@pytest.mark.parametrize("pick", [0, 1, 2])
def test_a_picked_child_is_asked_also_with_weight_zero(send: Send, pick: int) -> None:
    even = LoadBalance(targets=[target("x"), target("y", weight=0), target("z", weight=5)])
    route = Fallback(targets=[target("down"), even])
    picks = {"config.targets[1]": pick}
    _, seen, leaf = send(route, closed=["config.targets[0]"], picks=picks)
    assert seen == ["xyz"[pick]]
    assert leaf is not None
    assert leaf.path == f"config.targets[1].targets[{pick}]"


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("tier", ["gold", "silver", "none"])
def test_a_condition_is_never_led_to_another_target(send: Send, nested: bool, tier: str) -> None:
    conditional = Conditional(
        conditions=[
            When(query=metadata("tier") == "gold", then="gold"),
            When(query=metadata("tier") == "silver", then="silver"),
        ],
        default="rest",
        targets=[
            target("g", name="gold"),
            Fallback(name="silver", targets=[target("s"), target("t")]),
            target("r", name="rest"),
        ],
    )
    route = Fallback(targets=[conditional, target("z")]) if nested else conditional
    named = {str(leaf.model): leaf.path for leaf in leaves(route)}
    closings = {"gold": "g", "silver": "st", "none": "r"}

    _, seen, _ = send(route, tags={"tier": tier})
    assert seen == [closings[tier][0]]
    answer, seen, leaf = send(
        route, tags={"tier": tier}, closed=[named[model] for model in closings[tier]]
    )
    branch = {"none": "rest"}.get(tier, tier)
    assert (answer.status_code, seen, leaf) == (400, [], None)
    assert answer.json() == {
        "status": "failure",
        "message": f"Invalid target name found in the query router: {branch}",
    }
    assert not [name for name in answer.headers if name.startswith("x-portkey")]


def test_a_target_may_take_no_longer_than_its_own_timeout(
    send: Send, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), times=None)
    route = Fallback(
        timeout=Timeout(answer=600),
        targets=[target("slow", timeout=Timeout(answer=0.05)), target("b")],
    )
    answer, seen, _ = send(route)
    assert (answer.status_code, seen) == (408, ["slow"])


CONTAINS = GatewayCheck(id="contains", parameters={"operator": "any", "words": ["red"]})


@pytest.mark.parametrize(
    ("guardrail", "status"),
    [
        (Guardrail(checks=[CONTAINS]), 200),
        (Guardrail(checks=[GatewayCheck(id="default.contains", parameters={"operator": "none", "words": ["red"]})]), 446),  # noqa: E501
        (Guardrail(deny=False, checks=[GatewayCheck(id="contains", parameters={"operator": "none", "words": ["red"]})]), 246),  # noqa: E501
        (Guardrail(checks=[CONTAINS, GatewayCheck(id="contains", parameters={"operator": "none", "words": ["car"]})]), 446),  # noqa: E501
        (Guardrail(checks=[CONTAINS, GatewayCheck(id="contains", enabled=False, parameters={"operator": "none", "words": ["car"]})]), 200),  # noqa: E501
        (Guardrail(deny=False, background=True, checks=[GatewayCheck(id="contains", parameters={"operator": "none", "words": ["red"]})]), 200),  # noqa: E501
    ],
)  # fmt: skip
def test_the_gateway_makes_the_checks_as_they_are_written(
    send: Send, guardrail: Guardrail, status: int
) -> None:
    answer, seen, _ = send(Single(input_guardrails=[guardrail], target=target("a")))
    assert answer.status_code == status
    assert seen == ([] if status == 446 else ["a"])
    answer, seen, _ = send(
        Single(input_guardrails=[guardrail], target=target("a", input_guardrails=[]))
    )
    assert (answer.status_code, seen) == (200, ["a"])


# For every route


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Route, set[str], dict[str, int]]:
    route = draw(shapes())
    paths = [leaf.path for leaf in leaves(route)]
    picks = {
        path: draw(st.integers(0, len(node.targets) - 1))
        for path, node in _balancers(route, "config")
        if draw(st.booleans())
    }
    return route, draw(st.sets(st.sampled_from(paths))), picks


def _balancers(route: Route, path: str) -> list[tuple[str, LoadBalance]]:
    own = [(path, route)] if isinstance(route, LoadBalance) else []
    below = [route.target] if isinstance(route, Single) else getattr(route, "targets", ())
    for index, child in enumerate(below):
        own += _balancers(child, f"{path}.targets[{index}]")
    return own


@settings(deadline=None)
@given(_cases(), st.booleans())
def test_whoever_is_closed_is_never_asked(
    case: tuple[Route, set[str], dict[str, int]], one_at_a_time: bool
) -> None:
    route, closed, picks = case
    emitted = emit(route, closed=closed, picks=picks, one_at_a_time=one_at_a_time)
    if emitted is None:
        return
    asked = reachable(emitted.header)
    assert [*asked] == [leaf.path for leaf in emitted.live]
    assert asked
    assert not closed & asked.keys()
    for index, node in asked.items():
        leaf = emitted.leaf(index)
        assert leaf is not None
        assert node.get("override_params", {}).get("model") == leaf.target.model


@settings(deadline=None)
@given(_cases())
def test_nothing_is_sent_exactly_where_nobody_is_left(
    case: tuple[Route, set[str], dict[str, int]],
) -> None:
    route, closed, picks = case
    possible = sent(route, picks=picks, one_at_a_time=False)
    left = {leaf.path for leaf in possible.live} - closed
    assert (emit(route, closed=closed, picks=picks) is None) == (not left)


@settings(deadline=None)
@given(_cases())
def test_hosted_portkey_gets_no_flags_and_the_indices_are_led_back(
    case: tuple[Route, set[str], dict[str, int]],
) -> None:
    route, closed, picks = case
    emitted = emit(route, profile="hosted", closed=closed, picks=picks)
    if emitted is None:
        return
    assert "is_open" not in emitted.header
    assert "id" not in parsed(emitted)
    asked = reachable(emitted.header)
    assert [emitted.leaf(index) for index in asked] == [*emitted.live]
    if '"conditional"' not in emitted.header:
        assert closed.isdisjoint(leaf.path for leaf in emitted.live)


@settings(deadline=None, max_examples=40)
@given(routes(for_gateway=True))
def test_without_closed_targets_the_config_is_as_written(route: Route) -> None:
    emitted = sent(route, one_at_a_time=False)
    assert "is_open" not in emitted.header
    assert "id" not in parsed(emitted)
    assert emitted.header.isascii()
    assert emitted.header.isprintable()


@settings(deadline=None)
@given(shapes())
def test_leaves_have_names_and_paths_of_their_own(route: Route) -> None:
    found = leaves(route)
    assert len({leaf.name for leaf in found}) == len({leaf.path for leaf in found}) == len(found)
    assert all(leaf.path.startswith(leaf.parents[-1]) for leaf in found if leaf.parents)


# What leaves inherit, and what is left out


def test_leaves_inherit_field_by_field_what_is_above() -> None:
    route = Fallback(
        timeout=Timeout(answer=9, first_token=3),
        custom_host="http://127.0.0.1:1/v1",
        override_params={"model": "above"},
        output_guardrails=[Guardrail(checks=[CONTAINS])],
        targets=[
            Target(provider="openai", timeout=Timeout(answer=1, between_tokens=2)),
            target("own", custom_host="http://127.0.0.1:2/v1", output_guardrails=[]),
        ],
    )
    first, second = leaves(route)
    assert first.timeout == Timeout(answer=1, first_token=3, between_tokens=2)
    assert (first.model, second.model) == ("above", "own")
    assert (first.name, second.name) == ("openai/above", "openai/own")
    assert (first.custom_host, second.custom_host) == (
        "http://127.0.0.1:1/v1",
        "http://127.0.0.1:2/v1",
    )
    assert (first.output_guardrails, second.output_guardrails) == (True, False)
    assert sent(route).output_guardrails
    assert not sent(route, closed=["config.targets[0]"]).output_guardrails
    assert first.parents == ("config",)


def test_leaves_are_named_by_name_by_model_or_by_path() -> None:
    route = Fallback(
        targets=[
            target("m", name="primary"),
            target("twice"),
            target("twice"),
            Target(model="@mine/gpt"),
            Target(provider="openai"),
        ]
    )
    assert [leaf.name for leaf in leaves(route)] == [
        "primary",
        "config.targets[1]",
        "config.targets[2]",
        "@mine/gpt",
        "config.targets[4]",
    ]
    assert leaves(route)[3].provider == "@mine"


def test_each_leaf_has_the_timeout_of_the_phase() -> None:
    route = Fallback(
        timeout=Timeout(answer=20),
        targets=[target("a", timeout=Timeout(first_token=0.0001)), target("b")],
    )
    limits = [
        [each.get("request_timeout") for each in parsed(sent(route, **options))["targets"]]
        for options in (
            {},
            {"phase": "first_token"},
            {"phase": "first_token", "default_timeout": 7.5},
        )
    ]
    assert limits == [[20_000, 20_000], [1, None], [1, 7500]]


def test_what_is_for_the_client_is_not_sent() -> None:
    route = LoadBalance(
        sticky="user",
        experiment="models",
        targets=[
            target("a", context_window=8, prefill=True, timeout=Timeout(between_tokens=1)),
        ],
    )
    assert parsed(sent(route)) == {
        "strategy": {"mode": "loadbalance"},
        "targets": [
            {"provider": "openai", "api_key": "k", "override_params": {"model": "a"}},
        ],
    }


def test_strategies_and_their_parts_are_in_the_form_of_the_gateway() -> None:
    breaker = CircuitBreakerConfig(failure_threshold=3, cooldown_interval=40_000)
    route = Fallback(
        on_status_codes=[429],
        circuit_breaker=breaker,
        retry=Retry(attempts=2, use_retry_after_header=True),
        targets=[target("a", vertex_service_account_json={"private_key": "pem"})],
    )
    assert parsed(sent(route)) == {
        "strategy": {
            "mode": "fallback",
            "on_status_codes": [429],
            "cb_config": {"failure_threshold": 3, "cooldown_interval": 40_000},
        },
        "targets": [
            {
                "provider": "openai",
                "api_key": "k",
                "vertex_service_account_json": {"private_key": "pem"},
                "override_params": {"model": "a"},
            }
        ],
        "retry": {"attempts": 2, "use_retry_after_header": True},
    }


def test_a_pick_that_is_no_child_is_refused() -> None:
    route = LoadBalance(targets=[target("a")])
    with pytest.raises(ConfigurationError, match=r"picks\['config'\]: 1, but"):
        emit(route, picks={"config": 1})


def test_a_condition_at_hosted_portkey_keeps_its_branches() -> None:
    route = Conditional(
        conditions=[When(query=metadata("tier") == "gold", then="gold")],
        default="rest",
        targets=[
            target("g", name="gold"),
            Fallback(name="rest", targets=[target("r"), target("s")]),
        ],
    )
    r, s = "config.targets[1].targets[0]", "config.targets[1].targets[1]"
    some = sent(route, profile="hosted", closed=["config.targets[0]", r])
    assert models(some) == ["g", "s"]
    gold, rest = parsed(some)["targets"]
    assert (gold["name"], rest["name"], len(rest["targets"])) == ("gold", "rest", 1)
    first = some.leaf(r)
    assert first is not None
    assert first.path == s
    # All of a branch is closed: there is no other way for its condition, so it stays whole.
    assert sent(route, profile="hosted", closed=[r, s]) == sent(route, profile="hosted")
    assert emit(route, profile="hosted", closed=["config.targets[0]", r, s]) is None


def test_a_closed_pick_closes_its_balancer() -> None:
    route = LoadBalance(targets=[target("a"), target("b")])
    assert emit(route, picks={"config": 1}, closed=["config.targets[1]"]) is None


def test_an_index_that_is_unknown_or_absent_names_nobody() -> None:
    emitted = sent(target("a"))
    assert emitted.leaf(None) is None
    assert emitted.leaf("config.targets[0]") is None
    assert emitted.leaf("config") == emitted.live[0]


def test_references_are_resolved_when_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    check = GatewayCheck(id="jwt", parameters={"jwksUri": "${JWKS}", "list": ["${JWKS}", 1]})
    route = Single(
        target=Target(
            provider="openai",
            api_key="${A_KEY}",
            input_guardrails=[Guardrail(checks=[check])],
        )
    )
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(
        ConfigurationError, match=r"^config\.targets\[0\]\.api_key: set .* variable A_KEY$"
    ):
        emit(route)
    monkeypatch.setenv("A_KEY", "sk-9")
    with pytest.raises(ConfigurationError, match=r"checks\[0\]\.parameters\.jwksUri: .* JWKS$"):
        emit(route)
    monkeypatch.setenv("JWKS", "https://keys")
    [form] = parsed(sent(route))["targets"]
    assert form["api_key"] == "sk-9"
    assert form["input_guardrails"][0]["default.jwt"] == {
        "jwksUri": "https://keys",
        "list": ["https://keys", 1],
    }
    assert "sk-9" not in repr(sent(route))


@pytest.mark.parametrize("value", ["no json", "[1]"])
def test_an_account_that_is_no_json_object_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ACCOUNT", value)
    with pytest.raises(ConfigurationError, match="vertex_service_account_json: a JSON object") as e:
        emit(Target(provider="vertex-ai", vertex_service_account_json="${ACCOUNT}"))
    assert value not in str(e.value)
