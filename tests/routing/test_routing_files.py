"""Routes come back from files as they went in, and nothing in a file is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from any_routes import routes
from hypothesis import given, settings
from pydantic import SecretStr

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.emit import emit
from agno_portkey.routing.config.files import from_config, from_yaml, json_schema, to_yaml
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
)

SCHEMA = jsonschema.Draft202012Validator(json_schema())


@settings(deadline=None, max_examples=30)
@given(routes())
def test_a_route_is_the_same_after_a_round_through_yaml(route: Route) -> None:
    text = to_yaml(route)
    assert from_yaml(text) == route
    SCHEMA.validate(yaml.safe_load(text))


@settings(deadline=None, max_examples=30)
@given(routes(for_gateway=True))
def test_a_route_is_the_same_after_a_round_through_the_gateways_form(route: Route) -> None:
    emitted = emit(route, one_at_a_time=False)
    assert emitted is not None
    again = from_config(json.loads(emitted.header))
    assert again == route
    sent_again = emit(again, one_at_a_time=False)
    assert sent_again is not None
    assert sent_again.header == emitted.header


YAML = """
mode: conditional
conditions:
  - query: {metadata.tier: gold}
    then: best
default: rest
targets:
  - name: best
    provider: openai
    api_key: ${OPENAI_API_KEY}
    model: gpt-4o
    timeout: {answer: 30, first_token: 5}
    input_guardrails:
      - checks:
          - {id: contains, parameters: {operator: none, words: [secret]}}
  - mode: loadbalance
    name: rest
    sticky: user
    targets:
      - {provider: together-ai, api_key: "${TOGETHER_API_KEY}", weight: 2}
      - {provider: ollama, model: qwen3, prefill: true, context_window: 8192}
