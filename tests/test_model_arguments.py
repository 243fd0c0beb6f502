"""The arguments of `PortkeyModel`, and the variables that stand in for them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from agno.agent import Agent
from agno.models.portkey import Portkey
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play

from agno_portkey.errors import ConfigurationError, GatewayUnauthorized
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider

# Arguments and environment


def test_it_takes_every_argument_of_the_hosts_portkey_model() -> None:
    import dataclasses

    theirs = {f.name for f in dataclasses.fields(Portkey) if f.init}
    ours = {f.name for f in dataclasses.fields(PortkeyModel) if f.init}
    assert theirs - ours == set()
    model = PortkeyModel(
        id="gpt-4o",
        portkey_api_key="pk",
        virtual_key="vk",
        config={"provider": "@openai-prod"},
        base_url="http://127.0.0.1:9/v1",
        profile="hosted",
    )
    assert model.id == "gpt-4o"
    assert model.gateway_url == "http://127.0.0.1:9/v1"


def _seen(provider: EmbeddedProvider, model: PortkeyModel) -> dict[str, str]:
    """The headers as a gateway receives them: the provider stands in its place."""
    ask(model, "run")
    return dict(provider.calls[-1].headers)


def test_arguments_become_headers(portkey_provider: EmbeddedProvider) -> None:
    headers = _seen(
        portkey_provider,
        PortkeyModel(
            base_url=portkey_provider.url,
            profile="hosted",
            portkey_api_key="pk",
            virtual_key="vk",
            api_key="provider-key",
            config={"retry": {"attempts": 2}},
            retries="gateway",
            portkey_provider="@openai-prod",
            custom_host="http://127.0.0.1:9/v1/",
            default_headers={"x-mine": "1", "x-portkey-provider": "other"},
            extra_headers={"x-call": "2"},
        ),
    )
    assert headers["x-portkey-api-key"] == "pk"
    assert headers["x-portkey-virtual-key"] == "vk"
    assert headers["authorization"] == "Bearer provider-key"
    config = json.loads(headers["x-portkey-config"])
    assert config == {"retry": {"attempts": 2}, "request_timeout": 120_000}
    assert headers["x-portkey-provider"] == "@openai-prod"
    assert headers["x-portkey-custom-host"] == "http://127.0.0.1:9/v1"
    assert (headers["x-mine"], headers["x-call"]) == ("1", "2")


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ('{"provider": "openai", "weight": 1.0}', None),
        ("pc-team-7f3a", "pc-team-7f3a"),
    ],
)
def test_the_environment_fills_in_what_was_left_out(
    config: str,
    header: str | None,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "env-key")
    monkeypatch.setenv("PORTKEY_BASE_URL", portkey_provider.url + "/")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "env-virtual")
    monkeypatch.setenv("PORTKEY_CONFIG", config)
    headers = _seen(portkey_provider, PortkeyModel(profile="hosted"))
    assert headers["x-portkey-api-key"] == "env-key"
    assert headers["x-portkey-virtual-key"] == "env-virtual"
    if header is None:
        sent = json.loads(headers["x-portkey-config"])
        assert sent == {**json.loads(config), "request_timeout": 120_000}
    else:
        assert headers["x-portkey-config"] == header

    headers = _seen(
        portkey_provider,
        PortkeyModel(
            portkey_api_key="mine",
            virtual_key="my-virtual",
            config="pc-mine",
            profile="hosted",
        ),
    )
    assert headers["x-portkey-api-key"] == "mine"
    assert headers["x-portkey-virtual-key"] == "my-virtual"
    assert headers["x-portkey-config"] == "pc-mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTKEY_CONFIG", "{broken"),
        ("PORTKEY_CONFIG", "[1]"),
        ("PORTKEY_BASE_URL", "gateway:8787"),
        ("PORTKEY_BASE_URL", "http://me:hunter2@gateway/v1"),
    ],
)
def test_a_wrong_variable_is_named_and_not_quoted(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        PortkeyModel()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_hosted_portkey_without_a_key_says_what_to_set(form: str) -> None:
    model = PortkeyModel()
    with pytest.raises(GatewayUnauthorized, match="set PORTKEY_API_KEY") as caught:
        ask(model, form)
    assert caught.value.status_code == 401
    ended = play(Agent(model=model), form)
    assert (ended.status, ended.content) == (RunStatus.error, str(caught.value))


@pytest.mark.parametrize("form", FORMS)
def test_without_a_provider_key_no_authorization_is_sent(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    ask(PortkeyModel(base_url=portkey_provider.url), form)
    assert "authorization" not in portkey_provider.calls[-1].headers

    # Through the gateway the key is then the config's.
    target = {"provider": "openai", "api_key": "of-config", "custom_host": portkey_provider.url}
    ask(PortkeyModel(base_url=portkey_gateway.url, config=target), form)
    assert portkey_provider.calls[-1].headers["authorization"] == "Bearer of-config"

    model = PortkeyModel(base_url=portkey_provider.url, api_key="mine")
    ask(model, form)
    assert portkey_provider.calls[-1].headers["authorization"] == "Bearer mine"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["Authorization", "authorization"])
@pytest.mark.parametrize("argument", ["default_headers", "extra_headers", "request_params"])
def test_a_key_in_a_header_of_ones_own_is_sent(
    argument: str, name: str, form: str, portkey_provider: EmbeddedProvider
) -> None:
    given: dict[str, Any] = {name: "Bearer mine"}
    given = {"extra_headers": given} if argument == "request_params" else given
    options = {"portkey_provider": "openai", argument: given}
    ask(PortkeyModel(base_url=portkey_provider.url, **options), form)
    assert portkey_provider.calls[-1].headers["authorization"] == "Bearer mine"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("instead", [{"x-own": "1"}, {}], ids=["others", "none"])
def test_no_key_is_made_up_where_the_clients_headers_are_in_the_place_of_the_models(
    instead: dict[str, str], form: str, portkey_provider: EmbeddedProvider
) -> None:
    model = PortkeyModel(
        base_url=portkey_provider.url,
        portkey_provider="openai",
        default_headers={"Authorization": "Bearer mine"},
        client_params={"default_headers": instead},
    )
    ask(model, form)
    assert "authorization" not in portkey_provider.calls[-1].headers


@pytest.mark.parametrize("form", FORMS)
def test_the_gateway_that_the_environment_names_now_is_asked_with_the_key_that_it_names(
    form: str, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PortkeyModel(profile="hosted")
    with EmbeddedProvider() as other:
        for place, key in ((portkey_provider, "one"), (other, "one"), (other, "two")):
            monkeypatch.setenv("PORTKEY_BASE_URL", place.url)
            monkeypatch.setenv("PORTKEY_API_KEY", key)
            assert model.gateway_url == place.url
            ask(model, form)
            assert place.calls[-1].headers["x-portkey-api-key"] == key
        assert (len(portkey_provider.calls), len(other.calls)) == (1, 2)


WRONG: dict[str, dict[str, Any]] = {
    "id": {"id": " "},
    "api_key": {"api_key": ""},
    "portkey_api_key": {"portkey_api_key": " "},
    "virtual_key": {"virtual_key": 7},
    "base_url": {"base_url": "127.0.0.1:8787"},
    "custom_host": {"custom_host": "ftp://host"},
    "portkey_provider": {"portkey_provider": "open ai"},
    "config": {"config": "my-config"},
    "tags": {"tags": {"a": "x" * 129}},
    "guards": {"guards": [print]},
    "cache_response": {"cache_response": True},
    "profile": {"profile": "mine"},
    "observers": {"observers": print},
    "observers: a list": {"observers": [7]},
    "api_key: missing": {"portkey_provider": "openai", "base_url": "http://127.0.0.1:9/v1"},
    "portkey_provider.*did you mean openai": {
        "portkey_provider": "opnai",
        "api_key": "k",
        "base_url": "http://127.0.0.1:9/v1",
    },
    "custom_host: for openrouter without": {
        "portkey_provider": "openrouter",
        "api_key": "k",
        "custom_host": "http://127.0.0.1:9/v1",
        "base_url": "http://127.0.0.1:9/v1",
    },
    "custom_host: the route in config has its own": {
        "config": {"provider": "openai", "api_key": "k"},
        "custom_host": "http://127.0.0.1:9/v1",
        "base_url": "http://127.0.0.1:9/v1",
    },
    "breaker": {"breaker": True},
    "retries": {"retries": 6},
    "max_retries": {"max_retries": True},
    "recovery": {"recovery": {"attempts": 2}},
    "retries: give either": {"retries": 1, "recovery": Recovery()},
    "retries: give": {"retries": 1, "max_retries": 1},
    r"client_params\.max_retries": {"client_params": {"max_retries": 2}},
    "client": {"client": openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9")},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_argument_is_refused_by_its_name(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        PortkeyModel(**WRONG[field])


def test_a_config_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"config.*JSON"):
        PortkeyModel(config={"targets": {1, 2}})
    with pytest.raises(ConfigurationError, match="config") as caught:
        PortkeyModel(config='{"api_key": "hunter2"}')
    assert "hunter2" not in str(caught.value)


# Agno's own cleanup is not ours to break


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "pc-team-7f3a"),
        ("portkey_provider", "@openai-prod"),
        ("id", "@openai-prod/gpt-4o"),
        ("virtual_key", "vk"),
    ],
)
def test_what_only_hosted_portkey_knows_is_not_sent_elsewhere(name: str, value: str) -> None:
    here = "http://127.0.0.1:9/v1"
    with pytest.raises(ConfigurationError, match=f"{name}.*hosted Portkey only"):
        PortkeyModel(base_url=here, portkey_api_key="pk", **{name: value})
    with pytest.raises(ConfigurationError, match=f"{name}.*hosted Portkey only"):
        PortkeyModel(base_url="https://gateway.example/v1", **{name: value})
    PortkeyModel(base_url="https://gateway.example/v1", portkey_api_key="pk", **{name: value})
    PortkeyModel(base_url=here, profile="hosted", **{name: value})
    PortkeyModel(**{name: value})
    PortkeyModel("@cf/meta/llama", base_url=here, portkey_provider="workers-ai", api_key="k")
