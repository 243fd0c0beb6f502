"""Three providers: what reaches each of them through the real gateway, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.emit import emit
from agno_portkey.routing.config.parts import Timeout
from agno_portkey.routing.config.presets import openai, openrouter, together
from agno_portkey.routing.config.profiles import check
from agno_portkey.routing.config.routes import Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Request

Preset = Callable[..., Target]
PRESETS = [openai, openrouter, together]
VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "together": "TOGETHER_API_KEY",
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
# What all three pass on as it is.
PASSED: dict[str, Any] = {
    "max_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "tools": TOOLS,
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "stream": True,
}
DROPPED: dict[str, Any] = {"seed": 1, "user": "u", "parallel_tool_calls": False, "n": 1}


@pytest.fixture
def ask(
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[Request, httpx.Response]]:
    """Sends a completion to a preset's model at the embedded provider, and shows what arrived."""

    def send(preset: Preset, **body: Any) -> tuple[Request, httpx.Response]:
        monkeypatch.setenv(VARIABLES[preset.__name__], "sk-1")
        # For these two the gateway adds /v1 itself.
        added = preset in (openrouter, together)
        host = portkey_provider.host if added else portkey_provider.url
        target = preset("some/model", custom_host=host)
        check(target)
        emitted = emit(target)
        assert emitted is not None
        messages = [{"role": "developer", "content": "be"}, {"role": "user", "content": "hi"}]
        answer = httpx.post(
            f"{portkey_gateway.url}/chat/completions",
            headers={"x-portkey-config": emitted.header},
            json={"model": "asked", "messages": messages, **body},
            trust_env=False,
        )
        assert answer.status_code == 200
        return portkey_provider.calls[-1], answer

    return send


@pytest.mark.parametrize("preset", PRESETS)
def test_the_model_and_its_common_options_arrive(preset: Preset, ask: Any) -> None:
    request, _ = ask(preset, **PASSED)
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.model == "some/model"
    assert request.last_user == "hi"
    assert request.system == "be"
    assert {name: request.body.get(name) for name in PASSED} == PASSED


@pytest.mark.parametrize(
    ("preset", "kept"), [(openai, True), (openrouter, False), (together, False)]
)
def test_the_gateway_drops_what_it_does_not_know_of_a_provider(
    preset: Preset, kept: bool, ask: Any
) -> None:
    request, _ = ask(preset, **DROPPED, unheard_of=1)
    assert DROPPED.keys() & request.body.keys() == (DROPPED.keys() if kept else set())
    assert "unheard_of" not in request.body
    assert request.messages[0]["role"] == ("developer" if kept else "system")


@pytest.mark.parametrize(
    ("preset", "sent"),
    [
        (openai, {"stream_options": {"include_usage": True}}),
        (openrouter, {"usage": {"include": True}}),
        (together, {}),
    ],
)
def test_who_is_asked_for_the_usage_of_a_stream(
    preset: Preset, sent: dict[str, Any], ask: Any
) -> None:
    request, _ = ask(preset, stream=True, stream_options={"include_usage": True})
    assert {k: v for k, v in request.body.items() if k in ("stream_options", "usage")} == sent


@pytest.mark.parametrize(
    ("preset", "tokens"), [(openai, None), (openrouter, None), (together, 128)]
)
def test_without_max_tokens_together_is_asked_for_128(
    preset: Preset, tokens: int | None, ask: Any
) -> None:
    request, _ = ask(preset)
    assert request.body.get("max_tokens") == tokens


def test_the_penalty_of_together_becomes_another_one(ask: Any) -> None:
    request, _ = ask(together, frequency_penalty=0.2)
    assert request.body["repetition_penalty"] == 0.2
    assert "frequency_penalty" not in request.body


@pytest.mark.parametrize("preset", PRESETS)
def test_the_key_comes_from_the_providers_variable(
    preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = VARIABLES[preset.__name__]
    monkeypatch.delenv(variable, raising=False)
    target = preset("m")
    assert target.api_key == SecretStr(f"${{{variable}}}")
    with pytest.raises(ConfigurationError, match=f"set the environment variable {variable}$"):
        emit(target)


@pytest.mark.parametrize("preset", PRESETS)
def test_options_are_those_of_a_target(preset: Preset) -> None:
    target = preset("m", api_key="sk", name="n", weight=2, timeout=Timeout(answer=3))
    assert (target.model, target.name, target.weight) == ("m", "n", 2)
    assert target.timeout == Timeout(answer=3)
    with pytest.raises(ConfigurationError, match=r"^Target\.wieght: no such field"):
        preset("m", wieght=1)
