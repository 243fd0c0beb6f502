"""What this package relies on in the real gateway; a failure names what of ours depends on it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider

Post = Callable[..., httpx.Response]
Target = Callable[..., dict[str, Any]]

ANSWERED = "routing/answered.py reads these headers"


def portkey_headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if "x-portkey" in name}


def test_names_of_the_response_headers(post: Post, target: Target) -> None:
    answer = post(target(), x_portkey_trace_id="trace-1")
    assert answer.status_code == 200
    assert portkey_headers(answer) == {
        "x-portkey-cache-status": "DISABLED",
        "x-portkey-last-used-option-index": "config",
        "x-portkey-provider": "openai",
        "x-portkey-retry-attempt-count": "0",
        "x-portkey-trace-id": "trace-1",
    }, ANSWERED


def test_streams_have_the_same_headers(post: Post, target: Target) -> None:
    plain, stream = post(target()), post(target(), stream=True)
    assert portkey_headers(stream) == portkey_headers(plain), ANSWERED


def test_a_trace_id_is_echoed_and_never_made_up(post: Post, target: Target) -> None:
    assert post(target(), x_portkey_trace_id="t").headers["x-portkey-trace-id"] == "t"
    assert post(target()).headers["x-portkey-trace-id"] == "", "tags.py always sends one"


def test_exhausted_retries_are_minus_one(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=2)
    answer = post(target(retry={"attempts": 1}))
    assert answer.status_code == 503
    assert answer.headers["x-portkey-retry-attempt-count"] == "-1", ANSWERED


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_fallback_on_any_error(
    post: Post, target: Target, portkey_provider: EmbeddedProvider, status: int
) -> None:
    spare = target(override_params={"model": "spare"})
    portkey_provider.fault(Fault.status(status))
    answer = post({"strategy": {"mode": "fallback"}, "targets": [target(), spare]})
    assert answer.status_code == 200
    assert answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]", ANSWERED
    assert [call.model for call in portkey_provider.calls] == ["gpt-4o-mini", "spare"]


def test_fallback_only_on_the_named_statuses(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    strategy = {"mode": "fallback", "on_status_codes": [429]}
    config = {"strategy": strategy, "targets": [target(), target()]}
    portkey_provider.fault(Fault.status(400))
    assert post(config).status_code == 400
    portkey_provider.fault(Fault.status(429))
    assert post(config).status_code == 200


def test_metadata_and_gateway_headers_stay_in_the_gateway(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    post(target(), x_portkey_metadata='{"role": "judge"}', x_portkey_trace_id="trace-1")
    (call,) = portkey_provider.calls
    assert not [name for name in call.headers if name.startswith("x-portkey")]
    assert "judge" not in str(dict(call.headers)), "tags.py: tags are for the gateway alone"
    assert call.headers["authorization"] == "Bearer k"


def test_conditional_routing_on_metadata(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    condition = {"query": {"metadata.role": {"$eq": "judge"}}, "then": "strong"}
    config = {
        "strategy": {"mode": "conditional", "conditions": [condition], "default": "weak"},
        "targets": [
            target(name="strong", override_params={"model": "strong"}),
            target(name="weak", override_params={"model": "weak"}),
        ],
    }
    for role in ("judge", "planner"):
        post(config, x_portkey_metadata=json.dumps({"role": role}))
    asked = [call.model for call in portkey_provider.calls]
    assert asked == ["strong", "weak"], "tags.py sends the role under the key `role`"


def guardrail(word: str, *, deny: bool) -> list[dict[str, Any]]:
    return [{"default.contains": {"operator": "none", "words": [word]}, "deny": deny}]


@pytest.mark.parametrize("stream", [False, True])
def test_a_denied_request(
    post: Post, target: Target, portkey_provider: EmbeddedProvider, stream: bool
) -> None:
    answer = post(target(input_guardrails=guardrail("hi", deny=True)), stream=stream)
    body = answer.json()
    (hook,) = body["hook_results"]["before_request_hooks"]
    assert answer.status_code == 446
    assert isinstance(body["error"]["message"], str)
    assert hook["verdict"] is False
    assert [(c["id"], c["verdict"]) for c in hook["checks"]] == [("default.contains", False)], (
        "routing/failures.py names the checks that failed"
    )
    assert portkey_provider.calls == []


def test_a_denied_answer(post: Post, target: Target) -> None:
    answer = post(target(output_guardrails=guardrail("said", deny=True)))
    hooks = answer.json()["hook_results"]
    assert answer.status_code == 446
    assert hooks["before_request_hooks"] == []
    assert hooks["after_request_hooks"][0]["verdict"] is False, (
        "routing/failures.py tells GatewayDeniedOutput from GatewayDeniedInput by the stage"
    )


def test_output_guardrails_do_not_run_on_streams(post: Post, target: Target) -> None:
    answer = post(target(output_guardrails=guardrail("said", deny=True)), stream=True)
    assert answer.status_code == 200
    assert "said" in answer.text, "guardrails/layer.py checks streams itself"


def test_a_header_of_60_kb_is_accepted(post: Post, target: Target) -> None:
    answer = post(target(), x_portkey_metadata=json.dumps({"long": "x" * 60_000}))
    assert answer.status_code == 200, "routing/local.py raises node's limit for headers"


def test_metadata_that_is_no_json_is_ignored(post: Post, target: Target) -> None:
    assert post(target(), x_portkey_metadata="{no json").status_code == 200


def test_a_model_is_overridden_by_the_config(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    post(target(override_params={"model": "other", "temperature": 0}))
    assert portkey_provider.calls[0].model == "other"
    assert portkey_provider.calls[0].body["temperature"] == 0


def test_it_listens_on_loopback_alone(portkey_gateway: LocalGateway) -> None:
    port = httpx.URL(portkey_gateway.url).port
    assert port is not None
    for address in ("127.0.0.2", "::1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as client:
            assert client.connect_ex((address, port)) != 0, "routing/gateway_package/preload.mjs"


def test_it_greets(portkey_gateway: LocalGateway) -> None:
    root = portkey_gateway.url.removesuffix("/v1")
    assert httpx.get(root, trust_env=False).text == "AI Gateway says hey!", "routing/local.py"


@pytest.mark.parametrize("path", ["/public/", "/log/stream"])
def test_it_shows_no_log(portkey_gateway: LocalGateway, path: str) -> None:
    root = portkey_gateway.url.removesuffix("/v1")
    answer = httpx.get(root + path, trust_env=False)
    assert answer.status_code != 200, "routing/local.py starts it with --headless"
