"""Routes of every shape for property tests, and whom a gateway may ask for one."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from agno_portkey.routing.config.parts import (
    CircuitBreakerConfig,
    GatewayCache,
    GatewayCheck,
    Guardrail,
    Retry,
    Timeout,
)
from agno_portkey.routing.config.query import Query, metadata, param, path
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Single,
    Target,
    When,
)

WORDS = st.text(
    string.ascii_letters + string.digits + "-_ äß中\U0001f600:#'\"", min_size=1, max_size=8
)
SECONDS = st.integers(1, 600_000).map(lambda ms: ms / 1000)
CODES = st.lists(st.integers(100, 599), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
OVERRIDES = st.dictionaries(st.sampled_from(["temperature", "stop", "x"]), JSON, max_size=2)
REFERENCES = st.from_regex(r"\$\{[A-Z_][A-Z0-9_]{0,5}\}", fullmatch=True)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def timeouts(*, for_gateway: bool) -> st.SearchStrategy[Timeout]:
    if for_gateway:
        # The gateway knows one limit, which holds for both.
        return SECONDS.map(lambda s: Timeout(answer=s, first_token=s))
    return st.builds(
        Timeout, answer=maybe(SECONDS), first_token=maybe(SECONDS), between_tokens=maybe(SECONDS)
    )


@st.composite
def checks(draw: st.DrawFn) -> GatewayCheck:
    name = draw(st.sampled_from(["default.contains", "default.wordCount", "x.y"]))
    names = st.sampled_from(["words", "operator", "not"])
    parameters = draw(st.dictionaries(names, JSON, max_size=2))
    return GatewayCheck(id=name, parameters=parameters, enabled=draw(st.booleans()))


@st.composite
def guardrails(draw: st.DrawFn) -> Guardrail:
    deny = draw(st.booleans())
    return Guardrail(
        checks=draw(st.lists(checks(), min_size=1, max_size=3)),
        deny=deny,
        background=not deny and draw(st.booleans()),
        sequential=draw(st.booleans()),
        id=draw(maybe(WORDS)),
        on_fail=draw(maybe(st.just({"feedback": {"value": -5}}))),
    )


def conditions() -> st.SearchStrategy[Query]:
    operands = st.one_of(
        st.sampled_from(["tier", "user"]).map(metadata),
        st.sampled_from(["model", "user"]).map(param),
        st.builds(path),
    )
    values = WORDS | st.integers(-9, 9) | st.booleans()
    single = st.one_of(
        st.builds(lambda operand, value: operand == value, operands, values),
        st.builds(lambda operand, value: operand != value, operands, values),
        st.builds(lambda value: metadata("n") >= value, st.integers(-9, 9)),
        st.builds(lambda operand, some: operand.in_(some), operands, st.lists(values, min_size=1)),
        st.builds(lambda operand: operand.matches(r"^a\d+"), operands),
    )
    return st.recursive(
        single,
        lambda inner: (
            st.builds(lambda a, b: a & b, inner, inner)
            | st.builds(lambda a, b: a | b, inner, inner)
        ),
        max_leaves=4,
    )


@st.composite
def common(draw: st.DrawFn, *, strategy: bool, for_gateway: bool) -> dict[str, Any]:
    fields = {
        "weight": draw(maybe(st.sampled_from([0, 0.5, 1, 3]))),
        "retry": draw(maybe(st.builds(Retry, attempts=st.integers(0, 5), on_status_codes=CODES))),
        "cache": draw(maybe(st.just(GatewayCache(mode="simple", max_age=60)))),
        "custom_host": draw(maybe(st.just("http://127.0.0.1:9/v1"))),
        "override_params": draw(OVERRIDES),
        "forward_headers": draw(maybe(st.lists(st.just("x-a"), max_size=1))),
        "input_guardrails": draw(maybe(st.lists(guardrails(), max_size=2))),
        "output_guardrails": draw(maybe(st.lists(guardrails(), max_size=1))),
        "strict_open_ai_compliance": draw(maybe(st.booleans())),
    }
    if not (strategy and for_gateway):
        # On a strategy it is for the targets below, where it is emitted.
        fields["timeout"] = draw(maybe(timeouts(for_gateway=for_gateway)))
    if strategy:
        breaker = CircuitBreakerConfig(failure_threshold=3)
        fields["circuit_breaker"] = draw(maybe(st.just(breaker)))
    return fields


@st.composite
def shapes(draw: st.DrawFn, *, depth: int = 2, name: str | None = None) -> Route:
    """Routes of every shape, with names and weights alone."""
    weight = draw(st.sampled_from([None, 0, 2]))
    mode = draw(st.sampled_from(["target", "single", "fallback", "loadbalance", "conditional"]))
    if depth == 0 or mode == "target":
        model = draw(st.sampled_from("abc"))
        return Target(provider="openai", api_key="k", model=model, name=name, weight=weight)
    names = [f"{name or ''}n{i}" for i in range(draw(st.integers(1, 3)))]
    inner = [draw(shapes(depth=depth - 1, name=each)) for each in names]
    return _strategy(draw, mode, names, inner, {"name": name, "weight": weight})


def _strategy(
    draw: st.DrawFn, mode: str, names: list[str], inner: list[Any], fields: dict[str, Any]
) -> Route:
    if mode == "single":
        return Single(target=inner[0], **fields)
    if mode == "fallback":
        return Fallback(targets=inner, on_status_codes=draw(maybe(CODES)), **fields)
    if mode == "conditional":
        whens = [When(query=draw(conditions()), then=draw(st.sampled_from(names)))]
        default = draw(maybe(st.sampled_from(names)))
        return Conditional(targets=inner, conditions=whens, default=default, **fields)
    if all(each.weight == 0 for each in inner):
        inner = [each.model_copy(update={"weight": 1.0}) for each in inner]
    return LoadBalance(targets=inner, **fields)


@st.composite
def targets(draw: st.DrawFn, *, name: str | None = None, for_gateway: bool = False) -> Target:
    fields = draw(common(strategy=False, for_gateway=for_gateway))
    if not for_gateway:
        fields["context_window"] = draw(maybe(st.integers(1, 9)))
        fields["prefill"] = draw(maybe(st.booleans()))
    return Target(
        name=name,
        provider=draw(st.sampled_from(["openai", "together-ai", "@mine"])),
        api_key=draw(st.just("sk-1") if for_gateway else REFERENCES),
        model=draw(maybe(WORDS)),
        openai_project=draw(maybe(WORDS)),
        **fields,
    )


@st.composite
def routes(
    draw: st.DrawFn, *, depth: int = 2, name: str | None = None, for_gateway: bool = False
) -> Route:
    """A route with at most `depth` strategies one within the other."""
    mode = draw(st.sampled_from(["target", "single", "fallback", "loadbalance", "conditional"]))
    if depth == 0 or mode == "target":
        return draw(targets(name=name, for_gateway=for_gateway))
    names = [f"{name or ''}n{i}" for i in range(draw(st.integers(1, 3)))]
    inner = [draw(routes(depth=depth - 1, name=each, for_gateway=for_gateway)) for each in names]
    fields = {**draw(common(strategy=True, for_gateway=for_gateway)), "name": name}
    if mode == "loadbalance" and not for_gateway:
        fields["sticky"] = draw(st.sampled_from([None, "user", "session"]))
        fields["experiment"] = draw(maybe(WORDS))
    return _strategy(draw, mode, names, inner, fields)


def reachable(header: str) -> dict[str, dict[str, Any]]:
    """Whom the open-source gateway may ask for this config: option index and target.

    Written after the gateway's `tryTargetsRecursively`, whatever a provider answers, whatever
    the dice and conditions say.
    """
    config = json.loads(header)
    return dict(_reach(config, "config", heeds_flags="id" in config))


def _reach(
    node: dict[str, Any], path: str, *, heeds_flags: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    if "strategy" not in node:
        yield path, node
        return
    children = [*enumerate(node["targets"])]
    if heeds_flags:
        children = [each for each in children if not each[1].get("is_open")] or children
    strategy = node["strategy"]
    if strategy["mode"] == "loadbalance":
        children = [each for each in children if each[1].get("weight", 1) > 0]
    if strategy["mode"] == "single":
        children = children[:1]
    if strategy["mode"] == "conditional":
        named = [each["then"] for each in strategy["conditions"]] + [strategy.get("default")]
        children = [each for each in children if each[1].get("name") in named]
    for index, child in children:
        yield from _reach(child, f"{path}.targets[{index}]", heeds_flags=heeds_flags)
