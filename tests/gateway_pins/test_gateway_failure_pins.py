"""How the real gateway fails, which routing/failures.py and pipeline.py turn into typed errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider

Post = Callable[..., httpx.Response]
Target = Callable[..., dict[str, Any]]

CONFIG_FAULT = "routing/failures.py tells a refused config by status, body and missing headers"


def portkey_headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if "x-portkey" in name}


BAD_CONFIGS: dict[str, tuple[object, int]] = {
    "unknown mode": ({"strategy": {"mode": "nonsense"}, "targets": [{"provider": "openai"}]}, 400),
    "unknown provider": ({"provider": "nonsense", "api_key": "k"}, 400),
    "forbidden host": (
        {"provider": "openai", "api_key": "k", "custom_host": "http://10.0.0.1/v1"},
        400,
    ),
    "a hosted config's id": ("pc-abc", 400),
    "no targets": ({"strategy": {"mode": "fallback"}, "targets": []}, 500),
    "nothing": (None, 400),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_a_refused_config(post: Post, name: str) -> None:
    config, status = BAD_CONFIGS[name]
    answer = post(config)
    body = answer.json()
    assert answer.status_code == status
    assert body["status"] == "failure", CONFIG_FAULT
    assert isinstance(body["message"], str)
    assert isinstance(body.get("errors", []), list)
    assert portkey_headers(answer) == {}, CONFIG_FAULT


def test_an_unknown_operator_is_a_refused_config(post: Post, target: Target) -> None:
    condition = {"query": {"metadata.role": {"$exists": True}}, "then": "a"}
    strategy = {"mode": "conditional", "conditions": [condition], "default": "a"}
    answer = post(
        {"strategy": strategy, "targets": [target(name="a")]}, x_portkey_metadata='{"role": "x"}'
    )
    assert (answer.status_code, answer.json()["status"]) == (400, "failure"), CONFIG_FAULT
    assert portkey_headers(answer) == {}, CONFIG_FAULT


def test_a_providers_error_is_told_from_the_gateways(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(400, code_str="context_length_exceeded"))
    answer = post(target())
    body = answer.json()
    assert "status" not in body
    assert body["error"]["code"] == "context_length_exceeded", "routing/failures.py reads it"
    assert answer.headers["x-portkey-provider"] == "openai", CONFIG_FAULT


def test_the_exception_header_marks_a_cut_answer_not_a_refused_config(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.cut())
    answer = post(target())
    assert answer.status_code == 500
    assert answer.json() == {"status": "failure", "message": "Something went wrong"}
    assert portkey_headers(answer) == {"x-portkey-gateway-exception": "true"}, (
        "routing/failures.py: of all failures the provider's cut answer alone has this header"
    )


def test_an_unreachable_provider(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.reset())
    answer = post(target())
    assert answer.status_code == 500
    assert "fetch failed" in answer.json()["html-message"], "routing/failures.py shows it"
    assert answer.headers["x-portkey-provider"] == "openai", CONFIG_FAULT


def test_a_cut_stream_becomes_a_clean_end(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("one two three four")
    portkey_provider.fault(Fault.cut())
    answer = post(target(), stream=True)
    assert answer.status_code == 200
    assert "one" in answer.text
    assert "[DONE]" not in answer.text
    assert '"finish_reason": "' not in answer.text, "pipeline.py requires a finish reason"


def test_a_whole_stream_has_a_finish_reason_and_an_end(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("one two three four")
    answer = post(target(), stream=True)
    assert '"finish_reason": "stop"' in answer.text
    assert answer.text.rstrip().endswith("[DONE]")


def test_html_becomes_a_200_without_choices(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.html())
    answer = post(target())
    assert answer.status_code == 200
    assert set(answer.json()) == {"html-message"}, "pipeline.py requires choices"


def test_html_in_place_of_a_stream_keeps_its_type(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.html())
    answer = post(target(), stream=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html"), "pipeline.py looks for it"


def test_a_request_timeout_answers_408(
    post: Post, target: Target, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    answer = post(target(request_timeout=50))
    assert answer.status_code == 408
    assert answer.json()["error"]["type"] == "timeout_error"
    assert answer.headers["x-portkey-provider"] == "openai"
    assert portkey_provider.requests[0].wait() == "client_gone"
    assert post(target()).status_code == 200
