"""What leaves a model - repr, dict, pickle - holds no secret; its copies still work with them."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from agno.agent import Agent
from agno.guardrails import PIIDetectionGuardrail
from agno.registry import Registry
from four_forms import FORMS, ask, play
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Seat
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.breaker.circuits import CircuitBreaker
from agno_portkey.routing.config.parts import GatewayCheck, Guardrail
from agno_portkey.routing.config.routes import Fallback, Target
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.routing.unkeyed import without_secrets
from agno_portkey.testing import EmbeddedProvider

# Long, and of letters that no name or number of ours is made of.
SECRETS = st.text(alphabet="QXZjqxz_-+/=", min_size=12, max_size=40).filter(lambda s: s.strip())
KEY_NAMES = st.sampled_from(
    [
        "api_key",
        "apiKey",
        "x-api-key",
        "virtual_key",
        "aws_secret_access_key",
        "awsSessionToken",
        "azure_ad_token",
        "vertex_service_account_json",
        "authorization",
        "password",
        "credentials",
        "request_headers",
    ]
)
SAFE_NAMES = st.sampled_from(["provider", "weight", "retry", "targets", "override_params", "name"])


def _buried(secret: str, names: list[str], key: str) -> dict[str, Any]:
    """A config that holds `secret` under `key`, some levels deep, in lists and mappings."""
    held: Any = {key: secret, "keys": [secret], "key_pair": {"private": {"value": secret}}}
    for depth, name in enumerate(names):
        held = {name: [held, {"weight": 1}] if depth % 2 else held}
    return {"strategy": {"mode": "fallback"}, "inner": held}


def _written(model: PortkeyModel) -> list[str]:
    return [
        repr(model),
        str(model),
        f"{model}",
        json.dumps(model.to_dict()),
        pickle.dumps(model).decode("latin-1"),
        pickle.dumps(copy.deepcopy(model), protocol=0).decode("latin-1"),
    ]


@given(
    secret=SECRETS,
    key=KEY_NAMES,
    path=st.lists(SAFE_NAMES, max_size=4),
)
def test_no_secret_is_written_down(secret: str, key: str, path: list[str]) -> None:
    model = PortkeyModel(
        base_url="http://127.0.0.1:9/v1",
        api_key=secret,
        portkey_api_key=secret,
        virtual_key=secret,
        config={"provider": "openai", "override_params": _buried(secret, path, key)},
        profile="hosted",
        extra_headers={"x-mine": secret, "authorization": secret},
        default_headers={"x-mine": secret},
        default_query={key: secret},
        extra_query={key: secret},
        extra_body={"deeper": [{key: secret}]},
        request_params={"extra_headers": {"x": secret}},
        client_params={"anything": secret},
    )
    escaped = json.dumps(secret)[1:-1]
    assert [text for text in _written(model) if secret in text or escaped in text] == []


@given(secret=SECRETS, key=KEY_NAMES, path=st.lists(SAFE_NAMES, max_size=4))
def test_what_is_no_secret_stays_in_the_config(secret: str, key: str, path: list[str]) -> None:
    config = _buried(secret, path, key)
    config["override_params"] = {"max_tokens": 5, "model": "gpt-4o"}
    config["forward_headers"] = ["x-user"]
    config["weights"] = [0.1, True, None]
    kept = without_secrets(config)
    assert kept["strategy"] == {"mode": "fallback"}
    assert kept["override_params"] == {"max_tokens": 5, "model": "gpt-4o"}
    assert kept["forward_headers"] == ["x-user"]
    assert kept["weights"] == [0.1, True, None]
    assert config == {**_buried(secret, path, key), **{k: config[k] for k in config}}


def test_a_password_in_an_address_is_taken_out_of_a_config() -> None:
    config = {"targets": [{"custom_host": "https://me:hunter2@host/v1"}]}
    assert without_secrets(config) == {"targets": [{"custom_host": "https://host/v1"}]}
    with pytest.raises(ConfigurationError, match="custom_host") as caught:
        PortkeyModel(custom_host="https://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


def test_a_subclass_with_a_repr_of_its_own_shows_no_secret() -> None:
    @dataclass
    class Mine(PortkeyModel):
        region: str = "eu"

    secret = "QXZjqxz-QXZjqxz"
    model = Mine(
        api_key=secret,
        portkey_api_key=secret,
        virtual_key=secret,
        config={"api_key": secret},
        extra_headers={"x": secret},
        default_headers={"x": secret},
        client_params={"x": secret},
        request_params={"x": secret},
    )
    assert "region='eu'" in repr(model)
    assert secret not in repr(model)


def _secretive(provider: EmbeddedProvider) -> PortkeyModel:
    return PortkeyModel(
        "gpt-4o",
        base_url=provider.url,
        api_key="provider-key",
        portkey_api_key="portkey-key",
        config={"provider": "openai", "api_key": "of-config"},
        profile="hosted",
        tags={"cost_center": "c1"},
        temperature=0.5,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_work_with_the_secrets(
    twin_of: Any, form: str, portkey_provider: EmbeddedProvider
) -> None:
    model = _secretive(portkey_provider)
    ask(model, form)
    twin = twin_of(model)
    twin.id = "gpt-4.1"
    ask(twin, form)
    first, second = portkey_provider.calls
    assert (first.model, second.model) == ("gpt-4o", "gpt-4.1")
    for name in ("authorization", "x-portkey-api-key", "x-portkey-config"):
        assert first.headers[name] == second.headers[name]


def test_an_agent_that_is_copied_keeps_a_model_that_works(
    portkey_provider: EmbeddedProvider,
) -> None:
    agent = Agent(model=_secretive(portkey_provider)).deep_copy()
    assert play(agent, "arun").content == "You said: Hi"
    assert portkey_provider.calls[0].headers["authorization"] == "Bearer provider-key"


@pytest.mark.parametrize("form", FORMS)
def test_a_pickled_model_takes_its_keys_from_the_environment(
    form: str, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _secretive(portkey_provider)
    ask(model, form)
    monkeypatch.setenv("PORTKEY_API_KEY", "env-key")
    back = pickle.loads(pickle.dumps(model))
    assert back.portkey_api_key is None
    ask(back, form)
    headers = portkey_provider.calls[-1].headers
    assert headers["x-portkey-api-key"] == "env-key"
    assert "authorization" not in headers
    sent = json.loads(headers["x-portkey-config"])
    assert sent.pop("request_timeout") == 120_000
    assert sent == {"provider": "openai"}
    assert json.loads(headers["x-portkey-metadata"])["cost_center"] == "c1"


def test_a_dict_and_back_is_the_same_but_for_the_secrets(
    portkey_provider: EmbeddedProvider,
) -> None:
    model = _secretive(portkey_provider)
    data = json.loads(json.dumps(model.to_dict()))
    back = PortkeyModel.from_dict(data)
    assert back.to_dict() == model.to_dict()
    assert (back.id, back.base_url, back.temperature) == ("gpt-4o", portkey_provider.url, 0.5)
    assert back.tags == {"cost_center": "c1"}
    assert back.config == {"provider": "openai"}
    assert (back.api_key, back.portkey_api_key) == (None, None)


def test_what_a_dict_cannot_hold_is_not_lost_in_silence() -> None:
    guarded = PortkeyModel(guards=[PIIDetectionGuardrail()])
    assert guarded.to_dict()["guards"] == ["PIIDetectionGuardrail"]
    with pytest.raises(ConfigurationError, match="guards"):
        PortkeyModel.from_dict(guarded.to_dict())

    bound = PortkeyModel().bound_to(Seat("runner", "Runner", "Release", None))
    with pytest.raises(ConfigurationError, match="Release/Runner"):
        PortkeyModel.from_dict(bound.to_dict())


def test_a_registry_gives_back_the_model_itself() -> None:
    model = PortkeyModel("gpt-4o", guards=[PIIDetectionGuardrail()])
    registry = Registry(models=[model])
    found = registry.get_model(**_identity(model.to_dict()))
    assert found is model
    agno = Agent(model=model, name="Clerk", id="clerk")
    back = Agent.from_dict(json.loads(json.dumps(agno.to_dict())), registry=registry)
    assert back.model is model


def test_without_a_registry_an_agent_comes_back_with_no_model_of_another_kind() -> None:
    data = Agent(model=PortkeyModel("gpt-4o"), name="Clerk").to_dict()
    with pytest.raises(ValueError, match="agno-portkey"):
        Agent.from_dict(data)


def test_models_of_two_seats_are_two_in_a_registry() -> None:
    model = PortkeyModel("gpt-4o")
    planner = model.bound_to(Seat("planner", "Planner", "Release", None))
    runner = model.bound_to(Seat("runner", "Runner", "Release", None))
    registry = Registry(models=[planner, runner])
    assert registry.get_model(**_identity(planner.to_dict())) is planner
    assert registry.get_model(**_identity(runner.to_dict())) is runner


def _identity(data: dict[str, Any]) -> dict[str, Any]:
    return {"model_id": data["id"], "provider": data["provider"], "name": data["name"]}


@pytest.mark.parametrize("form", FORMS)
def test_a_route_comes_back_with_its_references_and_without_its_keys(
    form: str, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = GatewayCheck(id="default.webhook", parameters={"headers": {"x": "hunter2"}})
    checks = [Guardrail(checks=[check])]
    here = {"provider": "openai", "custom_host": "http://127.0.0.1:9/v1"}
    route = Fallback(
        targets=[
            Target(model="a", api_key="${A_KEY}", name="first", prefill=True, **here),
            Target(model="b", api_key="hunter2", input_guardrails=checks, **here),
        ]
    )
    recovery = Recovery(attempts=2)
    model = PortkeyModel(base_url=portkey_provider.url, config=route, recovery=recovery)
    data = model.to_dict()
    for written in (json.dumps(data), repr(pickle.dumps(model)), repr(model), repr(route)):
        assert "hunter2" not in written
    back = PortkeyModel.from_dict(data)
    with pytest.raises(ConfigurationError, match=r"targets\[1\].api_key"):
        ask(back, form)

    breaker = CircuitBreaker(cooldown=7)
    lone = PortkeyModel(
        base_url=portkey_provider.url, config=route.targets[0], recovery=recovery, breaker=breaker
    )
    for back in (PortkeyModel.from_dict(lone.to_dict()), pickle.loads(pickle.dumps(lone))):
        assert (back.recovery, back.router.circuits.settings) == (recovery, breaker)
        monkeypatch.setenv("A_KEY", "of-the-environment")
        ask(back, form)
        sent = json.loads(portkey_provider.calls[-1].headers["x-portkey-config"])
        assert sent["api_key"] == "of-the-environment"
        monkeypatch.delenv("A_KEY")