"""
FROM_YAML = Conditional(
    conditions=[When(query=metadata("tier") == "gold", then="best")],
    default="rest",
    targets=[
        Target(
            name="best",
            provider="openai",
            api_key="${OPENAI_API_KEY}",
            model="gpt-4o",
            timeout=Timeout(answer=30, first_token=5),
            input_guardrails=[
                Guardrail(
                    checks=[
                        GatewayCheck(
                            id="default.contains",
                            parameters={"operator": "none", "words": ["secret"]},
                        )
                    ]
                )
            ],
        ),
        LoadBalance(
            name="rest",
            sticky="user",
            targets=[
                Target(provider="together-ai", api_key="${TOGETHER_API_KEY}", weight=2),
                Target(provider="ollama", model="qwen3", prefill=True, context_window=8192),
            ],
        ),
    ],
)


def test_yaml_is_read_from_text_and_from_files(tmp_path: Path) -> None:
    path = tmp_path / "route.yaml"
    path.write_text(YAML, encoding="utf-8")
    assert from_yaml(YAML) == FROM_YAML
    assert from_yaml(path) == FROM_YAML
    assert from_yaml(str(path)) == FROM_YAML
    SCHEMA.validate(yaml.safe_load(YAML))


def test_what_is_left_at_its_default_is_not_written() -> None:
    route = Single(target=Target(provider="ollama", name="a", timeout=Timeout(answer=2)))
    assert yaml.safe_load(to_yaml(route)) == {
        "mode": "single",
        "target": {"name": "a", "provider": "ollama", "timeout": {"answer": 2.0}},
    }


CONFIG: dict[str, Any] = {
    "strategy": {
        "mode": "fallback",
        "on_status_codes": [429],
        "cb_config": {"failure_threshold": 3},
    },
    "cache": {"mode": "semantic", "max_age": 60},
    "targets": [
        {
            "provider": "openai",
            "api_key": "sk",
            "override_params": {"model": "gpt-4o", "seed": 1},
            "request_timeout": 2500,
            "retry": {"attempts": 2},
            "input_guardrails": [
                {"default.contains": {"words": ["a"]}, "wordCount": {"is_enabled": False}},
                {
                    "deny": True,
                    "async": False,
                    "once more": {"id": "default.contains", "words": ["b"]},
                },
            ],
        },
        {"strategy": {"mode": "single"}, "targets": [{"virtual_key": "vk"}]},
    ],
}


def test_the_gateways_own_form_is_read() -> None:
    expected = Fallback(
        on_status_codes=[429],
        circuit_breaker=CircuitBreakerConfig(failure_threshold=3),
        cache=GatewayCache(mode="semantic", max_age=60),
        targets=[
            Target(
                provider="openai",
                api_key="sk",
                model="gpt-4o",
                override_params={"seed": 1},
                timeout=Timeout(answer=2.5, first_token=2.5),
                retry=Retry(attempts=2),
                input_guardrails=[
                    # There, a guardrail denies only if it says so.
                    Guardrail(
                        deny=False,
                        checks=[
                            GatewayCheck(id="default.contains", parameters={"words": ["a"]}),
                            GatewayCheck(id="default.wordCount", enabled=False),
                        ],
                    ),
                    Guardrail(
                        checks=[GatewayCheck(id="default.contains", parameters={"words": ["b"]})]
                    ),
                ],
            ),
            Single(target=Target(virtual_key="vk")),
        ],
    )
    assert from_config(CONFIG) == expected
    assert from_yaml(json.dumps(CONFIG)) == expected


@pytest.mark.parametrize(
    ("config", "target"),
    [
        ({"provider": "openai", "api_key": "k"}, Target(provider="openai", api_key="k")),
        ({"retry": {"attempts": 3}}, Target(retry=Retry(attempts=3))),
        ({"cache": {"mode": "simple"}}, Target(cache=GatewayCache(mode="simple"))),
        (
            {"override_params": {"model": "@mine/gpt"}, "input_guardrails": ["pg-1"]},
            Target(model="@mine/gpt", input_guardrails=["pg-1"]),
        ),
    ],
)
def test_a_config_without_strategy_is_a_target(config: dict[str, Any], target: Target) -> None:
    assert from_config(config) == target
    emitted = emit(target)
    assert emitted is not None
    assert json.loads(emitted.header) == config


def nested(**fields: Any) -> dict[str, Any]:
    inner = {"provider": "openai", "api_key": "sk-secret", **fields}
    return {"strategy": {"mode": "fallback"}, "targets": [{"provider": "ollama"}, inner]}


CONFIGS: dict[str, tuple[Any, str]] = {
    "no mapping": ([], r"^config: a mapping, not list$"),
    "empty": ({}, r"^config: it is empty"),
    "unknown": (nested(x=1), r"^config\.targets\[1\]\.x: no such field, and the gateway would pa"),
    "camel case": (nested(overrideParams={}), r"\]\.overrideParams: .*mean override_params\?$"),
    "model": (nested(model="m"), r"\[1\]\.model: the gateway does not look at it; write it in ov"),
    "id": (nested(id="pc-1"), r"\.id: a hosted config's own; leave it out$"),
    "open": (nested(is_open=True), r"\.is_open: the client keeps the circuits"),
    "hooks": (nested(before_request_hooks=[]), r"hooks: write them as input_guardrails"),
    "hints": (nested(context_window=1), r"\.context_window: no such field"),
    "no strategy": ({"targets": [{}]}, r"^config\.strategy: missing; without it the gateway"),
    "strategy": ({"strategy": "fallback", "targets": []}, r"^config\.strategy: a mapping, not str"),
    "mode": (
        {"strategy": {"mode": "best"}, "targets": []},
        r"^config\.strategy\.mode: one of single, fallback, loadbalance, conditional, not 'best'",
    ),
    "no targets": ({"strategy": {"mode": "single"}}, r"^config\.targets: a list of at least one"),
    "no target": (
        {"strategy": {"mode": "fallback"}, "targets": [3]},
        r"^config\.targets\[0\]: a mapping, not int$",
    ),
    "two of one": (
        {"strategy": {"mode": "single"}, "targets": [{"retry": {}}, {"retry": {}}]},
        r"^config\.targets\[0\]\.retry\.attempts: required$",
    ),
    "two targets of one": (
        {"strategy": {"mode": "single"}, "targets": [{"name": "a"}, {"name": "b"}]},
        r"^config\.targets: mode single asks the first alone; give one$",
    ),
    "not of the mode": (
        {"strategy": {"mode": "single", "on_status_codes": [1]}, "targets": [{"name": "a"}]},
        r"^config\.strategy\.on_status_codes: no such field",
    ),
    "code": (
        {"strategy": {"mode": "fallback", "on_status_codes": [1]}, "targets": [{"name": "a"}]},
        r"^config\.strategy\.on_status_codes\[0\]: ",
    ),
    "then": (
        {
            "strategy": {"mode": "conditional", "conditions": [{"query": {"params.a": 1}, "then": "x"}]},  # noqa: E501
            "targets": [{"name": "a"}],
        },
        r"^config\.strategy\.conditions\[0\]\.then: no target is named 'x'",
    ),
    "breaker": (
        {"strategy": {"mode": "fallback", "cb_config": {}}, "targets": [{"name": "a"}]},
        r"^config\.strategy\.cb_config: give failure_threshold",
    ),
    "timeout": (nested(request_timeout="1"), r"\.request_timeout: a number of milliseconds$"),
    "no time": (nested(request_timeout=0), r"^config\.targets\[1\]\.request_timeout\.answer: "),
    "guardrails": (nested(input_guardrails={}), r"\.input_guardrails: a list of guardrails or ids"),
    "guardrail": (nested(output_guardrails=[1]), r"\.output_guardrails\[0\]: a mapping of checks"),
    "no checks": (nested(input_guardrails=[{"deny": True}]), r"s\[0\]\.checks: at least one"),
    "background": (
        nested(input_guardrails=[{"contains": {}, "deny": True, "async": True}]),
        r"^config\.targets\[1\]\.input_guardrails\[0\]: a check in the background can't deny",
    ),
    "parameters": (
        nested(input_guardrails=[{"contains": "red"}]),
        r"\.input_guardrails\[0\]\.contains: the parameters of a check, as a mapping$",
    ),
    "model of override_params": (
        nested(override_params={"model": ""}),
        r"^config\.targets\[1\]\.override_params\.model: ",
    ),
    "doubled": (
        {"strategy": {"mode": "fallback"}, "targets": [{"name": "a"}, {"name": "a"}]},
        r"^config\.targets: two targets are named 'a'",
    ),
    "weights": (
        {"strategy": {"mode": "loadbalance"}, "targets": [{"weight": 0}]},
        r"^config\.targets: the weights are all 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_does_not_fit_is_refused_in_its_own_terms(name: str) -> None:
    config, says = CONFIGS[name]
    with pytest.raises(ConfigurationError, match=says) as caught:
        from_config(config)
    assert "sk-secret" not in str(caught.value)


TEXTS: dict[str, tuple[str, str]] = {
    "broken": ("a: b: c", r"^no YAML in line 1: mapping values are not allowed"),
    "twice": ("provider: a\napi_key: sk-secret\nprovider: b\n", r"^no YAML in line 1: a key stand"),
    "control": ("a: \x01", r"^no YAML: it holds characters"),
    "no key": ("? [a]\n: b", r"^no YAML in line 1: found unhashable key"),
    "number": ("mode: fallback\ntargets: [{1: 2}]", r"^config\.targets\[0\]: the key 1 is no text"),
    "empty": ("", r"^config: a mapping is due here$"),
    "list": ("- 1", r"^config: a mapping is due here$"),
    "absent": ("absent.yaml", r"^can't read the route in absent\.yaml: "),
    "unknown": ("provider: openai\napi_ky: sk-secret", r"^config\.api_ky: no such field"),
    "deep": (
        "mode: single\ntarget:\n  mode: fallback\n  targets: [{timeout: {answer: -1}}]",
        r"^config\.target\.targets\[0\]\.timeout\.answer: ",
    ),
    "gateway's": ("strategy: {mode: x}\ntargets: []", r"^config\.strategy\.mode: one of"),
    "mode": ("mode: best\ntargets: []", r"^config: mode: single, fallback"),
    "an object": ("!!python/object:os.system {}", r"^no YAML in line 1: could not determine a con"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_does_not_fit_is_refused(name: str) -> None:
    text, says = TEXTS[name]
    with pytest.raises(ConfigurationError, match=says) as caught:
        from_yaml(text)
    assert "sk-secret" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "route.yaml"
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigurationError, match="can't read the route in"):
        from_yaml(path)


SECRETS: list[tuple[Route, str]] = [
    (Target(api_key="sk-secret"), r"^config\.api_key: .*refer to it as \$\{NAME\}$"),
    (Fallback(targets=[Target(aws_access_key_id="sk-secret")]), r"^config\.targets\[0\]\.aws_acc"),
    (Target(vertex_service_account_json={"a": "sk-secret"}), r"^config\.vertex_service_account_js"),
    (Single(target=Target(virtual_key="sk-secret")), r"^config\.target\.virtual_key: "),
    (
        Target(
            input_guardrails=[
                Guardrail(
                    checks=[
                        GatewayCheck(
                            id="webhook", parameters={"headers": {"x": ["sk-secret"]}, "n": "x"}
                        )
                    ]
                )
            ]
        ),
        r"^config\.input_guardrails\[0\]\.checks\[0\]\.parameters\.headers\.x\[0\]: ",
    ),
]


@pytest.mark.parametrize(("route", "says"), SECRETS)
def test_secrets_are_not_written_to_files(route: Route, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        to_yaml(route)
    assert "sk-secret" not in str(caught.value)


def test_references_are_written_as_they_are() -> None:
    check = GatewayCheck(id="x.y", parameters={"credentials": {"apiKey": "${X_KEY}", "n": 1}})
    route = Target(api_key=SecretStr("${KEY}"), input_guardrails=[Guardrail(checks=[check])])
    assert "${KEY}" in to_yaml(route)
    assert from_yaml(to_yaml(route)) == route


@pytest.mark.parametrize(
    "data",
    [
        {"provider": "openai", "api_ky": "x"},
        {"targets": [{"provider": "openai"}]},
        {"mode": "fallback", "targets": []},
        {"mode": "best", "targets": [{"provider": "openai"}]},
        {"provider": "openai", "timeout": {"answer": 0}},
    ],
)
def test_the_schema_knows_what_is_wrong(data: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(data)
