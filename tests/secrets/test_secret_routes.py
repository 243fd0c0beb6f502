"""Keys of a route's targets that are read from a source, when a request is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from four_forms import FORMS, ask, play
from odd_sources import Told

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError, SecretMissing, SecretUnavailable
from agno_portkey.routing import Fallback, Recovery, Target
from agno_portkey.secrets import EnvironmentSecrets, FileSecrets
from agno_portkey.testing import EmbeddedProvider, Fault, Request

OLD, NEW = "sk-old-4711-value-abc", "sk-new-0815-value-xyz"


def model(provider: EmbeddedProvider, **options: Any) -> PortkeyModel:
    given = {"base_url": provider.url, "profile": "hosted", "recovery": Recovery(attempts=1)}
    return PortkeyModel(**{**given, **options})


def route(provider: EmbeddedProvider) -> Fallback:
    here = {"provider": "openai", "custom_host": provider.url}
    return Fallback(
        targets=[
            Target(model="first", api_key="${FIRST}", **here),
            Target(model="second", api_key="${SECOND}", **here),
        ]
    )


def config_of(request: Request) -> Any:
    return json.loads(request.headers["x-portkey-config"])


@pytest.mark.parametrize("form", FORMS)
def test_references_of_a_route_are_read_from_a_source(
    form: str, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    source = FileSecrets(tmp_path / "keys")
    source.write("FIRST", 'sk-"first"\\')
    source.write("SECOND", NEW)
    asked = model(portkey_provider, config=route(portkey_provider), secrets=source)
    assert play(Agent(model=asked), form).content == "You said: Hi"
    keys = [target["api_key"] for target in config_of(portkey_provider.calls[0])["targets"]]
    assert keys[0] == 'sk-"first"\\'
    assert asked.to_dict()["config"]["targets"][0]["api_key"] == "${FIRST}"


@pytest.mark.parametrize("form", FORMS)
def test_a_route_whose_key_was_changed_is_sent_again(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    def keys(request: Request) -> list[str]:
        return [target["api_key"] for target in config_of(request)["targets"]]

    portkey_provider.when(
        lambda request: NEW not in keys(request),
        lambda request: Fault.status(401, message=f"Wrong: {keys(request)}"),
    )
    asked = model(portkey_provider, config=route(portkey_provider), secrets=Told(OLD, NEW))
    assert play(Agent(model=asked), form).content == "You said: Hi"
    assert [set(keys(request)) for request in portkey_provider.calls] == [{OLD}, {NEW}]


def test_what_is_missing_of_a_route_is_said_by_name(
    portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    asked = model(portkey_provider, config=route(portkey_provider), secrets=FileSecrets(tmp_path))
    with pytest.raises(SecretMissing, match="FIRST"):
        ask(asked, "run")
    assert not portkey_provider.requests


def test_a_route_without_a_source_reads_the_environment(
    portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", OLD)
    monkeypatch.setenv("SECOND", NEW)
    ask(model(portkey_provider, config=route(portkey_provider)), "run")
    assert config_of(portkey_provider.calls[0])["targets"][0]["api_key"] == OLD


@pytest.mark.parametrize("held", ['{"type": "service_account"}', "no object", '["list"]'])
def test_an_object_of_a_route_is_read_as_one(held: str, portkey_provider: EmbeddedProvider) -> None:
    target = Target(
        provider="vertex-ai",
        vertex_project_id="p",
        vertex_region="r",
        vertex_service_account_json="${ACCOUNT}",
    )
    asked = model(portkey_provider, config=target, secrets=Told(held))
    if held.startswith("{"):
        ask(asked, "run")
        sent = config_of(portkey_provider.calls[0])
        assert sent["vertex_service_account_json"] == json.loads(held)
    else:
        with pytest.raises(SecretUnavailable, match="ACCOUNT: a JSON object is due"):
            ask(asked, "run")


def test_a_source_of_secrets_is_one(portkey_provider: EmbeddedProvider) -> None:
    for given in ("env", EnvironmentSecrets, {}):
        with pytest.raises(ConfigurationError, match=r"^secrets:"):
            PortkeyModel(secrets=given)  # type: ignore[arg-type]
